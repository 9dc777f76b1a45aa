"""The way back: from a destination's normal form to the text that Postgres takes as input for a column.

One function per field, chosen once, as `values.reader` is for the way there. What the column would not hold exactly
is refused (RecordRejected, never with the value): Postgres would round it, and the rounded value would then go out and
change the remote record. Where a text spells a number, a date or a uuid, the column's own spelling is given.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import NoReturn

from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledField
from syncbridge.mapping.reverse import Normaliser, reverse
from syncbridge.mapping.types import fit
from syncbridge.mapping.values import READABLE
from syncbridge.model import Normal
from syncbridge.schemas import Column, RemoteField

Writer = Callable[[Normal], str | None]
_Spell = Callable[[Normal], str]  # of what is not null

_RANGES: Mapping[str, tuple[int, int]] = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    "oid": (0, 2**32 - 1),
}
_MONEY_LIMIT = Decimal(2**63).scaleb(-2)  # with two digits after the point, as nearly every locale has
_NAME_BYTES = 63
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,1000}(?:\.[0-9]{0,1000})?|\.[0-9]{1,1000})")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BOOLEANS: Mapping[str, str] = {
    "true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"
}  # fmt: skip
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
    default, or false in a checkbox), comes back as null unless it is on a right side itself.
    """
    if mapped.values is None:
        return writer(column, field, normalise)
    table, shared = reverse(mapped.values, normalise, boolean=column.base_type == "bool")
    ambiguous = {normal for normal, _ in shared}
    blank = normalise(mapped.default)

    def translated(value: Normal) -> str | None:
        if value is None and not column.not_null:
            return None
        if value in ambiguous:
            _refuse("VALUE_AMBIGUOUS", "several left sides under values: stand for the value", field)
        if value in table:
            return table[value]
        if value == blank and not column.not_null:
            return None
        _refuse("VALUE_NOT_MAPPED", "the value is not on a right side under values:", field)

    return translated


def writer(column: Column, field: RemoteField, normalise: Normaliser) -> Writer:
    """The function from a field's normal form to the column's text, or None for null.

    Null stays null. Where the column may not be null, '' stands for it in texts and `{}` in arrays, and others refuse.
    Raises SchemaDrift for a pair that does not fit.
    """
    if fit(column.base_type, field.kind).severity == "error":
        raise SchemaDrift(
            f"{field.name}: {column.type} does not fit a field of type {field.kind}",
            hint="Run `syncbridge check`, and mend the mapping.",
        )
    spell = _spelling(column, normalise)
    absent = _in_place_of_null(column)

    def written(value: Normal) -> str | None:
        if value is None:
            if absent is None and column.not_null:
                _refuse("NULL_NOT_ALLOWED", f"{column.name} may not be null", field)
            return absent
        try:
            return spell(value)
        except RecordRejected as rejected:
            _refuse(rejected.code, rejected.message, field)

    return written


def _refuse(code: str, what: str, field: RemoteField | None = None) -> NoReturn:
    if field is None:
        raise RecordRejected(what, code=code)
    raise RecordRejected(f"{field.name}: {what}", code=code, fields=(field.name,)) from None


def _in_place_of_null(column: Column) -> str | None:
    if not column.not_null:
        return None
    return "{}" if column.base_type.endswith("[]") else _EMPTY.get(column.base_type)


def _spelling(column: Column, normalise: Normaliser) -> _Spell:
    kind = column.base_type
    if kind.endswith("[]"):
        return _array(_element(column, kind.removesuffix("[]"), normalise))
    if kind in _RANGES:
        return _whole(*_RANGES[kind])
    if kind == "numeric":
        return _numeric(column)
    if kind in ("timestamp", "timestamptz"):
        return _moment(column, zone=kind == "timestamptz")
    if kind == "time":
        return _time(column)
    simple = _SIMPLE.get(kind)
    return simple if simple is not None else _element(column, kind, normalise)


def _element(column: Column, kind: str, normalise: Normaliser) -> _Spell:
    """Texts, and what arrays can be made of."""
    if kind == "enum":
        return _label(column, normalise)
    return _uuid if kind == "uuid" else _text(column, kind)


# -- numbers ----------------------------------------------------------------------------------------------------------


def _decimal(value: Normal) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = Decimal(repr(value))  # of a float its shortest form, as the destination writes it
        if number.is_finite():
            return number
    _refuse("NOT_A_NUMBER", "not a number")


def _whole(least: int, greatest: int) -> _Spell:
    def spell(value: Normal) -> str:
        number = value if type(value) is int else _decimal(value)
        if not least <= number <= greatest:
            _refuse("OUT_OF_RANGE", "the number is out of the column's range")
        if number != int(number):
            _refuse("NOT_WHOLE", "the column holds whole numbers only")
        return str(int(number))

    return spell


def _numeric(column: Column) -> _Spell:
    scale, precision = column.scale, column.precision
    limit = None if precision is None else Decimal(1).scaleb(precision - (scale or 0))

    def spell(value: Normal) -> str:
        number = _decimal(value)
        if limit is not None and not -limit < number < limit:
            _refuse("OUT_OF_RANGE", "the number has more digits before the point than the column")
        if scale is not None and number and _digits(number) > scale:
            _refuse("TOO_MANY_DIGITS", "the number has more digits after the point than the column")
        return format(number, "f")

    return spell


def _digits(number: Decimal) -> int:
    """How many digits after the point there are but for zeros; as with a scale, -2 for 1200."""
    _, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    return -int(exponent) - (len(text) - len(text.rstrip("0"))) if number else 0


def _money(value: Normal) -> str:
    number = _decimal(value)
    if not -_MONEY_LIMIT <= number < _MONEY_LIMIT:
        _refuse("OUT_OF_RANGE", "the number is out of the column's range")
    return format(number, "f")


def _float8(value: Normal) -> str:
    number = _decimal(value)
    return _exactly(number, repr(float(number)))


def _float4(value: Normal) -> str:
    number = _decimal(value)
    try:
        packed = struct.pack("f", float(number))
    except OverflowError:
        _refuse("OUT_OF_RANGE", "the number is out of the column's range")
    (near,) = struct.unpack("f", packed)
    shortest = next(text for digits in range(1, 10) if struct.pack("f", float(text := f"{near:.{digits}g}")) == packed)
    return _exactly(number, shortest)


def _exactly(number: Decimal, held: str) -> str:
    """`held` is how Postgres will write what the column then holds."""
    if Decimal(held) != number:
        _refuse("TOO_MANY_DIGITS", "the column does not hold so many digits")
    return held


def _bool(value: Normal) -> str:
    spelled = _BOOLEANS.get(str(value).lower())
    if spelled is None:
        _refuse("NOT_A_BOOLEAN", "neither true nor false")
    return spelled


# -- texts ------------------------------------------------------------------------------------------------------------


def _text(column: Column, kind: str) -> _Spell:
    longest = column.length

    def spell(value: Normal) -> str:
        text = value if isinstance(value, str) else _plain(value)
        if longest is not None and len(text) > longest:
            _refuse("TOO_LONG", f"longer than the {longest} characters of {column.name}")
        if kind == "name" and len(text.encode()) > _NAME_BYTES:
            _refuse("TOO_LONG", f"longer than the {_NAME_BYTES} bytes of {column.name}")
        if "\x00" in text:
            _refuse("NOT_A_TEXT", "Postgres holds no text with a zero character")
        return text

    return spell


def _plain(value: Normal) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(_decimal(value), "f")


def _label(column: Column, normalise: Normaliser) -> _Spell:
    """A label is found by what would be sent for it: picklists may spell it in another case."""
    table, shared = reverse({label: label for label in column.options}, normalise)
    ambiguous = {normal for normal, _ in shared}

    def spell(value: Normal) -> str:
        if value in ambiguous:
            _refuse("LABEL_AMBIGUOUS", f"several labels of {column.type} stand for the value")
        if value not in table:
            _refuse("NOT_A_LABEL", f"not a label of {column.type}")
        return table[value]

    return spell


def _uuid(value: Normal) -> str:
    text = str(value).lower()
    if not _UUID.fullmatch(text):
        _refuse("NOT_A_UUID", "not a uuid")
    return text


def _array(spell: _Spell) -> _Spell:
    def literal(value: Normal) -> str:
        elements = [spell(element) for element in str(value).split(";") if element]
        quoted = [element.replace("\\", "\\\\").replace('"', '\\"') for element in elements]
        return "{" + ",".join(f'"{element}"' for element in quoted) + "}"

    return literal


# -- dates and times --------------------------------------------------------------------------------------------------


def _parsed(value: Normal) -> datetime:
    """A moment in UTC; a date is its first."""
    text = str(value)
    try:
        if len(text) <= 10 and not _DATE.fullmatch(text):
            raise ValueError("not an ISO date")
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse("NOT_A_DATE", "not a date that is written as 2024-12-31")


def _day(value: Normal) -> str:
    moment = _parsed(value)
    if moment.time() != time():
        _refuse("TIME_OF_DAY", "the column holds a date, and the value is not midnight in UTC")
    return date.isoformat(moment)


def _moment(column: Column, *, zone: bool) -> _Spell:
    def spell(value: Normal) -> str:
        moment = _parsed(value)
        _check_fraction(column, moment.microsecond)
        return moment.replace(tzinfo=UTC if zone else None).isoformat(" ")

    return spell


def _time(column: Column) -> _Spell:
    def spell(value: Normal) -> str:
        try:
            read = time.fromisoformat(str(value))
        except ValueError:
            _refuse("NOT_A_TIME", "not a time of the day")
        _check_fraction(column, read.microsecond)
        return read.replace(tzinfo=None).isoformat()

    return spell


def _check_fraction(column: Column, microsecond: int) -> None:
    if microsecond and column.scale is not None and microsecond % 10 ** (6 - column.scale):
        _refuse("TOO_MANY_DIGITS", "the column does not hold such fractions of a second")


_SIMPLE: Mapping[str, _Spell] = {
    "bool": _bool,
    "date": _day,
    "float4": _float4,
    "float8": _float8,
    "money": _money,
    "uuid": _uuid,
}
