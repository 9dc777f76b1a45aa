"""The way back: from a destination's normal form to the text that Postgres takes as input for a column.

One function per field, chosen once, as `reading.reader` is for the way there. What the column would not hold exactly
is refused (RecordRejected, never with the value): Postgres would round it, and the rounded value would then go out and
change the remote record. Where a text spells a number, a date or a uuid, the column's own spelling is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledField
from syncbridge.mapping.types.fit import fit_back
from syncbridge.mapping.types.reading import READABLE
from syncbridge.mapping.types.reverse import reverse
from syncbridge.mapping.types.spelling import spelling
from syncbridge.model import Normal, Normaliser
from syncbridge.schemas import Column, RemoteField

Writer = Callable[[Normal], str | None]

#: What stands for null in a column that may not hold it: a destination cannot tell '' from null.
_EMPTY: Mapping[str, str] = dict.fromkeys(("text", "varchar", "bpchar", "citext", "name"), "")
#: Input types without a length or a scale, as a cast to one with would cut or round silently; storing then refuses.
_INPUT_TYPES: Mapping[str, str] = {
    **{name: f"pg_catalog.{name}" for name in READABLE if not name.startswith(("citext", "enum"))},
    "varchar": "pg_catalog.text",
    "bpchar": "pg_catalog.text",
    "varchar[]": "pg_catalog.text[]",
    "bpchar[]": "pg_catalog.text[]",
    "money": "pg_catalog.numeric::pg_catalog.money",  # its own input depends on lc_monetary
}


def input_sql(column: Column, placeholder: str = "%s") -> str:
    """The SQL that takes what `writer` gives for this column: `%s::pg_catalog.text::pg_catalog.int4`."""
    return f"{placeholder}::pg_catalog.text::{_INPUT_TYPES.get(column.base_type, column.type)}"


def field_writer(mapped: CompiledField, column: Column, field: RemoteField, normalise: Normaliser) -> Writer:
    """The function of one mapped field from normal form to text, or None for null: through its `values`, if it has any.

    A remote value that is on no right side refuses its record. Null, and what stands for null on the way there (the
    default, or with `values` false in a checkbox), comes back as null unless it is on a right side itself.
    """
    if mapped.values is None:
        return _without_default(writer(column, field, normalise), mapped, column, normalise)
    table, shared = reverse(mapped.values, normalise, boolean=column.base_type == "bool")
    ambiguous = {normal for normal, _ in shared}
    blank = normalise(mapped.default)

    def translated(value: Normal) -> str | None:
        if value is None and not column.not_null:
            return None
        if value in ambiguous:
            _refuse(field, "VALUE_AMBIGUOUS", "several left sides under values: stand for the value")
        if value in table:
            return table[value]
        if value == blank and not column.not_null:
            return None
        if value is None:
            _refuse(field, "NULL_NOT_ALLOWED", f"{column.name} may not be null")
        _refuse(field, "VALUE_NOT_MAPPED", "the value is not on a right side under values:")

    return translated


def _without_default(write: Writer, mapped: CompiledField, column: Column, normalise: Normaliser) -> Writer:
    """The default that was sent for null is null again, where the column may hold that."""
    if mapped.default is None or column.not_null:
        return write
    default = normalise(mapped.default)
    return lambda value: None if value == default else write(value)


def writer(column: Column, field: RemoteField, normalise: Normaliser) -> Writer:
    """The function from a field's normal form to the column's text, or None for null.

    Null stays null. Where the column may not be null, '' stands for it in texts and `{}` in arrays, and others refuse.
    Raises SchemaDrift for a pair that does not fit.
    """
    if fit_back(column.base_type, field.kind).severity == "error":
        raise SchemaDrift(
            f"{field.name}: {column.type} does not fit a field of type {field.kind}",
            hint="Run `syncbridge check`, and mend the mapping.",
        )
    spell = spelling(column, normalise)
    absent = _in_place_of_null(column)

    def written(value: Normal) -> str | None:
        if value is None:
            if absent is None and column.not_null:
                _refuse(field, "NULL_NOT_ALLOWED", f"{column.name} may not be null")
            return absent
        try:
            return spell(value)
        except RecordRejected as rejected:
            _refuse(field, rejected.code, rejected.message)

    return written


def _refuse(field: RemoteField, code: str, what: str) -> NoReturn:
    """Refuse the record, with the field's name before what is wrong."""
    raise RecordRejected(f"{field.name}: {what}", code=code, fields=(field.name,)) from None


def _in_place_of_null(column: Column) -> str | None:
    if not column.not_null:
        return None
    return "{}" if column.base_type.endswith("[]") else _EMPTY.get(column.base_type)
