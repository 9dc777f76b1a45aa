"""How a value in a destination's normal form is spelled for a column: the text that Postgres takes, or a refusal.

One function per column type, chosen once. Null is not theirs; `writing` decides on it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import NoReturn

from syncbridge.errors import RecordRejected
from syncbridge.mapping.types.reverse import reverse
from syncbridge.model import Normal, Normaliser
from syncbridge.schemas import Column

Spell = Callable[[Normal], str]  # of what is not null

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


def spelling(column: Column, normalise: Normaliser) -> Spell:
    """The function for this column. It raises RecordRejected for what the column would not hold exactly."""
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


def _refuse(code: str, what: str) -> NoReturn:
    raise RecordRejected(what, code=code) from None


def _element(column: Column, kind: str, normalise: Normaliser) -> Spell:
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


def _whole(least: int, greatest: int) -> Spell:
    def spell(value: Normal) -> str:
        number = value if type(value) is int else _decimal(value)
        if not least <= number <= greatest:
            _refuse("OUT_OF_RANGE", "the number is out of the column's range")
        if number != int(number):
            _refuse("NOT_WHOLE", "the column holds whole numbers only")
        return str(int(number))

    return spell


def _numeric(column: Column) -> Spell:
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
        packed = struct.pack("<f", float(number))
    except OverflowError:
        _refuse("OUT_OF_RANGE", "the number is out of the column's range")
    (near,) = struct.unpack("<f", packed)
    shortest = next(text for digits in range(1, 10) if struct.pack("<f", float(text := f"{near:.{digits}g}")) == packed)
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


def _text(column: Column, kind: str) -> Spell:
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


def _label(column: Column, normalise: Normaliser) -> Spell:
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


def _array(spell: Spell) -> Spell:
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


def _moment(column: Column, *, zone: bool) -> Spell:
    def spell(value: Normal) -> str:
        moment = _parsed(value)
        _check_fraction(column, moment.microsecond)
        return moment.replace(tzinfo=UTC if zone else None).isoformat(" ")

    return spell


def _time(column: Column) -> Spell:
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


_SIMPLE: Mapping[str, Spell] = {
    "bool": _bool,
    "date": _day,
    "float4": _float4,
    "float8": _float8,
    "money": _money,
    "uuid": _uuid,
}
