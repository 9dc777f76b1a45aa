"""What operators do: decide what is held, pause a way, read all records again, compare both sides and repair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncbridge.errors import SyncbridgeError
from syncbridge.model import MappingStatus
from syncbridge.reconcile.looking import Looker
from syncbridge.reconcile.repair import Repairer, Side
from syncbridge.store import decisions, held_records, loads, mappings, record_decisions, way_back
from syncbridge.store.decisions import LOCAL, REMOTE, RETRY
from syncbridge.store.held_changes import WHOLE
from tests.convergence.amending import amend
from tests.convergence.mappings import COLUMNS, OBJECT
from tests.convergence.people import entity_of
from tests.convergence.telling import Telling


class Operators(Telling):
    """Their steps."""

    def take(self, name: str, which: int, side: str, *, one: bool) -> None:
        """As `conflicts take` and `retry` do with a held change."""
        listed = sorted(decisions.listed(self.project.store, mapping=name), key=lambda each: each.change.key)
        if not listed:
            return
        change = listed[which % len(listed)].change
        if change.kind == "refused" and side == REMOTE:
            side = RETRY
        names = list(change.fields)
        if change.kind == "delete" or side == RETRY or not names:
            names = [WHOLE]
        elif one:
            names = names[which % len(names) :][:1]
        self.tell(f"a person takes {side} of {name} {change.key}: {', '.join(names)} ({change.kind} {change.fields})")
        mapping_id, _ = self.project.mappings[name]
        decisions.take(self.project.store, mapping_id, change.key, change.revision, dict.fromkeys(names, side))
        if change.kind == "conflict" and side in (LOCAL, REMOTE):
            for each in names:
                self._note(name, change.key, each, change.fields[each], side)

    def _note(self, name: str, key: str, remote: str, sides: Mapping[str, Any], side: str) -> None:
        place = self.ledger.place((name, key, remote))
        self.ledger.decided[place] = (len(self.ledger.edits), dict(sides), side)

    def take_new(self, name: str, which: int, decision: str, key: int) -> None:
        """As `conflicts resolve` and `retry` do with a new record that is no row."""
        mapping_id, _ = self.project.mappings[name]
        ids = sorted(each.record.remote_id for each in record_decisions.listed(self.project.store, mapping=name))
        if not ids:
            return
        remote_id = ids[which % len(ids)]
        self.tell(f"a person says of the new record {remote_id} of {name}: {decision} {key}")
        if decision == RETRY:
            record_decisions.retry(self.project.store, mapping_id, [remote_id])
            return
        named = str(key) if decision == held_records.LINK else None
        record_decisions.decide(self.project.store, mapping_id, remote_id, decision, named)
        if named is not None:  # two are one from now on
            record = self.project.far.records(OBJECT[name]).get(remote_id)
            self.ledger.join(name, remote_id if record is None else entity_of(name, remote_id, record), named)
            self.ledger.shake(name, named, renew=True)

    def pause(self, name: str, *, resume: bool, ways: str) -> None:
        self.tell(f"{'resume' if resume else 'pause'} {name} {ways}")
        store, mapping_id = self.project.store, self.project.mappings[name][0]
        if resume:
            mappings.resume(store, mapping_id)
            way_back.resume(store, mapping_id)
            return
        if ways != "in":
            mappings.set_status(store, mapping_id, MappingStatus.PAUSED, reason="a person")
        if ways != "out":
            way_back.set_status(store, mapping_id, MappingStatus.PAUSED, reason="a person")

    def amend(self) -> None:
        """A field is added to the mapping of people: what both sides hold in it was never agreed on."""
        if self.project.variant.added:
            return
        self.tell("the field Email is added to the mapping of people")
        amend(self.project)
        for key in self.project.rows("people"):
            self.ledger.shake("people", key)
        for remote_id, record in self.project.far.records("Contact").items():
            self.ledger.shake("people", entity_of("people", remote_id, record))

    def resync(self, name: str) -> None:
        self.tell(f"resync {name}")
        self.project.resync(name)

    def ask_load(self, name: str, where: str) -> None:
        self.tell(f"resync {name} --from destination {where}")
        loads.request(self.project.store, self.project.mappings[name][0], filter=where)

    def repair(self, name: str, side: Side) -> None:
        """As `reconcile --repair` does. What a person gives away by naming a side is given away by who saw it."""
        self.tell(f"reconcile {name} --repair {side.value}")
        try:
            with self.project.reconciler(name) as reconciler:
                reconciler.run()
                pages = list(reconciler.drifted.pages())
                if side is not Side.RULES:
                    for suspect in (each for page in pages for each in page):
                        self._give_up(name, suspect.key, suspect.remote_ids)
                looker = Looker(reconciler.sides, reconciler.captured)
                done = Repairer(reconciler.sides, looker, side).repair(pages)
                self.tell(f"    drifted: {[each.key for page in pages for each in page]}, {done}")
        except SyncbridgeError as error:
            self.tell(f"    reconcile ended: {error.message}")

    def _give_up(self, name: str, key: str, remote_ids: tuple[str, ...]) -> None:
        row, records = self.project.rows(name).get(key), self.project.far.records(OBJECT[name])
        for entity in (key, *remote_ids):
            self.ledger.shake(name, entity, renew=True)
        for remote, column in COLUMNS[name].items():
            self.ledger.see([row[column]] if row is not None else [])
            self.ledger.see(records[each][remote] for each in remote_ids if each in records)
