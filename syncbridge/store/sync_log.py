"""The sync log: what happened to each record, append-only, partitioned by day. It holds no values of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString, NamedTuple

import orjson
from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

from syncbridge.arrays import (
    NULL,
    bigint_array,
    few_texts,
    few_texts_array,
    json_array,
    text_array,
    texts,
    to_microseconds,
)
from syncbridge.model import Lsn, Operation, Outcome
from syncbridge.store import copying
from syncbridge.store.copying import Column


class Entry(NamedTuple):
    """One delivery as it ended; `fields` are names only. A tuple: millions are made."""

    key: str
    operation: Operation
    outcome: Outcome
    reason: str = ""
    lsn: str | None = None
    remote_id: str | None = None
    fields: str | None = None
    attempt: int = 1
    code: str | None = None
    message: str | None = None


class Incoming(NamedTuple):
    """A remote change as it ended. `decision` tells of each field that was decided: verdict, rule, and the values."""

    key: str
    operation: Operation
    outcome: Outcome
    remote_id: str
    fields: str | None = None
    code: str | None = None
    message: str | None = None
    decision: Mapping[str, Mapping[str, object]] | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry as read back."""

    at: datetime
    id: int
    mapping: str
    key: str
    direction: str
    operation: str
    outcome: str
    reason: str
    remote_id: str | None
    fields: str | None
    attempt: int
    code: str | None
    message: str | None
    decision: Mapping[str, Mapping[str, Any]] | None = None  # as of `Incoming`


_APPEND = """
insert into syncbridge.sync_log
       (mapping_id, key, operation, outcome, reason, lsn, remote_id, fields, attempt, code, message)
select %(mapping)s, key, operation, outcome, reason, lsn::pg_lsn, remote_id, fields, attempt, code, message
  from unnest(%(keys)s, %(operations)s, %(outcomes)s, %(reasons)s, %(lsns)s, %(remote_ids)s, %(fields)s, %(attempts)s,
              %(codes)s, %(messages)s)
       as new (key, operation, outcome, reason, lsn, remote_id, fields, attempt, code, message)
"""


def append(connection: Connection, mapping_id: int, entries: Sequence[Entry]) -> None:
    """Add entries, all with the clock's time."""
    if len(entries) >= copying.WORTH_COPYING:
        _append_many(connection, mapping_id, entries)
    elif entries:
        keys, operations, outcomes, reasons, lsns, remote_ids, fields, attempts, codes, messages = zip(
            *entries, strict=True
        )
        parameters = {
            "mapping": mapping_id,
            "keys": text_array(keys),
            "operations": few_texts_array(operations),
            "outcomes": few_texts_array(outcomes),
            "reasons": few_texts_array(reasons),
            "lsns": few_texts_array(lsns),
            "remote_ids": text_array(remote_ids),
            "fields": few_texts_array(fields),
            "attempts": bigint_array(attempts),
            "codes": few_texts_array(codes),
            "messages": few_texts_array(messages),
        }
        connection.execute(_APPEND, parameters, prepare=True)


# The time is given: a default that differs from row to row would make COPY store each row by itself.
_COPY: LiteralString = """
copy syncbridge.sync_log
     (at, mapping_id, key, operation, outcome, reason, lsn, remote_id, fields, attempt, code, message)
from stdin (format binary)
"""


def _append_many(connection: Connection, mapping_id: int, entries: Sequence[Entry]) -> None:
    row = connection.execute("select clock_timestamp()", prepare=True).fetchone()
    assert row is not None  # it always gives a row
    keys, operations, outcomes, reasons, lsns, ids, fields, attempts, codes, messages = zip(*entries, strict=True)
    positions = {lsn: NULL if lsn is None else copying.number("pg_lsn", Lsn.parse(lsn)) for lsn in set(lsns)}
    tries = {attempt: copying.number("integer", attempt) for attempt in set(attempts)}
    columns: list[Column] = [
        copying.number("timestamptz", to_microseconds(row[0])),
        copying.number("integer", mapping_id),
        texts(keys),
        few_texts(operations),
        few_texts(outcomes),
        few_texts(reasons),
        map(positions.__getitem__, lsns),
        texts(ids),
        few_texts(fields),
        map(tries.__getitem__, attempts),
        few_texts(codes),
        few_texts(messages),
    ]
    copying.copy_rows(connection, _COPY, columns)


_APPEND_INCOMING = """
insert into syncbridge.sync_log
       (mapping_id, key, direction, operation, outcome, reason, remote_id, fields, code, message, decision)
select %(mapping)s, key, 'in', operation, outcome, 'remote', remote_id, fields, code, message, decision
  from unnest(%(keys)s, %(operations)s, %(outcomes)s, %(remote_ids)s, %(fields)s, %(codes)s, %(messages)s,
              %(decisions)s)
       as new (key, operation, outcome, remote_id, fields, code, message, decision)
"""


def append_incoming(connection: Connection, mapping_id: int, entries: Sequence[Incoming]) -> None:
    """Add what became of remote changes."""
    if not entries:
        return
    parameters = {
        "mapping": mapping_id,
        "keys": text_array(entry.key for entry in entries),
        "operations": few_texts_array(entry.operation for entry in entries),
        "outcomes": few_texts_array(entry.outcome for entry in entries),
        "remote_ids": text_array(entry.remote_id for entry in entries),
        "fields": few_texts_array(entry.fields for entry in entries),
        "codes": few_texts_array(entry.code for entry in entries),
        "messages": text_array(entry.message for entry in entries),
        "decisions": json_array(orjson.dumps(entry.decision) if entry.decision else None for entry in entries),
    }
    connection.execute(_APPEND_INCOMING, parameters)


def read(
    connection: Connection,
    *,
    mapping: str | None = None,
    key: str | None = None,
    direction: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    after_id: int | None = None,
    remote_id: str | None = None,
    limit: int = 50,
) -> list[Logged]:
    """The newest entries that match, oldest first; `after_id` gives only those with a higher id (for following).

    A new record that is no row has no key: its entries are those of the key '' and its `remote_id`.

    Two lanes may commit their entries in another order than they wrote them, moments apart: who follows and must see
    each, asks again from a little earlier and leaves out the ids it has shown.
    """
    rows = connection.execute(
        """
        select * from (
            select l.at, l.id, m.name, l.key, l.direction, l.operation, l.outcome, l.reason, l.remote_id, l.fields,
                   l.attempt, l.code, l.message, l.decision
              from syncbridge.sync_log l join syncbridge.mapping m on m.id = l.mapping_id
             where (%(mapping)s::text is null or m.name = %(mapping)s)
               and (%(key)s::text is null or l.key = %(key)s)
               and (%(remote_id)s::text is null or l.remote_id = %(remote_id)s)
               and (%(direction)s::text is null or l.direction = %(direction)s)
               and (%(outcome)s::text is null or l.outcome = %(outcome)s)
               and (%(since)s::timestamptz is null or l.at >= %(since)s)
               and (%(after)s::bigint is null or l.id > %(after)s)
             order by l.at desc, l.id desc limit %(limit)s) as newest
        order by at, id
        """,
        {
            "mapping": mapping,
            "key": key,
            "remote_id": remote_id,
            "direction": direction,
            "outcome": outcome,
            "since": since,
            "after": after_id,
            "limit": limit,
        },
    )
    return [Logged(*row) for row in rows]


def keep_partitions(connection: Connection, *, today: date, retention_days: int, ahead: int = 2) -> tuple[int, int]:
    """Make the partitions of today and the next `ahead` days, drop those older than the retention; (made, dropped)."""
    existing = {
        name
        for (name,) in connection.execute(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
            " where i.inhparent = 'syncbridge.sync_log'::regclass"
        )
    }
    days = [today + timedelta(days=n) for n in range(-1, ahead + 1)]
    missing = [day for day in days if _partition(day) not in existing]
    for day in missing:
        _make_partition(connection, day)
    oldest = _partition(today - timedelta(days=retention_days))
    stale = [name for name in existing if name.startswith("sync_log_2") and name < oldest]
    for name in stale:
        connection.execute(SQL("drop table if exists syncbridge.{}").format(Identifier(name)))
    return len(missing), len(stale)


def _partition(day: date) -> str:
    return f"sync_log_{day:%Y%m%d}"


def _make_partition(connection: Connection, day: date) -> None:
    """Rows of that day in the default partition move along; a race with another worker is harmless."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + timedelta(days=1)
    name = Identifier(_partition(day))
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('syncbridge.sync_log'))")
        # Writers that are at it end first, and new ones wait until there is a partition: else they would still put this
        # day's rows into the default partition, which then no longer takes them.
        connection.execute("lock table only syncbridge.sync_log in share row exclusive mode")
        if connection.execute("select to_regclass(%s)", (f"syncbridge.{_partition(day)}",)).fetchone() != (None,):
            return
        connection.execute(
            SQL("create table syncbridge.{} (like syncbridge.sync_log including all excluding indexes)").format(name)
        )
        connection.execute(
            SQL(
                "with moved as (delete from syncbridge.sync_log_other where at >= {s} and at < {e} returning *)"
                " insert into syncbridge.{t} select * from moved"
            ).format(s=Literal(start), e=Literal(end), t=name)
        )
        connection.execute(
            SQL("alter table syncbridge.sync_log attach partition syncbridge.{} for values from ({}) to ({})").format(
                name, Literal(start), Literal(end)
            )
        )


def rates(connection: Connection, *, seconds: int = 60) -> dict[int, tuple[int, int]]:
    """Mapping id -> (delivered, dead) in the last `seconds`."""
    rows = connection.execute(
        "select mapping_id, count(*) filter (where outcome = 'delivered'), count(*) filter (where outcome = 'dead')"
        " from syncbridge.sync_log where at > now() - %s * interval '1 second' group by 1",
        (seconds,),
    )
    return {row[0]: (row[1], row[2]) for row in rows}
