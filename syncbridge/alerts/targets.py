"""Where alerts go: each webhook, mail address and further service is one target, sent to through Apprise.

What Apprise and its HTTP client log quotes addresses, and those are secrets: nothing of it is let through. Of a failure
we tell only what holds none: the status of the answer, or that there was none.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from syncbridge.config.alerts import AlertSettings, EmailSettings
from syncbridge.errors import SettingsError

#: Seconds until a connection must stand, and until each answer must begin.
TIMEOUT = 10.0

_LOUD = ("apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "requests")
_STATUS = re.compile(r"error=(\d{3})\b")

Make = Callable[[ModuleType, Any], Any]  # Apprise's module and its settings -> a service of it, or None


class NotTaken(Exception):
    """A target did not take a message; the message holds no secret."""


@dataclass(frozen=True)
class Target:
    """One place that messages go to; `name` holds no secret."""

    name: str
    _make: Make = field(repr=False)
    _written: Callable[[str, str], tuple[str, str]] = field(repr=False, default=lambda title, body: (title, body))

    def send(self, title: str, body: str) -> None:
        """Send one message; NotTaken when it was not accepted. Takes some `TIMEOUT` seconds at most."""
        title, body = self._written(title, body)
        with _unheard() as heard:
            try:
                apprise = _apprise()
                sender = apprise.Apprise(asset=_asset(apprise))
                sender.add(self._service(apprise))
                accepted = bool(sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
            except SettingsError:
                raise
            except Exception as error:
                raise NotTaken(f"unexpected {type(error).__name__}") from None  # its text may quote the address
        if not accepted:
            raise NotTaken(_why(heard))

    def verify(self) -> None:
        """SettingsError when Apprise is missing, or does not understand what the settings say."""
        with _unheard():
            self._service(_apprise())

    def _service(self, apprise: ModuleType) -> Any:
        try:
            service = self._make(apprise, _asset(apprise))
        except Exception:
            service = None  # its text may quote the address
        if service is None:
            raise SettingsError(f"alerts: {self.name} is not an address that Apprise understands", hint=_HINT)
        return service


_HINT = (
    "Sender and recipient of mails need a whole domain: name@example.com. The form of other targets is told on"
    " https://appriseit.com/services; a password in them is written with %40 for @ and %2F for /."
)


def targets(settings: AlertSettings) -> list[Target]:
    """Every target of the settings, under names that stay the same while the settings do."""
    found = []
    if settings.webhook is not None:
        found.append(Target("webhook", _webhook(settings.webhook.get_secret_value()), _for_slack))
    if settings.email is not None:
        found += [Target(f"email to {to}", _email(settings.email, to)) for to in settings.email.to]
    for number, url in enumerate(settings.urls, 1):
        found.append(Target(f"url {number}", _url(url.get_secret_value())))
    return found


def verify(chosen: Sequence[Target]) -> None:
    """SettingsError with what is wrong with the first target that cannot be sent to."""
    for target in chosen:
        target.verify()


def _webhook(address: str) -> Make:
    """A POST of {"text": ...} and nothing else, as Slack, Mattermost, Rocket.Chat and others take it."""
    parts = urlsplit(address)
    described = {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "host": f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname,
        "port": parts.port,
        "fullpath": parts.path or "/",
        "params": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "payload": {"message": "text", "title": "", "version": "", "type": "", "attachments": ""},
    }
    return lambda apprise, asset: _instance(apprise, asset, described)


def _email(settings: EmailSettings, to: str) -> Make:
    modes = {"starttls": "starttls", "tls": "ssl", "none": "insecure"}
    described = {
        "schema": "mailto" if settings.security == "none" else "mailtos",
        "host": settings.host,
        "smtp_host": settings.host,
        "port": settings.port,
        "secure_mode": modes[settings.security],
        "user": settings.user,
        "password": settings.password.get_secret_value() if settings.password is not None else None,
        "from_addr": f"syncbridge <{settings.sender}>",
        "targets": [to],
        "format": "text",
    }
    return lambda apprise, asset: _instance(apprise, asset, described)


def _url(url: str) -> Make:
    return lambda apprise, asset: apprise.Apprise.instantiate(url, asset=asset)


def _instance(apprise: ModuleType, asset: Any, described: dict[str, Any]) -> Any:
    given = {**described, "cto": TIMEOUT, "rto": TIMEOUT}
    return apprise.Apprise.instantiate(given, asset=asset, suppress_exceptions=False)


def _for_slack(title: str, body: str) -> tuple[str, str]:
    """One text; the three characters that are syntax there are escaped, so that no name in it can call a channel."""
    text = f"*{title}*\n{body}"
    return "", text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _apprise() -> ModuleType:
    try:
        import apprise  # loads some hundred services, so only where alerts are wanted
    except ImportError:
        raise SettingsError(
            "alerts need the package Apprise, which is not installed", hint='Run: pip install "syncbridge[alerts]"'
        ) from None
    return apprise


def _asset(apprise: ModuleType) -> Any:
    """No redirects: they would carry the address of a webhook elsewhere. Nothing is kept on disk."""
    return apprise.AppriseAsset(
        app_id="syncbridge", app_desc="syncbridge", async_mode=False, http_redirects=False, storage_mode="memory"
    )


class _Unheard(logging.Filter):
    """Keeps log lines from everybody but us."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.lines.append(record.getMessage())
        return False


@contextmanager
def _unheard() -> Iterator[list[str]]:
    heard = _Unheard()
    for name in _LOUD:
        logging.getLogger(name).addFilter(heard)
    try:
        yield heard.lines
    finally:
        for name in _LOUD:
            logging.getLogger(name).removeFilter(heard)


def _why(heard: Sequence[str]) -> str:
    """In words without an address: what the target answered, when Apprise tells a status."""
    status = next((found[1] for line in heard if (found := _STATUS.search(line))), None)
    if status is not None:
        return f"it answered {status}"
    if any("connection error" in line.lower() for line in heard):
        return "it cannot be reached, or refuses the login or the line's encryption"
    return "it refused the message"
