"""The way back of mappings: whether it goes on, how far it is, and what of it waits.

It is active, paused by a person, halted by what a person must mend, or stopped by its guard, whatever becomes of the
other direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from syncbridge.model import MappingStatus
from syncbridge.store import polls, record_decisions


@dataclass(frozen=True, slots=True)
class WayBack:
    """How one stands; times are the state database's."""

    status: MappingStatus  # not WAITING
    reason: str
    hint: str
    since: datetime
    polled_at: datetime | None  # when changes were last read to their end
    behind_seconds: float | None  # since that poll was begun; None: never, or not since this version
    rechecks: int  # records that are looked at again
    held: int  # remote changes and new records that are held, and that nobody has decided about
    decided: int  # those that a person decided about, and that are not carried out yet


def is_active(connection: Connection, mapping_id: int) -> bool:
    """Whether remote changes come in."""
    row = connection.execute(
        "select in_status = 'active' from syncbridge.mapping where id = %s", (mapping_id,), prepare=True
    ).fetchone()
    return row == (True,)


def awaits_word(connection: Connection, mapping_id: int) -> bool:
    """Whether its guard stopped it: remote deletes stay undone until a person says what they mean."""
    row = connection.execute(
        "select in_status = 'guard' from syncbridge.mapping where id = %s", (mapping_id,)
    ).fetchone()
    return row == (True,)


def set_status(
    connection: Connection,
    mapping_id: int,
    status: MappingStatus,
    *,
    reason: str = "",
    hint: str = "",
    only_from: tuple[MappingStatus, ...] = (),
) -> bool:
    """Change the status; False when it is not in `only_from` (a person's pause is not undone by a loop)."""
    done = connection.execute(
        "update syncbridge.mapping set in_status = %(status)s, in_reason = %(reason)s, in_hint = %(hint)s,"
        " in_since = case when in_status = %(status)s then in_since else now() end"
        " where id = %(id)s and (%(from)s::text[] = '{}' or in_status = any(%(from)s))",
        {
            "status": status.value,
            "reason": reason,
            "hint": hint,
            "id": mapping_id,
            "from": [each.value for each in only_from],
        },
    )
    return done.rowcount > 0


def resume(connection: Connection, mapping_id: int) -> bool:
    """Let remote changes come in again, at once; False when they did.

    One that was stopped by its guard lets through all that was deleted until now.
    """
    stopped = (MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.GUARD)
    with connection.transaction():
        connection.execute(
            "update syncbridge.mapping set approved_at = now() where id = %s and in_status = 'guard'", (mapping_id,)
        )
        resumed = set_status(connection, mapping_id, MappingStatus.ACTIVE, only_from=stopped)
        polls.wake(connection, mapping_id)
    return resumed


def read_all(connection: Connection) -> dict[int, WayBack]:
    """Mapping id -> its way back, of those that have one."""
    records = record_decisions.counts(connection)
    rows = connection.execute(
        """
        select m.id, m.in_status, m.in_reason, m.in_hint, m.in_since, w.polled_at,
               extract(epoch from now() - w.asked_at)::float8,
               (select count(*) from syncbridge.recheck r where r.mapping_id = m.id),
               (select count(*) from syncbridge.held_change h where h.mapping_id = m.id and h.taken is null),
               (select count(*) from syncbridge.held_change h where h.mapping_id = m.id and h.taken is not null)
          from syncbridge.mapping m left join syncbridge.watermark w on w.mapping_id = m.id
         where m.definition ->> 'direction' in ('both', 'to_postgres')
        """
    )
    backs = {}
    for row in rows:
        new = records.get(row[0], record_decisions.Count(0, 0))
        counted = [*row[2:8], row[8] + new.held, row[9] + new.decided]
        backs[row[0]] = WayBack(MappingStatus(row[1]), *counted)
    return backs


def read_until(connection: Connection, mapping_id: int, moment: datetime) -> bool:
    """Whether all that had changed at the destination at this moment was read, and nothing of it has to be read again.

    That is so when a poll that was begun later came to its end, and each record that waited by then was looked at.
    """
    row = connection.execute(
        "select w.asked_at >= %(moment)s and not exists (select from syncbridge.recheck r"
        "  where r.mapping_id = %(mapping)s and r.since <= w.polled_at)"
        " from syncbridge.watermark w where w.mapping_id = %(mapping)s",
        {"mapping": mapping_id, "moment": moment},
    ).fetchone()
    return row is not None and row[0] is True
