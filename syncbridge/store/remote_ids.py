"""Remote ids that rows of the source name, in a temporary table of one session: so many fit in no memory.

Rows keep the order in which they came. The destination has one spelling of an id, and here they stand in that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from psycopg import Connection


class Named(NamedTuple):
    """A row of the source and the remote record that it names; `number` is its place."""

    number: int
    key: str
    remote_id: str
    twice: bool  # another row names the same record


def begin(connection: Connection) -> None:
    """Make the table, empty; it goes with the session."""
    connection.execute("drop table if exists pg_temp.named_remote_id")
    connection.execute(
        'create temporary table named_remote_id (number bigint, key text collate "C", remote_id text collate "C")'
    )


def add(connection: Connection, rows: Iterable[tuple[int, str, str]]) -> None:
    """Add rows of (number, key, remote id)."""
    with (
        connection.cursor() as cursor,
        cursor.copy("copy pg_temp.named_remote_id (number, key, remote_id) from stdin") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def complete(connection: Connection) -> None:
    """All rows are there: make them quick to read."""
    connection.execute("create index on pg_temp.named_remote_id (number)")
    connection.execute("create index on pg_temp.named_remote_id (remote_id)")
    connection.execute("analyze pg_temp.named_remote_id")


def page(connection: Connection, after: int, limit: int) -> list[Named]:
    """The next rows behind the number `after`."""
    rows = connection.execute(
        "select n.number, n.key, n.remote_id,"
        "       exists (select from pg_temp.named_remote_id o where o.remote_id = n.remote_id and o.number <> n.number)"
        "  from pg_temp.named_remote_id n where n.number > %s order by n.number limit %s",
        (after, limit),
    )
    return [Named(*row) for row in rows]
