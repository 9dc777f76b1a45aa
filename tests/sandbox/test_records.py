"""Single records: statuses, bodies and error codes."""

from __future__ import annotations

import re

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

MISSING = [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]


def test_a_create_answers_201_with_an_18_character_id_and_its_location(api: Api) -> None:
    response = api.post("/sobjects/Account/", json={"Name": "Acme"})
    assert response.status_code == 201
    body = response.json()
    assert body == {"id": body["id"], "success": True, "errors": []}
    assert re.fullmatch(r"001[0-9A-Za-z]{12}[A-Z0-5]{3}", body["id"])
    assert response.headers["Location"] == f"/services/data/v59.0/sobjects/Account/{body['id']}"


def test_a_read_shows_all_fields_in_normal_form_with_attributes_first(api: Api) -> None:
    record_id = api.create("Account", Name="  Acme  ", Site="", BillingCity="Rome", AnnualRevenue="12.5")
    record = api.get(f"/sobjects/account/{record_id[:15]}").json()
    assert next(iter(record)) == "attributes"
    assert record["attributes"] == {"type": "Account", "url": f"/services/data/v59.0/sobjects/Account/{record_id}"}
    assert (record["Name"], record["Site"], record["AnnualRevenue"]) == ("Acme", None, 12.5)
    assert record["BillingAddress"]["city"] == "Rome"
    assert record["ShippingAddress"] is None
    assert record["IsDeleted"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000", record["SystemModstamp"])


def test_a_read_can_choose_fields_in_any_case(api: Api) -> None:
    record_id = api.create("Account", Name="Acme")
    record = api.get(f"/sobjects/Account/{record_id}", params={"fields": "name, SITE"}).json()
    assert {key: record[key] for key in record if key != "attributes"} == {"Name": "Acme", "Site": None}


def test_update_and_delete_answer_204_with_no_body(api: Api) -> None:
    record_id = api.create("Account", Name="Acme")
    changed = api.patch(f"/sobjects/Account/{record_id}", json={"Name": "Acme 2"})
    assert (changed.status_code, changed.content) == (204, b"")
    assert api.rows("SELECT Name FROM Account") == [{"Name": "Acme 2"}]
    deleted = api.delete(f"/sobjects/Account/{record_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert api.rows("SELECT Name FROM Account") == []


def test_an_update_moves_the_system_modstamp_and_not_the_created_date(api: Api, sandbox: SandboxServer) -> None:
    record_id = api.create("Account", Name="Acme")
    before = api.get(f"/sobjects/Account/{record_id}").json()
    sandbox.control.advance_clock(5)
    api.patch(f"/sobjects/Account/{record_id}", json={"Name": "Acme"})
    after = api.get(f"/sobjects/Account/{record_id}").json()
    assert after["CreatedDate"] == before["CreatedDate"]
    assert after["SystemModstamp"] > before["SystemModstamp"]
    assert after["LastModifiedDate"] == after["SystemModstamp"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_record_that_never_was_is_404(api: Api, method: str) -> None:
    response = api.request(method, "/sobjects/Account/0018K0000009999QAA", json={"Name": "x"})
    assert response.status_code == 404
    assert response.json() == MISSING


def test_a_deleted_record_is_404_to_read_and_entity_is_deleted_to_write(api: Api) -> None:
    record_id = api.create("Account", Name="Acme")
    api.delete(f"/sobjects/Account/{record_id}")
    assert api.get(f"/sobjects/Account/{record_id}").json() == MISSING
    gone = [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED"}]
    for again in (
        api.delete(f"/sobjects/Account/{record_id}"),
        api.patch(f"/sobjects/Account/{record_id}", json={"Name": "x"}),
    ):
        assert again.status_code == 404
        assert again.json() == gone


def test_text_that_is_no_id_is_taken_for_an_external_id(api: Api) -> None:
    response = api.get("/sobjects/Account/23foo")
    assert response.status_code == 404
    assert response.json()[0]["message"] == "Provided external ID field does not exist or is not accessible: 23foo"


def test_an_unknown_object_or_path_is_404_and_a_wrong_method_405(api: Api) -> None:
    assert api.post("/sobjects/Nothing", json={}).json() == MISSING
    assert api.get("/nothing").json() == MISSING
    wrong = api.put("/sobjects/Account", json={})
    assert (wrong.status_code, wrong.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [
        ("7.0", 410, "GONE"), ("20.0", 410, "GONE"), ("30.0", 410, "GONE"), ("6.0", 404, "NOT_FOUND"),
        ("67.0", 404, "NOT_FOUND"), ("42", 404, "NOT_FOUND"), ("042.0", 404, "NOT_FOUND"),
    ],
)  # fmt: skip
def test_retired_versions_are_410_and_unknown_ones_404(
    api: Api, sandbox: SandboxServer, version: str, status: int, code: str
) -> None:
    response = api.get(f"{sandbox.url}/services/data/v{version}/limits")
    assert (response.status_code, response.json()[0]["errorCode"]) == (status, code)


@pytest.mark.parametrize("version", ["31.0", "66.0"])
def test_the_oldest_and_the_newest_version_are_there(api: Api, sandbox: SandboxServer, version: str) -> None:
    assert api.get(f"{sandbox.url}/services/data/v{version}/limits").status_code == 200


@pytest.mark.parametrize(
    ("values", "code", "message", "fields"),
    [
        ({}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"]),
        ({"LastName": " "}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"]),
        (
            {"LastName": "x", "FirstName": "y" * 41},
            "STRING_TOO_LONG",
            f"First Name: data value too large: {'y' * 41} (max length=40)",
            ["FirstName"],
        ),
        (
            {"LastName": "x", "Email": "badone"},
            "INVALID_EMAIL_ADDRESS",
            "Email: invalid email address: badone",
            ["Email"],
        ),
        (
            {"LastName": "x", "CleanStatus": "Odd"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Clean Status: bad value for restricted picklist field: Odd",
            ["CleanStatus"],
        ),
        ({"LastName": "x", "Foo": 1}, "INVALID_FIELD", "No such column 'Foo' on sobject of type Contact", None),
        (
            {"LastName": "x", "CreatedDate": "2026-01-01"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: CreatedDate. Please check the security settings of this field and verify "
            "that it is read/write for your profile or permission set.",
            ["CreatedDate"],
        ),
        (
            {"LastName": "x", "AccountId": "0018K0000009999QAA"},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            ["AccountId"],
        ),
        (
            {"LastName": "x", "AccountId": "0058K0000000001QAA"},
            "FIELD_INTEGRITY_EXCEPTION",
            "Account ID: id value of incorrect type: 0058K0000000001QAA",
            ["AccountId"],
        ),
        (
            {"LastName": "x", "AccountId": "nonsense"},
            "MALFORMED_ID",
            "Account ID: id value of incorrect type: nonsense",
            ["AccountId"],
        ),
        (
            {"LastName": "x", "Account": {"External_Key__c": "none"}},
            "INVALID_FIELD",
            "Foreign key external ID: none not found for field External_Key__c in entity Account",
            None,
        ),
        (
            {"LastName": "x", "Account": {"Name": "none"}},
            "INVALID_FIELD",
            "Field name provided, Name is not an External ID or indexed field for Account",
            None,
        ),
    ],
)
def test_what_a_create_is_refused_for(
    api: Api, values: dict[str, object], code: str, message: str, fields: list[str] | None
) -> None:
    response = api.post("/sobjects/Contact", json=values)
    expected: dict[str, object] = {"message": message, "errorCode": code}
    if fields is not None:
        expected["fields"] = fields
    assert response.status_code == 400
    assert response.json() == [expected]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("NumberOfEmployees", "many"),
        ("NumberOfEmployees", 1.5),
        ("AnnualRevenue", "1,000"),
        ("AnnualRevenue", True),
        ("AnnualRevenue", "NaN"),
        ("Name", 5),
        ("Name", ["x"]),
        ("OwnerId", 5),
    ],
)
def test_a_value_of_another_type_is_a_parser_error(api: Api, field: str, value: object) -> None:
    response = api.post("/sobjects/Account", json={"Name": "x", field: value})
    assert response.status_code == 400
    assert response.json()[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_numbers_dates_and_booleans_are_checked_and_brought_to_normal_form(api: Api) -> None:
    values = {
        "Name": "Deal",
        "StageName": "Closed Won",
        "CloseDate": "2026-05-31",
        "Amount": "100.005",
        "Probability": 100,
        "IsPrivate": "true",
    }
    record = api.get(f"/sobjects/Opportunity/{api.create('Opportunity', **values)}").json()
    assert (record["Amount"], record["Probability"], record["IsPrivate"]) == (100.005, 100.0, True)  # not rounded
    assert (record["IsWon"], record["IsClosed"], record["FiscalYear"], record["FiscalQuarter"]) == (True, True, 2026, 2)
    assert record["ExpectedRevenue"] == 100.01
    for wrong in ({"CloseDate": "31.05.2026"}, {"CloseDate": "2026-02-30"}, {"IsPrivate": None}, {"IsPrivate": "ja"}):
        response = api.patch(f"/sobjects/Opportunity/{record['Id']}", json=wrong)
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    response = api.patch(f"/sobjects/Opportunity/{record['Id']}", json={"Amount": 1e17})
    assert response.json()[0]["errorCode"] == "NUMBER_OUTSIDE_VALID_RANGE"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00.000+0000"),
        ("2026-05-01T10:00:00.987+02:00", "2026-05-01T08:00:00.000+0000"),
        ("2026-05-01T10:00:00.000+0000", "2026-05-01T10:00:00.000+0000"),
        ("2026-05-01", "2026-05-01T00:00:00.000+0000"),
        ("", None),
        (None, None),
    ],
)
def test_datetimes_are_cut_to_seconds_in_utc(api: Api, given: str | None, stored: str | None) -> None:
    record_id = api.create("Contact", LastName="x", EmailBouncedDate=given)
    assert api.get(f"/sobjects/Contact/{record_id}").json()["EmailBouncedDate"] == stored


def test_an_empty_required_field_is_refused_in_an_update_too(api: Api) -> None:
    record_id = api.create("Contact", LastName="x")
    response = api.patch(f"/sobjects/Contact/{record_id}", json={"LastName": None})
    assert response.json() == [
        {
            "message": "Required fields are missing: [LastName]",
            "errorCode": "REQUIRED_FIELD_MISSING",
            "fields": ["LastName"],
        }
    ]


def test_defaults_owner_and_composed_names_are_filled_in(api: Api) -> None:
    lead = api.get(f"/sobjects/Lead/{api.create('Lead', LastName='Doe', FirstName='Jo', Company='C')}").json()
    assert (lead["Name"], lead["Status"], lead["IsConverted"]) == ("Jo Doe", "Open - Not Contacted", False)
    assert lead["OwnerId"] == lead["CreatedById"]
    case = api.get(f"/sobjects/Case/{api.create('Case', Subject='s')}").json()
    assert (case["CaseNumber"], case["Status"], case["Priority"], case["IsClosed"]) == (
        "00000001",
        "New",
        "Medium",
        False,
    )


def test_create_and_update_refuse_the_id_in_the_body(api: Api) -> None:
    record_id = api.create("Account", Name="x")
    for response in (
        api.post("/sobjects/Account", json={"Id": record_id, "Name": "y"}),
        api.patch(f"/sobjects/Account/{record_id}", json={"id": record_id, "Name": "y"}),
    ):
        assert response.status_code == 400
        assert response.json()[0]["message"] == "The Id field should not be specified in the sobject data."


def test_a_body_that_is_no_json_object_is_a_parser_error(api: Api) -> None:
    for body in (b"{", b"[]", b""):
        response = api.post("/sobjects/Account", content=body)
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_a_lookup_takes_a_15_character_id_and_the_parents_external_id(api: Api) -> None:
    parent = api.create("Account", Name="Acme", External_Key__c="A-1")
    by_id = api.create("Contact", LastName="x", AccountId=parent[:15])
    by_key = api.create("Contact", LastName="y", Account={"External_Key__c": "a-1"})
    assert {row["AccountId"] for row in api.rows("SELECT AccountId FROM Contact")} == {parent}
    api.patch(f"/sobjects/Contact/{by_id}", json={"AccountId": None})
    assert api.get(f"/sobjects/Contact/{by_id}").json()["AccountId"] is None
    assert api.get(f"/sobjects/Contact/{by_key}").json()["AccountId"] == parent


class TestUpsert:
    PATH = "/sobjects/Contact/External_Key__c/K-1"

    def test_creates_with_201_and_updates_with_200(self, api: Api) -> None:
        created = api.patch(self.PATH, json={"LastName": "x"})
        record_id = created.json()["id"]
        assert created.status_code == 201
        assert created.json() == {"id": record_id, "success": True, "errors": [], "created": True}
        updated = api.patch("/sobjects/contact/external_key__C/k-1", json={"FirstName": "y"})
        assert updated.status_code == 200
        assert updated.json() == {"id": record_id, "success": True, "errors": [], "created": False}
        assert api.rows("SELECT Name, External_Key__c FROM Contact") == [{"Name": "y x", "External_Key__c": "K-1"}]

    def test_answers_an_update_with_204_before_version_46(self, api: Api, sandbox: SandboxServer) -> None:
        old = f"{sandbox.url}/services/data/v45.0{self.PATH}"
        assert api.patch(old, json={"LastName": "x"}).status_code == 201
        updated = api.patch(old, json={"LastName": "y"})
        assert (updated.status_code, updated.content) == (204, b"")

    def test_refuses_the_key_in_the_body(self, api: Api) -> None:
        response = api.patch(self.PATH, json={"LastName": "x", "External_Key__c": "K-1"})
        assert response.status_code == 400
        assert response.json() == [
            {
                "message": "The External_Key__c field should not be specified in the sobject data.",
                "errorCode": "INVALID_FIELD",
            }
        ]

    def test_refuses_a_field_that_is_no_external_id(self, api: Api) -> None:
        for name in ("LastName", "rid"):
            response = api.patch(f"/sobjects/Contact/{name}/x", json={"LastName": "x"})
            assert response.status_code == 404
            text = f"Provided external ID field does not exist or is not accessible: {name}"
            assert response.json() == [{"message": text, "errorCode": "NOT_FOUND"}]

    def test_update_only_never_creates(self, api: Api) -> None:
        response = api.patch(self.PATH, params={"updateOnly": "true"}, json={"LastName": "x"})
        assert response.status_code == 404
        assert api.query("SELECT count() FROM Contact")["totalSize"] == 0

    def test_several_matches_are_300_with_their_urls_and_change_nothing(self, api: Api, sandbox: SandboxServer) -> None:
        sandbox.control.put_field("Contact", "Group__c", "string(20) external_id")
        ids = [api.create("Contact", LastName=name, Group__c="g") for name in ("a", "b")]
        for response in (
            api.patch("/sobjects/Contact/Group__c/g", json={"LastName": "z"}),
            api.get("/sobjects/Contact/Group__c/G"),
        ):
            assert response.status_code == 300
            assert response.json() == [f"/services/data/v59.0/sobjects/Contact/{each}" for each in ids]
        assert [row["LastName"] for row in api.rows("SELECT LastName FROM Contact ORDER BY LastName")] == ["a", "b"]

    def test_keys_may_hold_slashes_spaces_and_plus_signs(self, api: Api) -> None:
        for key in ("a/b", "a b", "a+b", "ä%20", "x/"):
            path = "/sobjects/Contact/External_Key__c/" + "".join(f"%{byte:02X}" for byte in key.encode())
            assert api.patch(path, json={"LastName": key}).status_code == 201
            assert api.get(path).json()["External_Key__c"] == key

    def test_a_deleted_record_does_not_hold_its_key(self, api: Api) -> None:
        first = api.patch(self.PATH, json={"LastName": "x"}).json()["id"]
        assert api.delete(self.PATH).status_code == 204
        assert api.get(self.PATH).status_code == 404
        second = api.patch(self.PATH, json={"LastName": "x"})
        assert second.status_code == 201
        assert second.json()["id"] != first


def test_a_unique_key_of_another_record_is_refused_with_the_owners_id(api: Api) -> None:
    owner = api.create("Account", Name="a", External_Key__c="AB")
    other = api.create("Account", Name="b")
    for response in (
        api.post("/sobjects/Account", json={"Name": "c", "External_Key__c": "ab"}),
        api.patch(f"/sobjects/Account/{other}", json={"External_Key__c": "aB"}),
    ):
        assert response.status_code == 400
        text = f"duplicate value found: External_Key__c duplicates value on record with id: {owner[:15]}"
        assert response.json() == [{"message": text, "errorCode": "DUPLICATE_VALUE", "fields": []}]
    assert api.patch(f"/sobjects/Account/{owner}", json={"External_Key__c": "ab"}).status_code == 204


class TestDeletingAnAccount:
    def test_takes_contacts_and_opportunities_along_and_clears_lookups(self, api: Api) -> None:
        account = api.create("Account", Name="a")
        child = api.create("Account", Name="b", ParentId=account)
        contact = api.create("Contact", LastName="c", AccountId=account)
        api.create("Contact", LastName="d", ReportsToId=contact)
        api.create("Opportunity", Name="o", StageName="Prospecting", CloseDate="2026-01-01", AccountId=account)
        assert api.delete(f"/sobjects/Account/{account}").status_code == 204
        assert api.rows("SELECT Id, ParentId FROM Account") == [{"Id": child, "ParentId": None}]
        assert api.rows("SELECT LastName, ReportsToId FROM Contact") == [{"LastName": "d", "ReportsToId": None}]
        assert api.rows("SELECT Id FROM Opportunity") == []

    def test_is_refused_while_it_has_cases(self, api: Api) -> None:
        account = api.create("Account", Name="a")
        case = api.create("Case", AccountId=account)
        response = api.delete(f"/sobjects/Account/{account}")
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "DELETE_FAILED")
        assert case in response.json()[0]["message"]
        api.delete(f"/sobjects/Case/{case}")
        assert api.delete(f"/sobjects/Account/{account}").status_code == 204


def test_objects_that_are_read_only_refuse_writes(api: Api) -> None:
    response = api.post("/sobjects/Organization", json={"Name": "x"})
    assert response.json()[0]["errorCode"] == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    user = api.rows("SELECT Id FROM User")[0]["Id"]
    assert api.delete(f"/sobjects/User/{user}").json()[0]["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"


def test_a_post_may_stand_for_another_method(api: Api) -> None:
    record_id = api.create("Account", Name="a")
    path = f"/sobjects/Account/{record_id}"
    assert api.post(path, params={"_HttpMethod": "PATCH"}, json={"Name": "b"}).status_code == 204
    assert api.get(path).json()["Name"] == "b"
