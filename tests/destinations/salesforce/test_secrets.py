"""Whatever goes wrong, no secret stands in an error, a traceback or a log line, at any level of logging."""

from __future__ import annotations

import logging
import random
import socket
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.login import SignIn
from syncbridge.errors import SettingsError, SyncbridgeError
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.faults import Kind
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_network import connect_proxy
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for

RECORD: Fields = {"External_Key__c": "k1", "LastName": "Lovelace"}
KINDS: tuple[Kind, ...] = (
    "expired_session", "daily_limit", "concurrent_limit", "too_many_requests", "server_error", "unavailable",
    "drop_before", "drop_after", "status",
)  # fmt: skip
PASSWORD = "pr0xy:p@ss/word"


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def _logins(server: SandboxServer) -> list[dict[str, Any]]:
    known = server.credentials
    person = {"username": known.user, "password": known.password, "security_token": known.security_token}
    app = {"client_id": known.client_id, "client_secret": known.client_secret}
    return [
        {"login": "client_credentials", **app},
        {"login": "refresh_token", "refresh_token": known.refresh_token, **app},
        {"login": "password", **person, **app},
        {"login": "password", **person, "client_id": None, "client_secret": None},
        {"login": "session", "session_id": known.token},
        {"login": "jwt", "username": known.user, "client_id": known.client_id, "private_key": "-----BEGIN s3cr3t KEY"},
    ]


def _secrets(server: SandboxServer, destination: SalesforceDestination) -> set[str]:
    """What must not be seen: what the settings hold, and every session that was opened."""
    return {
        *destination._settings.secrets(),
        *server.sandbox.sessions._issued,
        PASSWORD,
        quote(PASSWORD, safe=""),
    }


def _seen(destination: SalesforceDestination) -> str:
    """All that a caller can see of an attempt to deliver."""
    seen = [repr(destination), str(vars(destination._settings)), repr(destination._client._sign_in.__dict__)]
    try:
        seen.append(repr(destination.upsert("Contact", "External_Key__c", [RECORD])))
    except SyncbridgeError as error:
        seen += [repr(error), str(error.__dict__), *traceback.format_exception(error)]
        seen += [repr(error.__context__), repr(error.__cause__)]
    seen += [repr(finding) for finding in destination.verify()]
    return "\n".join([*seen, repr(destination.limits())])


@pytest.mark.parametrize("seed", range(6))
def test_no_secret_is_seen_whatever_fails(
    server: SandboxServer, everything_logged: pytest.LogCaptureFixture, seed: int
) -> None:
    rng = random.Random(seed)
    with socket.create_server(("127.0.0.1", 0)) as unused, connect_proxy(unused.getsockname()[1]) as refusing:
        refusing.refusal = rng.choice(["407 Proxy Authentication Required", "502 Bad Gateway", "403 Forbidden"])
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
        for login in _logins(server):
            at = rng.choice([None, None, refusing.address, nowhere])
            proxy = {"proxy": f"http://ada:{quote(PASSWORD, safe='')}@{at}"} if at else {}
            url = {"instance_url": "https://acme.my.salesforce.com"} if at else {}
            destination = open_for(server, FakeTime(), read_timeout=0.5, connect_timeout=0.5, **login, **proxy, **url)
            secrets = _secrets(server, destination)
            repeated = " ".join(sorted(destination._settings.secrets()))  # as a careless server might
            body = {"error": "invalid_grant", "error_description": f"wrong: {repeated}", "message": "no"}
            echo = [{"errorCode": "SOMETHING_NEW", "message": f"sent: {repeated}"}]
            for _ in range(rng.randrange(1, 3)):
                route = rng.choice(["token", "soap_login", "collections_upsert"])
                answer = {"status": 400, "body": echo if route == "collections_upsert" else body}
                server.faults.add(rng.choice(KINDS), route=route, times=rng.randrange(1, 6), **answer)
            with warnings.catch_warnings(action="ignore"):
                seen = _seen(destination) + everything_logged.text
            destination.close()
            server.faults.clear()
            for secret in secrets | _secrets(server, destination):
                assert secret not in seen


@pytest.mark.parametrize("name", ["client_secret", "password", "refresh_token", "session_id", "proxy"])
def test_settings_that_are_wrong_do_not_show_their_secrets(server: SandboxServer, name: str) -> None:
    secret = "http://ada:s3cr3t@proxy" if name == "proxy" else "s3cr3t"
    with pytest.raises(SettingsError) as refused:
        open_for(server, FakeTime(), **{name: secret, "calls_in_flight": "many"})
    assert "s3cr3t" not in "".join(traceback.format_exception(refused.value))


def test_no_secret_stands_in_a_cassette(server: SandboxServer) -> None:
    known = server.credentials
    secrets = (known.client_secret, known.password, known.refresh_token, known.token, "00D")
    cassettes = sorted((Path(__file__).parent.parent / "cassettes").glob("*.yaml"))
    assert len(cassettes) >= 6
    for cassette in cassettes:
        text = cassette.read_text()
        assert "access_token" not in text or '"access_token":"replaced"' in text
        assert not [secret for secret in secrets if f"{secret}!" in text or (secret != "00D" and secret in text)]


def test_a_message_that_repeats_a_session_is_shown_without_it(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    destination.upsert("Contact", "External_Key__c", [RECORD])
    sign_in: SignIn = destination._client._sign_in
    (token,) = sign_in.tokens()
    body = [{"errorCode": "SOMETHING_NEW", "message": f"Bearer {token} is odd"}]
    server.faults.add("status", route="collections_upsert", status=403, body=body)
    with pytest.raises(SyncbridgeError, match="Bearer … is odd"):
        destination.upsert("Contact", "External_Key__c", [RECORD])
