"""docs/mapping.md: every example in it is read, every key is explained, every promised message is real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syncbridge.errors import MappingError
from syncbridge.mapping.document import parse_document
from syncbridge.mapping.files import parse_mapping, read_mappings
from syncbridge.mapping.spec import (
    CreatesSpec,
    DeletesSpec,
    EntitySpec,
    FieldSpec,
    GuardSpec,
    MappingSpec,
    Part,
    PollSpec,
    RelationSpec,
)

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "mapping.md").read_text(encoding="utf-8")
PARTS = [MappingSpec, EntitySpec, RelationSpec, FieldSpec, CreatesSpec, DeletesSpec, GuardSpec, PollSpec]
SNIPPETS = re.findall(r"^```yaml *(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
HEAD = "mapping: m\ndestination: d\nobject: O\nentity: {table: t, key: id}\nexternal_id: K\n"


@pytest.mark.parametrize(("kind", "snippet"), SNIPPETS)
def test_every_example_is_read(kind: str, snippet: str) -> None:
    if kind == "fields":
        assert parse_document(snippet, "docs").findings == ()
        snippet = HEAD + "fields:\n" + re.sub(r"^(?=.)", "  ", snippet, flags=re.MULTILINE)
    elif kind == "rest":
        snippet = HEAD + "fields: {A: a}\n" + snippet
    parse_mapping(snippet)


def test_there_are_examples() -> None:
    assert len(SNIPPETS) >= 8


@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_explained(part: type[Part]) -> None:
    assert [key for key in part.model_fields if f"`{key}`" not in TEXT and f"{{{key}: " not in TEXT] == []


def test_messages_are_quoted_as_they_are() -> None:
    text = (
        "mapping: people\ndestinaton: d\nobject: O\nentity:\n  table: t\n  where: (a\n  key: id\nfields:\n"
        "  LastName: {column: a, sql: b}\nexternal_id: K\n\nguard: {deletes: 5}\n"
    )
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "mappings/people.yaml")
    quoted = re.findall(r"^mappings/people.yaml:\d+: .*", TEXT, re.MULTILINE)
    assert len(quoted) == 4
    assert [line for line in quoted if line not in caught.value.message.split("\n")] == []


def test_the_example_mappings_are_read() -> None:
    assert [spec.mapping for spec in read_mappings(ROOT / "mappings")] == ["companies", "orders", "people"]
