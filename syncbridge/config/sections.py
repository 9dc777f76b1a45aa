"""The sections of the settings as frozen models: what each key is, its default and its limits.

No secret appears in a repr, a message or `masked()`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from psycopg import Error as PostgresError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from syncbridge.config.layers import variable

STORE_SCHEMA = "syncbridge"
LONGEST_LINGER = timedelta(minutes=1)
HIDDEN = "********"

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECRET_NAME = re.compile(r"password|secret|token|private|credential|api_?key", re.IGNORECASE)


def duration(value: object) -> object:
    """Read `30s`, `5m`, `200ms`; a bare number would leave the unit to be guessed."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a length of time with its unit: "200ms", "30s", "5m", "12h" or "31d"')
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def readable(duration: timedelta) -> str:
    """A length of time as the settings spell it: `5m`, `1500ms`."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a whole number")
    return value


def _connection_string(value: object) -> object:
    if value is not None and dsn_parts(value) is None:
        raise ValueError("is not a connection string that libpq accepts")
    return value


Duration = Annotated[timedelta, BeforeValidator(duration)]
Whole = Annotated[int, BeforeValidator(_not_boolean)]
Dsn = Annotated[SecretStr | None, BeforeValidator(_connection_string)]


class Section(BaseModel):
    """One section of the settings: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def masked(self) -> dict[str, Any]:
        """For display: plain values, secrets hidden."""
        return {name: _masked(name, getattr(self, name)) for name in type(self).model_fields}


class SourceSettings(Section):
    """The Postgres whose committed changes are delivered."""

    dsn: Dsn = Field(None, description="connection string, as `postgresql://...` or `host=... dbname=...`")
    host: str | None = Field(None, description="host name or socket folder, instead of a dsn")
    port: Whole | None = Field(None, ge=1, le=65535, description="port")
    user: str | None = Field(None, description="login; it needs REPLICATION and SELECT on the mapped tables")
    password: SecretStr | None = Field(None, description="secret: never in syncbridge.toml")
    dbname: str | None = Field(None, validate_default=True, description="database")
    slot: str = Field("syncbridge", pattern=r"^[a-z0-9_]{1,63}$", description="name of the replication slot")
    publication: str = Field("syncbridge", min_length=1, max_length=63, description="name of the publication")
    slot_lost: Literal["recreate", "stop"] = Field(
        "recreate", description="what a worker does when the slot alone is lost: make it anew and compare every record"
    )
    heartbeat: Duration = Field(
        timedelta(seconds=10), ge=timedelta(seconds=1), description="how often progress is proved"
    )
    wal_sender_timeout: Duration = Field(
        timedelta(seconds=60), ge=timedelta(seconds=5), description="asked of the server for our connection"
    )

    @field_validator("host", "port", "user", "dbname")
    @classmethod
    def _one_address(cls, value: object, info: ValidationInfo) -> object:
        """Two addresses in one place would contradict each other."""
        if value is not None and info.data.get("dsn") is not None:
            raise ValueError("source.dsn is given too; use one or the other")
        return value

    @field_validator("dbname")
    @classmethod
    def _some_address(cls, value: object, info: ValidationInfo) -> object:
        # `info.data` holds what was right; a wrong dsn or host has its own message
        if value is None and all(info.data.get(key, "wrong") is None for key in ("dsn", "host")):
            dsn = variable("source", "dsn")
            raise PydanticCustomError(
                "no_address", "where is Postgres? Set {dsn}, or host and dbname under [source]", {"dsn": dsn}
            )
        return value

    def conninfo(self) -> str:
        """The connection string for libpq, with the password in it: never show it."""
        parts = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": _reveal(self.password),
            "dbname": self.dbname,
        }
        return _conninfo(_reveal(self.dsn), parts)


class UnaddressedSource(SourceSettings):
    """The source where nobody connects to it: it may lack its address."""

    @field_validator("dbname")
    @classmethod
    def _some_address(cls, value: object, info: ValidationInfo) -> object:
        return value


class StoreSettings(Section):
    """Where the state lives: the schema `syncbridge` of the source database, unless a dsn says otherwise."""

    dsn: Dsn = Field(None, description="connection string of another database for the state")
    password: SecretStr | None = Field(None, description="secret: never in syncbridge.toml; goes with store.dsn")
    log_retention: Duration = Field(
        timedelta(days=31), ge=timedelta(days=1), description="how long the sync log is kept, in whole days"
    )

    @property
    def schema_name(self) -> str:
        """The schema that holds the state; fixed."""
        return STORE_SCHEMA

    @property
    def log_retention_days(self) -> int:
        """Whole days of sync log that are kept."""
        return self.log_retention.days

    def conninfo(self) -> str | None:
        """The connection string of its own database, with the password in it: never show it. None for the source's."""
        return None if self.dsn is None else _conninfo(_reveal(self.dsn), {"password": _reveal(self.password)})


class WorkerSettings(Section):
    """How much is done at once, and for how long."""

    batch: Whole = Field(1000, ge=1, le=50_000, description="records one claim takes")
    lanes: Whole = Field(2, ge=1, le=64, description="deliveries of one mapping at the same time")
    linger: Duration = Field(
        timedelta(milliseconds=200),
        ge=timedelta(0),
        le=LONGEST_LINGER,
        description="the longest that changes wait for others, so that calls fill",
    )
    lease: Duration = Field(
        timedelta(minutes=5), ge=timedelta(seconds=10), description="after this a silent worker's claim is free again"
    )
    max_attempts: Whole = Field(8, ge=1, description="refused attempts until a record is a dead letter")
    capture_batch: Whole = Field(10_000, ge=1, description="changes that one checkpoint takes at most")


class OpenValues(Mapping[str, Any]):
    """Values of a destination section. Read-only; their repr shows names, never values."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name}: {HIDDEN}' for name in self._values)}}}"


class DestinationSection(BaseModel):
    """`[destinations.NAME]`: only the registry knows what its type accepts, so its other keys stay open here."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    type: str
    linger: Duration | None = Field(None, ge=timedelta(0), le=LONGEST_LINGER)

    _name: str = PrivateAttr(default="")
    _from_file: frozenset[str] = PrivateAttr(default=frozenset())

    def stands_as(self, name: str, from_file: frozenset[str]) -> None:
        """Remember the name of the section, and which keys came from syncbridge.toml."""
        self._name = name
        self._from_file = from_file - {"type", "linger"}

    @property
    def name(self) -> str:
        """NAME, as mapping files use it."""
        return self._name

    @property
    def values(self) -> Mapping[str, Any]:
        """Every key that its type knows: all but `type` and `linger`."""
        return OpenValues(self.model_extra or {})

    @property
    def from_file(self) -> frozenset[str]:
        """The keys that came from syncbridge.toml: none of them may be a secret."""
        return self._from_file

    def masked(self) -> dict[str, Any]:
        """For display: what stood in the toml and does not sound secret; the rest hidden."""
        shown = {name: self._shown(name, value) for name, value in self.values.items()}
        linger = {} if self.linger is None else {"linger": readable(self.linger)}
        return {"type": self.type, **linger, **shown}

    def _shown(self, name: str, value: Any) -> Any:
        if name not in self.from_file or _SECRET_NAME.search(name):
            return HIDDEN
        if isinstance(value, Mapping):
            return {
                key: self._shown(name, inner) if not _SECRET_NAME.search(key) else HIDDEN
                for key, inner in value.items()
            }
        return value

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield from (("name", self.name), ("type", self.type), ("values", self.values))


def dsn_parts(dsn: object) -> dict[str, Any] | None:
    """The parts of a connection string; None when it is none."""
    # libpq's own message may repeat parts of the dsn, so it is dropped
    try:
        return dict(conninfo_to_dict(dsn)) if isinstance(dsn, str) else None
    except PostgresError:
        return None


def _conninfo(dsn: str | None, parts: Mapping[str, Any]) -> str:
    given = {key: value for key, value in parts.items() if value is not None}
    named = dsn_parts(dsn or "") or {}
    name = {} if "application_name" in named else {"application_name": "syncbridge"}
    return make_conninfo(dsn or "", **name, **given)


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _masked(name: str, value: Any) -> Any:
    if name == "dsn" and isinstance(value, SecretStr):
        parts = dsn_parts(value.get_secret_value()) or {}
        return " ".join(f"{key}={HIDDEN if key == 'password' else part}" for key, part in parts.items())
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Section):
        return value.masked()
    if isinstance(value, tuple):
        return [_masked(name, each) for each in value]
    return readable(value) if isinstance(value, timedelta) else value
