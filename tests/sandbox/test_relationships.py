"""Records by the way to them, as in /sobjects/Contact/{id}/Account."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


@pytest.fixture
def family(api: Api) -> dict[str, str]:
    """Ids of a grandparent and a parent account and of a contact of the parent."""
    top = api.create("Account", Name="Top")
    middle = api.create("Account", Name="Middle", ParentId=top, External_Key__c="M-1")
    return {"top": top, "middle": middle, "contact": api.create("Contact", LastName="L", AccountId=middle)}


def test_the_way_to_a_parent_is_its_record(api: Api, family: dict[str, str]) -> None:
    record = api.get(f"/sobjects/contact/{family['contact'][:15]}/account").json()
    assert (record["Id"], record["Name"]) == (family["middle"], "Middle")
    assert record["attributes"]["url"].endswith(f"/sobjects/Account/{family['middle']}")


def test_a_way_may_have_several_steps_and_choose_fields(api: Api, family: dict[str, str]) -> None:
    record = api.get(f"/sobjects/Contact/{family['contact']}/Account/Parent", params={"fields": "Name"}).json()
    del record["attributes"]
    assert record == {"Name": "Top"}


def test_the_way_to_children_is_a_list_with_pages(api: Api, sandbox: SandboxServer, family: dict[str, str]) -> None:
    api.create("Contact", LastName="Other")
    api.create("Contact", LastName="M", AccountId=family["middle"])
    answer = api.get(f"/sobjects/Account/{family['middle']}/Contacts", params={"fields": "LastName"}).json()
    assert (answer["totalSize"], answer["done"]) == (2, True)
    assert [each["LastName"] for each in answer["records"]] == ["L", "M"]
    assert set(api.get(f"/sobjects/Account/{family['middle']}/Contacts").json()["records"][0]) > {"Email", "OwnerId"}
    sandbox.control.set_page_size(1)
    assert not api.get(f"/sobjects/Account/{family['middle']}/Contacts").json()["done"]


def test_a_parent_is_updated_and_deleted_by_the_way_to_it(api: Api, family: dict[str, str]) -> None:
    path = f"/sobjects/Contact/{family['contact']}/Account/Parent"
    assert api.patch(path, json={"Name": "Changed"}).status_code == 204
    assert api.get(f"/sobjects/Account/{family['top']}").json()["Name"] == "Changed"
    assert api.delete(path).status_code == 204
    assert api.get(f"/sobjects/Account/{family['top']}").status_code == 404
    children = f"/sobjects/Account/{family['middle']}/Contacts"
    assert api.patch(children, json={"LastName": "x"}).status_code == 405
    assert api.delete(children).status_code == 405


@pytest.mark.parametrize(
    "way", ["{top}/Parent", "{top}/Cousins", "{middle}/Contacts/Account", "0018K0000009999QAA/Parent"]
)
def test_a_way_that_leads_nowhere_is_404(api: Api, family: dict[str, str], way: str) -> None:
    response = api.get(f"/sobjects/Account/{way.format(**family)}")
    assert (response.status_code, response.json()[0]["errorCode"]) == (404, "NOT_FOUND")


def test_a_field_that_is_not_there_is_400(api: Api, family: dict[str, str]) -> None:
    for way in (f"Contact/{family['contact']}/Account", f"Account/{family['middle']}/Contacts"):
        response = api.get(f"/sobjects/{way}", params={"fields": "Nothing"})
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


def test_a_custom_child_relationship_has_the_same_name_everywhere(api: Api, sandbox: SandboxServer) -> None:
    reference = {"type": "reference", "to": "Account", "relationship": "Partner__r", "children": "Partners"}
    sandbox.control.put_field("Contact", "Partner__c", reference)
    child = {"attributes": {"type": "Contact", "referenceId": "c"}, "LastName": "Smith"}
    attributes = {"type": "Account", "referenceId": "a"}
    account = {"attributes": attributes, "Name": "Acme", "Partners__r": {"records": [child]}}
    created = api.post("/composite/tree/Account", json={"records": [account]})
    assert created.status_code == 201, created.text
    ids = [each["id"] for each in created.json()["results"]]
    way = api.get(f"/sobjects/Account/{ids[0]}/partners__R").json()
    assert [each["Id"] for each in way["records"]] == [ids[1]]
    soql = "SELECT Id, (SELECT LastName FROM Partners__r) FROM Account"
    assert api.rows(soql)[0]["Partners__r"]["totalSize"] == 1
    columns = api.get("/query", params={"q": soql, "columns": "true"}).json()["columnMetadata"]
    assert [each["columnName"] for each in columns] == ["Id", "Partners__r"]
    assert api.get(f"/sobjects/Account/{ids[0]}/Partners").status_code == 404


def test_an_external_id_in_the_path_still_is_one(api: Api, family: dict[str, str]) -> None:
    assert api.get("/sobjects/Account/External_Key__c/M-1").json()["Id"] == family["middle"]
