"""Entity keys as people type them: one column's value, or a JSON list of several."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.keys import encode_key
from syncbridge.source.refusals import first_line
from syncbridge.store.mappings import AppliedMapping

#: Base types that write one value in one way only; what is typed in another (007) means the same key.
_ONE_SPELLING = frozenset({"int2", "int4", "int8", "numeric", "uuid", "bool", "date"})


def spelled(mapping: AppliedMapping, typed: str) -> str:
    """The key as the state spells it; UsageError when it does not have the columns of the mapping's key."""
    return encode_key(_parts(mapping.name, mapping.definition["entity"]["key"], typed))


def spelled_by_source(source: Connection, mapping: CompiledMapping, typed: str) -> str:
    """The key as the source would spell it; UsageError when it can not be a key of the mapping."""
    parts = _parts(mapping.name, mapping.key, typed)
    return encode_key([_as_written(source, mapping.name, *each) for each in zip(parts, mapping.key_types, strict=True)])


def _parts(name: str, columns: Sequence[str], typed: str) -> list[str]:
    if len(columns) == 1:
        return [typed]
    try:
        values = json.loads(typed)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != len(columns):
        example = json.dumps([f"<{column}>" for column in columns])
        raise click.UsageError(f"a key of {name} is a JSON list of {len(columns)} values, such as '{example}'")
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _as_written(source: Connection, name: str, part: str, base_type: str) -> str:
    if base_type not in _ONE_SPELLING:
        return part
    query = SQL("select format('%%s', %s::text::pg_catalog.{})").format(Identifier(base_type))
    try:
        row = source.execute(query, (part,)).fetchone()
    except psycopg.DataError as error:
        raise click.UsageError(f"{part!r} cannot be a key of {name}: {first_line(error)}") from None
    assert row is not None  # a select without a table gives a row
    return str(row[0])
