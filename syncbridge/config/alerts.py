"""`[alerts]`: where alerts go, above what, and how often it is looked at. Addresses of webhooks are secrets."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from syncbridge.config.sections import Duration, Section, Whole

#: A threshold that is switched off.
OFF = "off"

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SIZES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|GB|TB)")
_ADDRESS = re.compile(r"[^\s@,<>\"]+@[^\s@,<>\"]+")


def _unless_off(value: object) -> object:
    return None if value == OFF else value


def _size(value: object) -> object:
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a size with its unit: "500MB", "10GB" or "1TB"; or "off"')
    return int(float(match[1]) * _SIZES[match[2]])


def _webhook(secret: SecretStr) -> SecretStr:
    try:
        address = urlsplit(secret.get_secret_value())
        host, _ = address.hostname, address.port
    except ValueError:
        host = None
    if not host or address.scheme not in ("http", "https") or address.username:
        raise ValueError("should be the address of a webhook: https://host/path")
    if address.scheme == "http" and host not in _LOCAL:
        raise ValueError("should begin with https://; plain http only to this machine")
    return secret


def _listed(value: object) -> object:
    """A list, or a text with its parts: variables of the environment hold no lists."""
    return tuple(part for part in re.split(r"[\s,]+", value) if part) if isinstance(value, str) else value


def _words(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("should be a mail address: name@example.com")
    return value


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("should name at least one address")
    return value


Webhook = Annotated[SecretStr, AfterValidator(_webhook)]
Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_listed), AfterValidator(_some)]


class EmailSettings(Section):
    """A mail server, and who is written to."""

    host: str = Field(min_length=1, description="the mail server that takes them")
    port: Whole | None = Field(None, ge=1, le=65535, description="587, 465 or 25 by `security` when not given")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="how the line is protected")
    sender: Address = Field(description="the address they come from")
    to: Addresses = Field(description="who gets them; each in a mail of its own")
    user: str | None = Field(None, description="login, when the server asks for one")
    password: SecretStr | None = Field(None, description="secret: never in syncbridge.toml")

    @field_validator("password")
    @classmethod
    def _not_in_clear(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and info.data.get("security") == "none" and info.data.get("host") not in _LOCAL:
            raise ValueError('a password does not go over an open line; set security to "starttls" or "tls"')
        return value


class AlertSettings(Section):
    """Nothing is looked at, and nothing is sent, while no target is given."""

    webhook: Webhook | None = Field(None, description="secret: takes {text}, as Slack's incoming webhooks do")
    email: EmailSettings | None = Field(None, description="a section of its own")
    urls: Annotated[tuple[SecretStr, ...], BeforeValidator(_words)] = Field(
        (), description="secret: further targets as Apprise spells them, with blanks between"
    )
    name: str = Field("", max_length=60, description="how messages call this project; default: database and host")
    every: Duration = Field(
        timedelta(seconds=30), ge=timedelta(seconds=1), description="how often it is looked whether something is wrong"
    )
    calm: Duration = Field(
        timedelta(minutes=5), ge=timedelta(0), description="how long a figure must be well again until that is told"
    )
    dead_letters: Annotated[Whole | None, BeforeValidator(_unless_off)] = Field(
        100, ge=0, description="more dead letters of one mapping than this"
    )
    lag: Annotated[Annotated[Duration, Field(ge=timedelta(seconds=1))] | None, BeforeValidator(_unless_off)] = Field(
        timedelta(minutes=15), description="a live change of a mapping waits longer than this"
    )
    held: Annotated[Whole | None, BeforeValidator(_unless_off)] = Field(
        100, ge=0, description="more of one mapping than this is held until a person decides"
    )
    behind: Annotated[Annotated[Duration, Field(ge=timedelta(seconds=1))] | None, BeforeValidator(_unless_off)] = Field(
        timedelta(minutes=15), description="the last poll of a mapping's way back was begun longer ago than this"
    )
    slot_retained: Annotated[Annotated[int, BeforeValidator(_size)] | None, BeforeValidator(_unless_off)] = Field(
        10 * 10**9, description="the slot keeps more log than this on the source's disk"
    )
    quota: Annotated[float | None, BeforeValidator(_unless_off)] = Field(
        0.75, gt=0, le=1, description="more than this part of a destination's daily calls is used"
    )

    @property
    def wanted(self) -> bool:
        """Whether there is somewhere to send to."""
        return bool(self.webhook or self.email or self.urls)
