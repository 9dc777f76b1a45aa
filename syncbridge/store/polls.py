"""Polls are asked for: whoever polls a mapping does so at once instead of when its interval is over."""

from __future__ import annotations

from psycopg import Connection

#: Channel that wakes pollers.
CHANNEL = "syncbridge_poll"


def wake(connection: Connection, mapping_id: int) -> None:
    """The poller of a mapping hears of it when this transaction commits."""
    connection.execute("select pg_notify(%s, %s)", (CHANNEL, str(mapping_id)))


def woken(payload: str) -> int | None:
    """The mapping of a notification on CHANNEL; None when it is none of ours."""
    return int(payload) if payload.isdecimal() else None
