"""Settings: read once at the start, checked as a whole, frozen, and passed down.

Four layers, the later ones win: `syncbridge.toml`, the secrets folder (one file per secret), `.env` beside the toml,
the environment. A section and its key are joined with two underscores: `SYNCBRIDGE_WORKER__BATCH`. Secrets are never
read from syncbridge.toml, and never appear in a repr, a message or `Settings.masked()`. Every mistake of all layers is
reported at once, with file and line or the name of the variable.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from psycopg import Error as PostgresError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from syncbridge.config_layers import Layers, Route, find_file, variable
from syncbridge.errors import SettingsError

STORE_SCHEMA = "syncbridge"
HIDDEN = "********"

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECRET_NAME = re.compile(r"password|secret|token|private|credential|api_?key", re.IGNORECASE)


def _duration(value: object) -> object:
    """Read `30s`, `5m`, `200ms`; a bare number would leave the unit to be guessed."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a length of time with its unit: "200ms", "30s", "5m", "12h" or "31d"')
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a whole number")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Whole = Annotated[int, BeforeValidator(_not_boolean)]


class Section(BaseModel):
    """One section of the settings: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SourceSettings(Section):
    """The Postgres whose committed changes are delivered."""

    dsn: SecretStr | None = Field(None, description="connection string, as `postgresql://...` or `host=... dbname=...`")
    host: str | None = Field(None, description="host name or socket folder, instead of a dsn")
    port: Whole | None = Field(None, ge=1, le=65535, description="port")
    user: str | None = Field(None, description="login; it needs REPLICATION and SELECT on the mapped tables")
    password: SecretStr | None = Field(None, description="secret: never in syncbridge.toml")
    dbname: str | None = Field(None, description="database")
    slot: str = Field("syncbridge", pattern=r"^[a-z0-9_]{1,63}$", description="name of the replication slot")
    publication: str = Field("syncbridge", min_length=1, max_length=63, description="name of the publication")
    heartbeat: Duration = Field(
        timedelta(seconds=10), ge=timedelta(seconds=1), description="how often progress is proved"
    )
    wal_sender_timeout: Duration = Field(
        timedelta(seconds=60), ge=timedelta(seconds=5), description="asked of the server for our connection"
    )

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


class StoreSettings(Section):
    """Where the state lives: the schema `syncbridge` of the source database, unless a dsn says otherwise."""

    dsn: SecretStr | None = Field(None, description="connection string of another database for the state")
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


class WorkerSettings(Section):
    """How much is done at once, and for how long."""

    batch: Whole = Field(1000, ge=1, le=50_000, description="records one claim takes")
    lanes: Whole = Field(2, ge=1, le=64, description="deliveries of one mapping at the same time")
    linger: Duration = Field(
        timedelta(milliseconds=100),
        ge=timedelta(0),
        le=timedelta(minutes=1),
        description="how long a small batch waits for more",
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


@dataclass(frozen=True, slots=True)
class DestinationSection:
    """`[destinations.NAME]`: only the registry knows what its type accepts, so its values stay open here."""

    name: str
    type: str
    values: Mapping[str, Any]  # without `type`
    from_file: frozenset[str] = frozenset()  # keys that came from syncbridge.toml: none of them may be a secret

    def masked(self) -> dict[str, Any]:
        """For display: what stood in the toml and does not sound secret; the rest hidden."""
        shown = {name: self._shown(name, value) for name, value in self.values.items()}
        return {"type": self.type, **shown}

    def _shown(self, name: str, value: Any) -> Any:
        if name not in self.from_file or _SECRET_NAME.search(name):
            return HIDDEN
        if isinstance(value, Mapping):
            return {
                key: self._shown(name, inner) if not _SECRET_NAME.search(key) else HIDDEN
                for key, inner in value.items()
            }
        return value


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one project."""

    mappings: Path  # the folder of mapping files, absolute
    source: SourceSettings
    store: StoreSettings = field(default_factory=lambda: StoreSettings.model_validate({}))
    worker: WorkerSettings = field(default_factory=lambda: WorkerSettings.model_validate({}))
    destinations: Mapping[str, DestinationSection] = field(default_factory=dict)
    path: Path | None = None  # of syncbridge.toml

    def store_conninfo(self) -> str:
        """The connection string of the database that holds the state, with its password: never show it."""
        if self.store.dsn is None:
            return self.source.conninfo()
        return _conninfo(_reveal(self.store.dsn), {"password": _reveal(self.store.password)})

    def masked(self) -> dict[str, Any]:
        """Everything for display, in plain values, without secrets."""
        sections = {name: _masked(getattr(self, name)) for name in ("source", "store", "worker")}
        destinations = {name: section.masked() for name, section in self.destinations.items()}
        file = str(self.path) if self.path else None
        return {"file": file, "mappings": str(self.mappings), **sections, "destinations": destinations}


SECTIONS: Mapping[str, type[Section]] = {"source": SourceSettings, "store": StoreSettings, "worker": WorkerSettings}
ROOT_KEYS: Mapping[str, str] = {
    "mappings": "the folder of mapping files, beside syncbridge.toml",
    "secrets_dir": "a folder with one file per secret",
}


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read and check all layers. Raises SettingsError with every mistake, one a line.

    `path` is the file that was asked for; otherwise SYNCBRIDGE_CONFIG, otherwise syncbridge.toml in the working
    directory, otherwise the environment alone.
    """
    file = find_file(path, environ)
    folder = file.parent if file else Path.cwd()
    layers = Layers(folder, {name: model.model_fields for name, model in SECTIONS.items()}, ROOT_KEYS)
    if file is not None:
        layers.add_toml(file)
    layers.add_dotenv(folder / ".env")
    layers.add_environment(environ)
    layers.add_secrets_folder()
    return _Build(layers, folder).settings(file)


class _Build:
    """Turns collected values into Settings, or raises with all mistakes."""

    def __init__(self, layers: Layers, folder: Path) -> None:
        self.given = dict(layers.given)
        self.mistakes = list(layers.mistakes)
        self.folder = folder

    def settings(self, file: Path | None) -> Settings:
        self._refuse_file_secrets()
        self._prefer_one_source()
        tree = self._tree()
        self._unknown_roots(tree)
        parts: dict[str, Any] = {
            name: self._section(name, model, tree.get(name, {})) for name, model in SECTIONS.items()
        }
        destinations = self._destinations(tree.get("destinations", {}))
        mappings = self._folder_of_mappings(tree.get("mappings", "mappings"))
        if self.mistakes:
            raise SettingsError("\n".join(self.mistakes))
        return Settings(mappings=mappings, destinations=destinations, path=file, **parts)

    def _refuse_file_secrets(self) -> None:
        for section in ("source", "store"):
            password = self.given.get((section, "password"))
            if password and password.in_file:
                self._mistake(
                    (section, "password"), f"a password does not belong in a file; set {variable(section, 'password')}"
                )
            dsn = self.given.get((section, "dsn"))
            if dsn is None:
                continue
            parts = _dsn_parts(dsn.value)
            if parts is None:
                self._mistake((section, "dsn"), "is not a connection string that libpq accepts")
            elif dsn.in_file and parts.get("password"):
                self._mistake(
                    (section, "dsn"),
                    f"a password does not belong in a file; take it out and set {variable(section, 'password')}",
                )

    def _prefer_one_source(self) -> None:
        """A dsn from outside replaces the address in the file; both in one place would contradict each other."""
        routes = [("source", key) for key in ("host", "port", "user", "dbname") if ("source", key) in self.given]
        dsn = self.given.get(("source", "dsn"))
        if dsn is None:
            if not {("source", "host"), ("source", "dbname")} & set(routes):
                self.mistakes.append(
                    f"source: where is Postgres? Set {variable('source', 'dsn')}, or host and dbname under [source]"
                )
            return
        for route in routes:
            if self.given[route].in_file and not dsn.in_file:
                del self.given[route]
            elif not self.given[route].in_file and dsn.in_file:
                self.given.pop(("source", "dsn"), None)
            else:
                self._mistake(route, "source.dsn is given too; use one or the other")

    def _tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for route, given in sorted(self.given.items(), key=lambda item: len(item[0])):
            node = tree
            for step in route[:-1]:
                below = node.setdefault(step, {})
                node = below if isinstance(below, dict) else {}
            if route[0] in (*SECTIONS, "destinations") and len(route) == 1 and given.value != {}:
                self._mistake(route, f"is a section; write [{route[0]}] with keys below it")
            elif isinstance(given.value, dict):
                node.setdefault(route[-1], {})
            else:
                node[route[-1]] = given.value
        return tree

    def _unknown_roots(self, tree: Mapping[str, Any]) -> None:
        known = [*ROOT_KEYS, *SECTIONS, "destinations"]
        for name in tree:
            if name not in known:
                self._mistake((name,), f"unknown setting{_near(name, known)}")

    def _section(self, name: str, model: type[Section], values: Any) -> Section | None:
        try:
            return model.model_validate(values if isinstance(values, dict) else {})
        except ValidationError as error:
            for detail in error.errors(include_input=False, include_url=False):
                route = (name, *(str(step) for step in detail["loc"]))
                if detail["type"] == "extra_forbidden":
                    self._mistake(route, f"unknown setting{_near(route[-1], model.model_fields)}")
                else:
                    self._mistake(route, _worded(detail["msg"]))
        return None

    def _destinations(self, sections: Mapping[str, Any]) -> dict[str, DestinationSection]:
        read: dict[str, DestinationSection] = {}
        for name, values in sections.items():
            route = ("destinations", name)
            if not isinstance(values, dict):
                self._mistake(route, f"is a section; write [destinations.{name}] with `type` below it")
            elif not re.fullmatch(r"[a-z](?:_?[a-z0-9])*", name):
                # otherwise no environment variable could name it
                self._mistake(route, "a destination's name is made of small letters, digits and single underscores")
            elif not isinstance(values.get("type"), str):
                self._mistake(route, f'type is missing; write type = "salesforce" under [destinations.{name}]')
            else:
                read[name] = self._destination(name, values)
        return read

    def _destination(self, name: str, values: Mapping[str, Any]) -> DestinationSection:
        in_file = {
            route[2]
            for route, given in self.given.items()
            if route[:2] == ("destinations", name) and len(route) > 2 and given.in_file
        }
        rest = OpenValues({key: value for key, value in values.items() if key != "type"})
        return DestinationSection(name, values["type"], rest, frozenset(in_file - {"type"}))

    def _folder_of_mappings(self, value: Any) -> Path:
        if not isinstance(value, str):
            self._mistake(("mappings",), "should be the name of a folder")
            return self.folder
        return self.folder / value

    def _mistake(self, route: Route, message: str) -> None:
        origin = next((given.origin for held, given in self.given.items() if held[: len(route)] == route), "")
        self.mistakes.append(f"{f'{origin}: ' if origin else ''}{'.'.join(route)}: {message}")


def _dsn_parts(dsn: object) -> dict[str, Any] | None:
    # libpq's own message may repeat parts of the dsn, so it is dropped
    try:
        return dict(conninfo_to_dict(dsn)) if isinstance(dsn, str) else None
    except PostgresError:
        return None


def _conninfo(dsn: str | None, parts: Mapping[str, Any]) -> str:
    given = {key: value for key, value in parts.items() if value is not None}
    named = _dsn_parts(dsn or "") or {}
    name = {} if "application_name" in named else {"application_name": "syncbridge"}
    return make_conninfo(dsn or "", **name, **given)


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _masked(section: Section) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name == "dsn" and value is not None:
            parts = _dsn_parts(value.get_secret_value()) or {}
            value = " ".join(f"{key}={HIDDEN if key == 'password' else part}" for key, part in parts.items())
        elif isinstance(value, SecretStr):
            value = HIDDEN
        elif isinstance(value, timedelta):
            value = readable(value)
        shown[name] = value
    return shown


def readable(duration: timedelta) -> str:
    """A length of time as the settings spell it: `5m`, `1500ms`."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def _worded(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "should")


def _near(name: str, known: Mapping[str, Any] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
