"""Where settings stand: syncbridge.toml, the secrets folder, `.env`, the environment. Values with their origin.

Nothing is interpreted here but names and places; `config` checks what was found.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from syncbridge.errors import SettingsError

FILE_NAME = "syncbridge.toml"
PREFIX = "SYNCBRIDGE_"

_ALIASES = {"POSTGRES_DSN": ("source", "dsn")}


def variable(*path: str) -> str:
    """The environment variable of a setting: `variable("source", "password")` is `SYNCBRIDGE_SOURCE__PASSWORD`."""
    return PREFIX + "__".join(path).upper()


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    asked = path or (Path(environ[f"{PREFIX}CONFIG"]) if environ.get(f"{PREFIX}CONFIG") else None)
    if asked is None:
        usual = Path.cwd() / FILE_NAME
        return usual if usual.is_file() else None
    if not asked.is_file():
        raise SettingsError(
            f"{asked}: there is no such file", hint="`syncbridge init` writes a starter syncbridge.toml."
        )
    return asked.absolute()


Route = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """One value and where it stood. `rank` decides between layers."""

    value: Any = field(repr=False)
    origin: str
    rank: int

    @property
    def in_file(self) -> bool:
        return self.rank == 0


class Layers:
    """Collects values by route, and mistakes. `sections` are the known sections with their keys."""

    def __init__(self, folder: Path, sections: Mapping[str, Collection[str]], roots: Collection[str]) -> None:
        self.folder = folder
        self.sections = sections
        self.roots = roots
        self.given: dict[Route, Given] = {}
        self.mistakes: list[str] = []

    def put(self, route: Route, given: Given) -> None:
        held = self.given.get(route)
        if held is None or held.rank <= given.rank:
            self.given[route] = given

    def add_toml(self, file: Path) -> None:
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
            line_number = _line_of(text, route)
            self.put(route, Given(value, f"{place}:{line_number}" if line_number else place, 0))

    def add_dotenv(self, file: Path) -> None:
        if file.is_file():
            try:
                read = dotenv_values(file, encoding="utf-8", interpolate=False)
            except (OSError, UnicodeDecodeError):
                raise SettingsError(f"{shown(file)}: cannot be read as UTF-8 text") from None
            self._add_variables({k: v for k, v in read.items() if v is not None}, f" in {shown(file)}", 2)

    def add_environment(self, environ: Mapping[str, str]) -> None:
        self._add_variables(environ, "", 3)

    def _add_variables(self, variables: Mapping[str, str], where: str, rank: int) -> None:
        for name, value in variables.items():
            # an empty variable is what docker compose passes for one that is not set
            if name.upper().startswith(PREFIX) and value:
                self._add_variable(name.upper().removeprefix(PREFIX), value, f"{name.upper()}{where}", rank)

    def _add_variable(self, name: str, value: str, origin: str, rank: int) -> None:
        if name in _ALIASES:
            if self.given.get(_ALIASES[name], Given(None, "", 0)).rank < rank:
                self.put(_ALIASES[name], Given(value, origin, rank))
        elif "__" in name or name.lower() in self.roots:
            self.put(tuple(name.lower().split("__")), Given(value, origin, rank))
        elif meant := self._meant(name):
            self.mistakes.append(f"{origin}: unknown variable; did you mean {meant} (two underscores)?")

    def add_secrets_folder(self) -> None:
        """Files named like the variable, with or without its prefix: `source__password`."""
        named = self.given.get(("secrets_dir",))
        if named is None:
            return
        secrets = self.folder / str(named.value)
        if not secrets.is_dir():
            self.mistakes.append(f"{named.origin}: secrets_dir: there is no folder {str(named.value)!r}")
            return
        for file in sorted(secrets.iterdir()):
            name = file.name.upper().removeprefix(PREFIX)
            # a folder of secrets may be shared with other programs, and Kubernetes keeps hidden links in it
            ours = name in _ALIASES or name.split("__")[0].lower() in (*self.sections, "destinations")
            if ours and "." not in name and file.is_file():
                self._add_secret(file, name)

    def _meant(self, name: str) -> str:
        """What was meant by one underscore too few. Others with our prefix stay alone: Kubernetes sets some."""
        if name.startswith("DESTINATIONS_"):
            return variable("destinations", "name", "key")
        known = (variable(section, key) for section, keys in self.sections.items() for key in keys)
        return next((full for full in known if full.removeprefix(PREFIX).replace("__", "_") == name), "")

    def _add_secret(self, file: Path, name: str) -> None:
        try:
            value = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            self.mistakes.append(f"{file}: cannot be read as UTF-8 text")
            return
        if value:
            self._add_variable(name, value, str(file), 1)


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
