"""Watermarks: how far the remote changes of each mapping were read."""

from __future__ import annotations

from datetime import datetime

from psycopg import Connection

#: First half of the advisory lock of whoever polls a mapping; its id is the second.
_POLL_LOCK = 0x73796E66

#: First half of the advisory lock of whoever makes rows of a mapping's new records.
_MAKE_LOCK = 0x73796E67


def read(connection: Connection, mapping_id: int) -> str | None:
    """The position to go on from; None before the first poll."""
    row = connection.execute(
        "select position from syncbridge.watermark where mapping_id = %s", (mapping_id,)
    ).fetchone()
    return None if row is None else str(row[0])


def polled_at(connection: Connection, mapping_id: int) -> datetime | None:
    """When the changes were last read to their end, by the state database's clock."""
    row = connection.execute(
        "select polled_at from syncbridge.watermark where mapping_id = %s", (mapping_id,)
    ).fetchone()
    return None if row is None else row[0]


def advance(
    connection: Connection,
    mapping_id: int,
    position: str,
    *,
    after: str | None,
    caught_up: bool,
    asked: datetime | None = None,
) -> bool:
    """Move from the position `after` to the next; False when somebody else moved on from there meanwhile.

    `asked` is when the page before it was asked for, by the state database's clock.
    """
    given = {"mapping": mapping_id, "position": position, "whole": caught_up, "asked": asked}
    if after is None:
        done = connection.execute(
            "insert into syncbridge.watermark (mapping_id, position, polled_at, asked_at)"
            " values (%(mapping)s, %(position)s, case when %(whole)s then now() end,"
            " case when %(whole)s then %(asked)s::timestamptz end) on conflict do nothing",
            given,
        )
    else:
        done = connection.execute(
            "update syncbridge.watermark set position = %(position)s,"
            " polled_at = case when %(whole)s then now() else polled_at end,"
            " asked_at = case when %(whole)s then %(asked)s::timestamptz else asked_at end"
            " where mapping_id = %(mapping)s and position = %(after)s",
            {**given, "after": after},
        )
    return done.rowcount > 0


def lead(connection: Connection, mapping_id: int) -> bool:
    """Be the one who polls this mapping, until the connection is closed; False while somebody else is."""
    row = connection.execute("select pg_try_advisory_lock(%s, %s)", (_POLL_LOCK, mapping_id)).fetchone()
    return row == (True,)


def make_alone(connection: Connection, mapping_id: int) -> None:
    """Be the only one who makes rows of this mapping's new records, until this transaction ends."""
    connection.execute("select pg_advisory_xact_lock(%s, %s)", (_MAKE_LOCK, mapping_id))
