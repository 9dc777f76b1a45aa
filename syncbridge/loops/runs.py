"""The loop of a worker that carries first syncs and resyncs on."""

from __future__ import annotations

from syncbridge import resync
from syncbridge.errors import RetryLater
from syncbridge.loops.loop import IDLE, THROTTLED, Connected
from syncbridge.project import lost
from syncbridge.store import outbox, runs


class RunLoop(Connected):
    """Carries first syncs and resyncs on, a page at a time, while not too much of them waits."""

    def open(self) -> None:
        self._state = self._store("runs")
        self._rows = self._source("runs")

    def step(self) -> float:
        wait = IDLE
        for run in runs.pending(self._state):
            mapping = self.around.compiled.get(run.mapping_id)
            if mapping is None:
                continue
            if outbox.bulk_waiting(self._state, run.mapping_id, enough=outbox.ENOUGH_WAITING):
                wait = min(wait, THROTTLED)
                continue
            if run.phase == "rows" and run.after is None:
                resync.measure(self._state, self._rows, run.id, mapping)
            if resync.step(self._state, self._rows, run.id, mapping) is resync.Progress.WENT_ON:
                wait = 0.0
        if lost(self._rows):
            raise RetryLater("the connection to the source is gone")
        return wait
