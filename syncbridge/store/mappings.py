"""Mappings that are in force, and whether each delivers: active, paused, halted, stopped by its guard, or waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from syncbridge.errors import SettingsError
from syncbridge.model import MappingStatus


@dataclass(frozen=True, slots=True)
class AppliedMapping:
    """One row of `syncbridge.mapping`."""

    id: int
    name: str
    destination: str
    object: str
    definition: dict[str, Any]
    digest: str
    status: MappingStatus
    reason: str
    hint: str
    until: datetime | None
    status_since: datetime
    last_error: str | None
    last_error_key: str | None
    last_error_at: datetime | None
    guard_allowance: int


_COLUMNS = (
    "id, name, destination, object, definition, digest, status, reason, hint, until, status_since,"
    " last_error, last_error_key, last_error_at, guard_allowance"
)


def read_all(connection: Connection) -> dict[str, AppliedMapping]:
    """Every applied mapping by name."""
    rows = connection.execute(f"select {_COLUMNS} from syncbridge.mapping order by name")  # noqa: S608 - a constant
    return {mapping.name: mapping for mapping in (_from_row(row) for row in rows)}


def read(connection: Connection, name: str) -> AppliedMapping:
    """One applied mapping; SettingsError with the names that exist when there is none of that name."""
    found = read_all(connection)
    if name not in found:
        known = ", ".join(found) or "none yet; run: syncbridge setup"
        raise SettingsError(f"no mapping named {name!r} is in force", hint=f"In force: {known}.")
    return found[name]


def _from_row(row: tuple[Any, ...]) -> AppliedMapping:
    values: list[Any] = list(row)
    values[6] = MappingStatus(values[6])
    return AppliedMapping(*values)


def apply(
    connection: Connection, *, name: str, destination: str, object: str, definition: dict[str, Any], digest: str
) -> tuple[int, bool]:
    """Put a mapping in force; its id, and whether it is new. Status and counts of a known one stay."""
    row = connection.execute(
        "insert into syncbridge.mapping as m (name, destination, object, definition, digest)"
        " values (%s, %s, %s, %s, %s)"
        " on conflict (name) do update set destination = excluded.destination, object = excluded.object,"
        " definition = excluded.definition, digest = excluded.digest,"
        " applied_at = case when m.digest = excluded.digest then m.applied_at else now() end"
        " returning id, (xmax = 0)",
        (name, destination, object, Jsonb(definition), digest),
    ).fetchone()
    assert row is not None  # insert ... returning gives a row
    return row[0], row[1]


def set_status(
    connection: Connection,
    mapping_id: int,
    status: MappingStatus,
    *,
    reason: str = "",
    hint: str = "",
    wait_seconds: float | None = None,
    only_from: tuple[MappingStatus, ...] = (),
) -> bool:
    """Change the status; False when it is not in `only_from` (a person's pause is not undone by a loop)."""
    done = connection.execute(
        "update syncbridge.mapping set status = %(status)s, reason = %(reason)s, hint = %(hint)s,"
        " until = now() + %(wait)s * interval '1 second',"
        " status_since = case when status = %(status)s then status_since else now() end"
        " where id = %(id)s and (%(from)s::text[] = '{}' or status = any(%(from)s))",
        {
            "status": status.value,
            "reason": reason,
            "hint": hint,
            "wait": wait_seconds,
            "id": mapping_id,
            "from": [s.value for s in only_from],
        },
    )
    return done.rowcount > 0


def wake_waiting(connection: Connection) -> int:
    """Make mappings whose wait is over active again; how many."""
    done = connection.execute(
        "update syncbridge.mapping set status = 'active', reason = '', hint = '', until = null, status_since = now()"
        " where status = 'waiting' and until <= now()"
    )
    return done.rowcount


def record_error(connection: Connection, mapping_id: int, message: str, key: str | None = None) -> None:
    """Keep the latest error for `status`."""
    connection.execute(
        "update syncbridge.mapping set last_error = %s, last_error_key = %s, last_error_at = now() where id = %s",
        (message, key, mapping_id),
    )


def resume(connection: Connection, mapping_id: int) -> bool:
    """Make a mapping active again; one stopped by its guard may deliver what waits now without being stopped again."""
    done = connection.execute(
        "update syncbridge.mapping m set status = 'active', reason = '', hint = '', until = null, status_since = now(),"
        " guard_allowance = case when status = 'guard' then"
        " (select count(*) from syncbridge.outbox o where o.mapping_id = m.id and o.status = 'pending') else 0 end"
        " where id = %s and status <> 'active'",
        (mapping_id,),
    )
    return done.rowcount > 0


def reserve_guard(connection: Connection, mapping_id: int, kind: str, count: int, *, limit: int, seconds: int) -> int:
    """Count `count` deliveries of a kind towards the guard if they fit; else count nothing and give what is counted.

    Returns 0 when they fit (or an approval covers them), else the number already counted in the window. The row
    of the mapping is locked, so two lanes cannot pass the limit together.
    """
    with connection.transaction():
        row = connection.execute(
            "select guard_allowance from syncbridge.mapping where id = %s for update", (mapping_id,)
        ).fetchone()
        allowance = row[0] if row else 0
        if allowance >= count:
            connection.execute(
                "update syncbridge.mapping set guard_allowance = guard_allowance - %s where id = %s",
                (count, mapping_id),
            )
            return 0
        used = _guard_used(connection, mapping_id, kind, seconds)
        if used + count > limit:
            return max(used, 1)
        connection.execute(
            "insert into syncbridge.guard_count as g values (%s, %s, date_trunc('minute', now()), %s)"
            " on conflict (mapping_id, kind, minute) do update set count = g.count + excluded.count",
            (mapping_id, kind, count),
        )
        return 0


def _guard_used(connection: Connection, mapping_id: int, kind: str, seconds: int) -> int:
    row = connection.execute(
        "select coalesce(sum(count), 0) from syncbridge.guard_count"
        " where mapping_id = %s and kind = %s and minute > now() - %s * interval '1 second'",
        (mapping_id, kind, seconds),
    ).fetchone()
    return int(row[0]) if row else 0


def prune_guard_counts(connection: Connection) -> None:
    """Forget counts that no window reaches (two days)."""
    connection.execute("delete from syncbridge.guard_count where minute < now() - interval '2 days'")
