"""Faults on request, and that they strike only whom and when they should."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.routes import application
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


def account(name: str) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, "Name": name}


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [
        ("expired_session", 401, "INVALID_SESSION_ID", "Session expired or invalid"),
        ("daily_limit", 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        (
            "concurrent_limit",
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        ("too_many_requests", 429, "REQUEST_LIMIT_EXCEEDED", "Too many requests"),
        ("server_error", 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId"),
        ("unavailable", 503, "SERVER_UNAVAILABLE", "Too many requests. Please try again later."),
    ],
)
def test_a_refusal_strikes_as_often_as_asked_and_nothing_is_done(
    api: Api, sandbox: SandboxServer, kind: Any, status: int, code: str, message: str
) -> None:
    sandbox.faults.add(kind, times=2)
    for _ in range(2):
        response = api.post("/sobjects/Account", json={"Name": "a"})
        assert response.status_code == status
        assert response.json() == [{"message": message, "errorCode": code}]
    assert sandbox.control.records("Account") == []
    assert api.post("/sobjects/Account", json={"Name": "a"}).status_code == 201


def test_an_expired_session_stays_expired_until_the_next_login(sandbox: SandboxServer) -> None:
    session = sandbox.sandbox.sessions.issue()
    sandbox.faults.add("expired_session", times=1)
    url = f"{sandbox.url}/services/data/v59.0/limits"
    for _ in range(2):
        assert httpx.get(url, headers={"Authorization": f"Bearer {session}"}).status_code == 401


def test_any_status_body_and_headers_can_be_answered(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("status", status=420, body="<html>busy</html>", headers={"Retry-After": "7"}, times=1)
    response = api.get("/limits")
    assert (response.status_code, response.text) == (420, "<html>busy</html>")
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["Retry-After"] == "7"
    sandbox.faults.add("status", status=500, times=1)
    assert (api.get("/limits").status_code, api.get("/limits").status_code) == (500, 200)
    sandbox.faults.add("status", status=400, body=[{"errorCode": "X"}], times=1)
    assert api.get("/limits").json() == [{"errorCode": "X"}]


@pytest.mark.parametrize(("kind", "number"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_gives_no_answer_before_or_after_the_work(
    api: Api, sandbox: SandboxServer, kind: Any, number: int
) -> None:
    sandbox.faults.add(kind, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        api.post("/sobjects/Account", json={"Name": "a"})
    assert len(sandbox.control.records("Account")) == number
    assert api.post("/sobjects/Account", json={"Name": "b"}).status_code == 201
    assert [each["status"] for each in sandbox.control.requests()] == [None, 201]


def test_a_rule_can_let_some_pass_first(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("server_error", after=2, times=1)
    assert [api.get("/limits").status_code for _ in range(4)] == [200, 200, 500, 200]


@pytest.mark.parametrize(
    "match",
    [
        {"method": "post"},
        {"path": "/sobjects/account"},
        {"object": "Account"},
        {"route": "create"},
        {"method": "POST", "object": "account", "path": "v59"},
    ],
)
def test_a_rule_is_for_the_requests_it_names_only(api: Api, sandbox: SandboxServer, match: dict[str, str]) -> None:
    sandbox.faults.add("server_error", **match)
    assert api.post("/sobjects/Account", json={"Name": "a"}).status_code == 500
    assert api.get("/query", params={"q": "SELECT Id FROM Contact"}).status_code == 200
    assert api.get("/limits").status_code == 200


def test_an_object_is_recognised_in_queries_and_collections(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("server_error", object="Account")
    assert api.get("/query", params={"q": "select Id\nfrom account"}).status_code == 500
    assert api.post("/composite/sobjects", json={"records": [account("a")]}).status_code == 500
    contact = {"attributes": {"type": "Contact"}, "LastName": "x"}
    assert api.post("/composite/sobjects", json={"records": [contact]}).status_code == 200


def test_rows_fail_by_number_and_by_value(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("rows", every=2, times=2)
    sandbox.faults.add("rows", field="Name", value="e", code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="No e.")
    results = api.collection("POST", "", [account(name) for name in "abcdef"])
    codes = [each["errors"][0]["statusCode"] if each["errors"] else None for each in results]
    lock, custom = "UNABLE_TO_LOCK_ROW", "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert codes == [None, lock, None, lock, custom, None]
    assert results[4]["errors"][0] == {"statusCode": custom, "message": "No e.", "fields": []}
    assert [each["Name"] for each in sandbox.control.records("Account")] == ["a", "c", "f"]
    assert [rule.struck for rule in sandbox.faults.rules()] == [2, 1]


def test_row_faults_reach_single_records_updates_and_deletes(api: Api, sandbox: SandboxServer) -> None:
    record_id = api.create("Account", Name="a")
    sandbox.faults.add("rows", object="Account", times=3)
    for response in (
        api.patch(f"/sobjects/Account/{record_id}", json={"Name": "b"}),
        api.delete(f"/sobjects/Account/{record_id}"),
        api.patch("/sobjects/Account/External_Key__c/k", json={"Name": "b"}),
    ):
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "UNABLE_TO_LOCK_ROW")
    assert api.delete("/composite/sobjects", params={"ids": record_id}).json()[0]["success"] is True


def test_a_slow_request_does_not_hold_up_others(sandbox: SandboxServer) -> None:
    rule = sandbox.faults.add("latency", seconds=3600, path="recordCount")
    headers = {"Authorization": f"Bearer {sandbox.credentials.token}"}
    transport = httpx.ASGITransport(application(sandbox.sandbox))

    async def both() -> None:
        url = "http://sandbox:80/services/data/v59.0/limits"
        async with httpx.AsyncClient(transport=transport, headers=headers) as client:
            slow = asyncio.create_task(client.get(f"{url}/recordCount"))
            while not rule.struck:
                await asyncio.sleep(0)
            assert (await client.get(url)).status_code == 200
            assert not slow.done()
            slow.cancel()

    asyncio.run(both())


def test_latency_comes_on_top_of_other_faults_and_is_remembered(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("latency", seconds=0.001)
    sandbox.faults.add("unavailable", times=1)
    assert [api.get("/limits").status_code for _ in range(2)] == [503, 200]
    assert [each["fault"] for each in sandbox.control.requests()] == ["unavailable", "latency"]


def test_faults_can_be_removed_one_by_one_or_all(api: Api, sandbox: SandboxServer) -> None:
    first = sandbox.faults.add("server_error")
    sandbox.faults.add("unavailable")
    assert api.get("/limits").status_code == 500
    assert sandbox.faults.remove(first.id)
    assert api.get("/limits").status_code == 503
    sandbox.faults.clear()
    assert api.get("/limits").status_code == 200
    assert not sandbox.faults.remove(first.id)


def test_logins_can_fail_too(sandbox: SandboxServer) -> None:
    sandbox.faults.add("unavailable", route="token", times=1)
    known = sandbox.credentials
    data = {
        "grant_type": "client_credentials",
        "client_id": known.client_id,
        "client_secret": known.client_secret,
    }
    url = f"{sandbox.url}/services/oauth2/token"
    assert [httpx.post(url, data=data).status_code for _ in range(2)] == [503, 200]
