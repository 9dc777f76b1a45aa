"""What clients ask for when they start, and in which form they may ask."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


def test_the_basics_of_an_object_come_with_what_was_changed_last(api: Api, sandbox: SandboxServer) -> None:
    made = [api.create("Account", Name=str(number)) for number in range(7)]
    sandbox.control.advance_clock(5)
    api.patch(f"/sobjects/Account/{made[0]}", json={"Name": "last"})
    answer = api.get("/sobjects/Account").json()
    assert answer["objectDescribe"]["keyPrefix"] == "001"
    assert [each["Id"] for each in answer["recentItems"]] == [made[0], made[6], made[5], made[4], made[3]]
    assert answer["recentItems"][0]["Name"] == "last"
    assert answer["recentItems"][0]["attributes"]["type"] == "Account"


def test_recent_items_are_of_all_objects(api: Api, sandbox: SandboxServer) -> None:
    sandbox.control.advance_clock(5)
    account = api.create("Account", Name="Acme")
    sandbox.control.advance_clock(5)
    contact = api.create("Contact", FirstName="Ada", LastName="Lovelace")
    items = api.get("/recent", params={"limit": 2}).json()
    assert [(each["Id"], each["Name"]) for each in items] == [(contact, "Ada Lovelace"), (account, "Acme")]


@pytest.mark.parametrize(("path", "body"), [("/tabs", []), ("/quickActions", []), ("/theme", {"themeItems": []})])
def test_what_pages_would_have_is_empty(api: Api, path: str, body: object) -> None:
    assert api.get(path).json() == body


def test_the_app_menu_is_not_there(api: Api) -> None:
    assert api.get("/appMenu/AppSwitcher").json()[0]["errorCode"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "kind", ["application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_bodies_that_are_not_json_are_415(api: Api, kind: str) -> None:
    response = api.post("/sobjects/Account", content=b'{"Name": "Acme"}', headers={"Content-Type": kind})
    assert (response.status_code, response.json()[0]["errorCode"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert api.rows("SELECT Id FROM Account") == []


def test_a_client_that_wants_xml_is_told_that_there_is_none(api: Api) -> None:
    both = "text/xml, application/json"
    for accept, status in (("application/xml", 406), ("application/xml, */*", 200), (both, 200)):
        assert api.get("/limits", headers={"Accept": accept}).status_code == status


def test_a_head_request_has_the_headers_of_a_read_and_no_body(api: Api) -> None:
    path = f"/sobjects/Account/{api.create('Account', Name='Acme')}"
    head = api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == api.get(path).headers["ETag"]
    assert api.head("/composite/sobjects").status_code == 405


def test_query_plans_are_refused(api: Api) -> None:
    response = api.get("/query", params={"explain": "SELECT Id FROM Account"})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "FUNCTIONALITY_NOT_ENABLED")
