"""Query locators: their form, how long they live, and what they promise while records change."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from tests.sandbox.conftest import Api

EXPIRED = [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]


@pytest.fixture
def next_url(api: Api, sandbox: SandboxServer) -> str:
    """The second page of three accounts, two on a page."""
    for name in "abc":
        api.create("Account", Name=name)
    sandbox.control.set_page_size(2)
    return sandbox.url + str(api.query("SELECT Name FROM Account ORDER BY Name")["nextRecordsUrl"])


def test_a_locator_is_an_id_of_18_characters_with_the_place_behind_it(next_url: str) -> None:
    locator, _, offset = next_url.rpartition("/")[2].partition("-")
    assert (locator[:3], len(locator), to_18(locator), offset) == ("0r8", 18, locator, "2")


def test_a_page_can_be_read_again_and_from_another_place(api: Api, next_url: str) -> None:
    first = api.get(next_url).json()
    assert [row["Name"] for row in first["records"]] == ["c"]
    assert api.get(next_url).json() == first
    assert [row["Name"] for row in api.get(next_url.replace("-2", "-1")).json()["records"]] == ["b", "c"]


@pytest.mark.parametrize("offset", ["3", "-1", "x", "", "\u0662"])
def test_a_place_outside_of_the_result_is_refused(api: Api, next_url: str, offset: str) -> None:
    response = api.get(next_url.removesuffix("2") + offset)
    assert (response.status_code, response.json()) == (400, EXPIRED)


def test_locators_expire_after_two_days_or_when_told_to(api: Api, sandbox: SandboxServer, next_url: str) -> None:
    sandbox.control.advance_clock(47 * 3600)
    assert api.get(next_url).status_code == 200
    sandbox.control.advance_clock(2 * 3600)
    assert api.get(next_url).json() == EXPIRED
    again = sandbox.url + str(api.query("SELECT Name FROM Account")["nextRecordsUrl"])
    assert api.get(again).status_code == 200
    assert api.delete(f"{sandbox.url}/sandbox/cursors").status_code < 300
    assert api.get(again).json() == EXPIRED


def test_two_long_custom_texts_make_pages_of_200(api: Api, sandbox: SandboxServer) -> None:
    for field in ("One__c", "Two__c"):
        sandbox.control.put_field("Account", field, "textarea(32000)")
    for start in (0, 200):
        records = [{"attributes": {"type": "Account"}, "Name": f"{start + at}"} for at in range(150)]
        api.collection("POST", "", records)
    assert len(api.query("SELECT One__c, Description FROM Account")["records"]) == 300
    assert len(api.query("SELECT One__c, Two__c FROM Account")["records"]) == 200


def test_keyset_pages_by_modstamp_and_id_see_every_record_once(api: Api, sandbox: SandboxServer) -> None:
    ids = []
    for at in range(10):
        ids.append(api.create("Account", Name=str(at)))
        sandbox.control.advance_clock(at % 2)
    found: list[str] = []
    condition = "SystemModstamp > 2000-01-01T00:00:00Z"
    while rows := api.rows(
        f"SELECT Id, SystemModstamp FROM Account WHERE {condition} ORDER BY SystemModstamp, Id LIMIT 3"
    ):
        found += [row["Id"] for row in rows]
        stamp = rows[-1]["SystemModstamp"].replace("+0000", "Z")
        condition = f"SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{found[-1]}')"
    assert found == ids


def test_keyset_pages_are_read_from_the_index_without_sorting(api: Api, sandbox: SandboxServer) -> None:
    stamp = "2026-01-01T00:00:00Z"
    for condition in (
        f"WHERE SystemModstamp >= {stamp} ",
        f"WHERE SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '0018K0000000001QAA') ",
        "",
    ):
        soql = f"SELECT Id FROM Account {condition}ORDER BY SystemModstamp, Id LIMIT 2000"
        org, clock = sandbox.sandbox.org, sandbox.sandbox.clock
        sql, values = compile_query(org, parse(soql), clock.now()).select()
        with sandbox.sandbox.lock:
            plan = [row[3] for row in sandbox.sandbox.storage.select(f"explain query plan {sql}", values)]
        assert len(plan) == 1, plan
        assert "USING INDEX Account_SystemModstamp" in plan[0], plan
