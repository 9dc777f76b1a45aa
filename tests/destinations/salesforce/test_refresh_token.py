"""Signing in by refresh token, tokens that an org rotates, and sessions with a known end."""

from __future__ import annotations

import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.login import RENEW_BEFORE, lifetime
from syncbridge.errors import LoginRefused, RetryLater
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import FakeTime, deliver, open_for


@contextmanager
def opened(server: SandboxServer, time: FakeTime | None = None, **changes: object) -> Iterator[SalesforceDestination]:
    destination = open_for(server, time or FakeTime(), **{"login": "refresh_token", **changes})
    try:
        yield destination
    finally:
        destination.close()


class Rotation:
    """An org that gives a new refresh token at every use, as `Refresh Token Rotation` does."""

    def __init__(self, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
        sessions = server.sandbox.sessions
        grant = sessions.grant
        self.used: list[str] = []
        self.valid = sessions.credentials.refresh_token
        self._lock = threading.Lock()

        def rotating(form: dict[str, str], basic: str | None, url: str) -> dict[str, object]:
            with self._lock:
                self.used.append(form.get("refresh_token", ""))
                monkeypatch.setattr(sessions, "credentials", replace(sessions.credentials, refresh_token=self.valid))
                answer = grant(form, basic, url)
                self.valid = f"rotated-{len(self.used)}"
                return answer | {"refresh_token": self.valid}

        monkeypatch.setattr(sessions, "grant", rotating)


@pytest.fixture
def rotation(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Rotation:
    return Rotation(server, monkeypatch)


@pytest.mark.parametrize("secret", [True, False])
def test_a_refresh_token_signs_in_with_the_apps_secret_or_without(server: SandboxServer, secret: bool) -> None:
    known = server.credentials
    changes = {} if secret else {"client_secret": None}
    with opened(server, refresh_token=known.refresh_token, **changes) as destination:
        assert deliver(destination)
        server.control.expire_tokens()
        assert deliver(destination)
    assert server.control.calls("token") == 2


def test_a_refresh_token_that_was_revoked_needs_a_person(server: SandboxServer) -> None:
    with opened(server, refresh_token="s3cr3t-token") as destination:
        with pytest.raises(LoginRefused) as refused:
            deliver(destination)
    assert "authorise the app again" in refused.value.hint
    assert "s3cr3t-token" not in f"{refused.value!r} {destination!r}"


def test_a_rotated_token_is_kept_in_its_file_for_the_next_start(
    server: SandboxServer, rotation: Rotation, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    for _ in range(2):
        with opened(server, refresh_token="sandbox-refresh-token", refresh_token_file=file) as destination:
            assert deliver(destination)
    assert rotation.used == ["sandbox-refresh-token", "rotated-1"]
    assert file.read_text() == "rotated-2\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"token", "token.lock"}


def test_a_new_token_of_the_settings_is_tried_when_that_of_the_file_has_ended(
    server: SandboxServer, rotation: Rotation, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("ended long ago\n")
    with opened(server, refresh_token="sandbox-refresh-token", refresh_token_file=file) as destination:
        assert deliver(destination)
    assert rotation.used == ["ended long ago", "sandbox-refresh-token"]
    assert file.read_text() == "rotated-2\n"


def test_processes_that_share_a_token_file_take_turns(
    server: SandboxServer, rotation: Rotation, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("sandbox-refresh-token")
    delivered: list[bool] = []

    def one() -> None:
        with opened(server, refresh_token_file=file) as destination:
            delivered.append(deliver(destination))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivered == [True] * 4
    assert rotation.used == ["sandbox-refresh-token", "rotated-1", "rotated-2", "rotated-3"]


def test_a_token_that_cannot_be_written_is_kept_in_memory_and_told(
    server: SandboxServer, rotation: Rotation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "missing" / "token"
    with opened(server, refresh_token="sandbox-refresh-token", refresh_token_file=file) as destination:
        assert deliver(destination)
        server.control.expire_tokens()
        assert deliver(destination)
    assert rotation.used == ["sandbox-refresh-token", "rotated-1"]
    assert f"cannot be written to {file}" in caplog.text
    assert "rotated-1" not in caplog.text


def test_a_rotated_token_without_a_file_is_used_and_told(
    server: SandboxServer, rotation: Rotation, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(server, refresh_token="sandbox-refresh-token") as destination:
        assert deliver(destination)
        server.control.expire_tokens()
        assert deliver(destination)
    assert rotation.used == ["sandbox-refresh-token", "rotated-1"]
    assert "set `refresh_token_file`" in caplog.text


def test_a_file_without_a_token_needs_a_person(server: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    with opened(server, refresh_token_file=tmp_path / "token") as destination:
        with pytest.raises(LoginRefused, match="no refresh token"):
            deliver(destination)


# -- sessions with a known end ----------------------------------------------------------------------------------------


def _expiring(server: SandboxServer, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    grant = server.sandbox.sessions.grant
    monkeypatch.setattr(server.sandbox.sessions, "grant", lambda *given: {**grant(*given), "expires_in": seconds})


def test_a_session_is_renewed_before_its_end_and_no_call_is_refused(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expiring(server, monkeypatch, 900)
    time = FakeTime()
    with opened(server, time, login="client_credentials") as destination:
        for _ in range(3):
            assert deliver(destination)
        time.now += 900 - RENEW_BEFORE
        for _ in range(3):
            assert deliver(destination)
    assert server.control.calls("token") == 2
    assert {each["status"] for each in server.control.requests()} == {200}


def test_a_session_is_used_to_its_end_while_the_login_is_not_available(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expiring(server, monkeypatch, 900)
    time = FakeTime()
    with opened(server, time, login="client_credentials") as destination:
        assert deliver(destination)
        server.faults.add("unavailable", route="token")
        time.now += 900 - RENEW_BEFORE
        assert deliver(destination)
        time.now += RENEW_BEFORE
        with pytest.raises(RetryLater):
            deliver(destination)


def _jwt(claims: object) -> str:
    parts = (orjson.dumps({"alg": "RS256"}), orjson.dumps(claims), b"signature")
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    ("token", "answer", "seconds"),
    [
        ("00Dxx!opaque", {}, float("inf")),
        ("00Dxx!opaque.with.points", {}, float("inf")),
        ("00Dxx!opaque", {"expires_in": 1800}, 1800),
        ("00Dxx!opaque", {"expires_in": "1800"}, 1800),
        ("00Dxx!opaque", {"expires_in": "soon"}, float("inf")),
        ("00Dxx!opaque", {"expires_in": 0}, 2 * RENEW_BEFORE),
        (_jwt({"iat": 1000, "exp": 2800}), {}, 1800),
        (_jwt({"exp": 2800}), {}, float("inf")),
        (_jwt([1]), {}, float("inf")),
    ],
)
def test_the_life_of_a_token_is_what_the_answer_or_the_token_says(
    token: str, answer: dict[str, object], seconds: float
) -> None:
    assert lifetime(token, answer) == seconds
