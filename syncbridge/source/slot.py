"""The replication slot: made, looked at, dropped. Looking never decodes anything, so it costs next to nothing.

Sources: Postgres manual, "Streaming Replication Protocol" (CREATE_REPLICATION_SLOT), "pg_replication_slots".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, sql

from syncbridge.errors import SourceUnusable
from syncbridge.model import Lsn
from syncbridge.source.refusals import by_remedy
from syncbridge.source.replication import SystemIdentity, connect, identify

#: Seconds that making a slot may wait for older transactions to end.
_CREATE_TIMEOUT = 60.0

# to_jsonb: columns differ from version to version (failover, invalidation_reason: 17; conflicting: 16).
_INSPECT = """
select to_jsonb(s), here.lsn::text, pg_wal_lsn_diff(here.lsn, s.restart_lsn)::bigint,
       pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn)::bigint
  from pg_replication_slots s,
       (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end as lsn)
       as here
 where s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """A slot as the server describes it; bytes are counted from the end of the server's write-ahead log."""

    name: str
    plugin: str
    database: str
    server_lsn: Lsn  # the end of the log when we looked
    confirmed_lsn: Lsn
    restart_lsn: Lsn | None
    retained_bytes: int = 0  # log kept on disk for this slot
    confirm_lag_bytes: int = 0  # log that we have not confirmed
    safe_wal_size: int | None = None  # bytes until the slot is at risk; None when unlimited, or lost
    active_pid: int | None = None
    wal_status: str = ""
    invalidation_reason: str = ""
    two_phase: bool = False
    failover: bool = False
    synced: bool = False  # it came along with a standby that was promoted
    temporary: bool = False

    @property
    def lost(self) -> bool:
        """Its log, or the right to read it, is gone for good."""
        return self.wal_status == "lost" or bool(self.invalidation_reason)


@dataclass(frozen=True, slots=True)
class NewSlot:
    """A slot that was just made: nothing before `consistent_point` comes out of it."""

    consistent_point: Lsn
    system: SystemIdentity


def inspect(connection: Connection, slot: str) -> SlotFacts | None:
    """One query on an ordinary connection; None when there is no such slot."""
    try:
        row = connection.execute(_INSPECT, (slot,)).fetchone()
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error
    return None if row is None else _facts(*row)


def _facts(shown: Mapping[str, Any], server_lsn: str, retained: int | None, lag: int | None) -> SlotFacts:
    invalid = shown.get("invalidation_reason") or ("conflict" if shown.get("conflicting") else "")
    return SlotFacts(
        name=shown["slot_name"],
        plugin=shown["plugin"] or "",
        database=shown["database"] or "",
        server_lsn=Lsn.parse(server_lsn),
        confirmed_lsn=Lsn.parse(shown["confirmed_flush_lsn"] or "0/0"),
        restart_lsn=Lsn.parse(shown["restart_lsn"]) if shown["restart_lsn"] else None,
        retained_bytes=retained or 0,
        confirm_lag_bytes=lag or 0,
        safe_wal_size=shown["safe_wal_size"],
        active_pid=shown["active_pid"],
        wal_status=shown["wal_status"] or "",
        invalidation_reason=invalid,
        two_phase=bool(shown["two_phase"]),
        failover=bool(shown.get("failover")),
        synced=bool(shown.get("synced")),
        temporary=bool(shown["temporary"]),
    )


def create(conninfo: str, slot: str, *, timeout: float = _CREATE_TIMEOUT) -> NewSlot:
    """Make a permanent slot of pgoutput; the publication must be there before it.

    Postgres 17+ keeps it through a promotion of a standby. Raises RetryLater when a transaction stays open for
    `timeout` seconds, SourceUnusable, with the SQL that mends it, when the server is not set up for slots.
    """
    with connect(conninfo, lock_timeout=timeout) as connection:
        options = "SNAPSHOT 'nothing'" + (", FAILOVER true" if connection.info.server_version >= 170000 else "")
        command = sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput ({})").format(
            sql.Identifier(slot),
            sql.SQL(options),
        )
        try:
            row = connection.execute(command).fetchone()
        except psycopg.errors.DuplicateObject as error:
            raise SourceUnusable(
                f"there is a replication slot {slot!r} already",
                hint="Run `syncbridge setup --recreate-slot` when it is ours, or choose another name in [source] slot.",
            ) from error
        except psycopg.Error as error:
            raise by_remedy(error, user=connection.info.user) from error
        assert row is not None  # the command answers with one row
        return NewSlot(Lsn.parse(row[1]), identify(connection))


def require_ours(connection: Connection, slot: str) -> None:
    """Raise SourceUnusable when the slot is another database's: Postgres would drop it, and leave a gap there."""
    found, here = inspect(connection, slot), connection.info.dbname
    if found is not None and found.database != here:
        raise SourceUnusable(
            f"the slot {slot!r} is of the database {found.database or 'none'!r}, not of {here!r}",
            hint="Choose another name in [source] slot. Or, when nothing is synced from there any more:"
            f" `select pg_drop_replication_slot('{slot}')`, and run this again.",
        )


def drop(connection: Connection, slot: str) -> bool:
    """Drop the slot; False when there is none. Raises SlotInUse while a worker streams from it."""
    try:
        connection.execute("select pg_drop_replication_slot(%s)", (slot,))
    except psycopg.errors.UndefinedObject:
        return False
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error
    return True
