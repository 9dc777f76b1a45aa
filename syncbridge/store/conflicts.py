"""Conflicts: entities that are held because more than one thing could be meant.

A conflict belongs to a held row of the outbox, until a person decides or the row changes. It stays while that row is
tried again, and goes when it is delivered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg import Connection

from syncbridge.arrays import text_array
from syncbridge.model import Priority, Reason
from syncbridge.store import outbox

#: The kind of conflict that is known: which existing record an entity is.
FIRST_CONTACT = "first_contact"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One entity that is held; `decision` is a remote id, '' for a new record, None while nobody decided."""

    mapping: str
    key: str
    since: datetime
    candidates: tuple[str, ...]  # remote ids
    detail: str
    decision: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """Why an entity is held, and the remote ids of the records that it could be."""

    candidates: tuple[str, ...]
    detail: str


# A second look at the same conflict keeps its age. What was decided before could not be done: decide again.
_HOLD = """
insert into syncbridge.conflict as c (mapping_id, key, kind, candidates, detail)
select %(mapping)s, key, %(kind)s, array(select jsonb_array_elements_text(candidates::jsonb)), detail
  from unnest(%(keys)s, %(candidates)s, %(details)s) as new (key, candidates, detail)
on conflict (mapping_id, key) do update
   set candidates = excluded.candidates, detail = excluded.detail, decision = null, decided_at = null
"""

_SELECT = """
select m.name, c.key, c.since, c.candidates, c.detail, c.decision, c.decided_at
  from syncbridge.conflict c
  join syncbridge.mapping m on m.id = c.mapping_id
  join syncbridge.outbox o on o.mapping_id = c.mapping_id and o.key = c.key and o.status = 'held'
"""


#: First half of the advisory lock of one mapping's first contact, "meet" as ASCII; the second is the mapping's id.
_MEET_LOCK = 0x6D656574


def meet(connection: Connection, mapping_id: int, *, patience: float) -> bool:
    """Be alone in giving records to the mapping's entities until `part`; False when others were for so many seconds."""
    limit = f"{max(1, int(patience * 1000))}ms"
    try:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", (limit,))
            connection.execute("select pg_advisory_lock(%s, %s)", (_MEET_LOCK, mapping_id))
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def part(connection: Connection, mapping_id: int) -> None:
    """Let others."""
    connection.execute("select pg_advisory_unlock(%s, %s)", (_MEET_LOCK, mapping_id))


def try_meet(connection: Connection, mapping_id: int) -> bool:
    """The same until this transaction ends, without waiting; False while others do."""
    row = connection.execute("select pg_try_advisory_xact_lock(%s, %s)", (_MEET_LOCK, mapping_id)).fetchone()
    return row == (True,)


def hold(connection: Connection, mapping_id: int, held: Mapping[str, Held]) -> None:
    """Record key -> why it is held; in the transaction that parks its row of the outbox."""
    if not held:
        return
    keys = sorted(held)
    parameters = {
        "mapping": mapping_id,
        "kind": FIRST_CONTACT,
        "keys": text_array(keys),
        "candidates": text_array(orjson.dumps(held[key].candidates).decode() for key in keys),
        "details": text_array(held[key].detail for key in keys),
    }
    connection.execute(_HOLD, parameters)


def remove(connection: Connection, mapping_id: int, keys: Collection[str]) -> list[str]:
    """Forget the conflicts of delivered keys; the remote ids that these could have been."""
    if not keys:
        return []
    rows = connection.execute(
        "delete from syncbridge.conflict where mapping_id = %s and key = any(%s) returning candidates",
        (mapping_id, text_array(sorted(keys))),
        prepare=True,
    )
    return sorted({candidate for (candidates,) in rows for candidate in candidates})


def decisions(connection: Connection, mapping_id: int, keys: Sequence[str]) -> dict[str, str]:
    """What persons decided about these keys: a remote id, or '' for a new record."""
    rows = connection.execute(
        "select key, decision from syncbridge.conflict"
        " where mapping_id = %s and key = any(%s) and decision is not null",
        (mapping_id, text_array(keys)),
    )
    return dict(rows.fetchall())


def wanted_by_others(
    connection: Connection, mapping_id: int, remote_ids: Sequence[str], *, besides: Sequence[str]
) -> dict[str, bool]:
    """Of these records those that other conflicts of the mapping are about: whether one was given to its entity.

    Entities that a person gave another record, or a new one, want none of the rest. `besides` are keys left out.
    """
    rows = connection.execute(
        "select wanted, bool_or(c.decision is not null) from syncbridge.conflict c, unnest(c.candidates) as wanted"
        " where c.mapping_id = %(mapping)s and c.candidates && %(ids)s and wanted = any(%(ids)s)"
        " and (c.decision is null or c.decision = wanted) and not c.key = any(%(keys)s) group by 1",
        {"mapping": mapping_id, "ids": text_array(remote_ids), "keys": text_array(besides)},
    )
    return dict(rows.fetchall())


def held(connection: Connection, *, mapping: str | None = None, limit: int = 100) -> list[Conflict]:
    """Entities that are held, the oldest first."""
    rows = connection.execute(
        _SELECT + " where %s::text is null or m.name = %s order by c.since, c.key limit %s", (mapping, mapping, limit)
    )
    return [_conflict(row) for row in rows]


def count(connection: Connection, *, mapping: str | None = None) -> int:
    """How many entities are held."""
    row = connection.execute(
        f"select count(*) from ({_SELECT} where %s::text is null or m.name = %s) as held",  # noqa: S608 - a constant
        (mapping, mapping),
    ).fetchone()
    return 0 if row is None else int(row[0])


def read(connection: Connection, mapping_id: int, key: str) -> Conflict | None:
    """The conflict that holds one entity; None when it is not held."""
    row = connection.execute(_SELECT + " where c.mapping_id = %s and c.key = %s", (mapping_id, key)).fetchone()
    return None if row is None else _conflict(row)


def decide(connection: Connection, mapping_id: int, key: str, remote_id: str | None) -> bool:
    """Record which record a held entity is (None: a new one) and let it be delivered; False when it is not held."""
    with connection.transaction():
        if not _make_pending(connection, mapping_id, [key]):
            return False
        connection.execute(
            "update syncbridge.conflict set decision = %(decision)s, decided_at = now(), candidates ="
            " case when %(decision)s = '' or %(decision)s = any(candidates) then candidates"
            " else array_append(candidates, %(decision)s) end where mapping_id = %(mapping)s and key = %(key)s",
            {"mapping": mapping_id, "key": key, "decision": remote_id or ""},
        )
    return True


def decide_for(connection: Connection, mapping_id: int, remote_ids: Mapping[str, str], detail: str) -> None:
    """Record which records these entities are (key -> remote id), in the transaction that enqueues them."""
    keys = sorted(remote_ids)
    if keys:
        hold(connection, mapping_id, {key: Held((remote_ids[key],), detail) for key in keys})
        connection.execute(
            "update syncbridge.conflict set decision = candidates[1], decided_at = now()"
            " where mapping_id = %s and key = any(%s)",
            (mapping_id, text_array(keys)),
        )


def look_again(connection: Connection, mapping_id: int, keys: Sequence[str] | None = None) -> int:
    """Match held entities anew (all of the mapping when `keys` is None); how many."""
    with connection.transaction():
        return _make_pending(connection, mapping_id, keys, reason=Reason.REQUEUE)


def start_anew(connection: Connection, mapping_id: int) -> int:
    """Forget conflicts, and match anew what was held: existing records are looked for in another way now; how many."""
    with connection.transaction():
        count = look_again(connection, mapping_id)
        connection.execute("delete from syncbridge.conflict where mapping_id = %s", (mapping_id,))
    return count


def release(connection: Connection, mapping_id: int, remote_ids: Sequence[str]) -> int:
    """Match entities anew that are held because of records which now belong to others, or to nobody; how many."""
    if not remote_ids:
        return 0
    with connection.transaction():
        rows = connection.execute(
            "select key from syncbridge.conflict where mapping_id = %s and candidates && %s and decision is null",
            (mapping_id, text_array(remote_ids)),
        )
        return _make_pending(connection, mapping_id, [key for (key,) in rows])


def drop(connection: Connection, mapping_id: int, keys: Sequence[str] | None = None) -> list[str]:
    """Give up held entities (all of the mapping when `keys` is None) until their rows change; their keys."""
    with connection.transaction():
        rows = connection.execute(
            _HELD + " delete from syncbridge.outbox o using held"  # noqa: S608 - constants
            " where o.mapping_id = %(mapping)s and o.key = held.key returning o.key",
            {"mapping": mapping_id, "keys": None if keys is None else text_array(keys)},
        )
        dropped = sorted(key for (key,) in rows)
        remove(connection, mapping_id, dropped)
    return dropped


# Locked in key order, as every transaction does.
_HELD = """
with held as materialized (
    select key from syncbridge.outbox
     where mapping_id = %(mapping)s and status = 'held' and (%(keys)s::text[] is null or key = any(%(keys)s::text[]))
     order by key for update)
"""


def _make_pending(
    connection: Connection, mapping_id: int, keys: Sequence[str] | None, *, reason: Reason | None = None
) -> int:
    done = connection.execute(
        _HELD  # noqa: S608 - constants
        + " update syncbridge.outbox o set status = 'pending', attempts = 0, available_at = now(),"
        " version = version + 1, reason = coalesce(%(reason)s, reason), priority = %(priority)s"
        " from held where o.mapping_id = %(mapping)s and o.key = held.key",
        {
            "mapping": mapping_id,
            "keys": None if keys is None else text_array(keys),
            "reason": reason.value if reason is not None else None,
            "priority": int(Priority.LIVE),
        },
    )
    if done.rowcount:
        outbox.wake(connection, mapping_id, done.rowcount)
    return done.rowcount


def _conflict(row: Sequence[Any]) -> Conflict:
    mapping, key, since, candidates, detail, decision, decided_at = row
    return Conflict(mapping, key, since, tuple(candidates), detail, decision, decided_at)
