"""The control surface: counts, quota, time, dumps and a changing org, directly and over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.control import UnknownName
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


@pytest.fixture
def control(sandbox: SandboxServer) -> Any:
    """An HTTP client of the control surface, without a session."""
    with httpx.Client(base_url=f"{sandbox.url}/sandbox") as client:
        yield client


def test_calls_are_counted_by_method_and_route(api: Api, sandbox: SandboxServer, control: httpx.Client) -> None:
    api.create("Account", Name="a")
    api.query("SELECT Id FROM Account")
    api.query("SELECT Id FROM Account")
    api.collection("POST", "", [])
    stats = sandbox.control.stats()
    assert stats["calls"] == {"GET query": 2, "POST collections_create": 1, "POST create": 1}
    assert stats["total"] == stats["usage"]["used"] == 4
    assert stats["records"]["Account"] == 1
    assert (sandbox.control.calls(), sandbox.control.calls("query"), sandbox.control.calls("update")) == (4, 2, 0)
    assert control.get("/stats").json() == stats
    control.delete("/stats")
    assert sandbox.control.calls() == 0
    assert sandbox.control.stats()["usage"]["used"] == 4


def test_requests_are_remembered_with_what_became_of_them(api: Api, control: httpx.Client) -> None:
    api.get("/sobjects/Account/junk", headers={"Sforce-Call-Options": "client=test"})
    [entry] = control.get("/requests").json()
    assert entry.pop("milliseconds") >= 0
    assert entry == {
        "method": "GET",
        "path": "/services/data/v59.0/sobjects/Account/junk",
        "route": "read",
        "object": "Account",
        "client": "client=test",
        "status": 404,
        "fault": None,
    }


def test_every_data_answer_tells_the_quota_and_the_last_call_is_refused(
    api: Api, sandbox: SandboxServer, control: httpx.Client
) -> None:
    sandbox.control.set_usage(used=14_998)
    assert api.get("/limits").headers["Sforce-Limit-Info"] == "api-usage=14999/15000"
    record = api.post("/sobjects/Account", json={"Name": "a"})
    assert record.headers["Sforce-Limit-Info"] == "api-usage=15000/15000"
    refused = api.delete(f"/sobjects/Account/{record.json()['id']}")
    assert (refused.status_code, refused.json()[0]["message"]) == (403, "TotalRequests Limit exceeded.")
    assert refused.headers["Sforce-Limit-Info"] == "api-usage=15000/15000"
    assert control.put("/usage", json={"used": 0, "max": 20_000}).json() == {"used": 0, "max": 20_000}
    assert api.get("/limits").status_code == 200


def test_the_clock_moves_forward_with_the_date_header(api: Api, control: httpx.Client) -> None:
    before = api.get("/limits").headers["Date"]
    control.post("/clock", json={"seconds": 86_400 * 40})
    assert api.get("/limits").headers["Date"][8:16] != before[8:16]


def test_records_are_dumped_as_json_lines(api: Api, sandbox: SandboxServer, control: httpx.Client) -> None:
    ids = [api.create("Contact", LastName=name) for name in "abc"]
    api.delete(f"/sobjects/Contact/{ids[1]}")
    lines = [json.loads(line) for line in control.get("/records/contact").text.splitlines()]
    assert [each["LastName"] for each in lines] == ["a", "c"]
    assert lines == sandbox.control.records("Contact")
    assert lines[0]["IsDeleted"] is False
    with_deleted = control.get("/records/Contact", params={"deleted": "true"}).text.splitlines()
    assert [json.loads(line)["IsDeleted"] for line in with_deleted] == [False, True, False]
    assert control.get("/records/Nothing").status_code == 404
    control.delete("/records")
    assert control.get("/records/Contact").text == ""


def test_a_field_can_be_lost_and_regained(api: Api, sandbox: SandboxServer, control: httpx.Client) -> None:
    record_id = api.create("Contact", LastName="a", Title="t")
    control.delete("/org/Contact/Title")
    query = {"q": "SELECT Title FROM Contact"}
    assert api.get("/query", params=query).json()[0]["errorCode"] == "INVALID_FIELD"
    assert api.patch(f"/sobjects/Contact/{record_id}", json={"Title": "u"}).json()[0]["errorCode"] == "INVALID_FIELD"
    assert "Title" not in api.get(f"/sobjects/Contact/{record_id}").json()
    control.put("/org/Contact/Title", json={"type": "string", "length": 60})
    assert api.rows("SELECT Title FROM Contact") == [{"Title": "t"}]
    assert sandbox.sandbox.org.objects["contact"].by_name["title"].length == 60


def test_a_field_can_change_and_a_new_one_appear(api: Api, control: httpx.Client) -> None:
    control.patch("/org/Contact/FirstName", json={"length": 3})
    control.patch("/org/Contact/Title", json={"updateable": False, "createable": False})
    control.put("/org/Contact/Vip__c", json={"type": "boolean"})
    record_id = api.create("Contact", LastName="a")
    assert api.get(f"/sobjects/Contact/{record_id}").json()["Vip__c"] is False

    def code(values: dict[str, object]) -> str:
        return str(api.patch(f"/sobjects/Contact/{record_id}", json=values).json()[0]["errorCode"])

    assert code({"FirstName": "long"}) == "STRING_TOO_LONG"
    assert code({"Title": "t"}) == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert code({"Vip__c": "perhaps"}) == "JSON_PARSER_ERROR"


def test_an_object_can_be_lost_and_gained(api: Api, control: httpx.Client) -> None:
    control.delete("/org/Lead")
    assert api.get("/sobjects/Lead/describe").status_code == 404
    assert api.get("/query", params={"q": "SELECT Id FROM Lead"}).json()[0]["errorCode"] == "INVALID_TYPE"
    fields = {"Key__c": "string(20) external_id unique", "Account__c": {"type": "reference", "to": "Account"}}
    control.put("/org/Widget__c", json={"label": "Widget", "fields": fields})
    response = api.patch("/sobjects/Widget__c/Key__c/w", json={"Name": "W"})
    assert (response.status_code, response.json()["id"][:3]) == (201, "a00")
    assert api.rows("SELECT Name, Key__c FROM Widget__c") == [{"Name": "W", "Key__c": "w"}]
    nameless = api.create("Widget__c", Key__c="v")
    assert api.get(f"/sobjects/Widget__c/{nameless}").json()["Name"] == nameless


def test_a_reset_brings_everything_back(api: Api, sandbox: SandboxServer, control: httpx.Client) -> None:
    first = api.create("Account", Name="a")
    control.delete("/org/Lead")
    control.delete("/org/User")
    control.post("/faults", json={"kind": "server_error"})
    control.delete("/tokens")
    control.put("/usage", json={"max": 1})
    control.put("/settings", json={"page_size": 1, "latency": 0})
    control.post("/reset")
    assert sandbox.control.calls() == 0
    assert api.get("/sobjects/Lead/describe").status_code == 200
    assert api.create("Account", Name="b") == first
    assert api.rows("SELECT Name FROM User") == [{"Name": "Sandbox User"}]
    assert control.get("/usage").json() == {"used": 3, "max": 15000}


def test_deleted_records_can_come_back_and_values_be_planted(api: Api, sandbox: SandboxServer) -> None:
    record_id = api.create("Contact", LastName="a")
    before = api.get(f"/sobjects/Contact/{record_id}").json()["SystemModstamp"]
    sandbox.control.advance_clock(5)
    sandbox.control.set_values("Contact", record_id, {"LastName": " odd "})
    assert api.rows("SELECT LastName, SystemModstamp FROM Contact") == [{"LastName": " odd ", "SystemModstamp": before}]
    api.delete(f"/sobjects/Contact/{record_id}")
    assert sandbox.control.undelete("Contact", [record_id]) == 1
    assert sandbox.control.undelete("Contact", [record_id]) == 0
    [row] = api.rows("SELECT LastName, SystemModstamp FROM Contact")
    assert row["SystemModstamp"] > before


def test_faults_over_http(api: Api, control: httpx.Client) -> None:
    rule = control.post("/faults", json={"kind": "unavailable", "times": 1, "object": "Account"}).json()
    assert rule == {"kind": "unavailable", "id": rule["id"], "times": 1, "object": "Account"}
    assert api.post("/sobjects/Account", json={"Name": "a"}).status_code == 503
    assert control.get("/faults").json() == [rule | {"struck": 1}]
    assert control.delete(f"/faults/{rule['id']}").status_code == 200
    assert control.delete(f"/faults/{rule['id']}").status_code == 404
    control.post("/faults", json={"kind": "unavailable"})
    control.delete("/faults")
    assert control.get("/faults").json() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/faults", {"kind": "earthquake"}, 400, "kind: Input should be"),
        ("POST", "/faults", {"kind": "latency", "secs": 1}, 400, "secs: Extra inputs are not permitted"),
        ("POST", "/faults", {}, 400, "kind"),
        ("PUT", "/settings", {"colour": 1}, 400, "unknown settings: colour"),
        ("PUT", "/usage", {"left": 1}, 400, "left"),
        ("DELETE", "/org/Nothing", None, 404, "there is no object Nothing"),
        ("DELETE", "/org/Contact/Nothing", None, 404, "Contact has no field Nothing"),
        ("PATCH", "/org/Contact/Nothing", {"length": 1}, 404, "Contact has no field Nothing"),
        ("PUT", "/org/Contact/X__c", {"type": "strong"}, 400, "type"),
        ("GET", "/tokens", None, 405, "not allowed"),
    ],
)
def test_mistakes_are_explained(
    control: httpx.Client, method: str, path: str, body: Any, status: int, text: str
) -> None:
    response = control.request(method, path, json=body)
    assert response.status_code == status
    assert text in response.json()[0]["message"]


def test_unknown_names_are_errors_in_python_too(sandbox: SandboxServer) -> None:
    with pytest.raises(UnknownName, match="there is no object Nothing"):
        sandbox.control.records("Nothing")
    with pytest.raises(UnknownName, match="Contact has no field Nothing"):
        sandbox.control.remove_field("Contact", "Nothing")


def test_a_field_whose_type_another_test_had_changed_is_as_new_after_a_reset(sandbox: SandboxServer, api: Api) -> None:
    sandbox.control.put_field("Account", "Flexible__c", "double(18,2)")
    sandbox.control.reset()
    sandbox.control.put_field("Account", "Flexible__c", "string(20)")
    record_id = api.create("Account", Name="Acme", Flexible__c="42")
    assert api.get(f"/sobjects/Account/{record_id}").json()["Flexible__c"] == "42"
