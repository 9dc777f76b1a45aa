"""Join keys that were touched, and how far each is passed on to the entities that it concerns.

Life of a row: enqueued by capture -> read -> (its entities are looked up and enqueued) -> removed, unless its version
moved since it was read. A join key of more entities than one look takes goes through a *pass*: pages of entities, each
its own transaction. Changes meanwhile do not start it anew; they make it start once more at its end.

Row locks are taken in key order, and before those of the outbox: capture and the fan-out step write both tables in one
transaction each, so in any other order two of them could wait for one another. Nobody holds one while asking the
source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from syncbridge.arrays import bigint_array, few_texts_array, lsn_array, text_array, time_array, to_microseconds
from syncbridge.model import Lsn
from syncbridge.store.outbox import Commit, oldest

#: Channel that wakes whoever fans out when join keys were enqueued.
CHANNEL = "syncbridge_fan_out"

#: Advisory locks of ours that are taken per mapping: "fan " as ASCII, then the mapping's id.
_LOCK_CLASS = 0x66616E20


class JoinKey(NamedTuple):
    """One row, as it stood when it was read."""

    key: str
    version: int
    lsn: Lsn
    commit_time: datetime
    since_lsn: Lsn
    since: datetime
    in_pass: int | None
    after: str | None


class Work(NamedTuple):
    """One relation that has join keys to pass on."""

    mapping_id: int
    relation: str


_ENQUEUE = """
insert into syncbridge.fan_out as f (mapping_id, relation, key, lsn, commit_time, since_lsn, since)
select mapping_id, relation, key, lsn, moment, coalesce(%(since_lsn)s::text::pg_lsn, lsn), coalesce(%(since)s, moment)
  from unnest(%(mappings)s, %(relations)s, %(keys)s, %(lsns)s, %(times)s)
       as new (mapping_id, relation, key, lsn, moment)
on conflict (mapping_id, relation, key) do update set
       version = excluded.version,
       lsn = greatest(f.lsn, excluded.lsn),
       commit_time = greatest(f.commit_time, excluded.commit_time),
       since_lsn = least(f.since_lsn, excluded.since_lsn),
       since = least(f.since, excluded.since),
       later_lsn = case when f.pass is null then null else least(f.later_lsn, excluded.since_lsn) end,
       later = case when f.pass is null then null else least(f.later, excluded.since) end
"""


def enqueue(
    connection: Connection,
    touched: Mapping[tuple[int, str], Mapping[bytes, Commit]],
    *,
    since: Commit | None = None,
) -> None:
    """Mark join keys, by mapping and relation, as touched by commits; one that waits already is coalesced.

    Each comes with its last commit. There may have been earlier ones, none of them before `since`.
    """
    rows = [
        (mapping_id, relation, key, keys[key])
        for (mapping_id, relation), keys in sorted(touched.items(), key=lambda each: (each[0][0], each[0][1].encode()))
        for key in sorted(keys)
    ]
    if not rows:
        return
    connection.execute(
        _ENQUEUE,
        {
            "mappings": bigint_array(row[0] for row in rows),
            "relations": few_texts_array(row[1] for row in rows),
            "keys": text_array(row[2] for row in rows),
            "lsns": lsn_array(row[3][0] for row in rows),
            "times": time_array(row[3][1] for row in rows),
            **oldest(since),
        },
    )
    connection.execute("select pg_notify(%s, '')", (CHANNEL,), prepare=True)


# The index is asked for the next relation, and the next: it may hold a million keys of one.
_WORK = """
with recursive found as (
    (select mapping_id, relation from syncbridge.fan_out order by mapping_id, relation limit 1)
    union all
    select next.mapping_id, next.relation from found cross join lateral
           (select mapping_id, relation from syncbridge.fan_out f
             where (f.mapping_id, f.relation) > (found.mapping_id, found.relation)
             order by mapping_id, relation limit 1) as next)
select found.mapping_id, found.relation from found join syncbridge.mapping m on m.id = found.mapping_id
 where m.status <> 'halted' order by 1, 2
"""


def work(connection: Connection) -> list[Work]:
    """Relations with join keys to pass on, of mappings that are not halted."""
    return [Work(*row) for row in connection.execute(_WORK, prepare=True)]


def is_pending(connection: Connection, mapping_id: int) -> bool:
    """Whether entities of this mapping are still to be found that a change concerns."""
    row = connection.execute(
        "select exists (select from syncbridge.fan_out where mapping_id = %s)", (mapping_id,)
    ).fetchone()
    return row == (True,)


def try_lock(connection: Connection, mapping_id: int) -> bool:
    """Keep others from the same mapping's join keys, until `unlock` or the end of the connection; False: they have it.

    It only saves double work: what is recorded is compared with what was read, whoever recorded.
    """
    row = connection.execute("select pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, mapping_id), prepare=True).fetchone()
    return row is not None and bool(row[0])


def unlock(connection: Connection, mapping_id: int) -> None:
    """Let others at it again."""
    connection.execute("select pg_advisory_unlock(%s, %s)", (_LOCK_CLASS, mapping_id), prepare=True)


# Rows are shown only to who knows the mapping as it is in force: join keys of a relation that was changed mean nothing
# to whom still has its old SQL. Both are read from one snapshot.
_READ = """
select f.key, f.version, f.lsn::text, f.commit_time, f.since_lsn::text, f.since, f.pass, f.after
  from syncbridge.fan_out f
 where f.mapping_id = %(mapping)s and f.relation = %(relation)s
   and (select m.digest from syncbridge.mapping m where m.id = %(mapping)s) = %(digest)s
"""


def waiting(
    connection: Connection, mapping_id: int, relation: str, *, digest: str, behind: str | None = None, limit: int
) -> list[JoinKey]:
    """Join keys behind `behind` that are in no pass, in key order.

    None when another definition of the mapping than that of `digest` is in force.
    """
    sql = _READ + " and f.pass is null"
    return _read(connection, sql, mapping_id, relation, digest=digest, behind=behind, limit=limit)


def in_pass(
    connection: Connection, mapping_id: int, relation: str, *, digest: str, behind: str | None = None
) -> JoinKey | None:
    """The next join key behind `behind` that is in a pass; None as in `waiting`."""
    sql = _READ + " and f.pass is not null"
    found = _read(connection, sql, mapping_id, relation, digest=digest, behind=behind, limit=1)
    return found[0] if found else None


def _read(
    connection: Connection, sql: str, mapping_id: int, relation: str, *, digest: str, behind: str | None, limit: int
) -> list[JoinKey]:
    parameters = {"mapping": mapping_id, "relation": relation, "digest": digest, "behind": behind, "limit": limit}
    if behind is not None:  # no `or`: it would hide the range from the index
        sql += " and f.key > %(behind)s"
    rows = connection.execute(sql + " order by f.key limit %(limit)s", parameters, prepare=True)
    return [_join_key(*row) for row in rows]


def _join_key(
    key: str,
    version: int,
    lsn: str,
    commit_time: datetime,
    since_lsn: str,
    since: datetime,
    in_pass: int | None,
    after: str | None,
) -> JoinKey:
    return JoinKey(key, version, Lsn.parse(lsn), commit_time, Lsn.parse(since_lsn), since, in_pass, after)


# As in the outbox, rows are found one by one by their whole key, whatever the planner knows of the table.
_LOCK = """
select found.key
  from unnest(%(keys)s) as wanted (key) cross join lateral
       (select key from syncbridge.fan_out
         where mapping_id = %(mapping)s and relation = %(relation)s and key = wanted.key offset 0 for update) as found
"""

_DELETE = """
delete from syncbridge.fan_out f
 using unnest(%(keys)s, %(versions)s) as done (key, version) cross join lateral
       (select ctid from syncbridge.fan_out
         where mapping_id = %(mapping)s and relation = %(relation)s and key = done.key and version = done.version
           and pass is null offset 0) as found
 where f.ctid = found.ctid
"""

# Whatever changed since it was read was committed no earlier than what was the newest change then.
_MOVED = """
update syncbridge.fan_out f
   set since_lsn = greatest(f.since_lsn, done.lsn), since = greatest(f.since, done.moment)
  from unnest(%(keys)s, %(lsns)s, %(times)s) as done (key, lsn, moment) cross join lateral
       (select ctid from syncbridge.fan_out
         where mapping_id = %(mapping)s and relation = %(relation)s and key = done.key and pass is null
        offset 0) as found
 where f.ctid = found.ctid
"""


def lock(connection: Connection, mapping_id: int, relation: str, read: Sequence[JoinKey]) -> list[JoinKey]:
    """Lock these rows, which are in key order, before their entities are enqueued; those that are still there.

    In the transaction that enqueues and calls `finish`.
    """
    parameters = {"mapping": mapping_id, "relation": relation, "keys": text_array(row.key for row in read)}
    found = {key for (key,) in connection.execute(_LOCK, parameters, prepare=True)}
    return [row for row in read if row.key in found]


def finish(connection: Connection, mapping_id: int, relation: str, read: Sequence[JoinKey]) -> None:
    """Remove join keys whose entities are enqueued; those that changed since they were read stay for another look.

    `read` is what `lock` gave, in the same transaction.
    """
    parameters = {
        "mapping": mapping_id,
        "relation": relation,
        "keys": text_array(row.key for row in read),
        "versions": bigint_array(row.version for row in read),
        "lsns": lsn_array(row.lsn for row in read),
        "times": time_array(to_microseconds(row.commit_time) for row in read),
    }
    if connection.execute(_DELETE, parameters, prepare=True).rowcount < len(read):
        connection.execute(_MOVED, parameters)


_ONE = " where mapping_id = %(mapping)s and relation = %(relation)s and key = %(key)s"


def begin_pass(connection: Connection, mapping_id: int, relation: str, key: str) -> None:
    """From now on this join key is looked up in pages; what is committed by now is in all of them."""
    connection.execute(
        "update syncbridge.fan_out set pass = version, after = null" + _ONE + " and pass is null",  # noqa: S608 - constants
        {"mapping": mapping_id, "relation": relation, "key": key},
    )


def lock_pass(connection: Connection, mapping_id: int, relation: str, read: JoinKey) -> bool:
    """Lock a row whose next page was looked up; False when it is no longer where it was read. In a transaction."""
    row = connection.execute(
        "select 1 from syncbridge.fan_out"  # noqa: S608 - constants
        + _ONE
        + " and pass = %(pass)s and after is not distinct from %(after)s for update",
        _of(mapping_id, relation, read),
    ).fetchone()
    return row is not None


def advance_pass(connection: Connection, mapping_id: int, relation: str, read: JoinKey, after: str) -> None:
    """Record one page, in the transaction that enqueued it and holds `lock_pass`."""
    parameters = {**_of(mapping_id, relation, read), "after": after}
    connection.execute("update syncbridge.fan_out set after = %(after)s" + _ONE, parameters)  # noqa: S608 - constants


def end_pass(connection: Connection, mapping_id: int, relation: str, read: JoinKey) -> bool:
    """Record the last page; True when the join key is done, False when it changed meanwhile and begins once more."""
    parameters = _of(mapping_id, relation, read)
    done = "delete from syncbridge.fan_out" + _ONE + " and version = pass"  # noqa: S608 - constants
    if connection.execute(done, parameters).rowcount:
        return True
    connection.execute(
        "update syncbridge.fan_out set pass = version, after = null, since_lsn = later_lsn, since = later,"  # noqa: S608 - constants
        " later_lsn = null, later = null" + _ONE,
        parameters,
    )
    return False


def _of(mapping_id: int, relation: str, read: JoinKey) -> dict[str, object]:
    return {
        "mapping": mapping_id,
        "relation": relation,
        "key": read.key,
        "pass": read.in_pass,
        "after": read.after,
    }


def discard(connection: Connection, mapping_id: int, *, relation: str | None = None, digest: str | None = None) -> int:
    """Forget join keys, of one relation or of all, if the definition of `digest` is in force; how many.

    For relations that this definition does not have, and where a run that compares every entity is asked for.
    """
    done = connection.execute(
        "delete from syncbridge.fan_out where mapping_id = %(mapping)s"
        " and (%(relation)s::text is null or relation = %(relation)s)"
        " and (select m.digest = coalesce(%(digest)s, m.digest) from syncbridge.mapping m where m.id = %(mapping)s)",
        {"mapping": mapping_id, "relation": relation, "digest": digest},
    )
    return done.rowcount
