"""sObject collections: one result per record, in order, whatever happens to the others."""

from __future__ import annotations

import gzip
import json
from typing import Any

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

UPSERT = "/Contact/External_Key__c"


def contact(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, **values}


def account(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, **values}


def codes(results: list[dict[str, Any]]) -> list[str | None]:
    return [each["errors"][0]["statusCode"] if each["errors"] else None for each in results]


def test_create_takes_several_types_and_keeps_order(api: Api) -> None:
    results = api.collection("POST", "", [account(Name="a"), contact(LastName="b"), account(Name="c"), account()])
    assert [each.get("id", "")[:3] for each in results] == ["001", "003", "001", ""]
    assert results[0] == {"id": results[0]["id"], "success": True, "errors": []}
    assert results[3] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }


def test_upsert_says_which_records_are_new(api: Api) -> None:
    records = [contact(External_Key__c=key, LastName=key) for key in ("a", "b")]
    first = api.collection("PATCH", UPSERT, records)
    again = api.collection("PATCH", UPSERT, [records[1], contact(External_Key__c="c", LastName="c"), records[0]])
    assert [each["created"] for each in first] == [True, True]
    assert [each["created"] for each in again] == [False, True, False]
    assert [again[2]["id"], again[0]["id"]] == [each["id"] for each in first]
    assert api.query("SELECT count() FROM Contact")["totalSize"] == 3


def test_repeating_an_upsert_changes_no_value(api: Api) -> None:
    records = [contact(External_Key__c=str(number), LastName="x", FirstName=" y ") for number in range(200)]
    api.collection("PATCH", UPSERT, records)
    before = api.rows("SELECT Id, Name, External_Key__c FROM Contact")
    api.collection("PATCH", UPSERT, records)
    assert api.rows("SELECT Id, Name, External_Key__c FROM Contact") == before


def test_the_same_key_twice_in_one_request_fails_the_second_in_any_case(api: Api) -> None:
    records = [contact(External_Key__c="K", LastName="first"), contact(External_Key__c="k", LastName="second")]
    results = api.collection("PATCH", UPSERT, records)
    assert codes(results) == [None, "DUPLICATE_VALUE"]
    assert results[1]["errors"][0]["message"] == "Duplicate external id specified: k"
    assert api.rows("SELECT LastName FROM Contact") == [{"LastName": "first"}]


def test_an_upsert_without_its_key_or_with_an_id_is_refused_per_record(api: Api) -> None:
    record_id = api.create("Contact", LastName="x")
    records = [
        contact(LastName="x"),
        contact(LastName="x", External_Key__c=" "),
        contact(Id=record_id, External_Key__c="k"),
    ]
    results = api.collection("PATCH", UPSERT, records)
    assert codes(results) == ["MISSING_ARGUMENT", "MISSING_ARGUMENT", "INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert results[0]["errors"][0]["message"] == "External_Key__c not specified"


def test_an_upsert_by_id_creates_where_there_is_none(api: Api) -> None:
    record_id = api.create("Account", Name="a")
    results = api.collection("PATCH", "/Account/Id", [account(Id=record_id, Name="b"), account(Id=None, Name="c")])
    assert [each["created"] for each in results] == [False, True]
    assert {row["Name"] for row in api.rows("SELECT Name FROM Account")} == {"b", "c"}


def test_an_ambiguous_external_id_is_an_error_of_that_record(api: Api, sandbox: SandboxServer) -> None:
    sandbox.control.put_field("Contact", "Group__c", "string(20) external_id")
    ids = [api.create("Contact", LastName="x", Group__c="g") for _ in range(2)]
    [result] = api.collection("PATCH", "/Contact/Group__c", [contact(Group__c="g", LastName="z")])
    assert result["errors"] == [
        {
            "statusCode": "DUPLICATE_EXTERNAL_ID",
            "message": f"Group__c: more than one record found for external id field: [{ids[0]}, {ids[1]}]",
            "fields": [],
        }
    ]


def test_a_field_that_is_no_external_id_refuses_the_whole_upsert(api: Api) -> None:
    response = api.patch("/composite/sobjects/Contact/LastName", json={"records": [contact(LastName="x")]})
    assert (response.status_code, response.json()[0]["errorCode"]) == (404, "NOT_FOUND")


def test_rows_fail_alone_and_name_their_fields(api: Api) -> None:
    records = [
        contact(LastName="ok"),
        contact(LastName="x", Email="bad"),
        contact(LastName="x", Nothing=1),
        contact(LastName="x", Birthdate="soon"),
        contact(LastName="x" * 81),
        contact(LastName="x", AccountId="0018K0000009999QAA"),
        {"LastName": "x"},
        {"attributes": {"type": "Nothing"}, "LastName": "x"},
        contact(LastName="ok too"),
    ]
    results = api.collection("POST", "", records)
    assert codes(results) == [
        None,
        "INVALID_EMAIL_ADDRESS",
        "INVALID_FIELD",
        "INVALID_TYPE_ON_FIELD_IN_RECORD",
        "STRING_TOO_LONG",
        "INVALID_CROSS_REFERENCE_KEY",
        "JSON_PARSER_ERROR",
        "INVALID_TYPE",
        None,
    ]
    assert results[3]["errors"][0]["fields"] == ["Birthdate"]
    assert all("id" not in each for each in results if not each["success"])


def test_all_or_none_writes_nothing_when_one_record_fails(api: Api) -> None:
    results = api.collection("POST", "", [account(Name="a"), account(), account(Name="c")], all_or_none=True)
    rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert codes(results) == [rolled_back, "REQUIRED_FIELD_MISSING", rolled_back]
    assert all("id" not in each for each in results)
    assert api.rows("SELECT Id FROM Account") == []


def test_a_rolled_back_upsert_says_created_on_every_row(api: Api) -> None:
    api.create("Contact", LastName="x", External_Key__c="a")
    records = [contact(External_Key__c="a", LastName="y"), contact(External_Key__c="b")]
    results = api.collection("PATCH", UPSERT, records, all_or_none=True)
    assert [each["created"] for each in results] == [True, True]
    assert api.rows("SELECT LastName FROM Contact") == [{"LastName": "x"}]


def test_all_or_none_that_succeeds_writes_everything(api: Api) -> None:
    assert codes(api.collection("POST", "", [account(Name="a"), account(Name="b")], all_or_none=True)) == [None, None]


def test_rolled_back_rows_of_records_that_are_there_have_their_id(api: Api) -> None:
    kept = api.create("Contact", LastName="a")
    updated = api.collection("PATCH", "", [contact(id=kept, LastName="b"), contact(id="junk")], all_or_none=True)
    deleted = api.delete("/composite/sobjects", params={"ids": f"{kept},junk", "allOrNone": "true"}).json()
    for results in (updated, deleted):
        assert codes(results) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "MALFORMED_ID"]
        assert [each.get("id") for each in results] == [kept, None]
    assert api.rows("SELECT LastName FROM Contact") == [{"LastName": "a"}]


def test_types_may_change_ten_times_in_a_request(api: Api) -> None:
    mixed = [account(Name="a"), contact(LastName="b")] * 6
    assert codes(api.collection("POST", "", mixed[:10])) == [None] * 10
    assert codes(api.collection("POST", "", mixed[::2] + mixed[1::2])) == [None] * 12
    response = api.post("/composite/sobjects", json={"records": mixed})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")


def test_update_goes_by_id_and_refuses_unknown_deleted_and_missing_ones(api: Api) -> None:
    live, dead = api.create("Contact", LastName="a"), api.create("Contact", LastName="b")
    api.delete(f"/sobjects/Contact/{dead}")
    results = api.collection(
        "PATCH",
        "",
        [
            contact(id=live[:15], LastName="c"),
            contact(id=dead, LastName="c"),
            contact(Id="0038K0000009999QAA", LastName="c"),
            contact(LastName="c"),
            contact(id="junk", LastName="c"),
            contact(id="0018K0000000001QAA", LastName="c"),
        ],
    )
    assert codes(results) == [
        None,
        "ENTITY_IS_DELETED",
        "INVALID_CROSS_REFERENCE_KEY",
        "MISSING_ARGUMENT",
        "MALFORMED_ID",
        "MALFORMED_ID",
    ]
    assert results[0]["id"] == live
    assert results[2]["errors"][0]["message"] == "invalid cross reference id"


def test_a_record_twice_in_one_update_takes_both_changes(api: Api) -> None:
    record_id = api.create("Contact", LastName="a")
    api.collection("PATCH", "", [contact(id=record_id, LastName="b"), contact(id=record_id, FirstName="f")])
    assert api.rows("SELECT Name FROM Contact") == [{"Name": "f b"}]


def test_delete_answers_per_id(api: Api) -> None:
    ids = [api.create("Contact", LastName=name) for name in "ab"]
    asked = [ids[0], "0038K0000009999QAA", ids[1][:15], ids[0], "junk"]
    response = api.delete("/composite/sobjects", params={"ids": ",".join(asked), "allOrNone": "false"})
    results = response.json()
    assert codes(results) == [None, "INVALID_CROSS_REFERENCE_KEY", None, "ENTITY_IS_DELETED", "MALFORMED_ID"]
    assert [results[0]["id"], results[2]["id"]] == ids


def test_delete_with_all_or_none_keeps_everything_when_one_id_is_wrong(api: Api) -> None:
    record_id = api.create("Contact", LastName="a")
    params = {"ids": f"{record_id},0038K0000009999QAA", "allOrNone": "true"}
    results = api.delete("/composite/sobjects", params=params).json()
    assert codes(results) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_CROSS_REFERENCE_KEY"]
    assert api.query("SELECT count() FROM Contact")["totalSize"] == 1


def test_retrieve_gives_null_for_records_that_are_not_there(api: Api) -> None:
    record_id = api.create("Contact", LastName="a")
    ids = ["0038K0000009999QAA", record_id, "junk"]
    posted = api.post("/composite/sobjects/Contact", json={"ids": ids, "fields": ["LastName", "Id"]}).json()
    got = api.get("/composite/sobjects/Contact", params={"ids": ",".join(ids), "fields": "LastName,Id"}).json()
    assert posted == got
    assert [each and each["LastName"] for each in posted] == [None, "a", None]
    wrong = api.post("/composite/sobjects/Contact", json={"ids": ids, "fields": ["Nothing"]})
    assert wrong.json()[0]["errorCode"] == "INVALID_FIELD"


def test_more_than_200_records_refuse_the_whole_call(api: Api) -> None:
    records = [contact(LastName="x", External_Key__c=str(number)) for number in range(201)]
    text = "record limit reached. cannot submit more than 200 records into this call"
    for method, path in (("POST", ""), ("PATCH", ""), ("PATCH", UPSERT)):
        response = api.request(method, f"/composite/sobjects{path}", json={"records": records})
        assert response.status_code == 400
        assert response.json() == [{"message": text, "errorCode": "EXCEEDED_ID_LIMIT"}]
    ids = ",".join(f"0038K0000009{number:03d}" for number in range(201))
    assert api.delete("/composite/sobjects", params={"ids": ids}).json()[0]["errorCode"] == "EXCEEDED_ID_LIMIT"


def test_a_body_without_records_is_a_parser_error(api: Api) -> None:
    for body in ({}, {"records": "x"}, {"records": [1]}):
        response = api.post("/composite/sobjects", json=body)
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert api.collection("POST", "", []) == []


def test_parents_by_external_id_are_found_for_the_whole_request(api: Api) -> None:
    parents = {key: api.create("Account", Name=key, External_Key__c=key) for key in ("p1", "p2")}
    records = [
        contact(External_Key__c="a", LastName="a", Account={"External_Key__c": "p1"}),
        contact(External_Key__c="b", LastName="b", Account={"External_Key__c": "none"}),
        contact(External_Key__c="c", LastName="c", Account={"External_Key__c": "P2"}),
        contact(External_Key__c="d", LastName="d", Account=None),
    ]
    results = api.collection("PATCH", UPSERT, records)
    assert codes(results) == [None, "INVALID_FIELD", None, None]
    rows = api.rows("SELECT LastName, AccountId FROM Contact ORDER BY LastName")
    assert [row["AccountId"] for row in rows] == [parents["p1"], parents["p2"], None]


def test_a_polymorphic_parent_needs_its_type(api: Api) -> None:
    user = api.rows("SELECT Id, Username FROM User")[0]
    lead = {"attributes": {"type": "Lead"}, "LastName": "x", "Company": "c"}
    owner = {"attributes": {"type": "User"}, "Username": user["Username"]}
    results = api.collection("POST", "", [lead | {"Owner": {"Username": "x"}}, lead | {"Owner": owner}])
    assert codes(results) == ["JSON_PARSER_ERROR", None]
    assert api.rows("SELECT OwnerId FROM Lead") == [{"OwnerId": user["Id"]}]


def test_unique_values_are_checked_within_the_request_and_may_be_swapped_with_a_new_owner(api: Api) -> None:
    first = api.create("Account", Name="a", External_Key__c="one")
    results = api.collection(
        "POST", "", [account(Name="b", External_Key__c="two"), account(Name="c", External_Key__c="TWO")]
    )
    assert codes(results) == [None, "DUPLICATE_VALUE"]
    results = api.collection("PATCH", "", [account(id=first, External_Key__c="three"), account(id=first, Name="z")])
    assert codes(results) == [None, None]


def test_a_gzipped_body_is_read(api: Api) -> None:
    body = gzip.compress(json.dumps({"records": [account(Name="a")]}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    response = api.post("/composite/sobjects", content=body, headers=headers)
    assert codes(response.json()) == [None]
    broken = api.post("/composite/sobjects", content=b"junk", headers=headers)
    assert broken.json()[0]["errorCode"] == "JSON_PARSER_ERROR"
