"""The arrows between the parts of the Salesforce sandbox: what speaks an API stands on the store, never under it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import syncbridge.sandbox.salesforce

PACKAGE = Path(syncbridge.sandbox.salesforce.__file__).parent
NAME = "syncbridge.sandbox.salesforce."
#: Folder -> the other parts that it may import. Files beside the folders join the parts and may import all of them.
MAY_IMPORT = {
    "org": set(),
    "store": {"org", "errors"},
    "soql": {"org", "store", "errors"},
    "rest": {"org", "store", "soql", "errors", "call"},
    "soap": {"org", "store", "rest", "errors", "call", "auth"},
    "bulk": {"org", "store", "soql", "errors", "call", "faults"},
    "bulk_v1": {"org", "store", "rest", "soap", "bulk", "errors", "call"},
}


def _arrows() -> Iterator[tuple[str, str, str]]:
    """(importing folder, imported part, place)."""
    for folder in MAY_IMPORT:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
                    part = str(node.module).removeprefix(NAME).partition(".")[0]
                    if part != folder:
                        yield folder, part, f"{path.relative_to(PACKAGE)}:{node.lineno}"


def test_every_folder_has_its_place() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(MAY_IMPORT)


def test_no_part_imports_one_that_stands_on_it() -> None:
    wrong = [f"{place}: {folder} imports {part}" for folder, part, place in _arrows() if part not in MAY_IMPORT[folder]]
    assert wrong == []


def test_nothing_is_allowed_that_nobody_uses() -> None:
    used = {(folder, part) for folder, part, _ in _arrows()}
    assert {(folder, part) for folder, parts in MAY_IMPORT.items() for part in parts} == used
