"""Late visibility: queries and feeds see a write later, with the stamp of its writing. Time is moved by hand."""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api, BulkApi

LATE = 1_000.0


@pytest.fixture
def late(sandbox: SandboxServer) -> SandboxServer:
    """The sandbox, with writes that queries see 1,000 s later."""
    sandbox.control.set_late_visibility(LATE, LATE)
    return sandbox


def test_a_new_record_is_queried_late_with_the_stamp_of_its_writing(api: Api, late: SandboxServer) -> None:
    record = api.create("Account", Name="a")
    stamp = api.get(f"/sobjects/Account/{record}").json()["SystemModstamp"]
    assert api.rows("SELECT Id FROM Account") == []
    assert api.query("SELECT count() FROM Account")["totalSize"] == 0
    late.control.advance_clock(LATE)
    assert api.rows("SELECT Id, SystemModstamp FROM Account") == [{"Id": record, "SystemModstamp": stamp}]


def test_until_then_queries_show_a_record_as_it_was(api: Api, sandbox: SandboxServer) -> None:
    record = api.create("Account", Name="before")
    [before] = api.rows("SELECT Name, SystemModstamp FROM Account")
    sandbox.control.advance_clock(5)
    sandbox.control.set_late_visibility(LATE, LATE)
    assert api.patch(f"/sobjects/Account/{record}", json={"Name": "after"}).status_code == 204
    assert api.rows("SELECT Name, SystemModstamp FROM Account") == [before]
    assert api.rows("SELECT Id FROM Account WHERE Name = 'after'") == []
    sandbox.control.advance_clock(LATE)
    [after] = api.rows("SELECT Name, SystemModstamp FROM Account")
    assert after["Name"] == "after"
    assert after["SystemModstamp"] > before["SystemModstamp"]


def test_a_later_write_can_be_seen_before_an_earlier_one(api: Api, late: SandboxServer) -> None:
    """The hole that a poller by SystemModstamp falls into."""
    early = api.create("Account", Name="early")
    late.control.advance_clock(10)
    late.control.set_late_visibility(1, 1)
    second = api.create("Account", Name="second")
    late.control.advance_clock(1)
    [seen] = api.rows("SELECT Id, SystemModstamp FROM Account")
    assert seen["Id"] == second
    late.control.advance_clock(LATE)
    [first, _] = api.rows("SELECT Id, SystemModstamp FROM Account ORDER BY SystemModstamp")
    assert first["Id"] == early
    assert first["SystemModstamp"] < seen["SystemModstamp"]


def test_two_writes_of_a_record_become_visible_in_their_order(api: Api, late: SandboxServer) -> None:
    record = api.create("Account", Name="one")
    late.control.set_late_visibility(1, 1)
    api.patch(f"/sobjects/Account/{record}", json={"Name": "two"})
    late.control.advance_clock(2)
    assert api.rows("SELECT Name FROM Account") == []
    late.control.advance_clock(LATE)
    assert api.rows("SELECT Name FROM Account") == [{"Name": "two"}]


def test_reading_by_id_and_upserts_see_every_write_at_once(api: Api, late: SandboxServer) -> None:
    path = "/sobjects/Contact/External_Key__c/k1"
    created = api.patch(path, json={"LastName": "a"})
    assert api.patch(path, json={"LastName": "b"}).json() == {**created.json(), "created": False}
    assert api.get(path).json()["LastName"] == "b"
    assert late.control.records("Contact")[0]["LastName"] == "b"


def test_deletes_are_seen_late_in_queries_and_in_the_deleted_feed(api: Api, sandbox: SandboxServer) -> None:
    record = api.create("Account", Name="a")
    sandbox.control.set_late_visibility(LATE, LATE)
    assert api.delete(f"/sobjects/Account/{record}").status_code == 204
    assert [each["Id"] for each in api.rows("SELECT Id FROM Account")] == [record]
    assert _feed(api, "deleted")["deletedRecords"] == []
    sandbox.control.advance_clock(LATE)
    assert api.rows("SELECT Id FROM Account") == []
    assert [each["id"] for each in _feed(api, "deleted")["deletedRecords"]] == [record]


def test_the_updated_feed_covers_no_more_than_can_no_longer_change(api: Api, late: SandboxServer) -> None:
    record = api.create("Account", Name="a")
    written = api.get(f"/sobjects/Account/{record}").json()["SystemModstamp"]
    late.control.advance_clock(30)
    answer = _feed(api, "updated")
    assert answer == {"ids": [], "latestDateCovered": written}
    late.control.advance_clock(LATE)
    answer = _feed(api, "updated")
    assert answer["ids"] == [record]
    assert answer["latestDateCovered"] > written


def test_bulk_jobs_write_late_and_query_late(api: Api, bulk: BulkApi, late: SandboxServer) -> None:
    assert bulk.run("LastName\na\nb\n")["numberRecordsFailed"] == 0
    assert api.get(f"/jobs/query/{bulk.query('SELECT Id FROM Contact')}").json()["numberRecordsProcessed"] == 0
    late.control.advance_clock(LATE)
    assert api.get(f"/jobs/query/{bulk.query('SELECT Id FROM Contact')}").json()["numberRecordsProcessed"] == 2


def test_the_delay_lies_between_its_bounds(api: Api, sandbox: SandboxServer) -> None:
    sandbox.control.set_late_visibility(100, 300)
    for number in range(20):
        api.create("Account", Name=f"a{number}")
    sandbox.control.advance_clock(90)
    assert api.rows("SELECT Id FROM Account") == []
    sandbox.control.advance_clock(110)
    assert 0 < len(api.rows("SELECT Id FROM Account")) < 20
    sandbox.control.advance_clock(100)
    assert len(api.rows("SELECT Id FROM Account")) == 20


def test_late_visibility_is_set_over_http_and_ends_with_a_reset(api: Api, sandbox: SandboxServer) -> None:
    with httpx.Client(base_url=f"{sandbox.url}/sandbox") as control:
        assert control.put("/settings", json={"late_visibility": [LATE, LATE]}).status_code == 200
        api.create("Account", Name="a")
        assert api.rows("SELECT Id FROM Account") == []
        wrong = control.put("/settings", json={"late_visibility": [3, 1]})
        assert wrong.status_code == 400
        assert "from 3 to 1" in wrong.json()[0]["message"]
    sandbox.control.reset()
    api.create("Account", Name="b")
    assert [each["Name"] for each in api.rows("SELECT Name FROM Account")] == ["b"]


def _feed(api: Api, name: str) -> Any:
    """Everything that a feed of accounts covers until the server's now."""
    now = parsedate_to_datetime(api.get("/limits").headers["Date"])
    end: datetime = now + timedelta(hours=1)
    return api.get(
        f"/sobjects/Account/{name}",
        params={"start": (now - timedelta(days=1)).isoformat(), "end": end.isoformat()},
    ).json()


def test_a_record_and_its_details_are_deleted_in_one_moment_and_come_back_together() -> None:
    ticks = itertools.count(1_780_000_000, 0.7)
    sandbox = Sandbox(clock=lambda: float(next(ticks)))
    account, contact = sandbox.org.objects["account"], sandbox.org.objects["contact"]
    [made] = sandbox.writes.create([(account, {"Name": "a"})])
    sandbox.writes.create([(contact, {"LastName": each, "AccountId": made.id}) for each in "bc"])
    sandbox.deletes.delete([str(made.id)])
    sql = 'select "SystemModstamp" from "Account" union select "SystemModstamp" from "Contact"'
    stamps = sandbox.storage.select(sql)
    sandbox.deletes.undelete([str(made.id)])
    back = sandbox.storage.count(contact)
    sandbox.close()
    assert len(stamps) == 1
    assert back == 2


def test_stamps_have_whole_seconds_and_the_records_of_a_request_share_one() -> None:
    ticks = itertools.count(1_780_000_000, 0.7)
    sandbox = Sandbox(clock=lambda: float(next(ticks)))
    account = sandbox.org.objects["account"]
    records: list[Any] = [(account, {"Name": each}) for each in "abc"]
    sandbox.writes.create(records)
    rows = sandbox.storage.select('select distinct "SystemModstamp", "CreatedDate", "LastModifiedDate" from "Account"')
    sandbox.close()
    [stamps] = rows
    assert len(set(stamps)) == 1
    assert re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000", stamps[0])
