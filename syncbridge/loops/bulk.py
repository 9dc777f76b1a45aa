"""The two loops of a worker that carry the bulk jobs of one mapping: one sends them, the other settles them."""

from __future__ import annotations

import logging

import psycopg

from syncbridge.destinations.base import BulkLoading
from syncbridge.errors import RetryLater
from syncbridge.loops.loop import Connected, Surroundings
from syncbridge.model import Priority
from syncbridge.outbound.bulk import BulkDelivery
from syncbridge.outbound.bulk_follow import Follower
from syncbridge.outbound.bulk_turn import LOOK_EVERY
from syncbridge.project import lost
from syncbridge.resync import FirstSync
from syncbridge.store import bulk_jobs

log = logging.getLogger("syncbridge.worker")


class BulkLoop(Connected):
    """Looks at the backlog of a mapping, and sends it by jobs where the destination has them.

    It reads the source only once there is something to carry, so that a mapping without a backlog costs one connection.
    """

    def __init__(self, around: Surroundings, mapping_id: int) -> None:
        super().__init__(around)
        self._mapping_id = mapping_id
        self._mapping = around.compiled[mapping_id]
        self._delivery: BulkDelivery | None = None

    def open(self) -> None:
        self._state = self._store(f"bulk {self._mapping.name}")
        self._bulk = self.around.project.destination(self._mapping.destination).bulk
        self._open.callback(self._leave)

    def step(self) -> float:
        if self._bulk is None:
            self._give_up_jobs()
            return LOOK_EVERY
        if self._delivery is None and not self._is_needed(self._bulk):
            return LOOK_EVERY
        if self._delivery is None:
            self._delivery = self._begin(self._bulk)
        wait = self._delivery.step()
        if lost(self._delivery.store) or lost(self._delivery.source):
            raise RetryLater("the connection to Postgres is gone")
        return wait

    def _is_needed(self, bulk: BulkLoading) -> bool:
        """Whether there are jobs to go on with, or a backlog that is worth one."""
        jobs = bool(bulk_jobs.read_all(self._state, self._mapping_id))
        if jobs or not bulk.bulk_from:
            return jobs
        return any(
            bulk_jobs.due(self._state, self._mapping_id, priority, enough=bulk.bulk_from) >= bulk.bulk_from
            for priority in (Priority.LIVE, Priority.BULK)
        )

    def _begin(self, bulk: BulkLoading) -> BulkDelivery:
        around, settings = self.around, self.around.project.settings.worker
        source = self._source(f"bulk compose {self._mapping.name}")
        return BulkDelivery(
            self._mapping_id,
            self._mapping,
            around.project.destination(self._mapping.destination),
            bulk,
            self._state,
            source,
            around.turns[self._mapping_id],
            lambda: next(around.numbers),
            max_attempts=settings.max_attempts,
            kin=around.kin[self._mapping_id],
            counts=around.counts[self._mapping_id],
            ending=around.ending.is_set,
            unqueued=FirstSync(self._mapping_id, self._mapping, self._state, source),
        )

    def _give_up_jobs(self) -> None:
        """Jobs of a destination that was replaced by one without: what became of their records is unknown."""
        jobs = bulk_jobs.read_all(self._state, self._mapping_id)
        if not jobs or not bulk_jobs.take_turn(self._state, self._mapping_id):
            return
        for job in jobs:
            freed = bulk_jobs.free(self._state, job.id, resend=job.remote_id is not None)
            log.warning("mapping %s: bulk job %s is given up; %d records go by calls", *self._told(job, freed))

    def _told(self, job: bulk_jobs.Job, freed: int) -> tuple[str, str, int]:
        return self._mapping.name, job.remote_id or "that was not begun", freed

    def _leave(self) -> None:
        if self._delivery is not None:
            try:
                self._delivery.close()
            except psycopg.Error as error:
                log.warning("mapping %s: %s", self._mapping.name, str(error).split("\n", 1)[0])


class BulkResultsLoop(Connected):
    """Follows the jobs of a mapping and settles them, while this process has the turn at them.

    It opens its connections once there is a job, so that a mapping without a backlog costs none.
    """

    def __init__(self, around: Surroundings, mapping_id: int) -> None:
        super().__init__(around)
        self._mapping_id = mapping_id
        self._turn = around.turns[mapping_id]
        self._follower: Follower | None = None

    def step(self) -> float:
        self._turn.news.clear()
        if not self._turn.ours:
            self._turn.news.wait(LOOK_EVERY)
            return 0.0
        if self._follower is None:
            self._follower = self._begin()
        wait = self._follower.step()
        if lost(self._follower.store) or lost(self._follower.source):
            raise RetryLater("the connection to Postgres is gone")
        self._turn.news.wait(wait)
        return 0.0

    def _begin(self) -> Follower:
        around, mapping = self.around, self.around.compiled[self._mapping_id]
        destination = around.project.destination(mapping.destination)
        assert destination.bulk is not None  # else nobody has the turn
        return Follower(
            self._mapping_id,
            mapping,
            destination,
            destination.bulk,
            self._store(f"bulk results {mapping.name}"),
            self._source(f"bulk results {mapping.name}"),
            self._turn,
            max_attempts=around.project.settings.worker.max_attempts,
            kin=around.kin[self._mapping_id],
            counts=around.counts[self._mapping_id],
        )
