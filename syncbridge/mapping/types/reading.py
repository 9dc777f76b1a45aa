"""From the text that Postgres writes to values: one function per type, chosen once, with no choice left per value.

The session that reads must have DateStyle ISO; its time zone does not matter. Numbers that are none, infinite dates and
dates before Christ have no counterpart in a destination: they refuse their own record, and no other. Messages never
carry the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation

from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledField
from syncbridge.mapping.spec import Scalar
from syncbridge.model import Value

Reader = Callable[[str], Value]

_BOOLEANS: Mapping[str, bool] = {"t": True, "f": False}


def _bool(text: str) -> bool:
    return _BOOLEANS[text]


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0:  # NaN and the infinities
        raise RecordRejected("not a finite number", code="NOT_A_NUMBER")
    return value


def _numeric(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise RecordRejected("not a finite number", code="NOT_A_NUMBER")
    return value


def _bpchar(text: str) -> str:
    return text.rstrip(" ")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _no_such_date() from None


def _timestamp(text: str) -> datetime:
    """Without a zone it is taken as UTC."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise _no_such_date() from None


def _timestamptz(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _no_such_date() from None


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise RecordRejected("the time is not between 00:00 and 23:59:59.999999", code="TIME_OUT_OF_RANGE") from None


def _no_such_date() -> RecordRejected:
    return RecordRejected("the date is infinite, before Christ or after the year 9999", code="DATE_OUT_OF_RANGE")


def _texts(text: str) -> list[str]:
    """An array of texts, of one dimension. Null elements are dropped: no destination has an empty place in a list."""
    if text.startswith("["):  # bounds, as in [0:1]={a,b}
        text = text[text.index("=") + 1 :]
    if '"' not in text and text.find("{", 1) < 0:  # nothing is quoted: no comma, brace or backslash in any element
        return [element for element in text[1:-1].split(",") if element and element != "NULL"]
    return _quoted_texts(text)


def _padded_texts(text: str) -> list[str]:
    return [_bpchar(element) for element in _texts(text)]


def _quoted_texts(text: str) -> list[str]:
    elements: list[str] = []
    at = 1
    while text[at] != "}":
        if text[at] == "{":
            raise RecordRejected("the array has more than one dimension", code="NESTED_ARRAY")
        if text[at] == '"':
            element, at = _quoted_text(text, at + 1)
            elements.append(element)
        else:
            end = min(place for mark in ",}" if (place := text.find(mark, at)) >= 0)
            if text[at:end] != "NULL":
                elements.append(text[at:end])
            at = end
        if text[at] == ",":
            at += 1
    return elements


def _quoted_text(text: str, at: int) -> tuple[str, int]:
    """The element that begins behind a quote, and the place behind its closing quote."""
    parts: list[str] = []
    start = at
    while text[at] != '"':
        if text[at] == "\\":
            parts.append(text[start:at])
            start = at = at + 1
        at += 1
    parts.append(text[start:at])
    return "".join(parts), at + 1


_READERS: Mapping[str, Reader] = {
    "int2": int,
    "int4": int,
    "int8": int,
    "oid": int,
    "float4": _float,
    "float8": _float,
    "numeric": _numeric,
    "bool": _bool,
    "text": str,
    "varchar": str,
    "bpchar": _bpchar,
    "name": str,
    "uuid": str,
    "citext": str,
    "enum": str,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "time": _time,
    "text[]": _texts,
    "varchar[]": _texts,
    "bpchar[]": _padded_texts,
    "citext[]": _texts,
    "uuid[]": _texts,
    "enum[]": _texts,
}

#: Base types that can be delivered; any other must be cast in `sql:`.
READABLE = frozenset(_READERS)


def reader(base_type: str) -> Reader:
    """The function from Postgres text to a value. Raises SchemaDrift for a type that must be cast first."""
    try:
        return _READERS[base_type]
    except KeyError:
        raise SchemaDrift(
            f"the type {base_type} cannot be delivered as it is", hint="Write `sql: the_column::text` in the mapping."
        ) from None


def unread(text: str | None) -> Value:
    """The reader of a text column without a default: what it is given is the value."""
    return text


def field_reader(field: CompiledField, base_type: str) -> Callable[[str | None], Value]:
    """The function of one mapped field from Postgres text, or None for null, to its value.

    Null becomes the default. `values` translates by Postgres text; a text that it does not list refuses the record.
    """
    default = field.default
    if field.source == "constant":
        constant = field.constant
        return lambda text: constant
    if field.values is not None:
        return _translation(field.remote, field.values, default)
    read = reader(base_type)
    if read is str:  # it is the value already
        return unread if default is None else lambda text: default if text is None else text
    remote = field.remote

    def value(text: str | None) -> Value:
        if text is None:
            return default
        try:
            return read(text)
        except RecordRejected as rejected:
            raise RecordRejected(f"{remote}: {rejected.message}", code=rejected.code, fields=(remote,)) from None
        except (ValueError, KeyError, IndexError, InvalidOperation):
            # Postgres never writes such a text for this type: the column's type changed under a cached description
            raise RecordRejected(
                f"{remote}: not the text of a {base_type}", code="UNREADABLE", fields=(remote,)
            ) from None

    return value


def _translation(
    remote: str, values: Mapping[str, Scalar | None], default: Scalar | None
) -> Callable[[str | None], Value]:
    table: dict[str | None, Scalar | None] = dict(values.items())
    table[None] = default

    def translated(text: str | None) -> Value:
        try:
            return table[text]
        except KeyError:
            raise RecordRejected(
                f"{remote}: the value is not listed under values:", code="VALUE_NOT_MAPPED", fields=(remote,)
            ) from None

    return translated
