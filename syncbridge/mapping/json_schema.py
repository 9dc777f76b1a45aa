"""The mapping language as JSON Schema, so that editors complete and explain keys while a mapping is written.

It says what single values look like. What concerns several keys, tables or remote objects is for `syncbridge check`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from syncbridge.mapping.forms import ALIAS, Rate
from syncbridge.mapping.spec import EntitySpec, FieldSpec, MappingSpec, PollSpec, RelationSpec

#: What fills a field: exactly one of these keys.
_SOURCES = ("column", "sql", "constant", "lookup")


class _Generate(GenerateJsonSchema):
    """Writes defaults as a mapping file spells them."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice"}

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Rate):
            return str(dft)
        if isinstance(dft, BaseModel):  # of a whole part: what its own keys say
            return {}
        return super().encode_default(dft)


def mapping_schema() -> dict[str, Any]:
    """The schema of one mapping file (JSON Schema, draft 2020-12)."""
    schema = MappingSpec.model_json_schema(schema_generator=_Generate)
    _tidy(schema)
    parts = schema["$defs"]
    for part, key in (
        (parts[EntitySpec.__name__], "related"),
        (parts[RelationSpec.__name__], "rollup"),
        (schema, "require"),
    ):
        part["properties"][key]["propertyNames"] = {"pattern": f"^{ALIAS}$"}
    for key, default in (("every", "30s"), ("formulas", "1h")):
        parts[PollSpec.__name__]["properties"][key]["default"] = default
    field = parts[FieldSpec.__name__]
    field["oneOf"] = [{"required": [source]} for source in _SOURCES]
    field["dependentRequired"] = {"lookup": ["key"], "key": ["lookup"], "missing": ["lookup"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A mapping of syncbridge",
    }


def _tidy(part: object) -> None:
    """Take out what says nothing to a person: titles made of names, and defaults that are null or empty."""
    if isinstance(part, list):
        for item in part:
            _tidy(item)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("title"), str):
        del part["title"]
    if "default" in part and part["default"] in (None, {}, []):
        del part["default"]
    for value in part.values():
        _tidy(value)
