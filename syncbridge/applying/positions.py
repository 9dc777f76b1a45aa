"""A slot that is made anew with its checkpoint; what was not captured is looked for by a run over every mapping.

First the slot, then the runs: so each change is in the rows that a run reads, or in the stream.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from psycopg import Connection

from syncbridge.errors import SyncbridgeError
from syncbridge.model import Lsn, Reason
from syncbridge.outbound.capture import position_of
from syncbridge.project import Project
from syncbridge.source import rows, slot
from syncbridge.source.replication import connect, identify
from syncbridge.source.slot import NewSlot
from syncbridge.source.startup import Loss, Standing, database_oid, examine, judge
from syncbridge.store import checkpoints, database, gaps, mappings, runs
from syncbridge.store.checkpoints import Checkpoint

log = logging.getLogger("syncbridge.worker")


@dataclass(frozen=True, slots=True)
class NewPosition:
    """Where capture is to begin anew. Interrupted at whatever moment, it can be made again."""

    conninfo: str  # of the source
    slot: str
    before: Checkpoint | None
    mappings: tuple[int, ...]  # whose records are compared
    resend: bool = False  # their bases may be old: every field is sent

    def drop(self, source: Connection, store: Connection) -> None:
        """Drop the old slot. Raises SlotInUse while a worker streams from it, SourceUnusable when it is not ours."""
        slot.require_ours(source, self.slot)
        checkpoints.intend(store, self.slot)
        slot.drop(source, self.slot)

    def make(self, source: Connection, store: Connection, why: str, *, begin: bool = False) -> Lsn:
        """Make slot and checkpoint, and ask for the runs; where the slot begins.

        The runs wait for `runs.open_asked`, unless they are to `begin` now.
        """
        checkpoints.intend(store, self.slot)
        made = self._create(store)
        barrier = rows.next_transaction(source) if begin else None
        place, system = made.consistent_point, made.system
        with store.transaction():
            checkpoints.create(
                store,
                Checkpoint(self.slot, place, system.system_id, system.timeline, database_oid=database_oid(source)),
            )
            checkpoints.settle_intent(store, self.slot)
            if self.before is not None:
                gaps.record(store, self.slot, self.before.end_lsn, self.before.commit_time, place, why)
            for mapping_id in self.mappings:
                runs.ask(store, mapping_id, Reason.RECOVERY, barrier=barrier, resend=self.resend)
        return place

    def _create(self, store: Connection) -> NewSlot:
        try:
            return slot.create(self.conninfo, self.slot)
        except SyncbridgeError:
            if self.before is None:
                checkpoints.settle_intent(store, self.slot)  # nothing is there that could be ours
            raise


def recover(project: Project) -> bool:
    """Make the slot anew when it alone was lost; whether capture can go on. False: a person must act first.

    Several workers may try at once: one does it, and the others find it done. Raises RetryLater or SourceUnusable.
    """
    settings = project.settings.source
    with project.source_admin("recovery") as source, project.store("recovery") as store:
        database.one_at_a_time(store)
        facts = examine(source, slot=settings.slot, publication=settings.publication, watches=())
        checkpoint = checkpoints.read(store, settings.slot)
        if checkpoint is None:
            return False
        with connect(settings.conninfo()) as replication:
            verdict = judge(facts, identify(replication, since=checkpoint.timeline), position_of(checkpoint))
        if verdict.loss is Loss.NOTHING:
            return True
        interrupted = verdict.standing is Standing.GAP and checkpoints.intended(store, settings.slot)
        if verdict.loss is not Loss.SLOT and not interrupted:
            return False
        in_force = tuple(mapping.id for mapping in mappings.read_all(store).values())
        anew = NewPosition(settings.conninfo(), settings.slot, checkpoint, in_force)
        if verdict.facts.slot is not None:
            anew.drop(source, store)
        anew.make(source, store, verdict.why, begin=True)
        log.warning(
            "the slot was lost and is made anew: %s. Every record is compared, and only differences are sent",
            gaps.newest(store, settings.slot),
        )
    return True
