"""Child subqueries: what they find, how they nest, their own pages, and pages of parents that hold fewer for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from syncbridge.sandbox.salesforce.store.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.test_soql import refused


def family(api: Api, **children: int) -> dict[str, str]:
    """Create accounts with so many contacts each, named a0, a1 and so on; return the accounts' ids."""
    ids = {name: api.create("Account", Name=name) for name in children}
    for name, number in children.items():
        records = [
            {"attributes": {"type": "Contact"}, "LastName": f"{name}{at}", "AccountId": ids[name]}
            for at in range(number)
        ]
        if records:
            api.collection("POST", "", records)
    return ids


def names(page: dict[str, Any] | None) -> list[str]:
    return [each["LastName"] for each in page["records"]] if page else []


def test_children_nest_under_the_name_of_their_relationship_and_are_null_where_there_are_none(api: Api) -> None:
    ids = family(api, a=2, b=0)
    answer = api.query("SELECT Name, (SELECT LastName, Account.Name FROM Contacts), Id FROM Account ORDER BY Name")
    one, other = answer["records"]
    assert list(one) == ["attributes", "Name", "Contacts", "Id"]
    page = one["Contacts"]
    assert (page["totalSize"], page["done"], names(page)) == (2, True, ["a0", "a1"])
    assert page["records"][0]["attributes"]["type"] == "Contact"
    assert page["records"][0]["Account"]["attributes"]["url"].endswith(ids["a"])
    assert other["Contacts"] is None


def test_children_have_their_own_conditions_order_and_limit(api: Api) -> None:
    family(api, a=4, b=3)
    soql = "SELECT (SELECT LastName FROM Account.Contacts c WHERE c.LastName > 'a0' ORDER BY LastName DESC LIMIT 2) "
    pages = [each["Contacts"] for each in api.rows(soql + "FROM Account ORDER BY Name")]
    assert [names(page) for page in pages] == [["a3", "a2"], ["b2", "b1"]]
    assert [page["totalSize"] for page in pages] == [2, 2]
    one = "SELECT (SELECT LastName FROM Contacts ORDER BY LastName LIMIT 2 OFFSET 3) FROM Account ORDER BY Name LIMIT 1"
    [row] = api.rows(one)
    assert (row["Contacts"]["totalSize"], names(row["Contacts"])) == (1, ["a3"])


def test_children_may_have_children_from_version_58_on(api: Api, sandbox: SandboxServer) -> None:
    family(api, a=1)
    [person] = api.rows("SELECT Id FROM Contact")
    api.create("Case", ContactId=person["Id"], Subject="deep")
    soql = "SELECT (SELECT LastName, (SELECT Subject FROM Cases) FROM Contacts) FROM Account"
    [account] = api.rows(soql)
    assert account["Contacts"]["records"][0]["Cases"]["records"][0]["Subject"] == "deep"
    response = api.get(f"{sandbox.url}/services/data/v57.0/query", params={"q": soql})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "MALFORMED_QUERY")


def test_children_of_a_custom_reference_go_by_its_r_name(api: Api, sandbox: SandboxServer) -> None:
    reference = {"type": "reference", "to": "Account", "children": "Partners"}
    sandbox.control.put_field("Contact", "Partner__c", reference)
    account = api.create("Account", Name="a")
    api.create("Contact", LastName="x", Partner__c=account)
    [row] = api.rows("SELECT (SELECT LastName FROM partners__R) FROM Account")
    assert names(row["Partners__r"]) == ["x"]
    children = api.get("/sobjects/Account/describe").json()["childRelationships"]
    assert {"Partners__r", "Contacts"} <= {each["relationshipName"] for each in children}


def test_deleted_children_show_in_query_all_only(api: Api) -> None:
    family(api, a=2)
    [first, _] = api.rows("SELECT Id FROM Contact")
    api.delete(f"/sobjects/Contact/{first['Id']}")
    soql = "SELECT (SELECT LastName FROM Contacts) FROM Account"
    assert names(api.rows(soql)[0]["Contacts"]) == ["a1"]
    [row] = api.get("/queryAll", params={"q": soql}).json()["records"]
    assert names(row["Contacts"]) == ["a0", "a1"]


def test_many_children_come_in_pages_of_their_own(api: Api, sandbox: SandboxServer) -> None:
    family(api, a=5)
    sandbox.control.set_page_size(2)
    [row] = api.rows("SELECT (SELECT LastName FROM Contacts ORDER BY LastName DESC) FROM Account")
    page, found = row["Contacts"], []
    assert (page["totalSize"], page["done"]) == (5, False)
    while not page["done"]:
        found += names(page)
        page = api.get(sandbox.url + page["nextRecordsUrl"]).json()
    assert found + names(page) == ["a4", "a3", "a2", "a1", "a0"]


@pytest.fixture(scope="module")
def own_server() -> Iterator[SandboxServer]:
    """A server for examples in a row, which empty it themselves."""
    with SandboxServer() as server:
        yield server


def all_children(api: Api, server: SandboxServer, page: dict[str, Any] | None) -> list[str]:
    found = names(page)
    while page and not page["done"]:
        page = api.get(server.url + page["nextRecordsUrl"]).json()
        found += names(page)
    return found


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=6), page_size=st.integers(1, 8))
def test_every_parent_and_child_comes_once_whatever_the_pages(
    own_server: SandboxServer, sizes: list[int], page_size: int
) -> None:
    own_server.control.reset()
    headers = {"Authorization": f"Bearer {own_server.credentials.token}"}
    with Api(base_url=f"{own_server.url}/services/data/v59.0", headers=headers) as api:
        family(api, **{f"p{at}x": size for at, size in enumerate(sizes)})
        own_server.control.set_page_size(page_size)
        page = api.query("SELECT Name, (SELECT LastName FROM Contacts) FROM Account ORDER BY Name")
        records = list(page["records"])
        while not page["done"]:
            page = api.get(own_server.url + page["nextRecordsUrl"]).json()
            assert 0 < len(page["records"]) <= page_size
            assert page["totalSize"] == len(sizes)
            records += page["records"]
        found = [(each["Name"], all_children(api, own_server, each["Contacts"])) for each in records]
    assert found == [(f"p{at}x", [f"p{at}x{each}" for each in range(size)]) for at, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        (
            "SELECT (SELECT Id FROM Nopes) FROM Account",
            "INVALID_TYPE",
            "Didn't understand relationship 'Nopes' in FROM",
        ),
        ("SELECT (SELECT Id FROM Contact) FROM Account", "INVALID_TYPE", "Didn't understand relationship 'Contact'"),
        ("SELECT (SELECT COUNT() FROM Contacts) FROM Account", "MALFORMED_QUERY", "only root queries support"),
        (
            "SELECT (SELECT Id FROM Contacts OFFSET 1) FROM Account",
            "MALFORMED_QUERY",
            "OFFSET only in a query with LIMIT 1",
        ),
        ("SELECT (SELECT MAX(Id) FROM Contacts) FROM Account", "MALFORMED_QUERY", "only root queries support"),
        (
            "SELECT (SELECT Nope FROM Contacts) FROM Account",
            "INVALID_FIELD",
            "No such column 'Nope' on entity 'Contact'",
        ),
        (
            "SELECT (SELECT Id FROM Contacts), (SELECT Id FROM Contacts) FROM Account",
            "MALFORMED_QUERY",
            "same child relationship twice",
        ),
        ("SELECT (SELECT Id FROM Contacts FROM Account", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
    ],
)
def test_child_subqueries_that_are_refused(soql: str, code: str, message: str) -> None:
    found, text = refused(soql)
    assert found == code
    assert message in text


def test_at_most_20_child_subqueries() -> None:
    org = load_org()
    contact = org.objects["contact"]
    ref = contact.by_name["accountid"]
    for at in range(21):
        org.put_field("Contact", replace(ref, name=f"R{at}__c", relationship=f"R{at}__r", children=f"C{at}"))

    def soql(number: int) -> str:
        return "SELECT " + ", ".join(f"(SELECT Id FROM C{at}__r)" for at in range(number)) + " FROM Account"

    assert len(compile_query(org, parse(soql(20)), Clock().now()).root.children) == 20
    with pytest.raises(Exception, match="20 child subqueries at most"):
        compile_query(org, parse(soql(21)), Clock().now())
