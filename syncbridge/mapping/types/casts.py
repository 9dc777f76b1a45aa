"""The SQL that makes a value of one type fit a remote field of a kind that does not take it as it is.

Each is SQL that Postgres takes, and what it gives fits the field; where nothing sensible does, there is none. `{}`
stands for the expression; a key, a zone or a separator in it is an example for the author to change. None depends on
the session's zone, on lc_monetary or on bytea_output.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from syncbridge.mapping.spec import Scalar
from syncbridge.schemas import Column, FieldKind

WHOLE = frozenset({"int2", "int4", "int8", "oid"})
FLOATS = frozenset({"float4", "float8"})
TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name"})
JSON = frozenset({"json", "jsonb"})

#: Columns of these are cast where they are read: the text of such a value depends on the server's settings.
CAST_COLUMNS: Mapping[str, str] = {"money": "numeric"}

#: Where `::text` would be wrong, or would depend on a setting.
_AS_TEXT: Mapping[str, str] = {
    "timestamptz": "to_char({} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
    "money": "{}::numeric::text",
    "bytea": "encode({}, 'base64')",
}
_FROM_TEXT: Mapping[FieldKind, str] = {
    FieldKind.BOOLEAN: "boolean",
    FieldKind.INTEGER: "bigint",
    FieldKind.NUMBER: "numeric",
    FieldKind.DATE: "date",
    FieldKind.DATETIME: "timestamptz",
    FieldKind.TIME: "time",
}
_OTHERS: Mapping[FieldKind, Mapping[str, str]] = {
    FieldKind.BOOLEAN: dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), "{} <> 0"),
    FieldKind.INTEGER: {
        "float4": "round({})::bigint",
        "float8": "round({})::bigint",
        "money": "{}::numeric::bigint",
        "bool": "{}::int",
        "interval": "extract(epoch from {})::bigint",
    },
    FieldKind.NUMBER: {"money": "{}::numeric", "bool": "{}::int", "interval": "extract(epoch from {})"},
    FieldKind.DATETIME: dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), "to_timestamp({})"),
    FieldKind.TIME: {
        "timetz": "{}::time",
        "interval": "{}::time",
        "timestamp": "{}::time",
        "timestamptz": "({} at time zone 'Europe/Berlin')::time",
    },
}


def selected(expression: str, base_type: str) -> str:
    """The SQL that reads a column of this type, given the SQL that names it."""
    through = CAST_COLUMNS.get(base_type)
    return expression if through is None else f"{expression}::pg_catalog.{through}"


def selected_type(base_type: str) -> str:
    """The base type of what `selected` reads of a column of this type."""
    return CAST_COLUMNS.get(base_type, base_type)


def by_text(values: Mapping[str, Scalar | None] | None, column: Column | None) -> Mapping[str, Scalar | None] | None:
    """`values` of a field by what Postgres writes: booleans as `t` and `f`, where people write true and false."""
    if values is None:
        return None
    spelled = dict(values)
    if column is None or column.base_type == "bool":
        for written, output in (("true", "t"), ("false", "f")):
            if written in spelled:
                spelled.setdefault(output, spelled[written])
    return MappingProxyType(spelled)


def cast(base_type: str, kind: FieldKind) -> str:
    """SQL that mends the misfit, with {} for the expression; empty when there is none to suggest."""
    if kind is FieldKind.REFERENCE:
        return "{} ->> 'id'" if base_type in JSON else ""  # only a text that is a remote id makes sense
    if kind is FieldKind.MULTIPICKLIST:
        return _as_options(base_type)
    typed = _FROM_TEXT.get(kind)
    if typed is None:
        return _as_text(base_type)
    if base_type in TEXTS:
        return "{}::" + typed
    if base_type in JSON:
        return "({} ->> 'key')::" + typed
    return _OTHERS.get(kind, {}).get(base_type, "")


def _as_text(base_type: str) -> str:
    if base_type.endswith("[]"):
        return "array_to_string({}, ', ')"
    return _AS_TEXT.get(base_type, "{}::text")


def _as_options(base_type: str) -> str:
    if base_type in JSON:
        return f"array(select {base_type}_array_elements_text({{}}))"
    return "{}::text[]" if base_type.endswith("[]") else _as_text(base_type)
