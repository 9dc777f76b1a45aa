"""`syncbridge alerts`: what is raised, what was not taken, and a test message to each target."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncbridge.store import alerts
from syncbridge.store.alerts import Remembered
from tests.fix_alerts import SECRET, MailReceiver, WebReceiver
from tests.fix_cli import CliProject

SINCE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HALTED = Remembered("halted", "people", "halted", "the field is gone", "Mend it.", SINCE, raised_at=SINCE)
NOT_TOLD = Remembered("worker", "worker", "no worker", "no worker captures", "", SINCE)


@pytest.fixture
def told(cli_project: CliProject, web: WebReceiver, monkeypatch: pytest.MonkeyPatch) -> CliProject:
    """A project whose alerts go to a webhook."""
    monkeypatch.setenv("SYNCBRIDGE_ALERTS__WEBHOOK", web.url)
    return cli_project


def add_mail(mail: MailReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "HOST": "127.0.0.1",
        "PORT": str(mail.port),
        "SECURITY": "none",
        "SENDER": "s@x.org",
        "TO": "a@x.org,b@x.org",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SYNCBRIDGE_ALERTS__EMAIL__{name}", value)


def test_before_a_worker_looked_it_says_so(told: CliProject) -> None:
    ran = told.run("alerts")
    assert (ran.code, ran.out) == (0, "no worker has looked yet.\n")


def test_nothing_raised_is_exit_code_0(told: CliProject) -> None:
    alerts.begin_look(told.store, 30)
    alerts.remember(told.store, [NOT_TOLD], [])
    ran = told.run("alerts")
    assert ran.code == 0
    assert ran.out.startswith("nothing is raised. Looked at ")


def test_what_is_raised_is_listed_with_what_to_do(told: CliProject) -> None:
    alerts.begin_look(told.store, 30)
    alerts.remember(told.store, [HALTED, NOT_TOLD], [])
    ran = told.run("alerts")
    assert ran.code == 1
    assert "people  halted" in ran.out
    assert "the field is gone  Mend it." in ran.out
    assert "no worker captures" not in ran.out


def test_a_target_that_takes_nothing_is_told(told: CliProject) -> None:
    alerts.begin_look(told.store, 30)
    alerts.post(told.store, ["webhook", "email to gone@x.org"], "title", "body")
    claimed = alerts.claim(told.store, "webhook")
    assert claimed is not None
    alerts.refused(told.store, claimed, "it answered 503", wait=60)
    ran = told.run("alerts")
    assert ran.code == 1
    assert "webhook has not taken 1 message, the oldest of " in ran.out
    assert ran.out.rstrip().endswith(": it answered 503")
    assert "gone@x.org" not in ran.out  # no target any more


def test_json_holds_the_same(told: CliProject) -> None:
    alerts.remember(told.store, [HALTED], [])
    alerts.post(told.store, ["webhook"], "title", "body")
    ran = told.run("alerts", "--json")
    assert ran.code == 1
    assert ran.json["targets"] == ["webhook"]
    assert ran.json["looked_at"] is None
    assert [(each["kind"], each["about"], each["since"]) for each in ran.json["raised"]] == [
        ("halted", "people", "2026-01-01T12:00:00Z")
    ]
    assert [(each["target"], each["messages"]) for each in ran.json["unsent"]] == [("webhook", 1)]


def test_a_test_message_says_of_each_target_whether_it_was_taken(
    told: CliProject, web: WebReceiver, mail: MailReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_mail(mail, monkeypatch)
    mail.refused = {"b@x.org"}
    ran = told.run("alerts", "--test")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "webhook: taken",
        "email to a@x.org: taken",
        "email to b@x.org: not taken: it refused the message",
    ]
    assert "This is a test" in web.texts[0]
    assert [to for to, _ in mail.mails] == ["a@x.org"]
    assert SECRET not in ran.out + ran.err


def test_a_test_that_every_target_takes_is_exit_code_0(told: CliProject, web: WebReceiver) -> None:
    ran = told.run("alerts", "--test", "--json")
    assert (ran.code, ran.json) == (0, [{"target": "webhook", "taken": True, "error": ""}])


def test_without_a_target_it_says_how_to_set_one(cli_project: CliProject) -> None:
    ran = cli_project.run("alerts")
    assert ran.code == 2
    assert "the settings name no target" in ran.err
    assert "SYNCBRIDGE_ALERTS__WEBHOOK" in ran.err


def test_an_address_that_is_not_understood_is_a_mistake_in_the_settings(
    told: CliProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_ALERTS__URLS", f"nosuch://{SECRET}")
    for command in ("alerts", "run"):
        ran = told.run(command)
        assert ran.code == 2
        assert "url 1 is not an address that Apprise understands" in ran.err
        assert SECRET not in ran.out + ran.err
