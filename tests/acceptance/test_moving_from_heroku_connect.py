"""Moving from Heroku Connect with its directions: the guide's commands in their order, docs/from-heroku-connect.md."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.test_new_records_become_rows import create
from tests.fix_project import WholeProject, until

EXPORT = {
    "version": 1,
    "mappings": [
        {
            "object_name": "Account",
            "config": {
                "access": "read_only",
                "sf_polling_seconds": 60,
                "fields": {"Id": {}, "Name": {}, "CreatedDate": {}, "SystemModstamp": {}, "IsDeleted": {}},
            },
        },
        {
            "object_name": "Contact",
            "config": {
                "access": "read_write",
                "sf_polling_seconds": 60,
                "fields": {"Id": {}, "FirstName": {}, "LastName": {}, "Title": {}, "Name": {}, "CreatedDate": {}},
            },
        },
    ],
    "connection": {},
}

#: As Heroku makes them.
TABLES = """
create schema salesforce;
create table salesforce.account (id serial primary key, sfid varchar(18) unique, name varchar(255),
    createddate timestamp, systemmodstamp timestamp, isdeleted boolean, _hc_lastop varchar(32), _hc_err text);
create table salesforce.contact (id serial primary key, sfid varchar(18) unique, firstname varchar(40),
    lastname varchar(80), title varchar(128), name varchar(121), createddate timestamp, _hc_lastop varchar(32),
    _hc_err text);
"""


@pytest.fixture
def moving(whole: WholeProject) -> WholeProject:
    """Two accounts and four contacts that Heroku keeps equal on both sides, and its export."""
    for path in (whole.folder / "mappings").iterdir():
        path.unlink()
    (whole.folder / "export.json").write_text(json.dumps(EXPORT))
    whole.sql(TABLES)
    for name in ("Acme", "Bolt"):
        whole.sql(
            "insert into salesforce.account (sfid, name) values (%s, %s)", create(whole, "Account", Name=name), name
        )
    for name in ("Ada", "Bea", "Cleo", "Dora"):
        put_row(whole, create(whole, FirstName=name, LastName="Last"), name)
    whole.done("import", "heroku-connect", str(whole.folder / "export.json"), "--out", str(whole.folder / "mappings"),
               "--destination", "crm", "--external-id", "Person_Key__c")  # fmt: skip
    for path in (whole.folder / "mappings").iterdir():
        assert "poll: {every: 1m}" in path.read_text()
        text = path.read_text().replace("every: 1m", "every: 1s")  # so that the test is soon over
        path.write_text(text.replace("conflict: newest", "conflict: destination"))  # for what differs already
    whole.sql("alter table salesforce.account alter sfid set not null")  # as `check` says
    return whole


def put_row(whole: WholeProject, sfid: str | None, name: str) -> None:
    sql = "insert into salesforce.contact (sfid, firstname, lastname) values (%s, %s, 'Last')"
    whole.sql(sql, sfid, name)


def row(whole: WholeProject, number: int) -> tuple[Any, ...]:
    return whole.sql("select firstname, lastname, title from salesforce.contact where id = %s", number)[0]


def edit(whole: WholeProject, sfid: str, **fields: object) -> None:
    with whole.project() as project:
        (result,) = project.destination("crm").update("Contact", [(sfid, dict(fields))])  # type: ignore[arg-type]
    assert not hasattr(result, "code"), result


def stamps(whole: WholeProject) -> dict[str, str]:
    return {each["Id"]: each["SystemModstamp"] for each in whole.salesforce.control.records("Contact", deleted=True)}


def sfids(whole: WholeProject) -> list[str]:
    return [sfid for (sfid,) in whole.sql("select sfid from salesforce.contact order by id")]


def record(whole: WholeProject, sfid: str) -> dict[str, Any]:
    (found,) = [each for each in whole.salesforce.control.records("Contact") if each["Id"] == sfid]
    return found


def test_what_is_equal_is_written_nowhere_and_nothing_newer_is_overwritten(moving: WholeProject) -> None:
    ada, bea, cleo, dora = sfids(moving)
    edit(moving, dora, Title="Chief")  # what Heroku never read
    moving.done("check")
    moving.done("setup", "--paused")
    moving.start()
    moving.done("adopt", "contact", "--remote-id", "sfid")  # while Heroku is still at work, and both sides agree
    adopted = stamps(moving)
    edit(moving, ada, FirstName="Augusta")  # what Heroku did not read any more
    moving.sql("update salesforce.contact set title = 'Dr' where id in (1, 2)")  # after it was paused
    put_row(moving, None, "Eve")
    new = create(moving, FirstName="Fay", LastName="New")
    moving.done("adopt", "contact", "--remote-id", "sfid")
    moving.done("resume", "contact", "account", "--direction", "in")
    until(lambda: moving.sql("select 1 from salesforce.contact where sfid = %s", new), what="the new record is a row")
    until(lambda: row(moving, 1) == ("Augusta", "Last", "Dr"), what="the newer value of Salesforce comes in")
    assert record(moving, ada)["Title"] is None  # nothing is sent yet
    until(lambda: row(moving, 4) == ("Dora", "Last", "Chief"), what="what differed before is decided")
    verdict = "select key, decision -> 'Title' ->> 'verdict' from syncbridge.sync_log"
    assert moving.sql(f"{verdict} where decision -> 'Title' is not null") == [("4", "destination wins")]
    plan = moving.run("plan", "--records", "contact", "--limit", "0").out
    assert "create 1, update 2, same 3." in plan
    moving.done("resume", "contact")
    moving.wait()
    after = {each["Id"]: each for each in moving.salesforce.control.records("Contact", deleted=True)}
    assert len(after) == 6  # nothing twice
    assert {sfid for sfid, stamp in stamps(moving).items() if adopted.get(sfid) == stamp} == {cleo, dora}
    assert (after[ada]["FirstName"], after[ada]["Title"]) == ("Augusta", "Dr")
    assert (after[bea]["FirstName"], after[bea]["Title"]) == ("Bea", "Dr")
    keys = dict(moving.sql("select sfid, id::text from salesforce.contact where sfid is not null"))
    assert {sfid: each["Person_Key__c"] for sfid, each in after.items() if sfid in keys} == keys
    until(lambda: None not in sfids(moving), what="the row of the record that was made has its id")
    assert sorted(sfids(moving)) == sorted(after)
    accounts = moving.sql("select name, createddate is not null from salesforce.account order by name")
    assert accounts == [("Acme", True), ("Bolt", True)]
    log = moving.sql("select count(*) from syncbridge.sync_log l join syncbridge.mapping m on m.id = l.mapping_id"
                     " where m.name = 'account' and l.direction = 'out'")  # fmt: skip
    assert log == [(0,)]


def test_adopt_waits_until_both_directions_are_paused_and_nothing_sends_what_only_comes(moving: WholeProject) -> None:
    moving.done("setup", "--paused")
    moving.done("resume", "contact", "--direction", "in")
    ended = moving.run("adopt", "contact", "--remote-id", "sfid")
    assert (ended.code, "contact is not paused" in ended.err) == (2, True)
    ended = moving.run("adopt", "account", "--remote-id", "sfid")
    assert (ended.code, "account sends nothing" in ended.err) == (2, True)
    (sfid,) = moving.sql("select sfid from salesforce.account where name = 'Acme'")[0]
    for command in (("test", "account", "--key", sfid), ("plan", "--records", "account")):
        ended = moving.run(*command)
        assert (ended.code, "account sends nothing: its direction is to_postgres" in ended.err) == (2, True)
    assert "account" not in moving.run("plan", "--records").out
