"""Runs: first syncs and resyncs, each a bounded stream that goes on where it stopped.

Outward a run puts keys into the outbox; inward it is a load, all records of the destination (`loads`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg import Connection

from syncbridge.errors import SettingsError
from syncbridge.model import Reason


class Direction(StrEnum):
    """Which way a run goes."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Run:
    """One run; `after` is the last key that was enqueued in the present `phase`."""

    id: int
    mapping_id: int
    mapping: str
    reason: Reason
    filter: str
    resend: bool
    barrier: str | None  # transaction id of the source that every running transaction has to pass first
    phase: str  # rows: those in the table; links: linked entities whose row is gone; done. Of a load see `loads`
    after: str | None
    total: int | None
    enqueued: int  # keys that it came to; of a load, records that were read
    status: str
    error: str | None
    requested_at: datetime
    finished_at: datetime | None
    digest: str  # of the mapping that is in force
    direction: Direction
    position: str | None  # of a load's scan
    started_at: datetime | None


_SELECT = """
select r.id, r.mapping_id, m.name, r.reason, r.filter, r.resend, r.barrier::text, r.phase, r.after, r.total,
       r.enqueued, r.status,
       r.error, r.requested_at, r.finished_at, m.digest, r.direction, r.position, r.started_at
  from syncbridge.run r join syncbridge.mapping m on m.id = r.mapping_id
"""


def _from_row(row: tuple[object, ...]) -> Run:
    values: list[object] = list(row)
    values[3] = Reason(str(values[3]))
    values[16] = Direction(str(values[16]))
    return Run(*values)  # type: ignore[arg-type]


def request(
    connection: Connection,
    mapping_id: int,
    reason: Reason,
    *,
    filter: str = "",
    resend: bool = False,
    barrier: str | None = None,
    fresh: bool = False,
    direction: Direction = Direction.OUT,
) -> int:
    """Ask for a run, or take up the pending one that asks for just the same; its id.

    With `fresh` a run that has begun does not do: it may have passed what this one is asked for.
    """
    with connection.transaction():
        connection.execute("select 1 from syncbridge.mapping where id = %s for update", (mapping_id,))
        # One that somebody holds is at its first page.
        which = "and started_at is null order by id limit 1 for update skip locked" if fresh else "order by id limit 1"
        known = connection.execute(
            "select id from syncbridge.run"  # noqa: S608 - constants
            " where mapping_id = %s and status = 'pending' and filter = %s and resend = %s and reason = %s"
            f" and direction = %s {which}",
            (mapping_id, filter, resend, reason.value, direction.value),
        ).fetchone()
        if known is not None:
            if fresh and barrier is not None:
                connection.execute(
                    "update syncbridge.run set barrier = greatest(barrier, %s::text::xid8) where id = %s",
                    (barrier, known[0]),
                )
            return int(known[0])
        row = connection.execute(
            "insert into syncbridge.run (mapping_id, reason, filter, resend, barrier, direction)"
            " values (%s, %s, %s, %s, %s::text::xid8, %s) returning id",
            (mapping_id, reason.value, filter, resend, barrier, direction.value),
        ).fetchone()
        assert row is not None  # insert ... returning gives a row
        return int(row[0])


def read(connection: Connection, run_id: int) -> Run:
    """One run as it stands. Raises SettingsError when its mapping was removed."""
    found = find(connection, run_id)
    if found is None:
        raise SettingsError(
            f"run {run_id} is gone: its mapping was removed", hint="See what is there: syncbridge status"
        )
    return found


def find(connection: Connection, run_id: int) -> Run | None:
    """One run as it stands; None when its mapping was removed."""
    row = connection.execute(_SELECT + " where r.id = %s", (run_id,)).fetchone()
    return None if row is None else _from_row(row)


def ask(
    connection: Connection,
    mapping_id: int,
    reason: Reason,
    *,
    barrier: str | None = None,
    direction: Direction = Direction.OUT,
    resend: bool = False,
) -> int:
    """Ask for a run over all rows; its id. In the transaction that makes it necessary.

    It begins with `open_asked`, or with a `barrier` once all transactions before that have ended.

    Runs over all rows that are under way looked by what was in force before: this one takes their place. A first sync
    stays one. With `resend` every field is sent.
    """
    if reason is Reason.RECOVERY and _first_sync_pending(connection, mapping_id):
        reason = Reason.FIRST_SYNC
    known = connection.execute(
        "select id from syncbridge.run where mapping_id = %s and status = 'asked' and direction = %s",
        (mapping_id, direction.value),
    ).fetchone()
    if known is not None:
        return int(known[0])
    connection.execute(
        "update syncbridge.run set status = 'cancelled', finished_at = now()"
        " where mapping_id = %s and status = 'pending' and filter = '' and not resend and direction = %s",
        (mapping_id, direction.value),
    )
    row = connection.execute(
        "insert into syncbridge.run (mapping_id, reason, status, barrier, direction, resend)"
        " values (%s, %s, %s, %s::text::xid8, %s, %s) returning id",
        (mapping_id, reason.value, "asked" if barrier is None else "pending", barrier, direction.value, resend),
    ).fetchone()
    assert row is not None  # insert ... returning gives a row
    return int(row[0])


def _first_sync_pending(connection: Connection, mapping_id: int) -> bool:
    row = connection.execute(
        "select exists (select from syncbridge.run"
        " where mapping_id = %s and status = 'pending' and reason = %s and direction = 'out')",
        (mapping_id, Reason.FIRST_SYNC.value),
    ).fetchone()
    return row == (True,)


def asked(connection: Connection) -> list[Run]:
    """Runs that were asked for and may not begin yet, oldest first."""
    rows = connection.execute(_SELECT + " where r.status = 'asked' order by r.id")
    return [_from_row(row) for row in rows]


def open_asked(connection: Connection, *, barrier: str) -> None:
    """Let every run that was asked for begin, once all transactions before `barrier` have ended."""
    connection.execute(
        "update syncbridge.run set status = 'pending', barrier = %s::text::xid8 where status = 'asked'", (barrier,)
    )


def pending(connection: Connection, direction: Direction | None = None) -> list[Run]:
    """Runs that are not over, of one direction or of both, oldest first; also those that may not begin yet."""
    rows = connection.execute(
        _SELECT + " where r.status in ('asked', 'pending') and r.direction = coalesce(%s, r.direction) order by r.id",
        (direction,),
    )
    return [_from_row(row) for row in rows]


def is_pending(connection: Connection, mapping_id: int) -> bool:
    """Whether a run that enqueues keys of this mapping is not over."""
    row = connection.execute(
        "select exists (select from syncbridge.run where mapping_id = %s and status = 'pending' and direction = 'out')",
        (mapping_id,),
    ).fetchone()
    return row == (True,)


def newest(connection: Connection) -> int:
    """The id of the run that was asked for last; 0 when none ever was."""
    row = connection.execute("select coalesce(max(id), 0) from syncbridge.run").fetchone()
    return int(row[0]) if row else 0


def requested_after(connection: Connection, run_id: int, reason: Reason) -> list[Run]:
    """Runs of a reason with a higher id, over or not, oldest first."""
    rows = connection.execute(_SELECT + " where r.id > %s and r.reason = %s order by r.id", (run_id, reason.value))
    return [_from_row(row) for row in rows]


def failed(connection: Connection) -> list[Run]:
    """The last run of each mapping whose last run failed."""
    rows = connection.execute(
        _SELECT + " where r.status = 'failed' and not exists"
        " (select from syncbridge.run later where later.mapping_id = r.mapping_id and later.id > r.id) order by r.id"
    )
    return [_from_row(row) for row in rows]


def lock(connection: Connection, run_id: int) -> Run | None:
    """The run, locked for one page; None when it is over, or somebody else is at its next page. In a transaction."""
    row = connection.execute(
        _SELECT + " where r.id = %s and r.status = 'pending' for update of r skip locked", (run_id,)
    ).fetchone()
    return None if row is None else _from_row(row)


_FIRST_SYNC = (
    " where r.mapping_id = %s and r.status = 'pending' and r.reason = 'first_sync' and r.phase = 'rows'"
    " and r.direction = 'out' and not r.resend order by r.id limit 1"
)


def first_sync(connection: Connection, mapping_id: int) -> Run | None:
    """The first sync of a mapping that has rows left to enqueue."""
    row = connection.execute(_SELECT + _FIRST_SYNC, (mapping_id,), prepare=True).fetchone()
    return None if row is None else _from_row(row)


def advance(connection: Connection, run_id: int, *, phase: str, after: str | None, enqueued: int) -> None:
    """Record one page, in the transaction that enqueued what of it has to be looked at."""
    connection.execute(
        "update syncbridge.run set phase = %s, after = %s, enqueued = enqueued + %s,"
        " started_at = coalesce(started_at, now()),"
        " status = case when %s = 'done' then 'done' else status end,"
        " finished_at = case when %s = 'done' then now() end where id = %s",
        (phase, after, enqueued, phase, phase, run_id),
    )


def set_total(connection: Connection, run_id: int, total: int) -> None:
    """How many rows the run expects, for progress."""
    connection.execute("update syncbridge.run set total = %s where id = %s", (total, run_id))


def fail(connection: Connection, run_id: int, message: str) -> None:
    """End a run that cannot go on (its filter is wrong, its table is gone)."""
    connection.execute(
        "update syncbridge.run set status = 'failed', error = %s, finished_at = now()"
        " where id = %s and status = 'pending'",
        (message, run_id),
    )
