"""The JSON Schema takes what the mapping language takes, and refuses what an editor could know to be wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from syncbridge.mapping.json_schema import mapping_schema

ROOT = Path(__file__).parents[2]
SCHEMA = mapping_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
HEAD = "mapping: m\ndestination: d\nobject: O\nentity: {table: t, key: id}\nexternal_id: K\n"
DOCUMENTED = re.findall(
    r"^```yaml *(\w*)\n(.*?)^```", (ROOT / "docs" / "mapping.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def _load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "mappings").glob("*.yaml")), ids=lambda path: path.name)
def test_the_example_mappings_fit(path: Path) -> None:
    VALIDATOR.validate(_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("kind", "snippet"), DOCUMENTED)
def test_the_documented_examples_fit(kind: str, snippet: str) -> None:
    if kind == "fields":
        snippet = HEAD + "fields:\n" + re.sub(r"^(?=.)", "  ", snippet, flags=re.MULTILINE)
    elif kind == "rest":
        snippet = HEAD + "fields: {A: a}\n" + snippet
    VALIDATOR.validate(_load(snippet))


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + "fields: {}",
        HEAD + "fields: {A: 5}",
        HEAD + "fields: {A: {}}",
        HEAD + "fields: {A: {column: a, sql: b}}",
        HEAD + "fields: {A: {lookup: companies}}",
        HEAD + "fields: {A: {column: a, key: b}}",
        HEAD + "fields: {A: {colunm: a}}",
        HEAD + "fields: {A: {column: a, owner: me}}",
        HEAD + "fields: {A: {column: a, sensitive: 'yes'}}",
        HEAD + "fields: {A: a}\nguard: {deletes: 100}",
        HEAD + "fields: {A: a}\nguard: {refused: 20}",
        HEAD + "fields: {A: a}\ndeletes: {to_destination: {put: {A: 1}}}",
        HEAD + "fields: {A: a}\npoll: {every: soon}",
        HEAD + "fields: {A: a}\npoll: {formulas: never}",
        HEAD + "fields: {A: a}\ndirection: up",
        HEAD + "fields: {A: a}\nconflict: random",
        HEAD + "fields: {A: a}\nrequire: {A b: x}",
        HEAD + "fields: {A: a}\nmatch_on: 5",
        HEAD + "fields: {A: a}\nzzz: 5",
        HEAD.replace("key: id", "key: id, related: {c: {table: x}}") + "fields: {A: a}",
        HEAD.replace("mapping: m", "mapping: My Mapping") + "fields: {A: a}",
    ],
)
def test_what_an_editor_can_know_to_be_wrong_is_refused(text: str) -> None:
    assert not VALIDATOR.is_valid(_load(text))


def test_every_key_is_explained() -> None:
    parts = [SCHEMA, *SCHEMA["$defs"].values()]
    bare = [
        name
        for part in parts
        for name, key in part["properties"].items()
        if "description" not in key and part.get("description") != "`{set: {Field: value}}`"
    ]
    assert bare == []


def test_defaults_are_written_as_a_file_spells_them() -> None:
    parts = SCHEMA["$defs"]
    assert parts["GuardSpec"]["properties"]["deletes"]["default"] == "100 per hour"
    assert parts["PollSpec"]["properties"]["every"]["default"] == "30s"
    assert parts["PollSpec"]["properties"]["formulas"]["default"] == "1h"
    keys = [key for part in (SCHEMA, *parts.values()) for key in part["properties"].values()]
    for key in keys:
        if "default" in key:
            Draft202012Validator({**key, "$defs": parts}).validate(key["default"])
