"""Whether commits that were decoded can be seen by other sessions yet.

A commit is decoded as soon as its record is in the write-ahead log; other sessions see it a moment later, and with
synchronous replication only when the standby has answered. An entity composed in between would still show the old row,
and its change would be taken for delivered. Source: Postgres manual, "synchronous_commit", and xact.c,
RecordTransactionCommit() before ProcArrayEndTransaction().
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set

import psycopg
from psycopg import Connection

from syncbridge.errors import RetryLater
from syncbridge.source.refusals import by_remedy

_BITS = 0xFFFFFFFF
_HALF = 0x80000000

#: Seconds between looks, and until we give up and come back later (nothing is lost: it is captured again).
_FIRST_PAUSE, _LONGEST_PAUSE, _PATIENCE = 0.0005, 0.25, 60.0

_SNAPSHOT = """
select pg_snapshot_xmax(now)::text, array(select pg_snapshot_xip(now)::text) from pg_current_snapshot() as now
"""


def all_visible(connection: Connection, transactions: Set[int]) -> bool:
    """Whether a statement that starts now sees all of these (ids of 32 bits, as the stream gives them)."""
    try:
        row = connection.execute(_SNAPSHOT, prepare=True).fetchone()
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error
    assert row is not None  # a function answers
    newest, running = int(row[0]) & _BITS, {int(each) & _BITS for each in row[1]}
    # ids wrap around; one at or behind `newest` is of a transaction that had not ended
    return running.isdisjoint(transactions) and all((each - newest) & _BITS >= _HALF for each in transactions)


def await_visible(
    connection: Connection,
    transactions: Set[int],
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when every session sees these commits; RetryLater when that takes longer than a minute."""
    began, wait = clock(), _FIRST_PAUSE
    while transactions and not all_visible(connection, transactions):
        if clock() - began > _PATIENCE:
            raise RetryLater(
                "a commit was written but cannot be seen yet",
                hint="It waits for a synchronous standby, or for a prepared transaction; see pg_stat_activity.",
            )
        pause(wait)
        wait = min(wait * 2, _LONGEST_PAUSE)
