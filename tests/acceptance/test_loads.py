"""A mapping with a way back begins by reading what is there; `resync --from destination` reads all of it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncbridge.destinations.base import Delivered
from syncbridge.destinations.salesforce import scan
from syncbridge.model import Fields
from tests.acceptance.test_changes_come_back import BOTH, edit, row, running_both_ways
from tests.fix_project import WholeProject, until


def create(whole: WholeProject, *records: Fields) -> None:
    """Somebody made these contacts in Salesforce, by its API, before anything of ours was there."""
    with whole.project() as project:
        made = project.destination("crm").upsert("Contact", "Person_Key__c", list(records))
    assert all(isinstance(each, Delivered) for each in made), made


def test_records_that_both_sides_hold_become_one_pair_by_the_rule_of_conflicts(whole: WholeProject) -> None:
    create(
        whole,
        {"Person_Key__c": "1", "FirstName": "Theirs", "LastName": "Last 1"},
        {"Person_Key__c": "2", "FirstName": "First 2", "LastName": "Last 2"},
    )
    stamp = whole.record(2)["SystemModstamp"]  # type: ignore[index]
    whole.write_mapping("people", BOTH + "conflict: destination\n")
    said = whole.done("setup").out
    assert "mapping people: first load asked for; nothing is sent before it is over" in said
    assert "first load: asked for, not begun" in whole.run("status").out
    whole.start()
    whole.wait()
    assert row(whole, 1) == ("Theirs", "Last 1")
    assert whole.record(2)["SystemModstamp"] == stamp  # type: ignore[index]
    assert whole.sql("select distinct direction from syncbridge.sync_log where key = '1'") == [("in",)]
    whole.assert_equal()


def test_a_resync_from_the_destination_finds_what_no_poll_saw(whole: WholeProject) -> None:
    running_both_ways(
        whole, BOTH.replace("direction", "deletes: {to_destination: delete, to_postgres: delete}\ndirection")
    )
    whole.workers[-1].stop()
    edit(whole, 1, FirstName="Unseen")
    with whole.project() as project:
        destination = project.destination("crm")
        destination.delete("Contact", [whole.record(2)["Id"]])  # type: ignore[index]
        whole.salesforce.control.advance_clock(3600)
        position = destination.changes("Contact", ["FirstName"], None).position
    whole.sql("update syncbridge.watermark set position = %s", position)
    told = whole.done("resync", "people", "--from", "destination").out
    assert "No worker runs, so nothing is read yet. Run: syncbridge run" in told
    whole.start()
    until(lambda: whole.sql("select 1 from syncbridge.worker"), what="the worker is there")
    assert "records were read again." in whole.done("resync", "people", "--from", "destination").out
    until(lambda: row(whole, 1)[0] == "Unseen", what="the change comes")
    until(lambda: whole.sql("select id from people where id = 2") == [], what="the row of the deleted record goes")
    whole.wait()
    whole.assert_equal()
    _read_one_again(whole)
    before = whole.sql("select count(*) from syncbridge.sync_log")
    again = whole.done("resync", "people", "--from", "destination", "--json").json
    assert again["complete"]
    assert whole.sql("select count(*) from syncbridge.sync_log") == before


def _read_one_again(whole: WholeProject) -> None:
    """With --key: the base of another record is wrong too, and stays so."""
    whole.sql("update syncbridge.link set base = '{}' where key in ('1', '3')")
    told = whole.done("resync", "people", "--from", "destination", "--key", "1", "--key", "99", "--json").json
    assert told == {"mapping": "people", "asked": 1, "without_record": ["99"]}
    until(lambda: whole.sql("select 1 from syncbridge.link where key = '1' and base->>'FirstName' = 'Unseen'"))
    assert whole.sql("select base->>'FirstName' from syncbridge.link where key = '3'") == [(None,)]
    whole.done("resync", "people", "--from", "destination", "--where", "id = 3")
    assert whole.sql("select base->>'FirstName' from syncbridge.link where key = '3'") == [("First 3",)]


def test_what_cannot_be_read_again_is_said(whole: WholeProject, tmp_path: Path) -> None:
    whole.done("setup")
    one_way = whole.run("resync", "people", "--from", "destination")
    assert one_way.code == 2
    assert "changes of Contact do not come back: people only sends" in one_way.err
    whole.write_mapping("people", BOTH)
    whole.done("apply", "--yes")
    wrong = whole.run("resync", "people", "--from", "destination", "--where", "no_such_column = 1")
    assert wrong.code == 2
    assert "no_such_column" in wrong.err
    assert whole.run("resync", "people", "--from", "destination", "--force").code == 2


def test_a_worker_that_ends_while_it_loads_is_followed_by_another(
    whole: WholeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[Fields] = [{"Person_Key__c": str(n), "FirstName": "Theirs", "LastName": "Last"} for n in range(1, 4)]
    create(whole, *there)
    whole.write_mapping("people", BOTH + "conflict: destination\n")
    whole.done("setup")
    monkeypatch.setattr(scan, "BY_QUERIES", 0)
    whole.salesforce.control.hold_jobs()
    with whole.worker_here():
        until(lambda: whole.sql("select 1 from syncbridge.run where position like '%%750%%'"), what="a job is begun")
    whole.salesforce.control.release_jobs()
    whole.start()
    whole.wait()
    assert [row(whole, key)[0] for key in (1, 2, 3)] == ["Theirs"] * 3
    assert whole.salesforce.control.calls("bulk_query_create") == 1
    whole.assert_equal()
