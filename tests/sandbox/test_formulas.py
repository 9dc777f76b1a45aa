"""Formula fields over parents and over the time: they change while their record, SystemModstamp included, does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from syncbridge.sandbox.salesforce.org.org_file import OrgFileError, load_org
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

ORG = """\
objects:
  Account:
    fields:
      Motto__c: {type: string(80), formula: "coalesce(Industry, 'no') || ' industry'"}
  Contact:
    fields:
      Industry__c: {type: string(80), formula: Account.Industry}
      Motto__c: {type: string(80), formula: "'of ' || Account.Motto__c"}
      Boss_Industry__c: {type: string(80), formula: ReportsTo.Account.Industry}
      Loud__c: {type: string(80), formula: upper(Industry__c) || '!'}
      Age__c: {type: int, formula: cast((julianday(TODAY()) - julianday(Birthdate)) / 365.2425 as int)}
      Initial__c: {type: string(1), formula: "substr(LastName, 1, 1)"}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """An org with such formulas."""
    file = tmp_path_factory.mktemp("org") / "org.yaml"
    file.write_text(ORG)
    with SandboxServer(org=file) as server:
        yield server


@pytest.fixture
def api(server: SandboxServer) -> Iterator[Api]:
    """A client of the org, which is empty."""
    server.control.reset()
    headers = {"Authorization": f"Bearer {server.credentials.token}"}
    with Api(base_url=f"{server.url}/services/data/v59.0", headers=headers) as client:
        yield client


def test_a_change_of_the_parent_shows_in_the_child_and_does_not_move_its_stamp(api: Api, server: SandboxServer) -> None:
    account = api.create("Account", Name="a", Industry="Energy")
    api.create("Contact", LastName="c", AccountId=account)
    query = "SELECT Industry__c, Motto__c, Loud__c, SystemModstamp FROM Contact"
    [before] = api.rows(query)
    assert (before["Industry__c"], before["Motto__c"], before["Loud__c"]) == ("Energy", "of Energy industry", "ENERGY!")
    server.control.advance_clock(60)
    assert api.patch(f"/sobjects/Account/{account}", json={"Industry": "Retail"}).status_code == 204
    [after] = api.rows(query)
    assert (after["Industry__c"], after["Motto__c"], after["Loud__c"]) == ("Retail", "of Retail industry", "RETAIL!")
    assert after["SystemModstamp"] == before["SystemModstamp"]


def test_a_path_over_two_parents_and_a_missing_parent(api: Api) -> None:
    account = api.create("Account", Name="a", Industry="Energy")
    boss = api.create("Contact", LastName="boss", AccountId=account)
    api.create("Contact", LastName="c", ReportsToId=boss)
    rows = api.rows("SELECT LastName, Boss_Industry__c, Industry__c FROM Contact ORDER BY LastName")
    assert rows == [
        {"LastName": "boss", "Boss_Industry__c": None, "Industry__c": "Energy"},
        {"LastName": "c", "Boss_Industry__c": "Energy", "Industry__c": None},
    ]


def test_a_formula_of_the_time_changes_with_the_clock_alone(api: Api, server: SandboxServer) -> None:
    api.create("Contact", LastName="c", Birthdate=f"{datetime.now(UTC).year - 30}-01-01")
    [before] = api.rows("SELECT Age__c, SystemModstamp FROM Contact")
    assert before["Age__c"] in (29, 30)
    server.control.advance_clock(2 * 366 * 86400)
    [after] = api.rows("SELECT Age__c, SystemModstamp FROM Contact")
    assert after == {"Age__c": before["Age__c"] + 2, "SystemModstamp": before["SystemModstamp"]}


def test_such_fields_can_be_filtered_and_sorted_by_and_are_in_every_answer(api: Api, server: SandboxServer) -> None:
    account = api.create("Account", Name="a", Industry="Energy")
    contact = api.create("Contact", LastName="c", AccountId=account, External_Key__c="k")
    api.create("Contact", LastName="d")
    query = "SELECT Id FROM Contact WHERE Industry__c = 'Energy' ORDER BY Industry__c"
    assert [each["Id"] for each in api.rows(query)] == [contact]
    assert api.get(f"/sobjects/Contact/{contact}").json()["Loud__c"] == "ENERGY!"
    assert [each["Industry__c"] for each in server.control.records("Contact")] == ["Energy", None]
    path = "/sobjects/Contact/External_Key__c/k"
    assert api.patch(path, json={"LastName": "new"}).json()["created"] is False
    assert api.get(path).json()["Initial__c"] == "n"


def test_such_fields_cannot_be_written(api: Api) -> None:
    answer = api.post("/sobjects/Contact", json={"LastName": "c", "Industry__c": "x"})
    assert answer.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    [field] = [each for each in api.get("/sobjects/Contact/describe").json()["fields"] if each["name"] == "Age__c"]
    assert (field["calculated"], field["createable"], field["updateable"]) == (True, False, False)


def test_a_running_org_gains_and_loses_such_a_field_with_its_records(api: Api, server: SandboxServer) -> None:
    owner = api.create("Lead", LastName="l", Company="x")
    server.control.put_field("Lead", "Owner_Name__c", {"type": "string(80)", "formula": "Owner.Username"})
    [lead] = api.rows("SELECT Id, Owner_Name__c FROM Lead")
    assert lead == {"Id": owner, "Owner_Name__c": server.credentials.user}
    server.control.remove_field("Lead", "Owner_Name__c")
    server.control.put_field("Lead", "Other__c", "string(20)")
    assert api.patch(f"/sobjects/Lead/{owner}", json={"Other__c": "y"}).status_code == 204
    assert api.rows("SELECT Id, Other__c FROM Lead") == [{"Id": owner, "Other__c": "y"}]


def test_a_data_file_is_read_with_other_formulas_than_it_was_written_with(tmp_path: Path) -> None:
    file, org = tmp_path / "org.db", tmp_path / "org.yaml"
    org.write_text(ORG)
    for formulas in (None, org, None):
        with SandboxServer(org=formulas, data=file) as server:
            headers = {"Authorization": f"Bearer {server.credentials.token}"}
            with httpx.Client(base_url=f"{server.url}/services/data/v59.0", headers=headers) as client:
                record = client.post("/sobjects/Contact", json={"LastName": "c"})
                assert record.status_code == 201
    with SandboxServer(org=org, data=file) as server:
        assert [each["Initial__c"] for each in server.control.records("Contact")] == ["c"] * 3


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("Acount.Industry", "Contact has no relationship 'Acount'"),
        ("Account.Industri", "Account has no field 'Industri'"),
        ("X__c || TODAY()", "the formula refers to itself"),
        ("nope(TODAY())", "no such function: nope"),
        ("Account.Industry ||", "syntax error"),
    ],
)
def test_a_wrong_formula_is_shown_where_it_stands(tmp_path: Path, formula: str, said: str) -> None:
    file = tmp_path / "org.yaml"
    file.write_text(
        f"objects:\n  Contact:\n    fields:\n      X__c:\n        type: string\n        formula: {formula}\n"
    )
    with pytest.raises(OrgFileError, match=r"org\.yaml:6: objects\.Contact\.fields\.X__c\.formula: ") as caught:
        load_org(file)
    assert said in str(caught.value)
