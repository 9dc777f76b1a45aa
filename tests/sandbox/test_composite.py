"""The composite call: references, roll back, headers and limits."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

BASE = "/services/data/v59.0"
ROLLED_BACK = [
    {
        "message": "The transaction was rolled back since another operation in the same transaction failed.",
        "errorCode": "PROCESSING_HALTED",
    }
]


def part(method: str, path: str, reference: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """One subrequest; the path is below the API version."""
    sent = {} if body is None else {"body": body}
    return {"method": method, "url": f"{BASE}{path}", "referenceId": reference, **more, **sent}


def composite(api: Api, *parts: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Send a composite call that must be answered, and return its responses."""
    response = api.post("/composite", json={"compositeRequest": list(parts), **more})
    assert response.status_code == 200, response.text
    answers: list[dict[str, Any]] = response.json()["compositeResponse"]
    assert [each["referenceId"] for each in answers] == [each["referenceId"] for each in parts]
    return answers


def statuses(answers: list[dict[str, Any]]) -> list[int]:
    return [each["httpStatusCode"] for each in answers]


def test_a_later_subrequest_uses_the_answer_of_an_earlier_one(api: Api) -> None:
    account, contact, read = composite(
        api,
        part("POST", "/sobjects/Account", "refAccount", {"Name": "Acme"}),
        part("POST", "/sobjects/Contact", "refContact", {"LastName": "L", "AccountId": "@{refAccount.id}"}),
        part("GET", "/sobjects/Contact/@{refContact.id}?fields=AccountId", "read"),
    )
    assert account["body"] == {"id": account["body"]["id"], "success": True, "errors": []}
    assert account["httpHeaders"] == {"Location": f"{BASE}/sobjects/Account/{account['body']['id']}"}
    assert statuses([account, contact, read]) == [201, 201, 200]
    assert read["body"]["AccountId"] == account["body"]["id"]


def test_references_reach_into_query_results_and_keep_the_type_of_a_value(api: Api) -> None:
    api.create("Account", Name="O'Hara & Sons", AnnualRevenue=12.5)
    query = "/query?q=SELECT+Id,+Name,+AnnualRevenue,+IsDeleted+FROM+Account"
    _, created, named = composite(
        api,
        part("GET", query, "q"),
        part(
            "POST",
            "/sobjects/Account",
            "copy",
            {"Name": "Copy of @{q.records[0].Name}", "AnnualRevenue": "@{q.records[0].AnnualRevenue}"},
        ),
        part("GET", "/query?q=SELECT+Id+FROM+Account+WHERE+AnnualRevenue=@{q.records[0].AnnualRevenue}", "both"),
    )
    assert created["httpStatusCode"] == 201
    assert named["body"]["totalSize"] == 2
    names = {each["Name"]: each["AnnualRevenue"] for each in api.rows("SELECT Name, AnnualRevenue FROM Account")}
    assert names == {"O'Hara & Sons": 12.5, "Copy of O'Hara & Sons": 12.5}


def test_a_reference_in_url_encoding_is_found_too(api: Api) -> None:
    answers = composite(
        api,
        part("POST", "/sobjects/Account", "a", {"Name": "Acme"}),
        part("GET", "/sobjects/Account/%40%7Ba.id%7D?fields=Name", "b"),
    )
    assert answers[1]["body"]["Name"] == "Acme"


def test_what_depends_on_a_failure_is_halted_and_the_rest_is_done(api: Api) -> None:
    bad, child, other = composite(
        api,
        part("POST", "/sobjects/Account", "bad", {"Site": "x"}),
        part("POST", "/sobjects/Contact", "child", {"LastName": "L", "AccountId": "@{bad.id}"}),
        part("POST", "/sobjects/Account", "other", {"Name": "Other"}),
    )
    assert statuses([bad, child, other]) == [400, 400, 201]
    assert bad["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert child["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert child["body"][0]["message"].startswith("Invalid reference specified. No value for bad.id found in bad.")
    assert api.rows("SELECT Name FROM Account") == [{"Name": "Other"}]
    assert api.rows("SELECT Id FROM Contact") == []


def test_all_or_none_rolls_back_what_was_done_and_does_not_do_the_rest(api: Api, sandbox: SandboxServer) -> None:
    kept = api.create("Account", Name="Kept")
    answers = composite(
        api,
        part("POST", "/sobjects/Account", "first", {"Name": "Acme"}),
        part("DELETE", f"/sobjects/Account/{kept}", "gone"),
        part("POST", "/sobjects/Contact", "bad", {"LastName": "L", "Email": "none"}),
        part("POST", "/sobjects/Account", "last", {"Name": "Last"}),
        allOrNone=True,
    )
    assert statuses(answers) == [400, 400, 400, 400]
    assert answers[2]["body"][0]["errorCode"] == "INVALID_EMAIL_ADDRESS"
    assert [answers[each]["body"] for each in (0, 1, 3)] == [ROLLED_BACK] * 3
    assert api.rows("SELECT Name FROM Account") == [{"Name": "Kept"}]
    assert len(sandbox.control.records("Account", deleted=True)) == 1


def collection(reference: str, *names: str | None, all_or_none: bool = False) -> dict[str, Any]:
    records = [{"attributes": {"type": "Account"}, "Name": name} for name in names]
    return part("POST", "/composite/sobjects", reference, {"allOrNone": all_or_none, "records": records})


@pytest.mark.parametrize(
    ("outer", "inner", "accounts", "contacts"),
    [(False, False, 1, 1), (False, True, 0, 1), (True, True, 0, 0), (True, False, 0, 0)],
)
def test_both_all_or_none_settings_work_together(
    api: Api, outer: bool, inner: bool, accounts: int, contacts: int
) -> None:
    rows, contact = composite(
        api,
        collection("rows", "Acme", None, all_or_none=inner),
        part("POST", "/sobjects/Contact", "contact", {"LastName": "L"}),
        allOrNone=outer,
    )
    assert rows["httpStatusCode"] == 200
    assert [each["success"] for each in rows["body"]] == [not inner, False]
    assert contact["httpStatusCode"] == (400 if outer else 201)
    assert len(api.rows("SELECT Id FROM Account")) == accounts
    assert len(api.rows("SELECT Id FROM Contact")) == contacts


@pytest.mark.parametrize(("version", "status"), [("51.0", 400), ("52.0", 201)])
def test_a_null_in_a_record_is_a_value_from_v52_on(api: Api, sandbox: SandboxServer, version: str, status: int) -> None:
    contact = api.create("Contact", LastName="Wong")
    parts = [
        part("GET", f"/sobjects/Contact/{contact}?fields=FirstName,LastName", "old"),
        part("POST", "/sobjects/Contact", "new", {"FirstName": "@{old.FirstName}", "LastName": "@{old.LastName}"}),
    ]
    url = f"{sandbox.url}/services/data/v{version}/composite"
    answers = api.post(url, json={"compositeRequest": parts}).json()["compositeResponse"]
    assert answers[1]["httpStatusCode"] == status


def test_a_field_that_was_not_asked_for_is_no_value(api: Api) -> None:
    api.create("Contact", LastName="Wong")
    answers = composite(
        api,
        part("GET", "/query?q=SELECT+Id+FROM+Contact", "q"),
        part("GET", "/sobjects/Account/@{q.records[0].AccountId}", "a"),
        part("GET", "/sobjects/Contact/@{q.records[7].Id}", "b"),
    )
    assert statuses(answers) == [200, 400, 400]
    assert "No value for q.records[0].AccountId found in q." in answers[1]["body"][0]["message"]


def test_an_upsert_with_a_nested_external_id_works_inside_a_composite(api: Api) -> None:
    api.create("Account", Name="Acme", External_Key__c="A-1")
    body = {"LastName": "L", "Account": {"External_Key__c": "A-1"}}
    [first] = composite(api, part("PATCH", "/sobjects/Contact/External_Key__c/C-1", "up", body))
    [second] = composite(api, part("PATCH", "/sobjects/Contact/External_Key__c/C-1", "up", {"LastName": "M"}))
    assert (first["httpStatusCode"], first["body"]["created"]) == (201, True)
    assert (second["httpStatusCode"], second["body"]["created"]) == (200, False)
    assert api.rows("SELECT LastName, Account.Name FROM Contact")[0]["Account"]["Name"] == "Acme"


def test_headers_of_a_subrequest_reach_it(api: Api) -> None:
    stamp = api.get("/sobjects/Account/describe").headers["Last-Modified"]
    headers = {"If-Modified-Since": stamp}
    described, plain = composite(
        api,
        part("GET", "/sobjects/Account/describe", "a", httpHeaders=headers),
        part("GET", "/sobjects/Account/describe", "b"),
    )
    assert (described["httpStatusCode"], described["body"]) == (304, None)
    assert plain["httpStatusCode"] == 200
    assert plain["httpHeaders"]["Last-Modified"] == stamp


def test_a_composite_is_one_call_and_one_row_of_the_stats(api: Api, sandbox: SandboxServer) -> None:
    response = api.post("/composite", json={"compositeRequest": [part("GET", "/sobjects", str(n)) for n in range(9)]})
    assert response.headers["Sforce-Limit-Info"] == "api-usage=1/15000"
    assert sandbox.control.calls("composite") == 1
    assert sandbox.control.calls() == 1


def refused(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()[0]["errorCode"]


def test_limits_are_25_subrequests_of_which_5_are_queries_or_collections(api: Api) -> None:
    query = "/query?q=SELECT+Id+FROM+Account"
    many = [part("GET", "/sobjects/Account", f"r{n}") for n in range(26)]
    assert api.post("/composite", json={"compositeRequest": many[:25]}).status_code == 200
    assert refused(api.post("/composite", json={"compositeRequest": many})) == (400, "LIMIT_EXCEEDED")
    mixed = [*(part("GET", query, f"q{n}") for n in range(5)), collection("c", "Acme")]
    assert api.post("/composite", json={"compositeRequest": mixed[:5]}).status_code == 200
    assert refused(api.post("/composite", json={"compositeRequest": mixed})) == (400, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    "wrong",
    [
        {"referenceId": "a[1]"},
        {"referenceId": None},
        {"method": "get"},
        {"url": 7},
        {"httpHeaders": {"Authorization": "Bearer x"}},
        {"httpHeaders": {"content-type": "text/csv"}},
    ],
)
def test_a_subrequest_that_is_malformed_fails_the_whole_call(api: Api, wrong: dict[str, Any]) -> None:
    good = part("POST", "/sobjects/Account", "good", {"Name": "Acme"})
    bad = part("GET", "/sobjects/Account", "bad") | wrong
    assert refused(api.post("/composite", json={"compositeRequest": [good, bad]})) == (400, "JSON_PARSER_ERROR")
    assert api.rows("SELECT Id FROM Account") == []


def test_before_v52_odd_reference_ids_are_taken_but_cannot_be_referred_to(api: Api, sandbox: SandboxServer) -> None:
    parts = [
        part("POST", "/sobjects/Account", "new[1]", {"Name": "Acme"}),
        part("POST", "/sobjects/Contact", "c", {"LastName": "L", "AccountId": "@{new[1].id}"}),
    ]
    url = f"{sandbox.url}/services/data/v51.0/composite"
    answers = api.post(url, json={"compositeRequest": parts}).json()["compositeResponse"]
    assert statuses(answers) == [201, 400]
    assert "No value for new[1].id found in new." in answers[1]["body"][0]["message"]


def test_subrequests_are_refused_one_by_one_for_what_a_request_would_be_refused_for(api: Api) -> None:
    answers = composite(
        api,
        part("GET", "/sobjects/Nothing", "a"),
        part("PUT", "/sobjects/Account", "b", {"Name": "x"}),
        part("GET", "/limits", "c"),
        part("GET", "/query?q=SELECT+Nothing+FROM+Account", "d"),
        {"method": "GET", "url": "/services/data/v99.0/sobjects/Account", "referenceId": "e"},
    )
    assert statuses(answers) == [404, 405, 400, 400, 404]
    codes = [each["body"][0]["errorCode"] for each in answers]
    assert codes == ["NOT_FOUND", "METHOD_NOT_ALLOWED", "PROCESSING_HALTED", "INVALID_FIELD", "NOT_FOUND"]


def test_row_faults_strike_inside_a_composite(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("rows", object="Contact", times=1)
    account, locked, contact = composite(
        api,
        part("POST", "/sobjects/Account", "account", {"Name": "Acme"}),
        part("POST", "/sobjects/Contact", "locked", {"LastName": "L"}),
        part("POST", "/sobjects/Contact", "contact", {"LastName": "L"}),
    )
    assert statuses([account, locked, contact]) == [201, 400, 201]
    assert locked["body"][0]["errorCode"] == "UNABLE_TO_LOCK_ROW"


def test_faults_of_an_object_strike_a_composite_that_is_about_it(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("unavailable", object="Contact")
    contact = part("POST", "/sobjects/Contact", "c", {"LastName": "L"})
    query = part("GET", "/query?q=SELECT+Id+FROM+Contact", "q")
    account = part("POST", "/sobjects/Account", "a", {"Name": "Acme"})
    for parts, status in (([account], 200), ([account, contact], 503), ([query], 503)):
        assert api.post("/composite", json={"compositeRequest": parts}).status_code == status
    graphs = {"graphs": [{"graphId": "1", "compositeRequest": [contact]}]}
    assert api.post("/composite/graph", json=graphs).status_code == 503


def test_the_composite_resources_are_listed(api: Api) -> None:
    assert set(api.get("/composite/").json()) == {"tree", "batch", "sobjects", "graph"}
