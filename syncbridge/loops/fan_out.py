"""The loop of a worker that passes changes of related rows on to entities."""

from __future__ import annotations

from syncbridge.errors import RetryLater
from syncbridge.fan_out import FanOut, Progress
from syncbridge.loops.loop import IDLE, THROTTLED, Connected
from syncbridge.project import lost
from syncbridge.store import database, fan_out


class FanOutLoop(Connected):
    """Passes join keys of related tables on to the entities that they concern; in turn, each relation a bit."""

    def open(self) -> None:
        self._state = self._store("fan-out")
        database.prefer_indexes(self._state)
        self._fan_out = FanOut(self._state, self._source("fan-out"))

    def step(self) -> float:
        self.around.fan_out.clear()
        wait = IDLE
        for work in fan_out.work(self._state):
            mapping = self.around.compiled.get(work.mapping_id)
            if mapping is None:
                continue
            progress = self._fan_out.step(work, mapping)
            if progress is Progress.WENT_ON:
                wait = 0.0
            elif progress in (Progress.WAITS, Progress.BUSY):
                wait = min(wait, THROTTLED)
        if lost(self._fan_out.source):
            raise RetryLater("the connection to the source is gone")
        if wait:
            self.around.fan_out.wait(wait)
        return 0.0
