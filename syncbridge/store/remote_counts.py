"""How many records of a mapping's object carry a key, as its destination said last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection


@dataclass(frozen=True, slots=True)
class RemoteCount:
    """Records that carry a key, and when they were counted."""

    records: int
    at: datetime


def read(connection: Connection, mapping_id: int, *, seconds: float) -> RemoteCount | None:
    """The last count, unless it is older than so many seconds."""
    row = connection.execute(
        "select records, at from syncbridge.remote_count"
        " where mapping_id = %s and at > now() - %s * interval '1 second'",
        (mapping_id, seconds),
    ).fetchone()
    return None if row is None else RemoteCount(*row)


def write(connection: Connection, mapping_id: int, records: int) -> RemoteCount:
    """Keep a count that was just made."""
    row = connection.execute(
        "insert into syncbridge.remote_count (mapping_id, records) values (%s, %s)"
        " on conflict (mapping_id) do update set records = excluded.records, at = now() returning records, at",
        (mapping_id, records),
    ).fetchone()
    assert row is not None  # it always returns a row
    return RemoteCount(*row)
