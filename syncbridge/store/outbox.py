"""The outbox: entity keys that wait for delivery, at most one row per mapping and key.

Life of a row: enqueued -> claimed (leased) -> settled: removed, or kept for another try, or dead, or parked until
something makes it due again. A change that comes while a row is claimed bumps its version, so that settling the older
claim keeps the row. What happens between claim and settlement is in `claims`.

Every transaction takes its row locks of one mapping in bytewise key order, so that two of them cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from syncbridge.arrays import from_microseconds, lsn_array, text_array, time_array, to_microseconds
from syncbridge.model import Fields, Lsn, Priority, Reason

#: Channel that wakes deliverers when something was enqueued.
CHANNEL = "syncbridge_outbox"

#: While so many rows of resyncs and of large fan-outs wait, their next page stays in the table.
ENOUGH_WAITING = 50_000

#: Commit LSN, and microseconds since 2000-01-01 UTC of the commit: as they stand in the write-ahead log.
Commit = tuple[int, int]

#: Reasons that say that the entity's own row changed, or by when it did if it did; for others nobody knows.
_CHANGES = (Reason.CHANGE, Reason.TRUNCATE, Reason.RECOVERY)


_ENQUEUE = """
insert into syncbridge.outbox as o
       (mapping_id, key, lsn, commit_time, changed_at, since_lsn, since, reason, priority, resend)
select %(mapping)s, key, lsn, moment, case when %(changed)s then moment end,
       coalesce(%(since_lsn)s::text::pg_lsn, lsn), coalesce(%(since)s, moment), %(reason)s, %(priority)s, %(resend)s
  from unnest(%(keys)s, %(lsns)s, %(times)s) as new (key, lsn, moment)
on conflict (mapping_id, key) do update set
       version = o.version + 1,
       lsn = greatest(o.lsn, excluded.lsn),
       commit_time = greatest(o.commit_time, excluded.commit_time),
       changed_at = greatest(o.changed_at, excluded.changed_at),
       after_lsn = case when o.claim is null then null else least(o.after_lsn, excluded.since_lsn) end,
       after = case when o.claim is null then null else least(o.after, excluded.since) end,
       reason = case when o.status = 'dead' or excluded.priority <= o.priority then excluded.reason else o.reason end,
       priority = case when o.status = 'dead' then excluded.priority else least(o.priority, excluded.priority) end,
       available_at = case when o.claim is null then least(o.available_at, now()) else o.available_at end,
       attempts = case when o.claim is null then 0 else o.attempts end,
       resend = o.resend or (o.claim is null and excluded.resend),
       after_resend = o.after_resend or (o.claim is not null and excluded.resend),
       since_lsn = least(o.since_lsn, excluded.since_lsn),
       since = case when o.status = 'dead' then excluded.since else least(o.since, excluded.since) end,
       status = 'pending'
"""


def enqueue_changes(
    connection: Connection, mapping_id: int, changes: Mapping[bytes, Commit], *, since: Commit | None = None
) -> None:
    """Mark entities as touched by commits; a key that already waits is coalesced into its row.

    Each comes with its last commit. There may have been earlier ones, none of them before `since`.
    """
    keys = sorted(changes)
    commits = [changes[key] for key in keys]
    _enqueue(connection, mapping_id, keys, commits, Reason.CHANGE, Priority.LIVE, resend=False, since=since)


def enqueue(
    connection: Connection,
    mapping_id: int,
    keys: Iterable[str],
    *,
    reason: Reason,
    priority: Priority,
    lsn: Lsn,
    moment: datetime,
    since: tuple[Lsn, datetime] | None = None,
    resend: bool = False,
) -> int:
    """Mark entities for another look at the source's position `lsn`; how many keys that were.

    `since` is position and time of the oldest change that they are looked at for, when `lsn` is only the newest.
    """
    first = None if since is None else (int(since[0]), to_microseconds(since[1]))
    ordered = sorted({key.encode() for key in keys})
    commit = (int(lsn), to_microseconds(moment))
    commits = [commit] * len(ordered)
    _enqueue(connection, mapping_id, ordered, commits, reason, priority, resend=resend, since=first)
    return len(ordered)


class Touched(NamedTuple):
    """A row as somebody finds it who did not claim it."""

    changed_at: datetime | None  # the last commit that changed the entity's own row, as far as capture knows
    status: str
    on_its_way: bool  # it is being sent
    sent: Sequence[Fields]  # what was sent, and perhaps stored, of which no answer came


_LOCK = """
select found.* from unnest(%(keys)s) as wanted (key) cross join lateral
       (select key, changed_at, status, job is not null or coalesce(lease_until > clock_timestamp(), false),
               case when sent is not null and (resend or claim is not null) then sent else '[]' end
          from syncbridge.outbox
         where mapping_id = %(mapping)s and key = wanted.key offset 0 for update) as found
"""


def lock(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, Touched]:
    """Lock the rows of these keys, in key order, whoever claimed them: until the transaction ends none is claimed."""
    parameters = {"mapping": mapping_id, "keys": text_array(sorted(keys))}
    return {row[0]: Touched(*row[1:]) for row in connection.execute(_LOCK, parameters)}


def statuses(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, str]:
    """The status of those of these keys that are in the outbox: pending (also when claimed), waiting, held, dead."""
    rows = connection.execute(
        "select key, status from syncbridge.outbox where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(set(keys)))),
    )
    return dict(rows.fetchall())


def make_due(connection: Connection, mapping_id: int, keys: Iterable[str]) -> None:
    """Let rows that wait for their next try be tried now; in a transaction that holds their locks."""
    wanted = text_array(sorted(keys))
    done = connection.execute(
        "update syncbridge.outbox set available_at = now()"
        " where mapping_id = %s and key = any(%s) and status = 'pending' and available_at > now()",
        (mapping_id, wanted),
    )
    if done.rowcount:
        wake(connection, mapping_id, done.rowcount)


def _enqueue(
    connection: Connection,
    mapping_id: int,
    keys: Sequence[bytes],
    commits: Sequence[Commit],
    reason: Reason,
    priority: Priority,
    *,
    resend: bool,
    since: Commit | None = None,
) -> None:
    if not keys:
        return
    parameters = {
        "mapping": mapping_id,
        "keys": text_array(keys),
        "lsns": lsn_array(commit[0] for commit in commits),
        "times": time_array(commit[1] for commit in commits),
        "reason": reason.value,
        "changed": reason in _CHANGES,
        "priority": int(priority),
        "resend": resend,
        **oldest(since),
    }
    connection.execute(_ENQUEUE, parameters)
    wake(connection, mapping_id, len(keys))


def wake(connection: Connection, mapping_id: int, records: int = 0) -> None:
    """Deliverers of the mapping hear of it when this transaction commits, and how many records were enqueued by it."""
    connection.execute("select pg_notify(%s, %s)", (CHANNEL, f"{mapping_id} {records}"), prepare=True)


def woken(payload: str) -> tuple[int, int] | None:
    """Mapping and number of records of a notification on CHANNEL; None when it is none of ours."""
    parts = payload.split(" ")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(map(str.isdecimal, parts)) else None


def oldest(commit: Commit | None) -> dict[str, object]:
    """Parameters of the oldest change; without them it is the newest one."""
    if commit is None:
        return {"since_lsn": None, "since": None}
    return {"since_lsn": str(Lsn(commit[0])), "since": from_microseconds(commit[1])}


def enqueue_linked(connection: Connection, mapping_id: int, commit: Commit, *, since: Commit | None = None) -> None:
    """Mark every entity of the mapping that has a remote record, or is about to have one: its table was truncated."""
    connection.execute(
        _ENQUEUE.replace(
            "from unnest(%(keys)s, %(lsns)s, %(times)s) as new (key, lsn, moment)",
            "from (select key from syncbridge.link where mapping_id = %(mapping)s union"
            " select key from syncbridge.outbox where mapping_id = %(mapping)s) as known,"
            " (select %(lsns)s[1] as lsn, %(times)s[1] as moment) as new order by key",
        ),
        {
            "mapping": mapping_id,
            "lsns": lsn_array([commit[0]]),
            "times": time_array([commit[1]]),
            "reason": Reason.TRUNCATE.value,
            "changed": True,
            "priority": int(Priority.LIVE),
            "resend": False,
            **oldest(since),
        },
    )
    wake(connection, mapping_id)


def next_due(connection: Connection, mapping_id: int) -> float | None:
    """Seconds until the next row is due (0 or less: it is, unless somebody has it under lease); None: nothing waits."""
    row = connection.execute(
        "select extract(epoch from min(first.available_at) - now())::float8 from unnest(array[0, 1, 9, 10]) as level,"
        " lateral (select available_at from syncbridge.outbox where mapping_id = %s and status = 'pending'"
        " and job is null and priority = level order by available_at limit 1) as first",
        (mapping_id,),
        prepare=True,
    ).fetchone()
    return None if row is None else row[0]


def bulk_waiting(connection: Connection, mapping_id: int, *, enough: int) -> bool:
    """Whether at least `enough` rows of resyncs wait, so that a run had better pause."""
    row = connection.execute(
        "select count(*) from (select 1 from syncbridge.outbox"
        " where mapping_id = %s and status = 'pending' and job is null and priority >= %s limit %s) as first_few",
        (mapping_id, int(Priority.BULK_LEFT), enough),
        prepare=True,
    ).fetchone()
    return row is not None and row[0] >= enough
