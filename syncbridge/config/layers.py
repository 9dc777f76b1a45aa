"""The sources of the settings: the environment, `.env`, the secrets folder, syncbridge.toml. Values with their origin.

pydantic-settings asks them in this order, merges what they give, and validates the whole (`config.Settings`). Its stock
sources would not do: they keep no origin for a message, pass over unknown variables, take a secret like `0123` for JSON
where a section is open, expand `${...}` in `.env`, and read no environment but the process's own. Nothing is
interpreted here but names and places.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from syncbridge.errors import SettingsError

FILE_NAME = "syncbridge.toml"
PREFIX = "SYNCBRIDGE_"
DELIMITER = "__"

Route = tuple[str, ...]

OPEN_SECTION = "destinations"  # its keys are anybody's

_ALIASES: Mapping[str, Route] = {"POSTGRES_DSN": ("source", "dsn")}
_FOLDERS: Collection[Route] = {("mappings",), ("secrets_dir",)}
_ADDRESS = frozenset({"host", "port", "user", "dbname"})


def variable(*path: str) -> str:
    """The environment variable of a setting: `variable("source", "password")` is `SYNCBRIDGE_SOURCE__PASSWORD`."""
    return PREFIX + DELIMITER.join(path).upper()


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The settings file that was asked for, or the usual one; None when there is none and none was asked for."""
    asked = path or (Path(environ[f"{PREFIX}CONFIG"]) if environ.get(f"{PREFIX}CONFIG") else None)
    if asked is None:
        usual = Path.cwd() / FILE_NAME
        return usual if usual.is_file() else None
    if not asked.is_file():
        raise SettingsError(
            f"{asked}: there is no such file", hint="`syncbridge init` writes a starter syncbridge.toml."
        )
    return asked.absolute()


def sections(settings_cls: type[BaseSettings]) -> dict[str, tuple[str, ...]]:
    """The sections of the settings with their keys; not the open one."""
    fields = {name: field.annotation for name, field in settings_cls.model_fields.items()}
    return {
        name: tuple(section.model_fields)
        for name, section in fields.items()
        if isinstance(section, type) and issubclass(section, BaseModel)
    }


class _Tree(dict[str, Any]):
    """What a layer gives. pydantic-settings can log that for debugging; secrets stay out of it."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


class Layer(PydanticBaseSettingsSource):
    """One place where settings stand: values by route, the origin of each, and what could not be read."""

    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_cls)
        self.folder = folder
        self.values: dict[Route, Any] = {}
        self.origins: dict[Route, str] = {}
        self.mistakes: list[str] = []

    def put(self, route: Route, value: Any, origin: str) -> None:
        self.values[route] = value
        self.origins[route] = origin

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, as the interface of sources wants it."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        tree = _Tree()
        for route, value in sorted(self.values.items(), key=lambda item: len(item[0])):
            node: dict[str, Any] = tree
            for step in route[:-1]:
                below = node.setdefault(step, {})
                node = below if isinstance(below, dict) else {}
            if isinstance(value, dict):
                node.setdefault(route[-1], {})
            elif route in _FOLDERS and isinstance(value, str):
                node[route[-1]] = self.folder / value
            else:
                node[route[-1]] = value
        return tree


class _Variables(Layer):
    """A layer whose values have names of variables."""

    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_cls, folder)
        self._sections = sections(settings_cls)
        self._single = settings_cls.model_fields.keys() - self._sections.keys() - {OPEN_SECTION}

    def _add(self, variables: Mapping[str, str | None], where: str) -> None:
        # an empty variable is what docker compose passes for one that is not set
        ours = {name.upper(): value for name, value in variables.items() if name.upper().startswith(PREFIX) and value}
        self._add_named((name.removeprefix(PREFIX), value, f"{name}{where}") for name, value in ours.items())

    def _add_named(self, named: Iterable[tuple[str, str, str]]) -> None:
        # short names first, so that a full one wins
        for name, value, origin in sorted(named, key=lambda given: given[0] not in _ALIASES):
            if name in _ALIASES:
                self.put(_ALIASES[name], value, origin)
            elif DELIMITER in name or name.lower() in self._single:
                self.put(tuple(name.lower().split(DELIMITER)), value, origin)
            elif meant := self._meant(name):
                self.mistakes.append(f"{origin}: unknown variable; did you mean {meant} (two underscores)?")

    def _meant(self, name: str) -> str:
        """What was meant by one underscore too few. Others with our prefix stay alone: Kubernetes sets some."""
        if name.startswith(f"{OPEN_SECTION}_".upper()):
            return variable(OPEN_SECTION, "name", "key")
        known = (variable(section, key) for section, keys in self._sections.items() for key in keys)
        return next((full for full in known if full.removeprefix(PREFIX).replace(DELIMITER, "_") == name), "")


class Environment(_Variables):
    """The variables that were passed in."""

    def __init__(self, settings_cls: type[BaseSettings], folder: Path, environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls, folder)
        self._add(environ, "")


class DotEnv(_Variables):
    """`.env` beside syncbridge.toml."""

    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_cls, folder)
        file = folder / ".env"
        if file.is_file():
            try:
                read = dotenv_values(file, encoding="utf-8", interpolate=False)
            except (OSError, UnicodeDecodeError):
                raise SettingsError(f"{shown(file)}: cannot be read as UTF-8 text") from None
            self._add(read, f" in {shown(file)}")


class SecretsFolder(_Variables):
    """Files named like the variable, with or without its prefix: `source__password`."""

    def __init__(self, settings_cls: type[BaseSettings], folder: Path, others: Iterable[Layer]) -> None:
        super().__init__(settings_cls, folder)
        route = ("secrets_dir",)
        naming = next((layer for layer in others if route in layer.values), None)
        # anything but a text is refused as the setting that it is
        if naming is None or not isinstance(name := naming.values[route], str):
            return
        try:
            files = sorted((folder / name).iterdir())
        except OSError:
            reason = "cannot be read: " if (folder / name).is_dir() else "there is no folder "
            self.mistakes.append(f"{naming.origins[route]}: secrets_dir: {reason}{name!r}")
            return
        self._add_named(self._secrets(files))

    def _secrets(self, files: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
        for file in files:
            name = file.name.upper().removeprefix(PREFIX)
            # a folder of secrets may be shared with other programs, and Kubernetes keeps hidden links in it
            ours = name in _ALIASES or name.split(DELIMITER)[0].lower() in (*self._sections, OPEN_SECTION)
            if ours and "." not in name and file.is_file():
                try:
                    value = file.read_text(encoding="utf-8").rstrip("\r\n")
                except (OSError, UnicodeDecodeError):
                    self.mistakes.append(f"{file}: cannot be read as UTF-8 text")
                    continue
                if value:
                    yield name, value, str(file)


class TomlFile(Layer):
    """syncbridge.toml; empty when there is none."""

    def __init__(self, settings_cls: type[BaseSettings], folder: Path, file: Path | None) -> None:
        super().__init__(settings_cls, folder)
        if file is None:
            return
        place = shown(file)
        try:
            text = file.read_text(encoding="utf-8")
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message, _, at = str(error).partition(" (at line ")
            line = f":{at.partition(',')[0]}" if at else ""
            raise SettingsError(f"{place}{line}: not valid TOML: {message}") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"{place}: cannot be read: {reason}") from None
        for route, value in _leaves(data):
            number = _line_of(text, route)
            self.put(route, value, f"{place}:{number}" if number else place)

    def __call__(self) -> dict[str, Any]:
        """What stands in the file. An address of Postgres from outside replaces the file's as a whole."""
        tree = super().__call__()
        inside, outside = tree.get("source"), self.current_state.get("source")
        if isinstance(inside, dict) and isinstance(outside, dict):
            if "dsn" in outside:
                tree["source"] = {key: value for key, value in inside.items() if key not in _ADDRESS}
            elif _ADDRESS & outside.keys():
                inside.pop("dsn", None)
        return tree


class Layers:
    """The layers of one project, read. The environment is passed in."""

    def __init__(self, settings_cls: type[BaseSettings], file: Path | None, environ: Mapping[str, str]) -> None:
        self.file = file
        folder = file.parent if file else Path.cwd()
        environment = Environment(settings_cls, folder, environ)
        dotenv = DotEnv(settings_cls, folder)
        self.toml = TomlFile(settings_cls, folder, file)
        self._outside = (environment, dotenv, SecretsFolder(settings_cls, folder, (environment, dotenv, self.toml)))
        self._layers: tuple[Layer, ...] = (*self._outside, self.toml)
        unsaid = {"mappings": folder / "mappings", **{name: {} for name in sections(settings_cls)}}
        #: For pydantic-settings: those that win first, and below them what holds where nothing is said.
        self.sources = (*self._layers, InitSettingsSource(settings_cls, init_kwargs=unsaid))

    @property
    def mistakes(self) -> list[str]:
        """What the layers could not read or place, one a line."""
        return [mistake for layer in self._layers for mistake in layer.mistakes]

    def keys_from_file(self, section: Route) -> frozenset[str]:
        """The keys of a section that syncbridge.toml has the last word on."""
        held = [route for route in self.toml.values if len(route) > len(section) and route[: len(section)] == section]
        return frozenset(
            route[len(section)] for route in held if not any(route in layer.values for layer in self._outside)
        )

    def origin(self, route: Route) -> str:
        """Where a value stood, as file:line or the variable's name; of a section, where it begins; "" for neither."""
        exact = (layer.origins[route] for layer in self._layers if route in layer.origins)
        below = (
            origin
            for layer in reversed(self._layers)
            for held, origin in layer.origins.items()
            if held[: len(route)] == route
        )
        return next(chain(exact, below), "")


def _leaves(data: Mapping[str, Any], route: Route = ()) -> Iterator[tuple[Route, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*route, key))
        else:
            yield (*route, key), value


def _line_of(text: str, route: Route) -> int | None:
    """The line where a key of TOML stands; tomllib tells none. None for spellings this does not look for."""
    table: Route = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = _steps(header[1])
            if table[: len(route)] == route:
                return number
        elif assignment := re.match(r"\s*([^=#]+?)\s*=", line):
            found = (*table, *_steps(assignment[1]))
            if found[: len(route)] == route or (route[: len(found)] == found and "{" in line):
                return number
    return None


def _steps(dotted: str) -> Route:
    return tuple(step.strip().strip("\"'") for step in dotted.split("."))


def shown(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
