"""The loop of a worker that carries first syncs and resyncs on."""

from __future__ import annotations

from syncbridge import resync
from syncbridge.errors import RetryLater
from syncbridge.loops.loop import IDLE, Connected
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Priority, Reason
from syncbridge.outbound.sifting import Sifter
from syncbridge.project import lost
from syncbridge.store import bulk_jobs, outbox, runs
from syncbridge.store.runs import Direction, Run

#: Seconds until a run looks again whether less waits: to count that costs as much as to enqueue some hundred rows.
FULL = 0.3
#: Seconds for which lanes leave a first sync to bulk jobs, which look at the backlog every second.
OPENING = 5.0


class RunLoop(Connected):
    """Carries first syncs and resyncs on, a page at a time, while not too much of them waits."""

    def open(self) -> None:
        self._state = self._store("runs")
        self._rows = self._source("runs")
        self._sifters: dict[int, Sifter] = {}  # by mapping id

    def step(self) -> float:
        wait = IDLE
        for run in runs.pending(self._state, Direction.OUT):
            mapping = self.around.compiled.get(run.mapping_id)
            if mapping is None:
                continue
            if self._is_left_to_jobs(run, mapping) or self._waits_enough(run):
                wait = min(wait, FULL)
                continue
            if run.phase == "rows" and run.after is None:
                total = resync.measure(self._state, self._rows, run.id, mapping)
                self._leave_to_jobs(run, mapping, total)
                self._sifters.pop(run.mapping_id, None)  # what the destination says now counts for this run
            sifter = self._sifter(run.mapping_id, mapping)
            if resync.step(self._state, self._rows, run.id, mapping, sift=sifter) is resync.Progress.WENT_ON:
                wait = 0.0
        if lost(self._rows):
            raise RetryLater("the connection to the source is gone")
        return wait

    def _is_left_to_jobs(self, run: Run, mapping: CompiledMapping) -> bool:
        """Whether this process carries bulk jobs that take the pages of this run themselves."""
        turn = self.around.turns[run.mapping_id]
        return turn.ours and turn.takes_pages and resync.goes_by_jobs(run, mapping)

    def _waits_enough(self, run: Run) -> bool:
        return outbox.bulk_waiting(self._state, run.mapping_id, enough=outbox.ENOUGH_WAITING)

    def _sifter(self, mapping_id: int, mapping: CompiledMapping) -> Sifter:
        if mapping_id not in self._sifters:
            destination, kin = self.around.project.destination(mapping.destination), self.around.kin[mapping_id]
            self._sifters[mapping_id] = Sifter(mapping_id, mapping, destination, self._state, self._rows, kin)
        return self._sifters[mapping_id]

    def _leave_to_jobs(self, run: Run, mapping: CompiledMapping, total: int | None) -> None:
        """Keep lanes from the first rows of a first sync that jobs can carry: each call of theirs takes 200 at most."""
        bulk = self.around.project.destination(mapping.destination).bulk
        if bulk is None or not bulk.bulk_from or run.reason is not Reason.FIRST_SYNC or mapping.match_on:
            return
        if total is None or total >= bulk.bulk_from:
            bulk_jobs.reserve(self._state, run.mapping_id, Priority.BULK, before=None, seconds=OPENING)
