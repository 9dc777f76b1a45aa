"""Mappings that are in force, and whether each delivers: active, paused, halted, stopped by its guard, or waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Json

from syncbridge.errors import SettingsError
from syncbridge.model import Lsn, MappingStatus
from syncbridge.store import guard_counts


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
    approved_lsn: Lsn | None  # the guard lets pass changes up to here

    @property
    def two_way(self) -> bool:
        """Whether remote changes come back."""
        return str(self.definition.get("direction", "to_destination")) != "to_destination"

    @property
    def sensitive(self) -> frozenset[str]:
        """Remote fields whose values nobody is shown, in small letters."""
        return frozenset(name.lower() for name, each in self.definition["fields"].items() if each.get("sensitive"))


_COLUMNS = (
    "id, name, destination, object, definition, digest, status, reason, hint, until, status_since,"
    " last_error, last_error_key, last_error_at, approved_lsn::text"
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
    values[14] = None if values[14] is None else Lsn.parse(values[14])
    return AppliedMapping(*values)


def apply(
    connection: Connection,
    *,
    name: str,
    destination: str,
    object: str,
    definition: dict[str, Any],
    digest: str,
    paused: str = "",
) -> tuple[int, bool]:
    """Put a mapping in force; its id, and whether it is new. Status and counts of a known one stay.

    With `paused`, the reason, a new one delivers nothing, and nothing comes back, until a person resumes it.
    """
    row = connection.execute(
        "insert into syncbridge.mapping as m"
        " (name, destination, object, definition, digest, status, reason, in_status, in_reason)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (name) do update set destination = excluded.destination, object = excluded.object,"
        " definition = excluded.definition, digest = excluded.digest,"
        " applied_at = case when m.digest = excluded.digest then m.applied_at else now() end"
        " returning id, (xmax = 0)",
        (name, destination, object, Json(definition), digest, *("paused" if paused else "active", paused) * 2),
    ).fetchone()
    assert row is not None  # insert ... returning gives a row
    return row[0], row[1]


def stays_in_force(connection: Connection, mapping_id: int, digest: str) -> bool:
    """Whether this version of the mapping is in force, and stays so until the transaction ends. Waits for nobody.

    False also while somebody is just changing anything about the mapping.
    """
    row = connection.execute(
        "select from syncbridge.mapping where id = %s and digest = %s for share skip locked", (mapping_id, digest)
    ).fetchone()
    return row is not None


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


def halt_all(connection: Connection, destination: str, *, reason: str, hint: str) -> None:
    """Halt every mapping of a destination, each direction that goes on; one that a person paused, or its guard stopped,
    stays so."""
    told = {"reason": reason, "hint": hint, "destination": destination}
    with connection.transaction():
        connection.execute(
            "update syncbridge.mapping set status = 'halted', reason = %(reason)s, hint = %(hint)s, until = null,"
            " status_since = now() where destination = %(destination)s and status in ('active', 'waiting')",
            told,
        )
        connection.execute(
            "update syncbridge.mapping set in_status = 'halted', in_reason = %(reason)s, in_hint = %(hint)s,"
            " in_since = now() where destination = %(destination)s and in_status = 'active'",
            told,
        )


def is_active(connection: Connection, mapping_id: int) -> bool:
    """Whether a mapping delivers now."""
    row = connection.execute(
        "select status = 'active' from syncbridge.mapping where id = %s", (mapping_id,), prepare=True
    ).fetchone()
    return row == (True,)


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
    """Make a mapping active again; one stopped by its guard delivers what waits now without being stopped again.

    What waits now is known by its position: changes that come later are counted as ever. To it belong entities that
    wait for parents, and join keys whose entities are not found yet. Refusals are counted anew.
    """
    done = connection.execute(
        "update syncbridge.mapping m set status = 'active', reason = '', hint = '', until = null, status_since = now(),"
        " approved_lsn = case when status = 'guard' then greatest("
        " (select max(o.lsn) from syncbridge.outbox o"
        "   where o.mapping_id = m.id and o.status in ('pending', 'waiting')),"
        " (select max(f.lsn) from syncbridge.fan_out f where f.mapping_id = m.id))"
        " else approved_lsn end"
        " where id = %s and status <> 'active'",
        (mapping_id,),
    )
    guard_counts.forget_refused(connection, mapping_id)
    return done.rowcount > 0


def approved_at(connection: Connection, mapping_id: int) -> datetime | None:
    """When a person last resumed the way back of the mapping from its guard."""
    row = connection.execute("select approved_at from syncbridge.mapping where id = %s", (mapping_id,)).fetchone()
    return None if row is None else row[0]


def approved_until(connection: Connection, mapping_id: int) -> Lsn | None:
    """Changes up to this position were approved by a person who resumed the mapping from its guard."""
    row = connection.execute(
        "select approved_lsn::text from syncbridge.mapping where id = %s", (mapping_id,), prepare=True
    ).fetchone()
    return None if row is None or row[0] is None else Lsn.parse(row[0])
