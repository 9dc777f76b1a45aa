"""The loop of a worker that compares both sides of mappings by their schedule, one after another."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from syncbridge.errors import RetryLater, SyncbridgeError
from syncbridge.loops.loop import Connected
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.project import lost
from syncbridge.reconcile.fence import Fence
from syncbridge.reconcile.gathering import Stopped
from syncbridge.reconcile.reconciler import Reconciler
from syncbridge.reconcile.report import Report
from syncbridge.reconcile.sides import Sides
from syncbridge.store import database, mappings, reconciliations

log = logging.getLogger("syncbridge.reconcile")

#: Seconds between looks at what is due.
LOOK_EVERY = 10.0
#: One that failed is tried again after so long, or earlier when it is due.
RETRY = timedelta(hours=1)


class ReconcileLoop(Connected):
    """Reconciles by schedule. Of several workers one does it; the connections are open only meanwhile."""

    def open(self) -> None:
        self._state = self._store("reconcile")

    def step(self) -> float:
        for mapping_id, mapping in self.around.compiled.items():
            if self.around.ending.is_set():
                break
            if self._is_due(mapping_id, mapping) and reconciliations.try_lock(self._state, mapping_id):
                try:
                    if self._is_due(mapping_id, mapping):  # nobody else just did
                        self._reconcile(mapping_id, mapping)
                finally:
                    reconciliations.unlock(self._state, mapping_id)
        if lost(self._state):
            raise RetryLater("the connection to the state is gone")
        return LOOK_EVERY

    def _is_due(self, mapping_id: int, mapping: CompiledMapping) -> bool:
        if mapping.schedule is None or not mappings.is_active(self._state, mapping_id):
            return False
        last, failed = reconciliations.since(self._state, mapping_id)
        due = mapping.schedule.next(last)
        return database.now(self._state) >= (min(due, last + RETRY) if failed else due)

    def _reconcile(self, mapping_id: int, mapping: CompiledMapping) -> None:
        started = database.now(self._state)
        ended: dict[str, Any]
        try:
            report = self._compare(mapping_id, mapping)
            ended = {"drift": report.drift, "report": report.counts()}
            told = f"{report.drift:,} drifted" if report.drift else "both sides agree"
            log.info("mapping %s: reconciled %d entities, %s", mapping.name, report.entities, told)
        except Stopped:
            return
        except SyncbridgeError as error:
            ended = {"drift": None, "report": {}, "error": error.message}
            log.warning("mapping %s: reconcile failed: %s", mapping.name, error.message)
        reconciliations.add(self._state, mapping_id, scheduled=True, started_at=started, **ended)

    def _compare(self, mapping_id: int, mapping: CompiledMapping) -> Report:
        project = self.around.project
        with ExitStack() as opened:
            store = opened.enter_context(project.store("reconcile"))
            source = opened.enter_context(project.source("reconcile"))
            admin = opened.enter_context(project.source_admin("reconcile"))
            destination = project.destination(mapping.destination)
            sides = Sides(mapping_id, mapping, destination, store, source, project.lookups(store, mapping))
            fence = Fence(store, admin, project.settings.source.slot)
            ending = self.around.ending
            reconciler = Reconciler(sides, fence.passed, stopped=ending.is_set, pause=ending.wait)
            return opened.enter_context(reconciler).run()
