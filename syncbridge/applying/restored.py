"""Postgres, or the state, was restored or is another one: nothing goes either way until a person says what is right.

An older backup looks like a row that was changed back, a lost row like a delete. Written over newer records it would do
what nobody meant; so every mapping stands still, is compared with both sides as they are, and goes on by a decision.
"""

from __future__ import annotations

import logging

import psycopg
from psycopg import Connection

from syncbridge.applying.positions import NewPosition
from syncbridge.errors import PositionLost, SettingsError
from syncbridge.model import Lsn, MappingStatus
from syncbridge.outbound.capture import position_of
from syncbridge.project import Project
from syncbridge.source import slot
from syncbridge.source.replication import connect, identify
from syncbridge.source.startup import Loss, Reached, Verdict, examine, here, judge
from syncbridge.store import checkpoints, database, forget, mappings, way_back

log = logging.getLogger("syncbridge.worker")

REASON = "Postgres or the state was restored"
HINT = "`syncbridge reconcile {0}` compares both sides, with --repair as you decide; then `syncbridge resume {0}`."


def look(project: Project, source: Connection, store: Connection, *, known: Reached | None = None) -> Verdict | None:
    """The start-up verdict; None where there is no checkpoint, or no right to look.

    `known` is the highest checkpoint that this process ever brought the state to.
    """
    settings = project.settings.source
    facts = examine(source, slot=settings.slot, publication=settings.publication, watches=())
    checkpoint = checkpoints.read(store, settings.slot)
    if checkpoint is None:
        return None
    try:
        system = here(source)
    except psycopg.errors.InsufficientPrivilege:  # capture will look, by its own connection
        return None
    if system.timeline != checkpoint.timeline:
        with connect(settings.conninfo()) as replication:
            system = identify(replication, since=checkpoint.timeline)
    return judge(facts, system, position_of(checkpoint)._replace(known=known))


class Witness:
    """What one process saw of the position: a state that went back is older than that."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._seen: Reached | None = None
        self._told = ""

    def saw(self, timeline: int, checkpoint: Lsn) -> None:
        """Remember a checkpoint that this process brought the state to, on a timeline of the source."""
        self._seen = max(self._seen or Reached(0, Lsn(0)), Reached(timeline, checkpoint))

    def halt_if_restored(self) -> None:
        """Halt every mapping where source or state may be restored ones, and say so in the log, once."""
        try:
            refuse(self._project, known=self._seen)
        except PositionLost as error:
            self._seen = None  # a person decides once
            told, self._told = self._told, error.message
            if told != error.message:
                log.error("every mapping is halted: %s %s", error.message, error.hint)


def refuse(project: Project, *, known: Reached | None = None) -> None:
    """Halt every mapping, in both directions, and raise PositionLost where source or state may be restored ones."""
    with project.source_admin("position") as source, project.store("position") as store:
        verdict = look(project, source, store, known=known)
        if verdict is None or verdict.loss is not Loss.RESTORED:
            return
        error = verdict.error()
        for destination in {mapping.destination for mapping in mappings.read_all(store).values()}:
            mappings.halt_all(store, destination, reason=error.message, hint=error.hint)
        raise error


def begin_anew(project: Project) -> list[str]:
    """Pause every mapping, forget what waits to be delivered, and capture from now on; what was done, in words.

    Links stay, with their bases. Raises SettingsError when there is nothing that could have been restored, SlotInUse
    while a worker streams. Can be done again at any time.
    """
    settings = project.settings.source
    with project.source_admin("restored") as source, project.store("restored") as store:
        database.one_at_a_time(store)
        checkpoint = checkpoints.read(store, settings.slot)
        if checkpoint is None:
            raise SettingsError("there is no checkpoint: nothing was set up here", hint="Run: syncbridge setup")
        slot.require_ours(source, settings.slot)
        done = [_stand_still(store, each.id, each.name) for each in mappings.read_all(store).values()]
        position = NewPosition(settings.conninfo(), settings.slot, checkpoint, mappings=())
        if slot.inspect(source, settings.slot) is not None:
            position.drop(source, store)
        done.append(f"slot {settings.slot}: created at {position.make(source, store, REASON.lower())}")
    return done


def _stand_still(store: Connection, mapping_id: int, name: str) -> str:
    def work() -> None:
        for direction in (mappings, way_back):
            direction.set_status(store, mapping_id, MappingStatus.PAUSED, reason=REASON, hint=HINT.format(name))
        forget.waiting(store, mapping_id)

    database.transact(store, work)
    return f"mapping {name}: paused, and what waited is forgotten"
