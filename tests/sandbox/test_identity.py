"""What clients ask right after logging in: who the user is, where the APIs are, and what the Tooling API has."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.store.storage import ORGANIZATION_ID, USER_ID
from tests.sandbox.conftest import Api

CALLBACK = "http://127.0.0.1:1717/OauthRedirect"


def bearer(server: SandboxServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.credentials.token}"}


def exchange(server: SandboxServer, **form: str) -> httpx.Response:
    return httpx.post(f"{server.url}/services/oauth2/token", data={"grant_type": "authorization_code", **form})


def asked(server: SandboxServer, **query: str) -> httpx.Response:
    known = {"response_type": "code", "client_id": server.credentials.client_id, "redirect_uri": CALLBACK}
    return httpx.get(f"{server.url}/services/oauth2/authorize", params=known | query)


def code_of(response: httpx.Response) -> str:
    assert response.status_code == 302
    return parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]


class TestIdentity:
    @pytest.mark.parametrize("ids", [(ORGANIZATION_ID, USER_ID), (ORGANIZATION_ID[:15], USER_ID[:15])])
    def test_the_address_of_a_token_answer_says_who_the_user_is(
        self, sandbox: SandboxServer, ids: tuple[str, str]
    ) -> None:
        body = httpx.get(f"{sandbox.url}/id/{ids[0]}/{ids[1]}", headers=bearer(sandbox)).json()
        assert (body["user_id"], body["organization_id"]) == (USER_ID, ORGANIZATION_ID)
        assert body["username"] == sandbox.credentials.user
        assert body["id"] == f"{sandbox.url}/id/{ORGANIZATION_ID}/{USER_ID}"
        assert body["urls"]["rest"] == f"{sandbox.url}/services/data/v{{version}}/"

    @pytest.mark.parametrize(("version", "number"), [("latest", "66.0"), ("58.0", "58.0")])
    def test_a_version_is_put_into_the_urls(self, sandbox: SandboxServer, version: str, number: str) -> None:
        url = f"{sandbox.url}/id/{ORGANIZATION_ID}/{USER_ID}?version={version}"
        urls = httpx.get(url, headers=bearer(sandbox)).json()["urls"]
        assert urls["partner"] == f"{sandbox.url}/services/Soap/u/{number}/{ORGANIZATION_ID[:15]}"
        assert urls["query"] == f"{sandbox.url}/services/data/v{number}/query/"

    @pytest.mark.parametrize(
        ("path", "token", "status", "text"),
        [
            (f"/id/{ORGANIZATION_ID}/{USER_ID}", "", 403, "Missing_OAuth_Token"),
            (f"/id/{ORGANIZATION_ID}/{USER_ID}", "stale", 403, "Bad_OAuth_Token"),
            ("/services/oauth2/userinfo", "stale", 403, "Bad_OAuth_Token"),
            (f"/id/00D000000000009AAA/{USER_ID}", None, 403, "Wrong_Org"),
            (f"/id/{ORGANIZATION_ID}/005000000000009AAA", None, 404, "Bad_Id"),
            (f"/id/{ORGANIZATION_ID}/{USER_ID}?version=7", None, 406, "Invalid_Version"),
        ],
    )
    def test_it_is_refused_in_plain_words(
        self, sandbox: SandboxServer, path: str, token: str | None, status: int, text: str
    ) -> None:
        headers = bearer(sandbox) if token is None else {"Authorization": f"Bearer {token}"} if token else {}
        response = httpx.get(sandbox.url + path, headers=headers)
        assert (response.status_code, response.text) == (status, text)

    def test_userinfo_speaks_openid_connect(self, sandbox: SandboxServer) -> None:
        body = httpx.get(f"{sandbox.url}/services/oauth2/userinfo", headers=bearer(sandbox)).json()
        assert (body["preferred_username"], body["given_name"]) == (sandbox.credentials.user, "Sandbox")
        assert body["zoneinfo"] == "UTC"

    def test_discovery_names_endpoints_that_are_there(self, sandbox: SandboxServer) -> None:
        told = httpx.get(f"{sandbox.url}/.well-known/openid-configuration").json()
        assert told["issuer"] == sandbox.url
        for name in ("authorization_endpoint", "token_endpoint", "introspection_endpoint", "jwks_uri"):
            assert httpx.get(told[name]).status_code != 404
        assert httpx.get(told["jwks_uri"]).json() == {"keys": []}


class TestWebServerFlow:
    def test_a_code_is_exchanged_once_for_a_session_and_a_refresh_token(self, sandbox: SandboxServer) -> None:
        response = asked(sandbox, state="a b")
        assert response.headers["Location"].startswith(f"{CALLBACK}?")
        assert parse_qs(urlsplit(response.headers["Location"]).query)["state"] == ["a b"]
        known = sandbox.credentials
        form = {
            "code": code_of(response), "client_id": known.client_id, "client_secret": known.client_secret,
            "redirect_uri": CALLBACK,
        }  # fmt: skip
        body = exchange(sandbox, **form).json()
        assert body["refresh_token"] == known.refresh_token
        headers = {"Authorization": f"Bearer {body['access_token']}"}
        assert httpx.get(body["id"], headers=headers).json()["username"] == known.user
        assert exchange(sandbox, **form).json()["error"] == "invalid_grant"

    def test_the_cli_needs_no_secret_but_the_verifier_of_its_challenge(self, sandbox: SandboxServer) -> None:
        challenge = base64.urlsafe_b64encode(sha256(b"right").digest()).decode().rstrip("=")
        for verifier, status in (("right", 200), ("wrong", 400)):
            code = code_of(asked(sandbox, client_id="PlatformCLI", code_challenge=challenge))
            form = {"code": code, "client_id": "PlatformCLI", "redirect_uri": CALLBACK, "code_verifier": verifier}
            assert exchange(sandbox, **form).status_code == status

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"redirect_uri": ""}, "redirect_uri_missing"),
            ({"client_id": "x"}, "invalid_client_id"),
        ],
    )
    def test_a_wrong_request_gets_no_code(self, sandbox: SandboxServer, query: dict[str, str], error: str) -> None:
        response = asked(sandbox, **query)
        assert (response.status_code, response.json()["error"]) == (400, error)

    @pytest.mark.parametrize(
        ("change", "error"),
        [({"redirect_uri": "http://x"}, "redirect_uri_mismatch"), ({"client_id": "PlatformCLI"}, "invalid_grant")],
    )
    def test_a_code_is_only_for_who_asked_for_it(
        self, sandbox: SandboxServer, change: dict[str, str], error: str
    ) -> None:
        form = {"code": code_of(asked(sandbox)), "client_id": sandbox.credentials.client_id, "redirect_uri": CALLBACK}
        assert exchange(sandbox, **form | change).json()["error"] == error


class TestTooling:
    def test_queries_and_describes_what_the_org_has(self, api: Api) -> None:
        assert api.get("/tooling/query", params={"q": "SELECT Id, Name FROM ApexClass"}).json()["totalSize"] == 0
        assert api.get("/tooling/sobjects/ApexClass/describe").json()["keyPrefix"] == "01p"
        assert "ApexClass" in {each["name"] for each in api.get("/tooling/sobjects").json()["sobjects"]}
        assert api.get("/tooling").json()["query"] == "/services/data/v59.0/tooling/query"

    def test_apex_does_not_compile(self, api: Api) -> None:
        body = api.get("/tooling/executeAnonymous", params={"anonymousBody": "System.debug(1);"}).json()
        assert (body["compiled"], body["success"]) == (False, False)
        assert api.get("/tooling/executeAnonymous").status_code == 400


def test_the_user_has_a_profile(api: Api) -> None:
    [user] = api.rows("SELECT Username, Profile.Name FROM User")
    assert user["Profile"]["Name"] == "System Administrator"


@pytest.mark.parametrize("path", ["//services/data/v59.0/limits", "///services/data/v59.0/limits//"])
def test_slashes_too_many_do_no_harm(sandbox: SandboxServer, path: str) -> None:
    """`sf org login access-token` keeps a slash at the end of the instance's URL."""
    assert httpx.get(sandbox.url + path, headers=bearer(sandbox)).status_code == 200


def test_requests_for_paths_that_are_not_there_can_be_seen(sandbox: SandboxServer) -> None:
    response: Any = httpx.get(f"{sandbox.url}/services/apexrest/mine")
    assert response.json() == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]
    [seen] = sandbox.control.requests()
    assert (seen["path"], seen["route"], seen["status"]) == ("/services/apexrest/mine", "missing", 404)
