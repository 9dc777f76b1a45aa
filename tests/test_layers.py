"""The arrows of docs/concepts.md, "The house": who may import whom, read from the source by ast. And other rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import syncbridge

PACKAGE = Path(syncbridge.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

#: The foundation: values, decisions by values, and what everybody may use.
BASE = {"model", "policy", "errors", "schemas", "arrays", "log"}
BOTTOM = {"mapping", "source", "destinations", "store"}

#: First part of the module's name -> what it may import besides itself. What is not named here is at the top, and may
#: import everything.
MAY_IMPORT = {
    "model": set(),
    "errors": set(),
    "schemas": {"errors"},
    "arrays": set(),
    "log": {"errors"},
    "policy": {"errors", "model"},
    "config": {"errors", "model"},
    "sandbox": BASE,
    **dict.fromkeys(BOTTOM, BASE),
    "importing": BASE | {"mapping"},
    "outbound": BASE | BOTTOM,
    "inbound": BASE | BOTTOM,
    "resync": BASE | BOTTOM,
    "reconcile": BASE | BOTTOM | {"outbound"},
    "answers": BASE | BOTTOM | {"outbound", "project"},
    "applying": BASE | BOTTOM | {"outbound", "project"},
    "loops": BASE | BOTTOM | {"outbound", "inbound", "resync", "reconcile", "fan_out", "project"},
}


def _part(path: Path) -> str:
    """`outbound` of syncbridge/outbound/plan.py, `model` of syncbridge/model.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and first part of each module of ours that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            modules = [f"syncbridge.{_part(path)}"]  # relative: stays in its folder
        elif isinstance(node, ast.ImportFrom) and node.module == "syncbridge":
            modules = [f"syncbridge.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        yield from ((node.lineno, module.split(".")[1]) for module in modules if module.startswith("syncbridge."))


@cache
def _arrows() -> list[tuple[str, str, str]]:
    """(importing part, imported part, place)."""
    return [
        (_part(path), imported, f"{path.relative_to(PACKAGE.parent)}:{line}")
        for path in FILES
        for line, imported in _imports(path)
        if imported != _part(path) and imported != "__version__"
    ]


def test_there_is_something_to_look_at() -> None:
    arrows = {(importing, imported) for importing, imported, _ in _arrows()}
    assert ("outbound", "store") in arrows
    assert ("resync", "store") in arrows


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_each_layer_imports_only_what_lies_below_it(part: str) -> None:
    forbidden = [
        f"{place} imports {imported}"
        for importing, imported, place in _arrows()
        if importing == part and imported not in MAY_IMPORT[part]
    ]
    assert forbidden == []


def test_nothing_is_imported_in_a_circle_between_layers() -> None:
    arrows = {(importing, imported) for importing, imported, _ in _arrows()}
    both = sorted(f"{one} <-> {other}" for one, other in arrows if (other, one) in arrows and one < other)
    assert both == []


def test_only_the_command_line_and_the_quickstart_print() -> None:
    prints = [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
        for path in FILES
        if _part(path) not in {"cli", "quickstart"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert prints == []


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(PACKAGE.parent)): lines
        for path in FILES
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_module_is_named_for_what_could_be_anything() -> None:
    vague = {"helper", "helpers", "util", "utils", "manager", "handler", "handlers", "common", "misc", "core"}
    assert [str(path) for path in FILES if path.stem in vague] == []


def test_only_the_registry_names_destinations() -> None:
    """Adding one touches no file above: nothing outside its folder, the registry and the quickstart imports it."""
    names = {path.name.removesuffix(".py") for path in (PACKAGE / "destinations").iterdir() if path.is_dir()}
    names -= {"__pycache__"}
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
        for path in FILES
        if not path.relative_to(PACKAGE).parts[1:2] or path.relative_to(PACKAGE).parts[1] not in names
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and any((node.module or "").startswith(f"syncbridge.destinations.{name}") for name in names)
        and _part(path) not in {"sandbox", "quickstart"}
    ]
    assert found == []
