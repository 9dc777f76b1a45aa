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
    database_oid: int | None = None  # of the source's database; None: not known
    copied: bool = False  # the state was restored from a dump since


#: What a table of ours is known by: no dump and no restore keeps it.
_HERE = "'syncbridge.checkpoint'::regclass::oid::bigint"


def read(connection: Connection, slot: str) -> Checkpoint | None:
    """The stored checkpoint, None when this slot never had one."""
    row = connection.execute(
        "select end_lsn::text, system_id, timeline, commit_time, database_oid,"  # noqa: S608 - constants
        f" coalesce(state_oid <> {_HERE}, false) from syncbridge.checkpoint where slot = %s",
        (slot,),
    ).fetchone()
    return None if row is None else Checkpoint(slot, Lsn.parse(row[0]), *row[1:])


def create(connection: Connection, checkpoint: Checkpoint) -> None:
    """Start at a slot's consistent point; replaces what was there, for a slot that was made anew."""
    connection.execute(
        "insert into syncbridge.checkpoint"  # noqa: S608 - constants
        " (slot, end_lsn, system_id, timeline, commit_time, database_oid, state_oid)"
        f" values (%s, %s::text::pg_lsn, %s, %s, %s, %s, {_HERE})"
        " on conflict (slot) do update set end_lsn = excluded.end_lsn, system_id = excluded.system_id,"
        " timeline = excluded.timeline, commit_time = excluded.commit_time, database_oid = excluded.database_oid,"
        " state_oid = excluded.state_oid, updated_at = now()",
        (
            checkpoint.slot,
            str(checkpoint.end_lsn),
            checkpoint.system_id,
            checkpoint.timeline,
            checkpoint.commit_time,
            checkpoint.database_oid,
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


def confirm_place(connection: Connection, slot: str, database_oid: int | None) -> None:
    """Note where source and state are, once their positions were found to agree."""
    connection.execute(
        f"update syncbridge.checkpoint set database_oid = %(source)s, state_oid = {_HERE} where slot = %(slot)s"  # noqa: S608 - a constant
        f" and (database_oid, state_oid) is distinct from (%(source)s::bigint, {_HERE})",
        {"source": database_oid, "slot": slot},
    )


def move_timeline(connection: Connection, slot: str, timeline: int) -> None:
    """Accept a promotion: the same system on a later timeline."""
    connection.execute("update syncbridge.checkpoint set timeline = %s where slot = %s", (timeline, slot))
