"""Bulk jobs: which rows of the outbox a job of the destination carries, and how far it is.

A row that a job carries has no lease: it comes free when it is settled, or with its job (`free`). So no worker's death
and no passing of time lets a newer state of the same entity be sent while the job may still write the older one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from syncbridge.arrays import text_array, texts
from syncbridge.model import Priority, Reason
from syncbridge.store import copying
from syncbridge.store.claims import LEFT, Claimed
from syncbridge.store.copying import Column
from syncbridge.store.outbox import Commit

#: First half of the session lock of whoever carries the jobs of a mapping, "bulk" as ASCII; the second is its id.
_LOCK = 0x62756C6B
#: Rows that one transaction frees: changes of the same entities wait for it.
_FREE_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Job:
    """One bulk job that is not settled yet. `id` is the claim number of its rows.

    `preparing`: it collects rows. `open`: the destination's job `remote_id` is there, and nothing is known to have been
    sent. `sent`: it was given its records, and works.
    """

    id: int
    mapping_id: int
    object: str
    operation: str  # upsert | delete
    key_field: str
    remote_id: str | None
    state: str
    records: int
    processed: int
    failed: int
    since: datetime
    counted: dict[str, int]  # what it counts towards the guard


_SELECT = (
    "select id, mapping_id, object, operation, key_field, remote_id, state, records, processed, failed, since,"
    " counted from syncbridge.bulk_job"
)


def read_all(connection: Connection, mapping_id: int | None = None) -> list[Job]:
    """Every job that is not settled, of one mapping or of all, oldest first."""
    rows = connection.execute(
        _SELECT + " where %(mapping)s::integer is null or mapping_id = %(mapping)s order by since, id",
        {"mapping": mapping_id},
    )
    return [Job(*row) for row in rows]


def in_flight(connection: Connection, destination: str) -> int:
    """How many jobs of a destination were begun and are not settled, whatever their mapping."""
    row = connection.execute(
        "select count(*) from syncbridge.bulk_job j join syncbridge.mapping m on m.id = j.mapping_id"
        " where m.destination = %s and j.remote_id is not null",
        (destination,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def prepare(connection: Connection, number: int, mapping_id: int, *, object: str, operation: str) -> None:
    """Write down a job before it claims its first row; `number` is that of the claim."""
    connection.execute(
        "insert into syncbridge.bulk_job (id, mapping_id, object, operation) values (%s, %s, %s, %s)",
        (number, mapping_id, object, operation),
    )


def opened(connection: Connection, number: int, remote_id: str, *, key_field: str, counted: Mapping[str, int]) -> bool:
    """The destination's job is there, and nothing was sent yet. False when ours is gone: it was forgotten."""
    done = connection.execute(
        "update syncbridge.bulk_job set remote_id = %s, key_field = %s, counted = %s, state = 'open' where id = %s",
        (remote_id, key_field, Jsonb(dict(counted)), number),
    )
    return done.rowcount > 0


def sent(
    connection: Connection, number: int, records: int | None = None, *, counted: Mapping[str, int] | None = None
) -> bool:
    """Its records were uploaded: so many, and so much of what it `counted`. False when the job is gone."""
    done = connection.execute(
        "update syncbridge.bulk_job set state = 'sent', records = coalesce(%s, records),"
        " counted = coalesce(%s, counted) where id = %s",
        (records, None if counted is None else Jsonb(dict(counted)), number),
    )
    return done.rowcount > 0


def note(connection: Connection, number: int, *, processed: int, failed: int) -> None:
    """How far the destination says that it is."""
    connection.execute(
        "update syncbridge.bulk_job set processed = %(processed)s, failed = %(failed)s, records = greatest(records,"
        " %(processed)s) where id = %(id)s and (processed, failed) is distinct from (%(processed)s, %(failed)s)",
        {"id": number, "processed": processed, "failed": failed},
    )


_CARRY_NEW: LiteralString = """
copy syncbridge.outbox (mapping_id, key, lsn, commit_time, since_lsn, since, reason, priority, claim, job)
from stdin (format binary)
"""


def carry_new(
    connection: Connection, number: int, mapping_id: int, keys: Iterable[str], *, reason: Reason, commit: Commit
) -> bool:
    """Put entities into the outbox as rows that this job carries already: one version of each row instead of two.

    False when one of them has a row there: nothing was put then.
    """
    ordered = sorted(key.encode() for key in keys)
    lsn, moment = copying.number("pg_lsn", commit[0]), copying.number("timestamptz", commit[1])
    priority, carrier = copying.number("smallint", Priority.BULK), copying.number("bigint", number)
    mapping, (why,) = copying.number("integer", mapping_id), texts([reason])
    columns: list[Column] = [mapping, texts(ordered), lsn, moment, lsn, moment, why, priority, carrier, carrier]
    try:
        with connection.transaction():
            copying.copy_rows(connection, _CARRY_NEW, columns)
    except psycopg.errors.UniqueViolation:
        return False
    return True


def move(connection: Connection, number: int, other: int, keys: Sequence[str]) -> None:
    """Let another job carry these rows."""
    connection.execute(
        "with held as materialized (select ctid from syncbridge.outbox where job = %(job)s and key = any(%(keys)s)"
        " order by key for update)"
        " update syncbridge.outbox o set job = %(other)s, claim = %(other)s from held where o.ctid = held.ctid",
        {"job": number, "other": other, "keys": text_array(sorted(keys))},
    )


_FREE = f"""
with held as materialized (
    select ctid from syncbridge.outbox where job = %(job)s {{those}} order by key limit %(limit)s for update
)
update syncbridge.outbox o
   set job = null, claim = null, priority = case when %(left)s then {LEFT} else o.priority end,
       attempts = case when after_lsn is null then o.attempts else 0 end,
       resend = o.resend or o.after_resend or %(resend)s, after_resend = false,
       since_lsn = least(o.since_lsn, o.after_lsn), since = least(o.since, o.after), after_lsn = null, after = null
  from held where o.ctid = held.ctid
"""  # noqa: S608 - constants
_FREE_ALL = _FREE.replace("{those}", "")
_FREE_KEYS = _FREE.replace("{those}", "and key = any(%(keys)s)")


def leave(connection: Connection, number: int, keys: Sequence[str]) -> None:
    """Leave these rows of a job to the lanes: no other job takes them before they change."""
    if keys:
        parameters = {"job": number, "left": True, "resend": False, "limit": len(keys), "keys": text_array(keys)}
        connection.execute(_FREE_KEYS, parameters)


def give_back(connection: Connection, number: int, keys: Sequence[str]) -> None:
    """Take these rows out of a job: they are due again."""
    for start in range(0, len(keys), _FREE_AT_ONCE):
        page = text_array(keys[start : start + _FREE_AT_ONCE])
        connection.execute(
            _FREE_KEYS, {"job": number, "left": False, "resend": False, "limit": _FREE_AT_ONCE, "keys": page}
        )


def free(connection: Connection, number: int, *, left: bool = False, resend: bool = False) -> int:
    """Give all rows back that a job still carries, and forget it; how many.

    With `left` they are left to the lanes; with `resend` what became of them is unknown. Can be done again when it is
    interrupted.
    """
    freed = 0
    parameters = {"job": number, "left": left, "resend": resend, "limit": _FREE_AT_ONCE}
    while now := connection.execute(_FREE_ALL, parameters).rowcount:
        freed += now
    connection.execute("delete from syncbridge.bulk_job where id = %s", (number,))
    return freed


def keys(connection: Connection, number: int) -> list[str]:
    """Keys of the rows that a job still carries."""
    rows = connection.execute("select key from syncbridge.outbox where job = %s order by key", (number,))
    return [key for (key,) in rows]


# A change after the claim makes the version another one than was claimed: settling then keeps the row.
_AS_CLAIMED = """
select o.key, case when o.after_lsn is null then o.version else o.version - 1 end,
       (case when o.after_lsn is null then o.lsn else o.since_lsn end)::text,
       case when o.after_lsn is null then o.commit_time else o.since end, o.reason, o.attempts, o.resend
"""

_UNLINKED = f"""
{_AS_CLAIMED}, null, null, o.error_code, null
  from syncbridge.outbox o left join lateral (select true as there from syncbridge.link
                                               where mapping_id = o.mapping_id and key = o.key offset 0) as l on true
 where o.job = %s and l.there is null order by o.key
"""  # noqa: S608 - constants


def unlinked(connection: Connection, number: int) -> dict[str, tuple[Any, ...]]:
    """The rows of entities without a record that a job still carries: key -> the fields of `Claimed`, as claimed.

    All at once costs a third of what it costs by their keys, and without bases it is some 20 MB for 50,000. As plain
    tuples they are none of the garbage collector's business.
    """
    return {row[0]: row for row in connection.execute(_UNLINKED, (number,), prepare=True)}


_CARRIED = f"""
{_AS_CLAIMED}, l.remote_id, l.base::text, o.error_code, null
  from unnest(%(keys)s) as wanted (key) cross join lateral
       (select * from syncbridge.outbox
         where mapping_id = %(mapping)s and key = wanted.key and job = %(job)s offset 0) as o
       left join lateral (select remote_id, base from syncbridge.link
                           where mapping_id = %(mapping)s and key = wanted.key offset 0) as l on true
"""  # noqa: S608 - constants


def carried(connection: Connection, mapping_id: int, number: int, keys: Iterable[str]) -> list[Claimed]:
    """Of these rows, those that the job still carries, as they were claimed. What is settled already is left out."""
    parameters = {"mapping": mapping_id, "job": number, "keys": text_array(sorted(keys))}
    return list(map(Claimed._make, connection.execute(_CARRIED, parameters, prepare=True)))


def due(connection: Connection, mapping_id: int, priority: Priority, *, enough: int) -> int:
    """How many rows of this priority are due and free, counted up to `enough`."""
    row = connection.execute(
        "select count(*) from (select 1 from syncbridge.outbox"
        " where mapping_id = %s and status = 'pending' and job is null and priority = %s and available_at <= now()"
        " and (lease_until is null or lease_until <= now()) limit %s) as first_few",
        (mapping_id, int(priority), enough),
        prepare=True,
    ).fetchone()
    return 0 if row is None else int(row[0])


def reserve(
    connection: Connection, mapping_id: int, priority: Priority, *, before: datetime | None, seconds: float
) -> None:
    """Let lanes leave rows of this priority, as far as they came due `before` then (None: all), to bulk jobs.

    For so many seconds, or for as long as it was so before, unless that is renewed.
    """
    connection.execute(
        "insert into syncbridge.bulk_reserve (mapping_id, priority, before, until)"
        " values (%s, %s, coalesce(%s::timestamptz, 'infinity'), now() + %s * interval '1 second')"
        " on conflict (mapping_id, priority) do update"
        " set before = excluded.before, until = greatest(bulk_reserve.until, excluded.until)",
        (mapping_id, int(priority), before, seconds),
    )


def renew_reserve(connection: Connection, mapping_id: int, priority: Priority, *, seconds: float) -> None:
    """Let what is reserved stay so."""
    connection.execute(
        "update syncbridge.bulk_reserve set until = now() + %s * interval '1 second'"
        " where mapping_id = %s and priority = %s",
        (seconds, mapping_id, int(priority)),
    )


def end_reserve(connection: Connection, mapping_id: int, priority: Priority) -> None:
    """Let lanes deliver everything of this priority again."""
    connection.execute(
        "delete from syncbridge.bulk_reserve where mapping_id = %s and priority = %s", (mapping_id, int(priority))
    )


def take_turn(connection: Connection, mapping_id: int) -> bool:
    """Whether this connection is the one that carries the jobs of a mapping; it stays so until it closes.

    The lock is the session's, so that it ends with the process or its connection.
    """
    row = connection.execute("select pg_try_advisory_lock(%s, %s)", (_LOCK, mapping_id)).fetchone()
    return row == (True,)
