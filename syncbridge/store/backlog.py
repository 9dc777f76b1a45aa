"""What waits in the outbox, and what a person does to it: look, requeue, discard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from syncbridge.model import Lsn, Priority, Reason
from syncbridge.store import outbox


@dataclass(frozen=True, slots=True)
class Backlog:
    """One mapping's waiting rows."""

    pending: int
    dead: int
    retrying: int  # pending after at least one failed attempt
    oldest: datetime | None  # commit time of the oldest change that is not delivered; dead letters not counted
    oldest_seconds: float | None
    live_seconds: float | None  # the same without what goes with the priority of a resync
    held: int = 0  # a person decides which existing record each is
    related: int = 0  # join keys whose entities are not enqueued yet


@dataclass(frozen=True, slots=True)
class Waiting:
    """One outbox row, for people."""

    mapping: str
    key: str
    status: str
    reason: str
    since: datetime
    attempts: int
    available_at: datetime
    claimed: bool
    resend: bool
    code: str | None
    message: str | None
    error_at: datetime | None
    job: str | None = None  # the destination's bulk job that carries it


def summary(connection: Connection) -> dict[int, Backlog]:
    """Mapping id -> its backlog."""
    rows = connection.execute(
        """
        with entities as (
            select mapping_id, count(*) filter (where status = 'pending') as pending,
                   count(*) filter (where status = 'dead') as dead,
                   count(*) filter (where status = 'pending' and attempts > 0) as retrying,
                   count(*) filter (where status = 'held') as held,
                   min(since) filter (where status = 'pending') as oldest,
                   min(since) filter (where status = 'pending' and priority < %s) as live
              from syncbridge.outbox group by mapping_id),
        related as (
            select mapping_id, count(*) as waiting, min(since) as oldest, min(since) filter (where pass is null) as live
              from syncbridge.fan_out group by mapping_id)
        select mapping_id, coalesce(pending, 0), coalesce(dead, 0), coalesce(retrying, 0),
               least(entities.oldest, related.oldest),
               extract(epoch from now() - least(entities.oldest, related.oldest))::float8,
               extract(epoch from now() - least(entities.live, related.live))::float8,
               coalesce(held, 0), coalesce(waiting, 0)
          from entities full join related using (mapping_id)
        """,
        (int(Priority.BULK_LEFT),),
    )
    return {row[0]: Backlog(*row[1:]) for row in rows}


_WAITING = """
select m.name, o.key, o.status, o.reason, o.since, o.attempts,
       coalesce(o.lease_until, o.available_at), o.claim is not null, o.resend,
       o.error_code, o.error, o.error_at, j.remote_id
  from syncbridge.outbox o join syncbridge.mapping m on m.id = o.mapping_id
       left join syncbridge.bulk_job j on j.id = o.job
"""


def dead_letters(connection: Connection, *, mapping: str | None = None, limit: int = 100) -> list[Waiting]:
    """Deliveries that were given up, newest error first."""
    rows = connection.execute(
        _WAITING + " where o.status = 'dead' and (%s::text is null or m.name = %s) order by o.error_at desc limit %s",
        (mapping, mapping, limit),
    )
    return [Waiting(*row) for row in rows]


def dead_codes(connection: Connection, *, mapping: str | None = None) -> Counter[tuple[str, str]]:
    """How many dead letters there are of each mapping and code."""
    rows = connection.execute(
        "select m.name, coalesce(o.error_code, ''), count(*)"
        " from syncbridge.outbox o join syncbridge.mapping m on m.id = o.mapping_id"
        " where o.status = 'dead' and (%s::text is null or m.name = %s) group by 1, 2",
        (mapping, mapping),
    )
    return Counter({(name, code): count for name, code, count in rows})


def waiting(connection: Connection, mapping_id: int, key: str) -> Waiting | None:
    """The outbox row of one entity."""
    row = connection.execute(_WAITING + " where o.mapping_id = %s and o.key = %s", (mapping_id, key)).fetchone()
    return None if row is None else Waiting(*row)


# Locked in key order, as every transaction does.
_DEAD = """
with dead as materialized (
    select key from syncbridge.outbox
     where mapping_id = %(mapping)s and status = 'dead' and (%(keys)s::text[] is null or key = any(%(keys)s::text[]))
       and (%(code)s::text is null or error_code = %(code)s)
     order by key for update)
"""


def requeue(connection: Connection, mapping_id: int, keys: Sequence[str] | None, *, code: str | None = None) -> int:
    """Send dead letters back for another try (all of the mapping when `keys` is None); how many."""
    done = connection.execute(
        _DEAD  # noqa: S608 - constants
        + " update syncbridge.outbox o set status = 'pending', attempts = 0, available_at = now(),"
        " version = version + 1, reason = %(reason)s, priority = %(priority)s"
        " from dead where o.mapping_id = %(mapping)s and o.key = dead.key",
        {
            "mapping": mapping_id,
            "keys": keys,
            "code": code,
            "reason": Reason.REQUEUE.value,
            "priority": int(Priority.LIVE),
        },
    )
    if done.rowcount:
        outbox.wake(connection, mapping_id, done.rowcount)
    return done.rowcount


def discard(connection: Connection, mapping_id: int, keys: Sequence[str] | None) -> list[str]:
    """Drop dead letters for good (until their row changes again); their keys."""
    rows = connection.execute(
        _DEAD  # noqa: S608 - constants
        + " delete from syncbridge.outbox o using dead"
        " where o.mapping_id = %(mapping)s and o.key = dead.key and o.status = 'dead' returning o.key",
        {"mapping": mapping_id, "keys": keys, "code": None},
    )
    return sorted(key for (key,) in rows)


def undelivered(connection: Connection, until: Lsn, mapping_id: int | None = None) -> tuple[int, int]:
    """Rows with a change at or before `until` that is not delivered: (pending, dead). Join keys count as pending.

    Only what was enqueued can be counted: the checkpoint says up to where that is everything. One statement: what goes
    from one table to the other meanwhile is seen in one of them.
    """
    row = connection.execute(
        "select count(*) filter (where status = 'pending') + (select count(*) from syncbridge.fan_out"
        "  where since_lsn <= %(until)s::text::pg_lsn and (%(mapping)s::integer is null or mapping_id = %(mapping)s)),"
        " count(*) filter (where status = 'dead')"
        " from syncbridge.outbox where least(since_lsn, after_lsn) <= %(until)s::text::pg_lsn"
        " and (%(mapping)s::integer is null or mapping_id = %(mapping)s)",
        {"until": str(until), "mapping": mapping_id},
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def held(connection: Connection, until: Lsn, mapping_id: int) -> int:
    """Rows with a change at or before `until` that are held: a person decides which existing record each is."""
    row = connection.execute(
        "select count(*) from syncbridge.outbox where status = 'held'"
        " and least(since_lsn, after_lsn) <= %s::text::pg_lsn and mapping_id = %s",
        (str(until), mapping_id),
    ).fetchone()
    return 0 if row is None else int(row[0])


def under_lease(connection: Connection, mapping_id: int) -> bool:
    """Whether somebody delivers rows of this mapping right now."""
    row = connection.execute(
        "select exists (select from syncbridge.outbox"
        " where mapping_id = %s and claim is not null and (lease_until > now() or job is not null))",
        (mapping_id,),
    ).fetchone()
    return row is not None and bool(row[0])
