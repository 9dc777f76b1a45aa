"""Settings of a Salesforce destination: `[destinations.NAME]` with `type = "salesforce"`.

Secrets come from the environment, `.env` or the secrets folder, never from syncbridge.toml, and are shown nowhere.
"""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from syncbridge.destinations.salesforce.hosts import LOGIN_HOSTS, login_host
from syncbridge.errors import SettingsError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")


def _seconds(value: object) -> object:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) * _UNITS[match[2]] if match else value


def _trimmed_url(value: object) -> object:
    return value.strip().rstrip("/") if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds)]


class SalesforceSettings(BaseModel):
    """How to sign in to one org, and how much of it to use."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    login: Literal["client_credentials", "jwt", "refresh_token", "password", "session"] = Field(
        description="how to sign in"
    )
    instance_url: Annotated[str, BeforeValidator(_trimmed_url)] | None = Field(
        None, description="the org's My Domain: https://acme.my.salesforce.com; plain http only to this machine"
    )
    domain: str | None = Field(None, description="`login`, `test` (sandboxes) or a My Domain such as `acme`")
    client_id: str | None = Field(None, description="consumer key of the connected app")
    client_secret: SecretStr | None = Field(None, description="secret: consumer secret of the connected app")
    username: str | None = Field(None, description="for jwt and password")
    password: SecretStr | None = Field(None, description="secret")
    security_token: SecretStr | None = Field(None, description="secret: asked for outside trusted networks")
    private_key: SecretStr | None = Field(None, description="secret: PEM text, for jwt")
    private_key_file: Path | None = Field(None, description="file with the private key, for jwt")
    refresh_token: SecretStr | None = Field(None, description="secret: of the web server or device flow")
    refresh_token_file: Path | None = Field(None, description="file that keeps it, where the org rotates it")
    session_id: SecretStr | None = Field(None, description="secret: an access token that somebody else obtained")
    proxy: SecretStr | None = Field(
        None, description="http://host:port, or `none`; else HTTPS_PROXY and NO_PROXY count"
    )
    ca_file: Path | None = Field(None, description="PEM file of further certificate authorities to trust")
    certificate_file: Path | None = Field(
        None, description="PEM file of a client certificate, where the org asks for one"
    )
    certificate_key_file: Path | None = Field(None, description="its key, where that is a file of its own")
    api_version: str = Field("66.0", pattern=r"^\d{2,3}\.0$", description="REST API version")
    calls_in_flight: int = Field(4, ge=1, le=25, description="calls at the same time, over all mappings")
    bulk_from: int = Field(2000, ge=0, description="records due from which bulk jobs carry them; `0`: never")
    bulk_jobs: int = Field(3, ge=1, le=20, description="bulk jobs at the same time, over all mappings")
    connect_timeout: Seconds = Field(10.0, gt=0, le=60, description="seconds")
    read_timeout: Seconds = Field(60.0, gt=0, le=600, description="seconds until an answer must begin")
    daily_share: float = Field(0.8, gt=0, le=1, description="part of the org's daily API calls after which we stop")
    slow_at: float = Field(0.7, gt=0, le=1, description="part of them from which calls are spaced out")
    assignment_rules: bool = Field(False, description="let writes run the org's active assignment rules")
    duplicate_rules: Literal["obey", "allow_save"] = Field("obey", description="`allow_save` saves in spite of alerts")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """What the chosen way to sign in needs is there."""
        missing = [name for name in _NEEDED[self.login] if not getattr(self, name)]
        if self.login == "jwt" and not (self.private_key or self.private_key_file):
            missing.append("private_key or private_key_file")
        if self.login == "refresh_token" and not (self.refresh_token or self.refresh_token_file):
            missing.append("refresh_token or refresh_token_file")
        if missing:
            raise ValueError(f'login = "{self.login}" needs {" and ".join(missing)}')
        if self.login == "client_credentials" and self.login_host in LOGIN_HOSTS.values():
            raise ValueError('login = "client_credentials" needs the My Domain: set instance_url')
        for name in ("private_key_file", "ca_file", "certificate_file", "certificate_key_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: there is no file {path}")
        if self.certificate_key_file is not None and self.certificate_file is None:
            raise ValueError("certificate_key_file needs certificate_file")
        _check_certificates(self.ca_file, self.certificate_file, self.certificate_key_file)
        _check_proxy(self.proxy)
        return self

    @property
    def login_host(self) -> str:
        """Host (and port) that signs us in."""
        return login_host(self.domain, self.instance_url)

    @property
    def plain_http(self) -> bool:
        """Whether this machine's own servers are spoken to without TLS (a sandbox)."""
        return self.instance_url is not None and self.instance_url.startswith("http://")

    def secrets(self) -> Iterator[str]:
        """All secret texts, so that they can be taken out of messages."""
        for name in SECRETS:
            value = getattr(self, name)
            if value is not None and value.get_secret_value():
                yield value.get_secret_value()
        if self.proxy is not None and (password := urlsplit(self.proxy.get_secret_value()).password):
            yield from (password, unquote(password))


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "client_credentials": ("client_id", "client_secret"),
    "jwt": ("client_id", "username"),
    "refresh_token": ("client_id",),
    "password": ("username", "password"),
    "session": ("session_id", "instance_url"),
}
#: Settings that may not stand in syncbridge.toml.
SECRETS = ("client_secret", "password", "security_token", "private_key", "refresh_token", "session_id")


def read_settings(name: str, values: Mapping[str, Any], from_file: frozenset[str]) -> SalesforceSettings:
    """Check the settings of destination `name`. Raises SettingsError with every mistake, one a line."""
    mistakes = [
        f"destinations.{name}.{key} is a secret and may not stand in syncbridge.toml;"
        f" set {_variable(name, key)} instead"
        for key in SECRETS
        if key in from_file
    ]
    if "proxy" in from_file and _has_password(values.get("proxy")):
        mistakes.append(
            f"destinations.{name}.proxy holds a password and may not stand in syncbridge.toml;"
            f" set {_variable(name, 'proxy')} instead"
        )
    try:
        settings = SalesforceSettings.model_validate(dict(values))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        mistakes.extend(_worded(name, detail["type"], detail["loc"], detail["msg"]) for detail in details)
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings


def _has_password(proxy: object) -> bool:
    return isinstance(proxy, str) and "@" in proxy


def _check_proxy(proxy: SecretStr | None) -> None:
    if proxy is None or proxy.get_secret_value() == "none":
        return
    try:
        parts = urlsplit(proxy.get_secret_value())
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port and parts.path in ("", "/")
    except ValueError:  # a port that is no number
        fits = False
    if not fits:
        raise ValueError("proxy should look like http://proxy.example.com:3128, or be `none`")


def _check_certificates(authority: Path | None, certificate: Path | None, key: Path | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if authority is not None:
            context.load_verify_locations(authority)
    except (ssl.SSLError, OSError):
        raise ValueError(f"ca_file: there is no certificate in PEM format in {authority}") from None
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError):
        raise ValueError(
            f"certificate_file: {certificate} and its key do not fit together; both are PEM, the key has no password"
        ) from None


def _variable(name: str, key: str) -> str:
    return f"SYNCBRIDGE_DESTINATIONS__{name.upper()}__{key.upper()}"


def _worded(name: str, kind: str, place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(["destinations", name, *map(str, place)])
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[0]), list(SalesforceSettings.model_fields), 1)
        known = ", ".join(SalesforceSettings.model_fields)
        return f"{where}: unknown setting; " + (f"did you mean {near[0]}?" if near else f"known: {known}")
    return f"{where}: {message.removeprefix('Value error, ').replace('Input should', 'should')}"
