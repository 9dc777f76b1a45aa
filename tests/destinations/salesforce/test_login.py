"""Every way to sign in, one login for all threads, and what is said when it is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from syncbridge.destinations.base import Delivered
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.errors import LoginRefused, RetryLater
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.faults import Kind
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import FakeTime, deliver, open_for


@contextmanager
def opened(server: SandboxServer, **changes: object) -> Iterator[SalesforceDestination]:
    destination = open_for(server, FakeTime(), **changes)
    try:
        yield destination
    finally:
        destination.close()


def test_client_credentials(server: SandboxServer) -> None:
    with opened(server) as destination:
        assert deliver(destination)


def test_jwt_with_a_key_from_the_environment(server: SandboxServer) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    known = server.credentials
    sessions = server.sandbox.sessions
    sessions.credentials = replace(known, public_key=public)
    try:
        with opened(server, login="jwt", username=known.user, private_key=private) as destination:
            assert deliver(destination)
    finally:
        sessions.credentials = known


def test_password_with_a_connected_app(server: SandboxServer) -> None:
    known = server.credentials
    secrets = {"password": known.password, "security_token": known.security_token}
    with opened(server, login="password", username=known.user, **secrets) as destination:
        assert deliver(destination)
    assert server.control.calls("token") == 1


def test_password_without_a_connected_app_signs_in_by_soap(server: SandboxServer) -> None:
    known = server.credentials
    secrets = {"password": known.password, "security_token": known.security_token, "client_secret": None}
    with opened(server, login="password", username=known.user, client_id=None, **secrets) as destination:
        assert deliver(destination)
    assert server.control.calls("soap_login") == 1


def test_a_session_that_somebody_else_opened(server: SandboxServer) -> None:
    with opened(server, login="session", session_id=server.credentials.token) as destination:
        assert deliver(destination)
    assert server.control.calls("token") == 0


def test_a_session_that_has_ended_needs_a_person(server: SandboxServer) -> None:
    server.control.expire_tokens()
    with opened(server, login="session", session_id=server.credentials.token) as destination:
        with pytest.raises(LoginRefused) as refused:
            deliver(destination)
        assert "session_id" in refused.value.hint


def test_an_expired_session_is_renewed_and_the_call_made_again(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    assert deliver(destination)
    server.control.expire_tokens()
    assert deliver(destination)
    assert server.control.calls("token") == 2


def test_many_threads_with_an_expired_session_sign_in_once(server: SandboxServer) -> None:
    with opened(server, calls_in_flight=8) as destination:
        assert deliver(destination)
        server.control.expire_tokens()
        together = threading.Barrier(8)
        results: list[bool] = []

        def one() -> None:
            together.wait()
            results.append(deliver(destination))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 8
    assert server.control.calls("token") == 2


def test_a_session_that_ends_in_the_middle_of_a_batch_costs_no_record(server: SandboxServer) -> None:
    with opened(server, calls_in_flight=3) as destination:
        server.faults.add("expired_session", route="collections_upsert", after=2, times=1)
        records: list[Fields] = [{"External_Key__c": f"k{at}", "LastName": "Lovelace"} for at in range(900)]
        results = destination.upsert("Contact", "External_Key__c", records)
        assert all(isinstance(result, Delivered) for result in results)
    assert server.control.calls("token") == 2
    assert len(server.control.records("Contact")) == 900


def test_a_session_that_is_refused_again_after_signing_in_needs_a_person(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.faults.add("expired_session", route="collections_upsert")
    with pytest.raises(LoginRefused):
        deliver(destination)
    assert server.control.calls("token") == 2


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"client_secret": "wrong-secret"}, "`client_secret` is wrong"),
        ({"client_id": "wrong-id"}, "consumer key"),
        ({"login": "password", "username": "ada", "password": "wrong-secret"}, "login history"),
        (
            {
                "login": "password",
                "username": "ada",
                "password": "wrong-secret",
                "client_id": None,
                "client_secret": None,
            },
            "`password`",
        ),
    ],
)
def test_a_refused_login_says_what_to_do(server: SandboxServer, changes: dict[str, object], hint: str) -> None:
    with opened(server, **changes) as destination:
        with pytest.raises(LoginRefused) as refused:
            deliver(destination)
    assert hint in refused.value.hint
    assert "wrong-secret" not in f"{refused.value!r}{refused.value.__cause__!r}{destination!r}"


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ("user is locked", "Setup > Users"),
        ("user hasn't approved this consumer", "pre-authorise"),
        ("audience is invalid", "`domain`"),
        ("request not supported on this domain", "My Domain"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*connected app policy.*:UserWarning")
def test_an_oauth_refusal_has_a_hint_of_its_own(
    server: SandboxServer, destination: SalesforceDestination, description: str, hint: str
) -> None:
    body = {"error": "invalid_grant", "error_description": description}
    server.faults.add("status", route="token", status=400, body=body)
    with pytest.raises(LoginRefused) as refused:
        deliver(destination)
    assert hint in refused.value.hint


def test_a_private_key_that_is_none_is_told(server: SandboxServer) -> None:
    with opened(server, login="jwt", username="ada", private_key="no key at all") as destination:
        with pytest.raises(LoginRefused) as refused:
            deliver(destination)
    assert "private_key" in refused.value.hint
    assert "no key at all" not in str(refused.value)


@pytest.mark.parametrize("kind", ["unavailable", "drop_before", "server_error", "daily_limit", "too_many_requests"])
def test_a_login_that_is_not_available_works_later(server: SandboxServer, kind: Kind) -> None:
    with opened(server) as destination:
        server.faults.add(kind, route="token")
        with pytest.raises(RetryLater):
            deliver(destination)
        server.faults.clear()
        assert deliver(destination)


def test_a_login_answered_by_something_else_is_told(server: SandboxServer, destination: SalesforceDestination) -> None:
    server.faults.add("status", route="token", status=200, body="<html>not Salesforce</html>")
    with pytest.raises(LoginRefused):
        deliver(destination)
