"""Logging in: each OAuth flow, SOAP, and what a session is worth afterwards."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from syncbridge.sandbox.salesforce.auth import JWT_GRANT, Credentials
from syncbridge.sandbox.salesforce.server import SandboxServer

EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def form(server: SandboxServer, grant: str, **values: str) -> dict[str, str]:
    known = server.credentials
    return {
        "grant_type": grant,
        "client_id": known.client_id,
        "client_secret": known.client_secret,
        **values,
    }


def token(server: SandboxServer, data: dict[str, str], **options: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/services/oauth2/token", data=data, **options)


def is_good(server: SandboxServer, session: str, scheme: str = "Bearer") -> bool:
    headers = {"Authorization": f"{scheme} {session}"}
    return httpx.get(f"{server.url}/services/data/v59.0/limits", headers=headers).status_code == 200


@pytest.mark.parametrize("with_token", [True, False])
def test_a_password_login_takes_the_password_with_or_without_the_security_token(
    sandbox: SandboxServer, with_token: bool
) -> None:
    known = sandbox.credentials
    password = known.password + (known.security_token if with_token else "")
    response = token(sandbox, form(sandbox, "password", username=known.user, password=password))
    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"access_token", "instance_url", "id", "token_type", "issued_at", "signature", "scope"}
    assert body["instance_url"] == sandbox.url
    assert is_good(sandbox, body["access_token"])
    signed = hmac.new(known.client_secret.encode(), (body["id"] + body["issued_at"]).encode(), sha256).digest()
    assert body["signature"] == base64.b64encode(signed).decode()


def test_client_credentials_come_in_the_form_or_as_http_basic(sandbox: SandboxServer) -> None:
    known = sandbox.credentials
    in_form = token(sandbox, form(sandbox, "client_credentials"))
    basic = token(sandbox, {"grant_type": "client_credentials"}, auth=(known.client_id, known.client_secret))
    for response in (in_form, basic):
        assert response.status_code == 200
        assert response.json()["api_instance_url"] == sandbox.url
        assert "refresh_token" not in response.json()
        assert is_good(sandbox, response.json()["access_token"])


def test_a_refresh_token_gives_a_new_session_every_time(sandbox: SandboxServer) -> None:
    data = form(sandbox, "refresh_token", refresh_token=sandbox.credentials.refresh_token)
    first, second = (token(sandbox, data).json()["access_token"] for _ in range(2))
    assert first != second
    assert is_good(sandbox, first)


@pytest.mark.parametrize(
    ("grant", "wrong", "error", "description"),
    [
        ("password", {"password": "x"}, "invalid_grant", "authentication failure"),
        ("password", {"username": "x"}, "invalid_grant", "authentication failure"),
        ("password", {"client_id": "x"}, "invalid_client_id", "client identifier invalid"),
        ("password", {"client_secret": "x"}, "invalid_client", "invalid client credentials"),
        ("client_credentials", {"client_secret": "x"}, "invalid_client", "invalid client credentials"),
        ("refresh_token", {"refresh_token": "x"}, "invalid_grant", "expired access/refresh token"),
        ("magic", {}, "unsupported_grant_type", "grant type not supported"),
    ],
)
def test_a_refused_login_is_400_with_an_object(
    sandbox: SandboxServer, grant: str, wrong: dict[str, str], error: str, description: str
) -> None:
    known = sandbox.credentials
    data = form(sandbox, grant, username=known.user, password=known.password, refresh_token=known.refresh_token)
    response = token(sandbox, data | wrong)
    assert response.status_code == 400
    assert response.json() == {"error": error, "error_description": description}


def test_basic_credentials_that_are_not_base64_are_refused(sandbox: SandboxServer) -> None:
    headers = {"Authorization": "Basic ???"}
    response = token(sandbox, {"grant_type": "client_credentials"}, headers=headers)
    assert response.json()["error"] == "invalid_client"


class TestJwt:
    KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def assertion(self, server: SandboxServer, key: Any = KEY, **claims: Any) -> str:
        known = server.credentials
        default = {"iss": known.client_id, "sub": known.user, "aud": "https://login.salesforce.com"}
        expires = str(int(server.sandbox.clock.seconds()) + 180)
        return jwt.encode(default | {"exp": expires} | claims, key, algorithm="RS256")

    def login(self, server: SandboxServer, assertion: str) -> httpx.Response:
        return token(server, {"grant_type": JWT_GRANT, "assertion": assertion})

    def test_needs_no_secret_and_gives_no_signature(self, sandbox: SandboxServer) -> None:
        body = self.login(sandbox, self.assertion(sandbox)).json()
        assert set(body) == {"access_token", "scope", "instance_url", "id", "token_type"}
        assert is_good(sandbox, body["access_token"])

    @pytest.mark.parametrize(
        ("claims", "error", "description"),
        [
            ({"iss": "x"}, "invalid_client_id", "client identifier invalid"),
            ({"sub": "x"}, "invalid_grant", "user hasn't approved this consumer"),
            ({"aud": ""}, "invalid_grant", "audience is invalid"),
            ({"exp": "1"}, "invalid_grant", "expired authorization code"),
            ({"exp": "soon"}, "invalid_grant", "expired authorization code"),
        ],
    )
    def test_checks_the_claims(
        self, sandbox: SandboxServer, claims: dict[str, str], error: str, description: str
    ) -> None:
        response = self.login(sandbox, self.assertion(sandbox, **claims))
        assert response.status_code == 400
        assert response.json() == {"error": error, "error_description": description}

    def test_takes_clocks_that_differ_by_three_minutes(self, sandbox: SandboxServer) -> None:
        now = int(sandbox.sandbox.clock.seconds())
        assert self.login(sandbox, self.assertion(sandbox, exp=now - 170)).status_code == 200
        assert self.login(sandbox, self.assertion(sandbox, exp=now - 190)).status_code == 400

    @pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c", "a.e30"])
    def test_refuses_what_is_no_jwt(self, sandbox: SandboxServer, assertion: str) -> None:
        assert self.login(sandbox, assertion).json()["error_description"] == "invalid assertion"

    def test_checks_the_signature_where_a_public_key_is_known(self) -> None:
        public = self.KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with SandboxServer(credentials=Credentials(public_key=public.decode())) as server:
            stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            assert self.login(server, self.assertion(server)).status_code == 200
            assert self.login(server, self.assertion(server, key=stranger)).status_code == 400


class TestSessions:
    def test_bearer_and_oauth_headers_are_accepted(self, sandbox: SandboxServer) -> None:
        for scheme in ("Bearer", "OAuth", "bearer"):
            assert is_good(sandbox, sandbox.credentials.token, scheme)

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
    def test_an_unknown_session_is_401(self, sandbox: SandboxServer, headers: dict[str, str]) -> None:
        response = httpx.get(f"{sandbox.url}/services/data/v59.0/limits", headers=headers)
        assert (response.status_code, response.json()) == (401, EXPIRED)

    def test_a_header_of_another_kind_is_invalid(self, sandbox: SandboxServer) -> None:
        for value in ("Basic x", "Bearer"):
            response = httpx.get(f"{sandbox.url}/services/data/v59.0/limits", headers={"Authorization": value})
            assert response.status_code == 401
            assert response.json()[0]["errorCode"] == "INVALID_AUTH_HEADER"

    def test_expired_tokens_need_a_new_login(self, sandbox: SandboxServer) -> None:
        old = sandbox.credentials.token
        sandbox.control.expire_tokens()
        assert not is_good(sandbox, old)
        assert is_good(sandbox, token(sandbox, form(sandbox, "client_credentials")).json()["access_token"])

    def test_introspection_userinfo_and_revocation(self, sandbox: SandboxServer) -> None:
        session = token(sandbox, form(sandbox, "client_credentials")).json()["access_token"]
        url = f"{sandbox.url}/services/oauth2"
        told = httpx.post(f"{url}/introspect", data={"token": session}).json()
        assert told["active"] is True
        assert told["exp"] > told["iat"]
        who = httpx.get(f"{url}/userinfo", headers={"Authorization": f"Bearer {session}"}).json()
        assert who["preferred_username"] == sandbox.credentials.user
        httpx.post(f"{url}/revoke", data={"token": session})
        assert httpx.post(f"{url}/introspect", data={"token": session}).json() == {"active": False}
        assert not is_good(sandbox, session)

    def test_versions_need_no_session(self, sandbox: SandboxServer) -> None:
        versions = httpx.get(f"{sandbox.url}/services/data/").json()
        assert versions[-1] == {"label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0"}
        assert versions[0]["version"] == "31.0"
        assert [each["label"] for each in versions[-3:]] == ["Summer '25", "Winter '26", "Spring '26"]


def test_a_client_that_asks_for_a_salesforce_host_is_told_the_servers_own_address(sandbox: SandboxServer) -> None:
    headers = {"Host": "login.salesforce.com"}
    response = token(sandbox, form(sandbox, "client_credentials"), headers=headers)
    assert response.json()["instance_url"] == sandbox.url
