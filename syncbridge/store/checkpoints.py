"""The checkpoint of a replication slot: up to where every commit is durable in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from syncbridge.arrays import from_microseconds
from syncbridge.model import Lsn


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`end_lsn` is just past the last commit whose keys are durable; it never moves backward."""

    slot: str
    end_lsn: Lsn
    system_id: str
    timeline: int
    commit_time: datetime | None = None


def read(connection: Connection, slot: str) -> Checkpoint | None:
    """The stored checkpoint, None when this slot never had one."""
    row = connection.execute(
        "select end_lsn::text, system_id, timeline, commit_time from syncbridge.checkpoint where slot = %s", (slot,)
    ).fetchone()
    return None if row is None else Checkpoint(slot, Lsn.parse(row[0]), row[1], row[2], row[3])


def create(connection: Connection, checkpoint: Checkpoint) -> None:
    """Start at a slot's consistent point; replaces what was there, for a slot that was made anew."""
    connection.execute(
        "insert into syncbridge.checkpoint (slot, end_lsn, system_id, timeline, commit_time)"
        " values (%s, %s::text::pg_lsn, %s, %s, %s)"
        " on conflict (slot) do update set end_lsn = excluded.end_lsn, system_id = excluded.system_id,"
        " timeline = excluded.timeline, commit_time = excluded.commit_time, updated_at = now()",
        (
            checkpoint.slot,
            str(checkpoint.end_lsn),
            checkpoint.system_id,
            checkpoint.timeline,
            checkpoint.commit_time,
        ),
    )


def intend(connection: Connection, slot: str) -> None:
    """Note that this slot is about to be made; whoever finds it without a checkpoint may then make it anew."""
    connection.execute("insert into syncbridge.slot_intent (slot) values (%s) on conflict do nothing", (slot,))


def intended(connection: Connection, slot: str) -> bool:
    """Whether the making of this slot began, and did not end."""
    row = connection.execute("select 1 from syncbridge.slot_intent where slot = %s", (slot,)).fetchone()
    return row is not None


def settle_intent(connection: Connection, slot: str) -> None:
    """The slot is made, and has its checkpoint; or it could not be made."""
    connection.execute("delete from syncbridge.slot_intent where slot = %s", (slot,))


def advance(connection: Connection, slot: str, end_lsn: Lsn, commit_time_us: int | None) -> None:
    """Move forward to `end_lsn`, never back; `commit_time_us` counts from 2000-01-01 UTC, None keeps the old one."""
    moment = None if commit_time_us is None else from_microseconds(commit_time_us)
    connection.execute(
        "update syncbridge.checkpoint set end_lsn = greatest(end_lsn, %s::text::pg_lsn),"
        " commit_time = greatest(commit_time, %s::timestamptz), updated_at = now() where slot = %s",
        (str(Lsn(end_lsn)), moment, slot),
    )


def move_timeline(connection: Connection, slot: str, timeline: int) -> None:
    """Accept a promotion: the same system on a later timeline."""
    connection.execute("update syncbridge.checkpoint set timeline = %s where slot = %s", (timeline, slot))
