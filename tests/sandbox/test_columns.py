"""`columns=true`: what `sf data query` asks after every query that found something."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Api


def columns(api: Api, soql: str) -> Any:
    response = api.get("/query", params={"q": soql, "columns": "true"})
    assert response.status_code == 200, response.text
    return response.json()


def names(found: list[dict[str, Any]]) -> list[Any]:
    """Each column as its name, or as a pair with the names that are joined in it."""
    joined = [(each["columnName"], names(each["joinColumns"])) for each in found]
    return [(name, inside) if inside else name for name, inside in joined]


@pytest.mark.parametrize(
    ("soql", "expected"),
    [
        ("SELECT id, name FROM account", ["Id", "Name"]),
        ("SELECT Id, Owner.Name, owner.Email FROM Account", ["Id", ("Owner", ["Name", "Email"])]),
        ("SELECT Account.Owner.Name FROM Contact", [("Account", [("Owner", ["Name"])])]),
        ("SELECT Id, (SELECT LastName FROM contacts) FROM Account", ["Id", ("Contacts", ["LastName"])]),
        ("SELECT Name, COUNT(Id), MAX(Phone) p FROM Account GROUP BY Name", ["Name", "expr0", "p"]),
    ],
)
def test_columns_are_named_as_the_org_spells_them(api: Api, soql: str, expected: list[Any]) -> None:
    assert names(columns(api, soql)["columnMetadata"]) == expected


def test_groups_of_fields_are_all_their_fields(api: Api) -> None:
    assert names(columns(api, "SELECT FIELDS(CUSTOM) FROM Account LIMIT 1")["columnMetadata"]) == ["External_Key__c"]


def test_types_are_told(api: Api) -> None:
    found = columns(api, "SELECT Id, AnnualRevenue, CreatedDate FROM Account")
    assert [each["apexType"] for each in found["columnMetadata"]] == ["Id", "Double", "Datetime"]
    assert [each["numberType"] for each in found["columnMetadata"]] == [False, True, False]
    assert (found["entityName"], found["idSelected"], found["keyPrefix"]) == ("Account", True, "001")


def test_sums_and_children_are_aggregates(api: Api) -> None:
    found = columns(api, "SELECT Id, (SELECT Id FROM Contacts) FROM Account")["columnMetadata"]
    assert [each["aggregate"] for each in found] == [False, True]
    [one] = columns(api, "SELECT COUNT() FROM Account")["columnMetadata"]
    assert (one["aggregate"], one["displayName"]) == (True, "count")


def test_a_wrong_query_is_refused_as_ever(api: Api) -> None:
    response = api.get("/query", params={"q": "SELECT Nope FROM Account", "columns": "true"})
    assert response.json()[0]["errorCode"] == "INVALID_FIELD"
