"""The graph call: every graph is a transaction of its own."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api
from tests.sandbox.test_composite import ROLLED_BACK, part


def graph(name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"graphId": name, "compositeRequest": list(parts)}


def family(name: str, account: str | None) -> dict[str, Any]:
    """An account with a contact that refers to it; without a name it fails."""
    return graph(
        name,
        part("POST", "/sobjects/Account", "a", {"Name": account}),
        part("POST", "/sobjects/Contact", "c", {"LastName": name, "AccountId": "@{a.id}"}),
    )


def test_a_graph_that_fails_is_undone_and_the_others_are_done(api: Api) -> None:
    bad = graph(
        "bad",
        part("POST", "/sobjects/Account", "a", {"Name": "Undone"}),
        part("POST", "/sobjects/Contact", "c", {"AccountId": "@{a.id}"}),
    )
    response = api.post("/composite/graph", json={"graphs": [family("one", "Acme"), bad, family("two", "Bolt")]})
    assert response.status_code == 200
    graphs = response.json()["graphs"]
    assert [(each["graphId"], each["isSuccessful"]) for each in graphs] == [
        ("one", True),
        ("bad", False),
        ("two", True),
    ]
    account, contact = graphs[1]["graphResponse"]["compositeResponse"]
    assert (account["httpStatusCode"], account["body"]) == (400, ROLLED_BACK)
    assert contact["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    names = [each["Account"]["Name"] for each in api.rows("SELECT Account.Name FROM Contact")]
    assert sorted(names) == ["Acme", "Bolt"]
    assert len(api.rows("SELECT Id FROM Account")) == 2


def test_a_graph_call_is_one_call(api: Api) -> None:
    response = api.post("/composite/graph", json={"graphs": [family("one", "Acme"), family("two", "Bolt")]})
    assert response.headers["Sforce-Limit-Info"] == "api-usage=1/15000"


def test_after_14_graphs_that_failed_the_rest_is_halted(api: Api) -> None:
    graphs = [family(f"g{number}", None) for number in range(14)]
    answers = api.post("/composite/graph", json={"graphs": [*graphs, family("last", "Acme")]}).json()["graphs"]
    halted = answers[14]["graphResponse"]["compositeResponse"]
    assert [each["body"][0]["errorCode"] for each in halted] == ["PROCESSING_HALTED"] * 2
    assert not answers[14]["isSuccessful"]
    assert api.rows("SELECT Id FROM Account") == []


def chain(length: int) -> dict[str, Any]:
    parts = [part("POST", "/sobjects/Account", "a0", {"Name": "0"})]
    for at in range(1, length):
        parts.append(part("POST", "/sobjects/Account", f"a{at}", {"Name": str(at), "ParentId": f"@{{a{at - 1}.id}}"}))
    return graph("chain", *parts)


def wide(number: int) -> dict[str, Any]:
    return graph("wide", *(part("POST", "/sobjects/Account", f"a{at}", {"Name": str(at)}) for at in range(number)))


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ([chain(15)], [chain(16)]),
        ([wide(500)], [wide(501)]),
        ([family(f"g{at}", "A") for at in range(75)], [family(f"g{at}", "A") for at in range(76)]),
    ],
    ids=["depth", "nodes", "graphs"],
)
def test_limits_of_graphs(api: Api, allowed: list[Any], refused: list[Any]) -> None:
    assert all(each["isSuccessful"] for each in api.post("/composite/graph", json={"graphs": allowed}).json()["graphs"])
    response = api.post("/composite/graph", json={"graphs": refused})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")


def test_a_graph_takes_single_records_only_and_ids_of_its_own(api: Api) -> None:
    query = graph("q", part("GET", "/query?q=SELECT+Id+FROM+Account", "q"))
    odd = graph("odd", {"method": "GET", "url": "/services/data/v5.9.0/sobjects/Account", "referenceId": "a"})
    for graphs in ([query], [odd], [family("same", "A"), family("same", "B")], [family("-", "A")], []):
        response = api.post("/composite/graph", json={"graphs": graphs})
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_graphs_came_with_v50(api: Api, sandbox: SandboxServer) -> None:
    for version, status in (("49.0", 404), ("50.0", 200)):
        url = f"{sandbox.url}/services/data/v{version}/composite/graph"
        assert api.post(url, json={"graphs": [family("g", "Acme")]}).status_code == status
