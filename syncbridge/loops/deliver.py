"""The loop of a worker that delivers one mapping's changes, a batch a step."""

from __future__ import annotations

from syncbridge.errors import RetryLater
from syncbridge.loops.loop import IDLE, Connected, Surroundings
from syncbridge.outbound.deliver import Deliverer, Limits
from syncbridge.project import lost
from syncbridge.store import outbox


class DeliveryLoop(Connected):
    """One lane of one mapping. The first lane answers every signal; the others only help while batches are full.

    A delivery right after idleness goes out at once. While changes keep coming, a batch waits for more as `linger`
    says, so that API calls carry more.
    """

    def __init__(self, around: Surroundings, mapping_id: int, lane: int) -> None:
        super().__init__(around)
        self._mapping_id = mapping_id
        self._lane = lane
        self._signal = around.signals[mapping_id]
        worker = around.project.settings.worker
        self._limits = Limits(batch=worker.batch, lease=worker.lease.total_seconds(), max_attempts=worker.max_attempts)

    def open(self) -> None:
        mapping = self.around.compiled[self._mapping_id]
        destination = self.around.project.destination(mapping.destination)
        self._signal.linger.call = destination.batch_size
        self._deliverer = Deliverer(
            self._mapping_id,
            mapping,
            destination,
            self._store(f"deliver {mapping.name}"),
            self._source(f"compose {mapping.name}"),
            self._limits,
            kin=self.around.kin[self._mapping_id],
            numbers=self.around.numbers,
            counts=self.around.counts[self._mapping_id],
            first=not self._lane,
        )

    def step(self) -> float:
        if self._lane and not self._signal.busy.wait(IDLE):
            return 0.0
        linger = self._signal.linger
        if wait := linger.left():
            if self._lane:  # what is left of a burst is the first lane's
                self._signal.busy.clear()
                return 0.0
            linger.full.wait(wait)
        self._signal.wake.clear()
        asked = linger.begin(self._limits.batch)
        claimed = self._deliverer.step(asked)
        linger.took(claimed, asked)
        if lost(self._deliverer.store) or lost(self._deliverer.source):
            raise RetryLater("the connection to Postgres is gone")
        if claimed >= self._limits.batch:
            self._signal.busy.set()
            return 0.0
        self._signal.busy.clear()
        if not claimed and not self._lane:
            due = outbox.next_due(self._deliverer.store, self._mapping_id)
            self._signal.wake.wait(IDLE if due is None or due <= 0 else min(IDLE, due))
        return 0.0
