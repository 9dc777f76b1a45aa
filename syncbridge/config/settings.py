"""Settings: read once at the start, checked as a whole, frozen, and passed down.

Four layers, the later ones win: `syncbridge.toml`, the secrets folder (one file per secret), `.env` beside the toml,
the environment. pydantic-settings merges them; `layers` are its sources. A section and its key are joined with
two underscores: `SYNCBRIDGE_WORKER__BATCH`. Secrets are never read from syncbridge.toml, and never appear in a repr, a
message or `Settings.masked()`. Every mistake of all layers is reported at once, with file and line or the name of the
variable.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from syncbridge.config.alerts import AlertSettings, EmailSettings
from syncbridge.config.layers import DELIMITER, OPEN_SECTION, PREFIX, Layers, Route, TomlFile, find_file, variable
from syncbridge.config.sections import (
    DestinationSection,
    Section,
    SourceSettings,
    StoreSettings,
    UnaddressedSource,
    WorkerSettings,
    dsn_parts,
)
from syncbridge.errors import SettingsError


def _folder(value: object) -> object:
    if not isinstance(value, str | Path):
        raise ValueError("should be the name of a folder")
    return value


def _destination_name(name: str) -> str:
    if not re.fullmatch(r"[a-z](?:_?[a-z0-9])*", name):
        # otherwise no environment variable could name it
        raise ValueError("a destination's name is made of small letters, digits and single underscores")
    return name


Folder = Annotated[Path, BeforeValidator(_folder)]
DestinationName = Annotated[str, AfterValidator(_destination_name)]


class Settings(BaseSettings):
    """All settings of one project; `load` makes it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
    )

    mappings: Folder = Field(description="the folder of mapping files, beside syncbridge.toml")
    secrets_dir: Folder | None = Field(None, description="a folder with one file per secret")
    source: SourceSettings
    store: StoreSettings
    worker: WorkerSettings
    alerts: AlertSettings
    destinations: dict[DestinationName, DestinationSection] = {}

    _path: Path | None = PrivateAttr(default=None)

    def __init__(self, layers: Layers) -> None:
        super().__init__(layers=layers)  # no value: it goes to settings_customise_sources alone
        self._path = layers.file
        for name, section in self.destinations.items():
            section.stands_as(name, layers.keys_from_file(("destinations", name)))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Our layers in place of the stock sources."""
        layers: Layers = init_settings()["layers"]
        return layers.sources

    @property
    def path(self) -> Path | None:
        """Where syncbridge.toml was found; None without one."""
        return self._path

    def linger(self, destination: str) -> float:
        """The longest that changes for this destination wait for others, in seconds."""
        section = self.destinations.get(destination)
        own = section.linger if section is not None else None
        return (self.worker.linger if own is None else own).total_seconds()

    def store_conninfo(self) -> str:
        """The connection string of the database that holds the state, with its password: never show it."""
        return self.store.conninfo() or self.source.conninfo()

    def masked(self) -> dict[str, Any]:
        """Everything for display, in plain values, without secrets."""
        sections = {name: getattr(self, name).masked() for name in SECTIONS}
        destinations = {name: section.masked() for name, section in self.destinations.items()}
        file = str(self.path) if self.path else None
        return {"file": file, "mappings": str(self.mappings), **sections, "destinations": destinations}


class OfflineSettings(Settings):
    """Settings of a command that connects to nothing."""

    source: UnaddressedSource


SECTIONS: Mapping[str, type[Section]] = {
    "source": SourceSettings,
    "store": StoreSettings,
    "worker": WorkerSettings,
    "alerts": AlertSettings,
}
ROOT_KEYS = ("mappings", "secrets_dir")

#: What must not stand in syncbridge.toml, and how it is called.
_SECRETS: Mapping[Route, str] = {
    ("source", "password"): "a password",
    ("store", "password"): "a password",
    ("alerts", "webhook"): "the address of a webhook",
    ("alerts", "urls"): "an address with its credentials",
    ("alerts", "email", "password"): "a password",
}


def load(path: Path | None, environ: Mapping[str, str], *, offline: bool = False) -> Settings:
    """Read and check all layers. Raises SettingsError with every mistake, one a line.

    `path` is the file that was asked for; otherwise SYNCBRIDGE_CONFIG, otherwise syncbridge.toml in the working
    directory, otherwise the environment alone. `offline`: nobody will connect, so no address is needed.
    """
    kind: type[Settings] = OfflineSettings if offline else Settings
    layers = Layers(kind, find_file(path, environ), environ)
    details: list[ErrorDetails] = []
    try:
        settings = kind(layers)
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False, include_url=False)
    mistakes = [*layers.mistakes, *_secrets_in_file(layers.toml), *(_told(detail, layers) for detail in details)]
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings


def _secrets_in_file(toml: TomlFile) -> Iterator[str]:
    for route, value in toml.values.items():
        if route in _SECRETS:
            what = f"{_SECRETS[route]} does not belong in a file; set {variable(*route)}"
            yield f"{toml.origins[route]}: {'.'.join(route)}: {what}"
        elif route in (("source", "dsn"), ("store", "dsn")) and (dsn_parts(value) or {}).get("password"):
            remedy = f"take it out and set {variable(route[0], 'password')}"
            yield f"{toml.origins[route]}: {'.'.join(route)}: a password does not belong in a file; {remedy}"


def _told(detail: ErrorDetails, layers: Layers) -> str:
    """One mistake that validation found, in our words."""
    route = tuple(str(step) for step in detail["loc"])
    match detail["type"]:
        case "value_error" if route[-1] == "[key]":  # the name of a destination
            route = route[:-1]
        case "extra_forbidden":
            return _line(layers, route, f"unknown setting{_near(route[-1], _known(route[:-1]))}")
        case "missing":
            section = route[:-1]
            value = "salesforce" if route[-1] == "type" else "..."
            example = f'write {route[-1]} = "{value}" under [{".".join(section)}]'
            return _line(layers, section, f"{route[-1]} is missing; {example}")
        case "no_address":
            return f"{route[0]}: {detail['msg']}"
        case "model_type" | "dict_type":
            below = "`type`" if len(route) > 1 and route[0] == OPEN_SECTION else "keys"
            return _line(layers, route, f"is a section; write [{'.'.join(route)}] with {below} below it")
    return _line(layers, route, detail["msg"].removeprefix("Value error, ").replace("Input should", "should"))


def _known(section: Route) -> Iterable[str]:
    """The keys of a section, or of the whole."""
    if section == ("alerts", "email"):
        return EmailSettings.model_fields
    return SECTIONS[section[0]].model_fields if section else Settings.model_fields


def _line(layers: Layers, route: Route, message: str) -> str:
    origin = layers.origin(route)
    return f"{f'{origin}: ' if origin else ''}{'.'.join(route)}: {message}"


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known := list(known), 1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
