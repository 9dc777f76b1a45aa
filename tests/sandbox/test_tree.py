"""The tree call: records with nested children, all or none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Api


def record(kind: str, reference: str | None, **values: Any) -> dict[str, Any]:
    attributes = {"type": kind} | ({"referenceId": reference} if reference is not None else {})
    return {"attributes": attributes, **values}


def account(reference: str, *contacts: dict[str, Any]) -> dict[str, Any]:
    return record("Account", reference, name=reference, Contacts={"records": list(contacts)})


def send(api: Api, *records: dict[str, Any], status: int = 201) -> Any:
    response = api.post("/composite/tree/Account/", json={"records": list(records)})
    assert response.status_code == status, response.text
    return response.json()


def test_children_get_their_parent_and_ids_come_level_by_level(api: Api) -> None:
    answer = send(
        api,
        account("ref1", record("Contact", "ref2", lastname="Smith"), record("Contact", "ref3", lastname="Evans")),
        account("ref4"),
    )
    assert answer["hasErrors"] is False
    assert [each["referenceId"] for each in answer["results"]] == ["ref1", "ref4", "ref2", "ref3"]
    ids = {each["referenceId"]: each["id"] for each in answer["results"]}
    rows = {each["LastName"]: each["AccountId"] for each in api.rows("SELECT LastName, AccountId FROM Contact")}
    assert rows == {"Smith": ids["ref1"], "Evans": ids["ref1"]}


def test_one_refused_record_undoes_the_tree_and_is_the_only_one_named(api: Api) -> None:
    bad = record("Contact", "ref2", lastname="Smith", email="123")
    answer = send(api, account("ref1", bad, record("Contact", "ref3", lastname="Evans")), account("ref4"), status=400)
    assert answer == {
        "hasErrors": True,
        "results": [
            {
                "referenceId": "ref2",
                "errors": [
                    {
                        "statusCode": "INVALID_EMAIL_ADDRESS",
                        "message": "Email: invalid email address: 123",
                        "fields": ["Email"],
                    }
                ],
            }
        ],
    }
    assert api.rows("SELECT Id FROM Account") == []


def test_reference_ids_are_there_and_different(api: Api) -> None:
    twice = send(api, account("same"), account("other"), account("same"), status=400)
    assert [each["referenceId"] for each in twice["results"]] == ["same", "same"]
    error = twice["results"][0]["errors"][0]
    assert (error["statusCode"], error["message"]) == (
        "INVALID_INPUT",
        "Duplicate ReferenceId provided in the request.",
    )
    missing = send(api, record("Account", None, name="x"), status=400)
    assert missing["results"][0]["errors"][0]["statusCode"] == "INVALID_INPUT"
    assert api.rows("SELECT Id FROM Account") == []


def nested(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = record("Account", f"r{levels}", Name=str(levels))
    for level in range(levels - 1, 0, -1):
        tree = record("Account", f"r{level}", Name=str(level), ChildAccounts={"records": [tree]})
    return tree


def test_limits_are_200_records_and_5_levels(api: Api) -> None:
    send(api, *(account(f"r{number}") for number in range(200)))
    send(api, nested(5))
    for records in ([account(f"r{number}") for number in range(201)], [nested(6)]):
        assert send(api, *records, status=400)[0]["errorCode"] == "LIMIT_EXCEEDED"
    assert len(api.rows("SELECT Id FROM Account")) == 205
    names = api.rows("SELECT Name FROM Account WHERE Parent.Parent.Parent.Parent.Name = '1'")
    assert names == [{"Name": "5"}]


@pytest.mark.parametrize(
    ("tree", "code"),
    [
        (record("Contact", "a", LastName="x"), "INVALID_TYPE"),
        (record("Nothing", "a"), "INVALID_TYPE"),
        (
            record("Account", "a", Name="x", Cousins={"records": [record("Contact", "b", LastName="x")]}),
            "INVALID_FIELD",
        ),
    ],
)
def test_types_and_relationships_must_fit(api: Api, tree: dict[str, Any], code: str) -> None:
    assert send(api, tree, status=400)[0]["errorCode"] == code
    assert api.rows("SELECT Id FROM Account") == []
