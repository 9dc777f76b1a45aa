"""Reconciliations that ended: when, what they found, or why they failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Json

#: First half of the advisory lock of whoever reconciles a mapping by its schedule, "reco"; its id is the second.
_LOCK = 0x7265636F
#: Of each mapping so many are kept.
KEPT = 50


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One of them; `drift` is None when it failed, and `error` says why."""

    mapping_id: int
    scheduled: bool
    started_at: datetime
    finished_at: datetime
    drift: int | None
    report: Mapping[str, Any]  # counts, as `Report.counts` gives them
    error: str | None


def add(
    connection: Connection,
    mapping_id: int,
    *,
    scheduled: bool,
    started_at: datetime,
    drift: int | None,
    report: Mapping[str, Any],
    error: str | None = None,
) -> None:
    """Record one that ended; the oldest are forgotten."""
    with connection.transaction():
        connection.execute(
            "insert into syncbridge.reconciliation (mapping_id, scheduled, started_at, drift, report, error)"
            " values (%s, %s, %s, %s, %s, %s)",
            (mapping_id, scheduled, started_at, drift, Json(dict(report)), error),
        )
        connection.execute(
            "delete from syncbridge.reconciliation where mapping_id = %s and id <= (select id"
            " from syncbridge.reconciliation where mapping_id = %s order by id desc offset %s limit 1)",
            (mapping_id, mapping_id, KEPT),
        )


_LAST = """
select distinct on (mapping_id) mapping_id, scheduled, started_at, finished_at, drift, report, error
  from syncbridge.reconciliation where %(any)s or scheduled order by mapping_id, id desc
"""


def last(connection: Connection, *, scheduled: bool = False) -> dict[int, Reconciliation]:
    """The last one of each mapping, by its id; with `scheduled` only of those that were by schedule."""
    rows = connection.execute(_LAST, {"any": not scheduled})
    return {row[0]: Reconciliation(*row) for row in rows}


def since(connection: Connection, mapping_id: int) -> tuple[datetime, bool]:
    """When the last one by schedule ended, else when the mapping came in force; and whether that one failed."""
    row = connection.execute(
        "select coalesce(last.finished_at, m.applied_at), last.id is not null and last.drift is null"
        " from syncbridge.mapping m left join lateral (select id, finished_at, drift from syncbridge.reconciliation"
        " where mapping_id = m.id and scheduled order by id desc limit 1) as last on true where m.id = %s",
        (mapping_id,),
    ).fetchone()
    return (datetime.now(UTC), False) if row is None else (row[0], row[1])


def try_lock(connection: Connection, mapping_id: int) -> bool:
    """Be the one who reconciles a mapping by schedule, until `unlock` or the end of the connection."""
    row = connection.execute("select pg_try_advisory_lock(%s, %s)", (_LOCK, mapping_id)).fetchone()
    return row == (True,)


def unlock(connection: Connection, mapping_id: int) -> None:
    """Let others."""
    connection.execute("select pg_advisory_unlock(%s, %s)", (_LOCK, mapping_id))
