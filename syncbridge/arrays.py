"""Arrays as Postgres reads them on the wire, built by joining bytes.

psycopg dumps a list element by element in Python, some 20 us a row; a join costs a tenth of that and needs no quoting.
Format: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES, array_send() in
arrayfuncs.c: Int32 dimensions, Int32 has-null flag, Int32 element type, Int32 length, Int32 lower bound, elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import TypeVar

from psycopg import Connection, pq
from psycopg.abc import Buffer
from psycopg.adapt import Dumper

_HEADER = Struct("!iiIii")
_LENGTH = Struct("!i")
_INT8 = Struct("!iq")
_UINT8 = Struct("!iQ")
#: The element that is null.
NULL = _LENGTH.pack(-1)
_TRUE, _FALSE = b"\x00\x00\x00\x01\x01", b"\x00\x00\x00\x01\x00"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # Postgres counts microseconds from here


class _Array(bytes):
    """A whole array in binary form; subclasses say of what."""


T = TypeVar("T", bound=_Array)


class TextArray(_Array):
    """text[]"""


class JsonArray(_Array):
    """json[]"""


class BigintArray(_Array):
    """bigint[]"""


class BooleanArray(_Array):
    """boolean[]"""


class LsnArray(_Array):
    """pg_lsn[]"""


class TimeArray(_Array):
    """timestamptz[]"""


#: array class -> (oid of the array, oid of its element), from pg_type.dat
_OIDS: dict[type[_Array], tuple[int, int]] = {
    TextArray: (1009, 25),
    JsonArray: (199, 114),
    BigintArray: (1016, 20),
    BooleanArray: (1000, 16),
    LsnArray: (3221, 3220),
    TimeArray: (1185, 1184),
}


def _array(kind: type[T], elements: Sequence[bytes]) -> T:
    if not elements:
        return kind(_HEADER.pack(0, 0, _OIDS[kind][1], 0, 0)[:12])
    return kind(_HEADER.pack(1, 1, _OIDS[kind][1], len(elements), 1) + b"".join(elements))


def texts(values: Iterable[bytes | str | None]) -> list[bytes]:
    """Elements of a type that is text on the wire."""
    pack = _LENGTH.pack
    return [NULL if v is None else pack(len(text := v.encode() if isinstance(v, str) else v)) + text for v in values]


def text_array(values: Iterable[bytes | str | None]) -> TextArray:
    """text[] of UTF-8 strings."""
    return _array(TextArray, texts(values))


class _Packed(dict[str | None, bytes]):
    """Elements by their value; makes each once."""

    def __missing__(self, value: str | None) -> bytes:
        self[value] = packed = texts([value])[0]
        return packed


def few_texts(values: Iterable[str | None]) -> list[bytes]:
    """The same where the same few strings stand again and again: a seventh of the time for those."""
    return list(map(_Packed().__getitem__, values))


def few_texts_array(values: Iterable[str | None]) -> TextArray:
    """text[] of the same few strings."""
    return _array(TextArray, few_texts(values))


def json_array(values: Iterable[bytes | str | None]) -> JsonArray:
    """json[] of JSON documents."""
    return _array(JsonArray, texts(values))


def bigint_array(values: Iterable[int]) -> BigintArray:
    """bigint[]"""
    pack = _INT8.pack
    return _array(BigintArray, [pack(8, v) for v in values])


def boolean_array(values: Iterable[bool]) -> BooleanArray:
    """boolean[]"""
    return _array(BooleanArray, [_TRUE if v else _FALSE for v in values])


def lsn_array(values: Iterable[int]) -> LsnArray:
    """pg_lsn[]"""
    pack = _UINT8.pack
    return _array(LsnArray, [pack(8, v) for v in values])


def time_array(microseconds: Iterable[int | None]) -> TimeArray:
    """timestamptz[] of microseconds since 2000-01-01 UTC, as the write-ahead log counts them."""
    pack = _INT8.pack
    return _array(TimeArray, [NULL if v is None else pack(8, v) for v in microseconds])


def to_microseconds(moment: datetime) -> int:
    """A datetime with zone as Postgres counts it."""
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """The moment, in UTC, that Postgres counts so."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _dumper(kind: type[_Array]) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = pq.Format.BINARY
        oid = _OIDS[kind][0]

        def dump(self, obj: Buffer) -> Buffer:
            return obj

    return ArrayDumper


def register(connection: Connection) -> None:
    """Let this connection take the arrays above as parameters."""
    for kind in _OIDS:
        connection.adapters.register_dumper(kind, _dumper(kind))
