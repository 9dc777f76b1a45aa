"""Starting and stopping: in a thread, as a process, with data that stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner

from syncbridge.cli import sandbox as command
from syncbridge.sandbox.salesforce.auth import Credentials
from syncbridge.sandbox.salesforce.server import SandboxServer

START = "from syncbridge.cli.sandbox import sandbox; sandbox()"


def get(url: str, token: str, path: str) -> httpx.Response:
    return httpx.get(f"{url}/services/data/v59.0{path}", headers={"Authorization": f"Bearer {token}"})


def test_a_server_starts_and_stops_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with SandboxServer(credentials=Credentials(token="given")) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert get(server.url, "given", "/limits").status_code == 200
        url = server.url
    server.stop()
    assert set(threading.enumerate()) == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_server_that_never_started_can_be_stopped() -> None:
    SandboxServer().stop()


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = SandboxServer(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            server.start()


def test_a_client_that_keeps_its_connection_does_not_keep_the_server() -> None:
    with httpx.Client() as client, SandboxServer() as server:
        assert client.get(f"{server.url}/services/data").status_code == 200


def test_records_in_a_file_are_there_again(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    ids = []
    for _ in range(2):
        with SandboxServer(data=file) as server:
            headers = {"Authorization": f"Bearer {server.credentials.token}"}
            url = f"{server.url}/services/data/v59.0/sobjects/Account"
            ids.append(httpx.post(url, json={"Name": "a"}, headers=headers).json()["id"])
            assert len(server.control.records("Account")) == len(ids)
    assert len(set(ids)) == 2


def test_a_data_file_follows_an_org_that_gained_a_field(tmp_path: Path) -> None:
    with SandboxServer(data=tmp_path / "org.db"):
        pass
    org = tmp_path / "org.yaml"
    org.write_text("objects: {Contact: {fields: {X__c: string(5) external_id}}}")
    with SandboxServer(data=tmp_path / "org.db", org=org) as server:
        assert server.control.records("Contact") == []


def test_time_can_be_given() -> None:
    with SandboxServer(clock=lambda: 1_000_000_000) as server:
        [user] = server.control.records("User")
        assert user["CreatedDate"] == "2001-09-09T01:46:40.000+0000"
        assert httpx.get(f"{server.url}/services/data").headers["Date"] == "Sun, 09 Sep 2001 01:46:40 GMT"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_announces_itself_on_one_line_and_ends_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    arguments = ["salesforce", "--port", "0", "--json", "--token", "mine", "--data", str(tmp_path / "org.db")]
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert set(facts) == {
            "url", "user", "password", "security_token", "client_id", "client_secret", "refresh_token", "token",
        }  # fmt: skip
        assert facts["token"] == "mine"
        assert get(facts["url"], "mine", "/limits").status_code == 200
        process.send_signal(how)
        rest, errors = process.communicate()
    assert (process.returncode, rest, errors) == (0, b"", b"")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command.sandbox, ["salesforce", *arguments])


def test_mistakes_end_with_2_and_say_what_is_wrong(tmp_path: Path) -> None:
    org = tmp_path / "org.yaml"
    org.write_text("objects:\n  Contct: {}\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = {
            "org.yaml:2: objects.Contct: a custom object's name ends in __c; did you mean 'Contact'?": run(
                "--org", str(org)
            ),
            "cannot be read": run("--org", str(tmp_path / "none.yaml")),
            "cannot open": run("--data", str(tmp_path / "no" / "folder.db")),
            f"cannot listen on 127.0.0.1:{port}": run("--port", port),
            "cannot read": run("--public-key", str(tmp_path / "none.pem")),
            "Invalid value for '--port'": run("--port", "70000"),
        }
    for text, result in cases.items():
        assert result.exit_code == 2
        assert text in result.output
        assert "Traceback" not in result.output


def test_a_file_that_is_no_database_is_a_mistake_too(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    file.write_text("no database, but long enough to be looked at as one " * 100)
    result = run("--data", str(file))
    assert result.exit_code == 2
    assert "cannot open" in result.output


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("--port", "0")
    assert result.exit_code == 2
    assert 'pip install "syncbridge[sandbox]"' in result.output


def test_people_are_told_the_same_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    command._announce({"url": "http://x", "client_id": "c"}, as_json=False)
    assert capsys.readouterr().out == "url             http://x\nclient id       c\nCtrl-C ends it.\n"


def test_the_group_has_the_command() -> None:
    assert isinstance(command.sandbox, click.Group)
    assert "salesforce" in command.sandbox.commands


def test_names_of_headers_have_their_capitals(sandbox: SandboxServer) -> None:
    """Airbyte's source tells Content-Type from content-type."""
    response = get(sandbox.url, sandbox.credentials.token, "/limits")
    names = {name for name, _ in response.headers.raw}
    assert {b"Content-Type", b"Sforce-Limit-Info", b"Date"} <= names
