"""Sending: to a real web server and a real mail server, and what is said when that fails."""

from __future__ import annotations

import builtins
import logging
from email.header import decode_header, make_header
from typing import Any

import pytest

from syncbridge.alerts.targets import NotTaken, Target, targets, verify
from syncbridge.config.alerts import AlertSettings
from syncbridge.errors import SettingsError
from tests.fix_alerts import SECRET, MailReceiver, WebReceiver


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As with `run --verbose`, and more."""
    caplog.set_level(1)
    for name in ("apprise", "urllib3", "urllib3.connectionpool", "asyncio"):
        logging.getLogger(name).setLevel(1 if name != "asyncio" else logging.WARNING)


def settings(**given: Any) -> AlertSettings:
    return AlertSettings.model_validate(given)


def webhook(url: str) -> Target:
    return targets(settings(webhook=url))[0]


def mailed(mail: MailReceiver, *to: str, **changes: Any) -> list[Target]:
    given = {"host": "127.0.0.1", "port": mail.port, "security": "none", "sender": "sync@example.com", "to": to}
    return targets(settings(email={**given, **changes}))


def refusal(target: Target) -> str:
    with pytest.raises(NotTaken) as caught:
        target.send("title", "body")
    return str(caught.value)


def test_a_webhook_gets_one_text_and_nothing_else(web: WebReceiver) -> None:
    webhook(web.url).send("people: halted", "the field is gone\n  Run: \\n syncbridge resume people")
    assert web.posted == [{"text": "*people: halted*\nthe field is gone\n  Run: \\n syncbridge resume people"}]


def test_a_name_in_a_text_can_call_no_channel(web: WebReceiver) -> None:
    webhook(web.url).send("<!channel>", "a & b")
    assert web.texts == ["*&lt;!channel&gt;*\na &amp; b"]


def test_a_webhook_that_refuses_is_told_with_its_status(web: WebReceiver, caplog: pytest.LogCaptureFixture) -> None:
    web.answer = 404
    assert refusal(webhook(web.url)) == "it answered 404"
    assert SECRET not in caplog.text


def test_a_redirect_is_not_followed(web: WebReceiver) -> None:
    web.answer = 307
    assert refusal(webhook(web.url)) == "it answered 307"
    assert web.asked == 1


def test_a_webhook_that_is_away_is_told_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    assert "cannot be reached" in refusal(webhook(f"http://127.0.0.1:9/{SECRET}"))
    assert SECRET not in caplog.text


def test_a_mail_is_plain_text_with_subject_and_sender(mail: MailReceiver) -> None:
    for target in mailed(mail, "ops@example.com", user="sync", password=SECRET):
        target.send("syncbridge, app: <2> raised & more", "one <line>\n  & another")
    [message] = mail.of("ops@example.com")
    assert str(make_header(decode_header(message["Subject"]))) == "syncbridge, app: <2> raised & more"
    assert "sync@example.com" in message["From"]
    assert message.get_content_type() == "text/plain"
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().splitlines() == ["one <line>", "  & another"]
    assert mail.passwords == [SECRET]


def test_each_recipient_is_a_target_of_its_own(mail: MailReceiver, caplog: pytest.LogCaptureFixture) -> None:
    mail.refused = {"a@example.com"}
    refused, taken = mailed(mail, "a@example.com", "b@example.com")
    taken.send("title", "body")
    assert refusal(refused) == "it refused the message"
    assert [to for to, _ in mail.mails] == ["b@example.com"]
    assert SECRET not in caplog.text


def test_a_mail_server_that_refuses_the_login_is_told_without_the_password(
    mail: MailReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    [target] = mailed(mail, "ops@example.com", user="sync", password=f"wrong {SECRET}")
    assert "refuses the login" in refusal(target)
    assert set(mail.passwords) == {f"wrong {SECRET}"}
    assert SECRET not in caplog.text


def test_further_targets_are_what_apprise_knows(web: WebReceiver) -> None:
    [target] = targets(settings(urls=f"json://127.0.0.1:{web.port}/{SECRET}"))
    target.send("title", "body")
    assert [(body["title"], body["message"]) for body in web.posted] == [("title", "body")]


@pytest.mark.parametrize("url", [f"nosuch://{SECRET}/x", SECRET, f"discord://{SECRET}", f"mailto://{SECRET}"])
def test_an_address_that_is_not_understood_is_told_by_its_place(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError) as caught:
        verify(targets(settings(urls=f"json://127.0.0.1/a {url}")))
    assert caught.value.message == "alerts: url 2 is not an address that Apprise understands"
    assert SECRET not in caplog.text + str(caught.value) + caught.value.hint


def test_names_and_representations_hold_no_secret(mail: MailReceiver) -> None:
    found = targets(
        settings(
            webhook=f"https://host/{SECRET}",
            email={"host": "mail", "sender": "s@x.org", "to": ["a@x.org"], "password": SECRET},
            urls=f"json://{SECRET}",
        )
    )
    assert [target.name for target in found] == ["webhook", "email to a@x.org", "url 1"]
    assert SECRET not in repr(found)


def test_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "apprise":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SettingsError, match="not installed") as caught:
        verify([webhook("https://host/x")])
    assert caught.value.hint == 'Run: pip install "syncbridge[alerts]"'
    verify([])  # nobody needs it who has no target
