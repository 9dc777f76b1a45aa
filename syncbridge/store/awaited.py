"""Entities that wait, in whole or for one field, for the record of another mapping's entity.

Life of a row: added when its entity is settled -> `ready` when the parent's record is linked -> its entity is pending
again and the row removed (`release`). Who settles an entity as waiting and who links its parent's record at that moment
must not miss each other: the first holds the parent's lock alone, the second shares it, and both look under it.

Row locks are taken in the order of the primary key, and after those of the outbox.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from syncbridge.arrays import bigint_array, boolean_array, lsn_array, text_array, time_array, to_microseconds
from syncbridge.model import Lsn, Priority, Reason
from syncbridge.store import outbox

#: Advisory locks of ours that are taken per mapping: "wait" as ASCII, then a mapping's id.
_LOCK_CLASS = 0x77616974
#: ... "free": the same for releasing.
_RELEASE_CLASS = 0x66726565

#: Entities that one release makes pending again.
PAGE = 5000


class Awaited(NamedTuple):
    """One record that an entity waits for, and the change of the entity that does."""

    parent_id: int
    parent_key: str
    key: str
    held: bool  # it waits in whole; False: it was sent without the field
    lsn: str
    commit_time: datetime


class Edge(NamedTuple):
    """An entity that waits, and the one that it waits for."""

    mapping_id: int
    key: str
    parent_id: int
    parent_key: str


def lock(connection: Connection, *, alone: Collection[int] = (), shared: Collection[int] = ()) -> None:
    """Until the transaction ends. Taken before any row is locked, all in one order."""
    for number in sorted({*alone, *shared}):
        function = "pg_advisory_xact_lock" if number in alone else "pg_advisory_xact_lock_shared"
        connection.execute(f"select {function}(%s, %s)", (_LOCK_CLASS, number), prepare=True)


def forget(connection: Connection, mapping_id: int, keys: Iterable[str]) -> None:
    """Remove what these entities waited for: they were settled otherwise since."""
    connection.execute(
        "delete from syncbridge.awaited a using"
        " (select ctid from syncbridge.awaited where mapping_id = %s and key = any(%s)"
        "   order by parent_id, parent_key, mapping_id, key for update) as found"
        " where a.ctid = found.ctid",
        (mapping_id, text_array(sorted(keys))),
        prepare=True,
    )


def add(connection: Connection, mapping_id: int, rows: Sequence[Awaited]) -> bool:
    """Add what entities of the mapping wait for; whether one of these records is there already, so that it is ready."""
    merged: dict[tuple[int, str, str], Awaited] = {}
    for row in rows:  # two fields may wait for one record
        known = merged.setdefault((row.parent_id, row.parent_key, row.key), row)
        if row.held and not known.held:
            merged[row.parent_id, row.parent_key, row.key] = row
    ordered = [merged[name] for name in sorted(merged, key=lambda name: (name[0], name[1].encode(), name[2].encode()))]
    added = connection.execute(
        "insert into syncbridge.awaited (parent_id, parent_key, mapping_id, key, held, ready, lsn, commit_time)"
        " select parent_id, parent_key, %(mapping)s, key, held,"
        "        exists (select from syncbridge.link l where l.mapping_id = parent_id and l.key = parent_key),"
        "        lsn, commit_time"
        "   from unnest(%(parents)s, %(parent_keys)s, %(keys)s, %(held)s, %(lsns)s, %(times)s)"
        "        as new (parent_id, parent_key, key, held, lsn, commit_time)"
        " on conflict (parent_id, parent_key, mapping_id, key) do update"
        "    set held = excluded.held, ready = excluded.ready, alone = false"
        " returning ready",
        {
            "mapping": mapping_id,
            "parents": bigint_array(row.parent_id for row in ordered),
            "parent_keys": text_array(row.parent_key for row in ordered),
            "keys": text_array(row.key for row in ordered),
            "held": boolean_array(row.held for row in ordered),
            "lsns": lsn_array(int(Lsn.parse(row.lsn)) for row in ordered),
            "times": time_array(to_microseconds(row.commit_time) for row in ordered),
        },
    )
    return any(ready for (ready,) in added)


def mark_ready(connection: Connection, parent_id: int, keys: Iterable[str]) -> set[int]:
    """The records of these parents are there: whose entities wait for them, by mapping."""
    rows = connection.execute(
        "update syncbridge.awaited a set ready = true from"
        " (select ctid from syncbridge.awaited where parent_id = %s and parent_key = any(%s) and not ready"
        "   order by parent_id, parent_key, mapping_id, key for update) as found"
        " where a.ctid = found.ctid returning a.mapping_id",
        (parent_id, text_array(sorted(keys))),
        prepare=True,
    )
    return {mapping_id for (mapping_id,) in rows}


# Waiting entities are at rest in the outbox; others are on their way, and look again when they are settled.
_HELD = (
    "a.held and not a.alone and not a.ready and a.parent_id = any(%(circle)s) and exists"
    " (select from syncbridge.outbox o where o.mapping_id = a.mapping_id and o.key = a.key and o.status = 'waiting')"
)
_EDGES = f"""
with recursive reached as (
    select a.mapping_id, a.key, a.parent_id, a.parent_key from syncbridge.awaited a
     where a.mapping_id = %(mapping)s and a.key = any(%(keys)s) and {_HELD}
    union
    select a.mapping_id, a.key, a.parent_id, a.parent_key
      from reached r join syncbridge.awaited a on a.mapping_id = r.parent_id and a.key = r.parent_key
     where {_HELD})
select mapping_id, key, parent_id, parent_key from reached
"""  # noqa: S608 - constants


def edges(connection: Connection, mapping_id: int, keys: Iterable[str], circle: Collection[int]) -> list[Edge]:
    """Who waits for whom, from these entities on, among the mappings of a circle."""
    parameters = {"mapping": mapping_id, "keys": text_array(sorted(keys)), "circle": sorted(circle)}
    return [Edge(*row) for row in connection.execute(_EDGES, parameters)]


def send_alone(connection: Connection, cut: Sequence[Edge]) -> None:
    """Let entities go out without what they wait for here, unless they wait for more."""
    parameters = {
        "mappings": bigint_array(edge.mapping_id for edge in cut),
        "keys": text_array(edge.key for edge in cut),
        "parents": bigint_array(edge.parent_id for edge in cut),
        "parent_keys": text_array(edge.parent_key for edge in cut),
    }
    connection.execute(
        "update syncbridge.awaited a set alone = true"
        "  from unnest(%(mappings)s, %(keys)s, %(parents)s, %(parent_keys)s)"
        "       as cut (mapping_id, key, parent_id, parent_key)"
        " where a.mapping_id = cut.mapping_id and a.key = cut.key"
        "   and a.parent_id = cut.parent_id and a.parent_key = cut.parent_key",
        parameters,
    )
    connection.execute(
        "update syncbridge.outbox o set status = 'pending', available_at = now()"
        "  from (select distinct mapping_id, key from unnest(%(mappings)s, %(keys)s) as cut (mapping_id, key)) as cut"
        " where o.mapping_id = cut.mapping_id and o.key = cut.key and o.status = 'waiting'"
        "   and not exists (select from syncbridge.awaited a where a.mapping_id = cut.mapping_id and a.key = cut.key"
        "                      and a.held and not a.alone)",
        parameters,
    )


def alone(connection: Connection, mapping_id: int, keys: Iterable[str]) -> set[tuple[str, int, str]]:
    """What these entities are to be sent without: (key, parent id, parent key)."""
    rows = connection.execute(
        "select key, parent_id, parent_key from syncbridge.awaited where mapping_id = %s and key = any(%s) and alone",
        (mapping_id, text_array(sorted(keys))),
        prepare=True,
    )
    return set(rows)


# A row at rest goes on with what it was; one that was sent without the field stands in the outbox anew. Those that are
# on their way look for themselves, and a dead letter stays one.
_RELEASE = """
insert into syncbridge.outbox as o (mapping_id, key, lsn, commit_time, since_lsn, since, reason, priority)
select %(mapping)s, key, min(lsn), min(commit_time), min(lsn), min(commit_time), %(reason)s, %(priority)s
  from (select key, lsn, commit_time from syncbridge.awaited
         where mapping_id = %(mapping)s and ready order by key limit %(limit)s) as freed
 group by key order by key
on conflict (mapping_id, key) do update set
       status = case when o.status = 'waiting' then 'pending' else o.status end,
       available_at = case when o.status = 'waiting' then now() else o.available_at end
returning key
"""


def release(connection: Connection, mapping_id: int, *, limit: int = PAGE) -> int:
    """Make entities of the mapping pending whose parents' records are there; how many of about `limit`.

    0 when there are none, or somebody else is at it.
    """
    if not _any_ready(connection, mapping_id):
        return 0
    parameters = {"mapping": mapping_id, "reason": Reason.PARENT.value, "priority": int(Priority.BULK), "limit": limit}
    with connection.transaction():
        taken = connection.execute("select pg_try_advisory_xact_lock(%s, %s)", (_RELEASE_CLASS, mapping_id)).fetchone()
        if taken != (True,):
            return 0
        keys = [key for (key,) in connection.execute(_RELEASE, parameters)]
        connection.execute(
            "delete from syncbridge.awaited a using"
            " (select ctid from syncbridge.awaited where mapping_id = %s and key = any(%s) and ready"
            "   order by parent_id, parent_key, mapping_id, key for update) as found"
            " where a.ctid = found.ctid",
            (mapping_id, text_array(keys)),
        )
        outbox.wake(connection, mapping_id, len(keys))
    return len(keys)


# Locked in key order, as every transaction does.
_RESTING = """
with resting as materialized (
    select key from syncbridge.outbox
     where mapping_id = %(mapping)s and key = any(%(keys)s) and status = 'waiting' order by key for update)
"""


def ask_again(connection: Connection, mapping_id: int, keys: Iterable[str]) -> int:
    """Let entities that wait look for their parents' records anew, because a person says so; how many."""
    done = connection.execute(
        _RESTING  # noqa: S608 - constants
        + " update syncbridge.outbox o set status = 'pending', attempts = 0, available_at = now(),"
        " version = version + 1, reason = %(reason)s, priority = %(priority)s"
        " from resting where o.mapping_id = %(mapping)s and o.key = resting.key",
        {
            "mapping": mapping_id,
            "keys": text_array(keys),
            "reason": Reason.REQUEUE.value,
            "priority": int(Priority.LIVE),
        },
    )
    if done.rowcount:
        outbox.wake(connection, mapping_id, done.rowcount)
    return done.rowcount


def drop(connection: Connection, mapping_id: int, keys: Iterable[str]) -> list[str]:
    """Give up entities that wait, for good (until their row changes again); their keys. In a transaction."""
    rows = connection.execute(
        _RESTING  # noqa: S608 - constants
        + " delete from syncbridge.outbox o using resting"
        " where o.mapping_id = %(mapping)s and o.key = resting.key returning o.key",
        {"mapping": mapping_id, "keys": text_array(keys)},
    )
    dropped = sorted(key for (key,) in rows)
    forget(connection, mapping_id, dropped)
    return dropped


def _any_ready(connection: Connection, mapping_id: int) -> bool:
    row = connection.execute(
        "select 1 from syncbridge.awaited where mapping_id = %s and ready limit 1", (mapping_id,), prepare=True
    ).fetchone()
    return row is not None


def look_again(connection: Connection, mapping_id: int) -> int:
    """Mark what waits for records that are there, however they came to be linked; how many.

    Links that are not made by a delivery tell nobody: those that a person took over, or that a worker made who did not
    know this mapping yet.
    """
    done = connection.execute(
        "update syncbridge.awaited a set ready = true from"
        " (select w.ctid from syncbridge.awaited w join syncbridge.link l"
        "      on l.mapping_id = w.parent_id and l.key = w.parent_key"
        "   where w.mapping_id = %s and not w.ready"
        "   order by w.parent_id, w.parent_key, w.mapping_id, w.key for update of w) as found"
        " where a.ctid = found.ctid",
        (mapping_id,),
    )
    return done.rowcount
