"""YAML files as plain values, with the line of every key; what YAML itself gets wrong is found here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from syncbridge.errors import Finding

Route = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_DEEPEST = 20
_QUOTES = "Put a text that holds `: ` in quotes."
_ONE_COLUMN = "Look at the indent: keys of one level begin in the same column."
_MOST = 20_000  # values in one file; aliases of aliases could make billions


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its values, and the line of every key and list item by its route."""

    name: str  # the path as it is shown
    data: Any
    lines: Mapping[Route, int]
    findings: tuple[Finding, ...] = ()

    def at(self, *route: str | int) -> str:
        """`file:line` of a key, or of the nearest one above it."""
        while route and route not in self.lines:
            route = route[:-1]
        return f"{self.name}:{self.lines.get(route, 1)}"


@dataclass(slots=True)
class _Reading:
    name: str
    lines: dict[Route, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    count: int = 0

    def fault(self, node: Node, message: str, remedy: str = "") -> None:
        self.findings.append(Finding("error", f"{self.name}:{node.start_mark.line + 1}", message, remedy))

    def value(self, node: Node, route: Route) -> Any:
        self.lines.setdefault(route, node.start_mark.line + 1)
        self.count += 1
        if self.count > _MOST or len(route) > _DEEPEST:
            raise ValueError("is nested too deeply")
        if isinstance(node, MappingNode):
            return self._mapping(node, route)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*route, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        return None

    def _mapping(self, node: MappingNode, route: Route) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.fault(key_node, "a key must be plain text")
                continue
            key = key_node.value
            if key in read:
                first = self.lines[(*route, key)]
                self.fault(key_node, f"{key!r} stands here twice; the first is in line {first}")
                continue
            self.lines[(*route, key)] = key_node.start_mark.line + 1
            read[key] = self.value(value_node, (*route, key))
        return read

    def _scalar(self, node: ScalarNode) -> str | int | float | bool | None:
        text: str = node.value
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int" and re.fullmatch(r"[-+]?(?:0|[1-9]\d*)", text):
            return int(text)
        if kind == "float" and re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", text):
            return float(text)
        if kind.startswith("!"):
            self.fault(node, f"the YAML tag {kind} has no meaning here", "Leave it out.")
        return text  # text, dates and unusual spellings of numbers as they were written


def read_document(path: Path) -> Document:
    """Read one file; never raises. A file that is no YAML at all has no data and one finding."""
    name = shown(path)
    try:
        return parse_document(path.read_text(encoding="utf-8-sig"), name)
    except UnicodeDecodeError:
        return _broken(name, 1, "is not UTF-8 text", "Save the file as UTF-8.")
    except OSError as error:
        return _broken(name, 1, f"cannot be read: {error.strerror}")


def parse_document(text: str, name: str) -> Document:
    """As read_document, of a text."""
    try:
        nodes = _composed(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        return _broken(name, line, f"not valid YAML: {problem}", _yaml_remedy(text, line, problem))
    except RecursionError:
        return _broken(name, 1, "is nested too deeply")
    except (YAMLError, ValueError) as error:
        return _broken(name, 1, f"not valid YAML: {_first_line(error)}")
    if not nodes or nodes[0] is None:
        return _broken(name, 1, "is empty", "`syncbridge init` writes an example mapping.")
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1 if nodes[1] is not None else 1
        return _broken(name, line, "holds a second document", "Write one mapping per file, without `---` between.")
    reading = _Reading(name)
    try:
        data = reading.value(nodes[0], ())
    except ValueError as error:
        return _broken(name, 1, str(error))
    return Document(name, data, reading.lines, tuple(reading.findings))


@lru_cache(maxsize=64)
def _composed(text: str) -> list[Node | None]:
    """The documents of a text, only to be read. Some 20 ms a file, and a process reads the same ones often."""
    return list(YAML(typ="safe", pure=True).compose_all(text))


def _broken(name: str, line: int, message: str, remedy: str = "") -> Document:
    return Document(name, None, {}, (Finding("error", f"{name}:{line}", message, remedy),))


def _yaml_remedy(text: str, line: int, problem: str) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1]:
        return "There is a tab in this line; YAML is indented with blanks."
    if "mapping values are not allowed" in problem:
        several = 0 < line <= len(lines) and lines[line - 1].count(": ") > 1
        return " ".join((_QUOTES, _ONE_COLUMN) if several else (_ONE_COLUMN, _QUOTES))
    if "<block end>" in problem:
        return _ONE_COLUMN
    return ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or "cannot be read"


def shown(path: Path) -> str:
    """A path as messages show it: from the working directory where it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
