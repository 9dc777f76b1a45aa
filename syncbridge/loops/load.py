"""The loop of a worker that loads: first loads and resyncs from the destination."""

from __future__ import annotations

import logging

from syncbridge.errors import RetryLater
from syncbridge.inbound.load import Loader
from syncbridge.inbound.poll import Poller
from syncbridge.loops.loop import IDLE, Connected
from syncbridge.project import lost
from syncbridge.store import loads, runs
from syncbridge.store.runs import Direction, Run

log = logging.getLogger("syncbridge.load")


class LoadLoop(Connected):
    """Carries the loads of all mappings, a part of a page at a time; of one mapping no other worker does.

    One page at most is in memory, whatever the number of loads: while one is being written the others wait. The load
    of a mapping waits for those of the mappings that it looks up, so that their rows are there.
    """

    def open(self) -> None:
        self._state = self._store("loads")
        self._rows = self._writing(self._state, "loads")
        self._loaders: dict[int, Loader] = {}

    def step(self) -> float:
        pending = runs.pending(self._state, Direction.IN)
        self._loaders = {run.id: self._loaders[run.id] for run in pending if run.id in self._loaders}
        wait = IDLE
        for run in sorted(pending, key=lambda run: not self._is_busy(run)):
            if run.status != "pending" or self._waits_for_parents(run, pending):
                continue
            loader = self._loader(run)
            if loader is not None:
                wait = min(wait, loader.step(run))
                if loader.busy:
                    break
        if lost(self._state) or lost(self._rows):
            raise RetryLater("the connection to Postgres is gone")
        return wait

    def _is_busy(self, run: Run) -> bool:
        return run.id in self._loaders and self._loaders[run.id].busy

    def _waits_for_parents(self, run: Run, pending: list[Run]) -> bool:
        """Only of another circle: those in one are loaded as they come."""
        kin = self.around.kin.get(run.mapping_id)
        parents = set(kin.parents.values()) - kin.circle - {run.mapping_id} if kin is not None else set()
        return any(other.mapping_id in parents and not other.filter for other in pending)

    def _loader(self, run: Run) -> Loader | None:
        """None where another worker carries it, or this one knows another version of the mapping."""
        mapping = self.around.compiled.get(run.mapping_id)
        if mapping is None or mapping.two_way is None or mapping.digest != run.digest:
            return None
        if run.id not in self._loaders:
            if not loads.lead(self._state, run.mapping_id):
                return None
            destination = self.around.project.destination(mapping.destination)
            kin = self.around.kin[run.mapping_id]
            poller = Poller(run.mapping_id, mapping, mapping.two_way, destination, self._state, self._rows, kin=kin)
            self._loaders[run.id] = Loader(poller)
            log.info("mapping %s: loading all records of %s", mapping.name, mapping.object)
        return self._loaders[run.id]
