"""May we go on from our checkpoint? One verdict before every stream, so that a gap is never passed over in silence.

Postgres itself says nothing: a start below the slot's confirmed position is moved forward without a word, and since
version 18 a missing publication is only a warning in the server's log (our tests in tests/source/test_experiments.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import psycopg
from psycopg import Connection

from syncbridge.errors import PositionLost, RetryLater, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.schemas import Watch
from syncbridge.source import publication as publications
from syncbridge.source.publication import Publication
from syncbridge.source.refusals import RECREATE, RESTORED
from syncbridge.source.replication import SystemIdentity
from syncbridge.source.slot import SlotFacts, inspect


class Standing(StrEnum):
    """Where the checkpoint stands against the slot."""

    OK = "ok"
    REPLAY = "replay"  # some transactions come again: harmless
    GAP = "gap"  # the slot is past the checkpoint: changes between were never captured
    LOST = "lost"


class Loss(StrEnum):
    """What a position was lost with."""

    NOTHING = "nothing"
    SLOT = "slot"  # the slot alone: rows, and what we remember of them, are as new as ever
    SETUP = "setup"  # slot or publication are not as they were made: somebody changed them
    RESTORED = "restored"  # rows, or what we remember of them, may be older than what was delivered


class Reached(NamedTuple):
    """How far a process brought the state, and on which timeline of the source."""

    timeline: int
    lsn: Lsn


class Position(NamedTuple):
    """A checkpoint: where, on which server and timeline, and in which database.

    `copied` says that the state is a copy: restored from a dump, it knows what was so when that was made.
    """

    end_lsn: Lsn
    system_id: str
    timeline: int
    database_oid: int | None = None  # None: not known
    commit_time: datetime | None = None  # of the last captured change
    copied: bool = False
    known: Reached | None = None  # the highest one that this process ever saw there


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says about slot and publication.

    Read it before the checkpoint, and the identity after: another worker may be moving all three, and only in this
    order is confirmed <= checkpoint <= end of the log sure to hold.
    """

    database: str
    slot: SlotFacts | None
    publication: Publication | None
    uncovered: tuple[str, ...] = ()  # watched, but not published
    database_oid: int | None = None

    def require_coverage(self) -> None:
        """Raise SourceUnusable when changes of what is watched are not streamed to us."""
        if self.publication is None or self.uncovered:
            missing = ", ".join(self.uncovered) or "anything: it does not exist"
            raise SourceUnusable(
                f"the publication does not carry {missing}",
                code="uncovered",
                hint="Run `syncbridge setup`, which shows and runs the ALTER PUBLICATION; if it was changed by hand,"
                " `syncbridge resync` the mappings of these tables.",
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether capture may go on, and why not."""

    standing: Standing
    facts: Facts
    system: SystemIdentity
    checkpoint: Position
    bytes: int = 0  # how far checkpoint and slot are apart
    why: str = ""
    promoted: bool = False  # a standby took over, and brought the slot with it
    loss: Loss = Loss.NOTHING

    def require(self) -> None:
        """Return when capture may go on; else raise PositionLost or SourceUnusable, saying what to do."""
        if self.standing in (Standing.GAP, Standing.LOST):
            raise self.error()
        self.facts.require_coverage()

    def error(self) -> PositionLost:
        """What is lost, since when, and what to do about it."""
        message, hint = f"changes may be missing, {self._range()}: {self.why}", RECREATE
        if self.loss is Loss.RESTORED:
            message, hint = f"this may not be what was synced, {self._range()}: {self.why}", RESTORED
        return PositionLost(message, code=self.standing.value, hint=hint)

    def _range(self) -> str:
        """From where to where nothing is known of changes."""
        since = self.checkpoint.commit_time
        known = f"{self.checkpoint.end_lsn}" + (f" (a change of {since:%Y-%m-%d %H:%M:%S %Z})" if since else "")
        slot = self.facts.slot
        return f"after {known} and " + (
            f"up to {slot.confirmed_lsn}" if self.standing is Standing.GAP and slot else "until a slot is there again"
        )


def examine(connection: Connection, *, slot: str, publication: str, watches: Iterable[Watch]) -> Facts:
    """Ask the server, on an ordinary connection to the source database."""
    facts = inspect(connection, slot)
    found = publications.inspect(connection, publication)
    missing = tuple(publications.uncovered(found, watches)) if found else ()
    return Facts(connection.info.dbname, facts, found, missing, database_oid(connection))


def database_oid(connection: Connection) -> int | None:
    """The number of the database: one that is made of a dump has another."""
    row = connection.execute("select oid::bigint from pg_database where datname = current_database()").fetchone()
    return None if row is None else int(row[0])


def here(connection: Connection) -> SystemIdentity:
    """What IDENTIFY_SYSTEM says, by an ordinary connection. psycopg's InsufficientPrivilege where that may not ask.

    Raises RetryLater while the server is in recovery.
    """
    try:
        row = connection.execute(
            "select system_identifier::text, ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::int, lsn::text"
            " from pg_control_system(), pg_current_wal_flush_lsn() as lsn"
        ).fetchone()
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise RetryLater("the source is in recovery", hint="Is it a standby? Name the primary.") from error
    assert row is not None  # it always gives a row
    return SystemIdentity(row[0], row[1], Lsn.parse(row[2]))


def judge(facts: Facts, system: SystemIdentity, checkpoint: Position) -> Verdict:
    """Compare what the server says with what we remember. Pure."""
    slot = facts.slot
    if why := _why_restored(facts, system, checkpoint):
        return Verdict(Standing.LOST, facts, system, checkpoint, why=why, loss=Loss.RESTORED)
    if why := _why_changed(facts):
        return Verdict(Standing.LOST, facts, system, checkpoint, why=why, loss=Loss.SETUP)
    if slot is None or slot.lost:
        why = "the replication slot does not exist any more"
        if slot is not None:
            why = f"the slot {slot.name!r} was invalidated ({slot.invalidation_reason or 'its log was removed'})"
        return Verdict(Standing.LOST, facts, system, checkpoint, why=why, loss=Loss.SLOT)
    apart = checkpoint.end_lsn - slot.confirmed_lsn
    promoted = checkpoint.timeline != system.timeline
    if apart < 0:
        loss = Loss.RESTORED if checkpoint.copied else Loss.SETUP
        why = (
            f"the slot {slot.name!r} was confirmed up to {slot.confirmed_lsn}, {-apart} bytes past the checkpoint"
            f" {checkpoint.end_lsn}; another program used it, or the state was restored from a backup"
        )
        return Verdict(Standing.GAP, facts, system, checkpoint, -apart, why, promoted, loss)
    return Verdict(Standing.REPLAY if apart else Standing.OK, facts, system, checkpoint, apart, "", promoted)


def _why_restored(facts: Facts, system: SystemIdentity, checkpoint: Position) -> str:
    """What says that this is not the database, or not the state, that we knew; empty when it is."""
    slot = facts.slot
    gone = slot is None or slot.lost or slot.database != facts.database  # else its position proves the state up to date
    if checkpoint.system_id != system.system_id:
        return f"the server is another one: system {system.system_id} instead of {checkpoint.system_id}"
    if checkpoint.end_lsn > system.lsn:
        return f"the server's log ends at {system.lsn}, before the checkpoint {checkpoint.end_lsn}"
    if checkpoint.timeline != system.timeline:
        if why := _why_not_promoted(slot, system, checkpoint):
            return why
    elif checkpoint.known is not None and checkpoint.known > (system.timeline, checkpoint.end_lsn):
        return f"the state says {checkpoint.end_lsn}, and had come to {checkpoint.known.lsn} before"
    if gone and checkpoint.database_oid not in (None, facts.database_oid):
        return f"the database {facts.database!r} is not the one that was synced, and has no slot of its own"
    if gone and checkpoint.copied:
        return "the state is a copy that was restored, and there is no slot to compare it with"
    return ""


def _why_not_promoted(slot: SlotFacts | None, system: SystemIdentity, checkpoint: Position) -> str:
    """What says that another timeline is not that of a standby which took over with slot and all that was captured.

    A backup that is recovered begins a new timeline just as a standby does. Without the slot both look the same, but
    where the old timeline was left before what was captured: then that is not there any more.
    """
    reached, known = checkpoint.end_lsn, checkpoint.known
    if known is not None and known.timeline == checkpoint.timeline:
        reached = max(reached, known.lsn)
    there = f"the server is on timeline {system.timeline}"
    if system.left == 0:
        return f"{there}, which does not come from timeline {checkpoint.timeline}"
    if system.left is not None and system.left < reached:
        return (
            f"{there}, which left timeline {checkpoint.timeline} at {system.left}: what was captured after that, up to"
            f" {reached}, is not in its rows"
        )
    if slot is not None and slot.failover and slot.synced:
        return ""
    where = "" if system.left is None else f" since {system.left}"
    return (
        f"{there}{where} instead of {checkpoint.timeline}, without a failover slot: a standby took over, or a backup"
        " was recovered; its log does not tell which"
    )


def _why_changed(facts: Facts) -> str:
    """What somebody changed about slot or publication; empty when both are as they were made, or the slot is gone."""
    slot = facts.slot
    if slot is not None and (
        slot.plugin != "pgoutput" or slot.database != facts.database or slot.temporary or slot.two_phase
    ):
        return (
            f"the slot {slot.name!r} is not as it was made: plugin {slot.plugin or 'none'}, database"
            f" {slot.database or 'none'}{', temporary' * slot.temporary}{', two-phase' * slot.two_phase}"
        )
    if facts.publication is None:
        return "the publication does not exist any more; changes made without it cannot be decoded"
    return ""
