"""Keys of rows in SQL: the text of a key from its columns, and back. Pure; nothing here is escaped for psycopg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from syncbridge.mapping.sql import qualified, quoted
from syncbridge.schemas import Column

#: Base types whose output text names a row in every session, so that it can be its key.
KEY_TYPES = frozenset(
    {"int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "citext", "uuid", "enum", "bool", "date"}
)
#: Of these, equal values always have equal texts.
PLAIN_KEYS = frozenset({"int2", "int4", "int8", "uuid", "enum", "bool", "date"})
_BUILT_IN = KEY_TYPES - {"citext", "enum"}

KEYS = quoted("_syncbridge")
_KEY_COLUMN = quoted("_syncbridge_key")  # no column of a table may be named like it
#: A key that was given, and all of them: the query's first parameter.
KEY = f"{KEYS}.{_KEY_COLUMN}"
GIVEN = f"unnest(%s::text[]) as {KEYS}({_KEY_COLUMN})"


def key_parts(columns: Sequence[Column]) -> Iterator[tuple[Column, str]]:
    """Each key column with the SQL that takes its value out of a key's text."""
    if len(columns) == 1:
        yield columns[0], f"({KEY})::{cast(columns[0])}"
        return
    for index, column in enumerate(columns):
        yield column, f"({KEY}::pg_catalog.jsonb ->> {index})::{cast(column)}"


def key_text(table: str, columns: Sequence[Column]) -> str:
    """The SQL of a row's key, equal to keys.encode_key of its column texts."""
    return text_of([qualified(table, column.name) for column in columns])


def text_of(expressions: Sequence[str]) -> str:
    """The same of expressions that are not null."""
    texts = [f"pg_catalog.format('%s', {expression})" for expression in expressions]
    if len(texts) == 1:
        return texts[0]
    return f"pg_catalog.jsonb_build_array({', '.join(texts)})::text"


def cast(column: Column) -> str:
    """A type to read a key's text with, never one with a length: a cast to varchar(3) would cut it silently."""
    if column.base_type == "varchar":
        return "pg_catalog.text"
    return f"pg_catalog.{column.base_type}" if column.base_type in _BUILT_IN else column.type
