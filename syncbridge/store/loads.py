"""Loads: runs from the destination. A mapping's first one, and resyncs; what they have read, and what they miss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import Connection

from syncbridge.arrays import text_array
from syncbridge.model import Reason
from syncbridge.store import runs
from syncbridge.store.runs import Direction, Run

#: First half of the advisory lock of whoever carries the loads of a mapping; its id is the second.
_LOAD_LOCK = 0x6C6F6164


def ask_first(connection: Connection, mapping_id: int) -> int:
    """Ask for a mapping's first load, before which it delivers nothing; the run's id. In `apply`'s transaction."""
    connection.execute("update syncbridge.mapping set loading = true where id = %s", (mapping_id,))
    run_id = runs.ask(connection, mapping_id, Reason.FIRST_SYNC, direction=Direction.IN)
    connection.execute("update syncbridge.run set phase = 'scan' where id = %s", (run_id,))
    return run_id


def request(connection: Connection, mapping_id: int, *, filter: str = "") -> int:
    """Ask for a resync from the destination, or take up the pending one; its id."""
    with connection.transaction():
        run_id = runs.request(connection, mapping_id, Reason.RESYNC, filter=filter, direction=Direction.IN)
        phase = "keys" if filter else "scan"
        connection.execute("update syncbridge.run set phase = %s where id = %s and phase = 'rows'", (phase, run_id))
    return run_id


def cancel(connection: Connection, mapping_id: int) -> None:
    """A mapping has no way back any more: none of its loads goes on."""
    connection.execute("update syncbridge.mapping set loading = false where id = %s and loading", (mapping_id,))
    connection.execute(
        "update syncbridge.run set status = 'cancelled', finished_at = now()"
        " where mapping_id = %s and direction = 'in' and status in ('asked', 'pending')",
        (mapping_id,),
    )


def lead(connection: Connection, mapping_id: int) -> bool:
    """Be the one who carries this mapping's loads, until the connection is closed; False while somebody else is."""
    row = connection.execute("select pg_try_advisory_lock(%s, %s)", (_LOAD_LOCK, mapping_id)).fetchone()
    return row == (True,)


def first_pending(connection: Connection, mapping_id: int) -> bool:
    """Whether a mapping's first load is not over."""
    row = connection.execute(
        "select loading from syncbridge.mapping where id = %s", (mapping_id,), prepare=True
    ).fetchone()
    return row == (True,)


def advance(connection: Connection, run: Run, position: str, *, began: datetime, done: int, total: int | None) -> bool:
    """Go from the run's position to the next, with `done` records more; False when somebody else did, or ended it.

    `began` is when the scan did.
    """
    moved = connection.execute(
        "update syncbridge.run set position = %s, started_at = coalesce(started_at, %s), enqueued = enqueued + %s,"
        " total = coalesce(%s, total)"
        " where id = %s and status = 'pending' and phase = 'scan' and position is not distinct from %s",
        (position, began, done, total, run.id, run.position),
    )
    return moved.rowcount > 0


def begin_anew(connection: Connection, run: Run) -> None:
    """Forget how far a scan was: the destination lost it."""
    with connection.transaction():
        connection.execute(
            "update syncbridge.run set position = null, started_at = null, enqueued = 0"
            " where id = %s and status = 'pending' and phase = 'scan'",
            (run.id,),
        )
        connection.execute("delete from syncbridge.scanned where run_id = %s", (run.id,))


def finish(connection: Connection, run: Run) -> None:
    """The run is over; a mapping whose first load it was may deliver."""
    with connection.transaction():
        runs.advance(connection, run.id, phase="done", after=None, enqueued=0)
        connection.execute("delete from syncbridge.scanned where run_id = %s", (run.id,))
        if run.reason is Reason.FIRST_SYNC:
            connection.execute("update syncbridge.mapping set loading = false where id = %s", (run.mapping_id,))


# -- records that a scan does not show --------------------------------------------------------------------------------


def note(connection: Connection, run_id: int, remote_ids: Sequence[str]) -> None:
    """These records are there; noted again after a crash does no harm."""
    connection.execute(
        "insert into syncbridge.scanned (run_id, remote_id) select %s, unnest(%s)", (run_id, text_array(remote_ids))
    )


def find_missing(connection: Connection, run: Run) -> None:
    """After the last page: keep the records that were linked before the scan and that it did not show."""
    with connection.transaction():
        connection.execute(
            "insert into syncbridge.scanned (run_id, remote_id, missing)"
            " select %(run)s, l.remote_id, true from syncbridge.link l"
            "  where l.mapping_id = %(mapping)s and l.delivered_at < %(began)s and not exists"
            "  (select from syncbridge.scanned s where s.run_id = %(run)s and s.remote_id = l.remote_id)",
            {"run": run.id, "mapping": run.mapping_id, "began": run.started_at},
        )
        connection.execute("delete from syncbridge.scanned where run_id = %s and not missing", (run.id,))
        runs.advance(connection, run.id, phase="missing", after=None, enqueued=0)


def missing(connection: Connection, run_id: int, limit: int) -> list[str]:
    """Records that were missed and not looked at yet."""
    rows = connection.execute(
        "select remote_id from syncbridge.scanned where run_id = %s and missing limit %s", (run_id, limit)
    )
    return [remote_id for (remote_id,) in rows]


def looked_at(connection: Connection, run_id: int, remote_ids: Sequence[str]) -> None:
    """These were looked at by their ids."""
    connection.execute(
        "delete from syncbridge.scanned where run_id = %s and remote_id = any(%s)", (run_id, text_array(remote_ids))
    )
