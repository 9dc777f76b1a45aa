"""Claims: outbox rows under a lease, and what becomes of them when they are settled.

A claim whose lease ended may be taken over by another; the late one then finds its number gone and changes nothing. A
settlement, which is several statements, takes all row locks first (`lock`), in key order as every transaction does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from psycopg import Connection

from syncbridge.arrays import bigint_array, boolean_array, few_texts_array, text_array
from syncbridge.model import Priority


class Claimed(NamedTuple):
    """One outbox row under a lease, with the link of its entity. A tuple: millions are made."""

    key: str
    version: int
    lsn: str
    commit_time: datetime
    reason: str
    attempts: int  # tries before this one
    resend: bool
    remote_id: str | None
    base: str | None  # JSON
    error_code: str | None = None  # of the last try, also of one before the newest change
    requeued: float | None = None  # when a person sent it back, in seconds of Postgres's clock

    @classmethod
    def unclaimed(cls, key: str, link: tuple[str, str] | None, *, reason: str, resend: bool = False) -> Self:
        """A row as a claim would find it now, for who only looks at what delivery would do.

        `link` is the remote id and the base (JSON) of the entity, None when it has no record.
        """
        remote_id, base = link or (None, None)
        return cls(key, 0, "0/0", datetime.now(UTC), reason, 0, resend, remote_id, base)


# A row that somebody changed between this statement's snapshot and its lock is not claimed this time: its new version
# is at another ctid, which the snapshot does not show. So the link that is read here is never older than the row.
# What lanes leave to bulk jobs is skipped by the index: there may be very much of it.
_CLAIM = """
with next as materialized (
    select found.ctid, found.key, found.claim
      from unnest(%(levels)s::smallint[]) as level
           left join syncbridge.bulk_reserve r
             on r.mapping_id = %(mapping)s and r.priority = level and r.until > now() and %(job)s::bigint is null
           cross join lateral
           (select ctid, key, claim
              from syncbridge.outbox
             where mapping_id = %(mapping)s and status = 'pending' and job is null and priority = level
               and available_at > coalesce(r.before, '-infinity')
               and available_at <= coalesce(%(until)s::timestamptz, now())
               and (lease_until is null or lease_until <= now())
               and (select m.status = 'active' and not m.loading and m.digest = coalesce(%(digest)s, m.digest)
                      from syncbridge.mapping m where m.id = %(mapping)s)
             order by available_at
             limit %(limit)s
               for update skip locked) as found
     limit %(limit)s
)
update syncbridge.outbox o
   set claim = %(claim)s, job = %(job)s,
       lease_until = now() + %(lease)s * interval '1 second',
       resend = o.resend or o.after_resend or next.claim is not null, after_resend = false,
       since_lsn = least(o.since_lsn, o.after_lsn), since = least(o.since, o.after), after_lsn = null, after = null
  from next left join lateral (select remote_id, base from syncbridge.link
                                where mapping_id = %(mapping)s and key = next.key offset 0) as l on true
 where o.ctid = next.ctid
returning o.key, o.version, o.lsn::text, o.commit_time, o.reason, o.attempts, o.resend, l.remote_id, l.base::text,
    o.error_code, case when o.reason = 'requeue' then extract(epoch from o.available_at)::float8 end
"""

_CLAIM_KEYS = (
    _CLAIM.replace("m.status = 'active' and not m.loading and", "")
    .replace(
        "             order by available_at",
        "               and key = any(%(keys)s)\n             order by available_at",
    )
    .replace("and %(job)s::bigint is null", "and false")
)

#: The priority, in SQL, of a row that bulk jobs leave to lanes.
LEFT = f"""case o.priority when {Priority.LIVE:d} then {Priority.LIVE_LEFT:d}
    when {Priority.BULK:d} then {Priority.BULK_LEFT:d} else o.priority end"""

# Rows are found one by one by their whole key. A plain join may be planned otherwise when statistics are missing, or
# were taken while other mappings waited: all rows of the mapping are then read, for each batch or even for each row.
# `offset 0` keeps the lookup as it is written.
_LOCK = """
select found.key
  from unnest(%(keys)s) as wanted (key) cross join lateral
       (select key from syncbridge.outbox
         where mapping_id = %(mapping)s and key = wanted.key and claim = %(claim)s offset 0 for update) as found
"""

_DELETE = """
delete from syncbridge.outbox o
 using unnest(%(keys)s, %(versions)s) as done (key, version) cross join lateral
       (select ctid from syncbridge.outbox
         where mapping_id = %(mapping)s and key = done.key and version = done.version and claim = %(claim)s
        offset 0) as found
 where o.ctid = found.ctid
returning o.key
"""

# What is left of a settled claim: rows that changed meanwhile. They are due at once, for the newer change.
_RELEASE_CHANGED = """
update syncbridge.outbox o
   set claim = null, lease_until = null, job = null, available_at = now(), attempts = 0,
       resend = o.after_resend, after_resend = false, sent = null,
       error_code = null, error = null, error_at = null,
       since_lsn = coalesce(after_lsn, lsn), since = coalesce(after, commit_time), after_lsn = null, after = null
  from unnest(%(keys)s) as done (key) cross join lateral
       (select ctid from syncbridge.outbox
         where mapping_id = %(mapping)s and key = done.key and claim = %(claim)s offset 0) as found
 where o.ctid = found.ctid
returning o.key
"""

_KEEP = f"""
update syncbridge.outbox o
   set claim = null, lease_until = null, job = null,
       priority = case when o.job is not null and kept.tried and o.version = kept.version then {LEFT}
                       else o.priority end,
       status = case when o.version = kept.version then kept.status else 'pending' end,
       attempts = case when o.version = kept.version then o.attempts + kept.tried::int else 0 end,
       available_at = case when o.version = kept.version then now() + kept.delay * interval '1 ms'
                           else now() end,
       resend = o.resend or o.after_resend or kept.resend, after_resend = false,
       sent = case when o.resend or kept.resend then o.sent end,
       error_code = coalesce(kept.code, o.error_code), error = coalesce(kept.message, o.error),
       error_at = case when kept.message is null then o.error_at else clock_timestamp() end,
       since_lsn = least(o.since_lsn, o.after_lsn), since = least(o.since, o.after), after_lsn = null, after = null
  from unnest(%(keys)s, %(versions)s, %(statuses)s, %(tried)s, %(resend)s, %(delays)s, %(codes)s, %(messages)s)
       as kept (key, version, status, tried, resend, delay, code, message) cross join lateral
       (select ctid from syncbridge.outbox
         where mapping_id = %(mapping)s and key = kept.key and claim = %(claim)s offset 0) as found
 where o.ctid = found.ctid
returning o.key
"""  # noqa: S608 - constants


def claim(
    connection: Connection,
    mapping_id: int,
    *,
    limit: int,
    lease: float,
    number: int | None = None,
    digest: str | None = None,
    keys: Sequence[str] | None = None,
) -> tuple[int, list[Claimed]]:
    """Take up to `limit` due rows, live changes first, for `lease` seconds; the number of the claim and the rows.

    None are taken when the mapping in force is another one than `digest` says: they wait for who knows it. With `keys`
    these alone are taken, whatever the status of the mapping. What is left to bulk jobs is not taken.
    `number` comes from the worker's own range (`workers.claim_numbers`), else from the database. A row whose earlier
    claim never settled comes with `resend`: what was sent then is unknown.
    """
    number = _next_claim(connection) if number is None else number
    parameters = _parameters(mapping_id, number, limit, digest, lease=lease)
    if keys is not None:
        parameters["keys"] = text_array(sorted(keys))
    statement = _CLAIM if keys is None else _CLAIM_KEYS
    rows = connection.execute(statement, parameters, prepare=True).fetchall()
    return number, list(map(Claimed._make, rows))


def claim_for_job(
    connection: Connection,
    mapping_id: int,
    number: int,
    *,
    limit: int,
    levels: Sequence[Priority],
    until: datetime | None,
    digest: str | None = None,
) -> list[Claimed]:
    """Take up to `limit` rows of these priorities for the bulk job `number`, as far as they were due `until` then
    (None: now)."""
    parameters = _parameters(mapping_id, number, limit, digest, job=number, levels=levels, until=until)
    rows = connection.execute(_CLAIM, parameters, prepare=True).fetchall()
    return list(map(Claimed._make, rows))


def _parameters(
    mapping_id: int,
    number: int,
    limit: int,
    digest: str | None,
    *,
    lease: float | None = None,
    job: int | None = None,
    levels: Sequence[Priority] = tuple(Priority),
    until: datetime | None = None,
) -> dict[str, object]:
    return {
        "mapping": mapping_id,
        "claim": number,
        "limit": limit,
        "digest": digest,
        "lease": lease,
        "job": job,
        "levels": [int(level) for level in levels],
        "until": until,
    }


def _next_claim(connection: Connection) -> int:
    row = connection.execute("select nextval('syncbridge.claim')", prepare=True).fetchone()
    assert row is not None  # nextval always gives a row
    return int(row[0])


def lock(connection: Connection, mapping_id: int, number: int, keys: Iterable[str]) -> set[str]:
    """Lock rows of a claim before they are settled, in key order; those that are still ours."""
    parameters = {"mapping": mapping_id, "claim": number, "keys": text_array(sorted(keys))}
    return {key for (key,) in connection.execute(_LOCK, parameters, prepare=True)}


def finish_unchanged(connection: Connection, mapping_id: int, number: int, done: Mapping[str, int]) -> set[str]:
    """Remove settled rows as `finish`, but leave those that changed meanwhile as they are; the keys that were removed.

    One statement, which locks them itself, in key order.
    """
    keys = sorted(done)
    parameters = {
        "mapping": mapping_id,
        "claim": number,
        "keys": text_array(keys),
        "versions": bigint_array(done[key] for key in keys),
    }
    return {key for (key,) in connection.execute(_DELETE, parameters, prepare=True)}


def finish(connection: Connection, mapping_id: int, number: int, done: Mapping[str, int]) -> set[str]:
    """Remove settled rows, `done` being key -> claimed version; the keys that were still ours.

    A row that changed meanwhile stays, due at once. Keys whose lease another claim took over are left out of the
    answer: what this claim learnt about them must not be recorded. In a transaction that holds their `lock`.
    """
    if not done:
        return set()
    ours = finish_unchanged(connection, mapping_id, number, done)
    if len(ours) < len(done):
        parameters = {"mapping": mapping_id, "claim": number, "keys": text_array(sorted(done.keys() - ours))}
        ours.update(key for (key,) in connection.execute(_RELEASE_CHANGED, parameters))
    return ours


@dataclass(frozen=True, slots=True)
class Kept:
    """A claimed row that stays: for another try, as a dead letter, or parked until something makes it due again."""

    key: str
    version: int
    delay: float = 0.0  # seconds until the next try
    dead: bool = False
    parked: Literal["held", "waiting"] | None = None
    tried: bool = True  # False: nothing was attempted (quota, guard, pause), so no attempt is counted
    resend: bool = False
    code: str | None = None
    message: str | None = None


def keep(connection: Connection, mapping_id: int, number: int, rows: Sequence[Kept]) -> set[str]:
    """Give claimed rows back, the keys that were still ours; one that changed meanwhile is due at once instead.

    In a transaction that holds their `lock`.
    """
    if not rows:
        return set()
    ordered = sorted(rows, key=lambda row: row.key.encode())
    kept = connection.execute(
        _KEEP,
        {
            "mapping": mapping_id,
            "claim": number,
            "keys": text_array(row.key for row in ordered),
            "versions": bigint_array(row.version for row in ordered),
            "statuses": few_texts_array("dead" if row.dead else row.parked or "pending" for row in ordered),
            "tried": boolean_array(row.tried for row in ordered),
            "resend": boolean_array(row.resend for row in ordered),
            "delays": bigint_array(int(row.delay * 1000) for row in ordered),
            "codes": text_array(row.code for row in ordered),
            "messages": text_array(row.message for row in ordered),
        },
    )
    return {key for (key,) in kept}


def end_leases(connection: Connection, first: int, last: int) -> int:
    """Make rows claimed by numbers of this range due now: their process is known to be dead. How many."""
    done = connection.execute(
        "with held as materialized (select mapping_id, key from syncbridge.outbox"
        " where status = 'pending' and claim between %(first)s and %(last)s and lease_until > now()"
        " order by mapping_id, key for update)"
        " update syncbridge.outbox o set lease_until = now() from held"
        " where o.mapping_id = held.mapping_id and o.key = held.key and o.claim between %(first)s and %(last)s",
        {"first": first, "last": last},
    )
    return done.rowcount
