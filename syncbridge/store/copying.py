"""Many rows at once by COPY in binary form: new rows only, as COPY knows no conflict.

Beside an insert of arrays it saves a third of Postgres's time for a row, and half of the records in the write-ahead
log, each of which capture's walsender has to read. Format:
https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT; elements are those of `arrays`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import LiteralString

from psycopg import Connection

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_COUNT = struct.Struct("!h")
_END = _COUNT.pack(-1)
_FORMATS = {"smallint": "!ih", "integer": "!ii", "bigint": "!iq", "pg_lsn": "!iQ", "timestamptz": "!iq"}
_STRUCTS = {name: struct.Struct(format) for name, format in _FORMATS.items()}

#: Rows from which COPY is worth the further round trips that it takes.
WORTH_COPYING = 100


def number(type_: str, value: int) -> bytes:
    """One element of a type that is a number on the wire; timestamptz is microseconds since 2000-01-01 UTC."""
    packed = _STRUCTS[type_]
    return packed.pack(packed.size - 4, value)


#: An element for each row, or one for all of them.
Column = Iterable[bytes] | bytes


def copy_rows(connection: Connection, statement: LiteralString, columns: Sequence[Column]) -> None:
    """Run a `copy ... from stdin (format binary)`. At least one column has an element for each row."""
    each: list[Iterable[bytes]] = [repeat(column) if isinstance(column, bytes) else column for column in columns]
    rows = map(b"".join, zip(repeat(_COUNT.pack(len(columns))), *each, strict=False))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(b"".join([_SIGNATURE, *rows, _END]))
