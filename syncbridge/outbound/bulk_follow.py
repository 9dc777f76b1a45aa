"""Bulk jobs that were begun: how far they are, what became of their records, and their end.

What it does is decided by the state and the destination alone, so any process can go on where another one stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import (
    BulkJob,
    BulkLoading,
    BulkOperation,
    BulkProgress,
    BulkState,
    BulkUnreadable,
    Rejected,
)
from syncbridge.errors import Remedy, RetryLater
from syncbridge.outbound.bulk_reserve import Reserve
from syncbridge.outbound.bulk_results import ResultSettler
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.stops import Stops
from syncbridge.store import bulk_jobs, outbox
from syncbridge.store.bulk_jobs import Job

log = logging.getLogger("syncbridge.bulk")

#: Seconds after which a job is asked how far it is; each time longer, up to the second.
POLL_FIRST, POLL_LAST = 0.5, 20.0


@dataclass(slots=True)
class Follower:
    """Follows the jobs of one mapping until they are settled. `ended_early` is told why one ended before its time."""

    mapping_id: int
    name: str
    bulk: BulkLoading
    store: Connection
    clock: Callable[[], float]
    guard: Guard
    stops: Stops
    reserve: Reserve
    settler: ResultSettler
    ended_early: Callable[[Rejected], None]
    _polls: dict[int, tuple[float, float]] = field(default_factory=dict)  # job -> when to ask next, and wait after it

    def begin(self, number: int) -> None:
        """A job was given its records: it needs a moment."""
        self._polls[number] = (self.clock() + POLL_FIRST, POLL_FIRST * 1.5)
        self.reserve.moved()

    def follow(self, job: Job) -> float:
        """Whatever is next for a job; seconds until it can be asked again."""
        if job.state == "preparing":  # somebody gathered for it, and ended
            bulk_jobs.free(self.store, job.id)
            return 0.0
        at, wait = self._polls.get(job.id, (float("-inf"), POLL_FIRST))
        if self.clock() < at:
            return at - self.clock()
        self._polls[job.id] = (self.clock() + wait, min(wait * 1.5, POLL_LAST))
        try:
            self._ask(job)
        except psycopg.OperationalError:
            raise
        except RetryLater as error:
            self._polls[job.id] = (self.clock() + max(POLL_LAST, error.delay or 0.0), POLL_LAST)
            log.warning("mapping %s: bulk job %s: %s; asking again", self.name, job.remote_id, error.message)
        except Exception as error:
            self._polls[job.id] = (self.clock() + POLL_LAST, POLL_LAST)
            self.stops.stop_for(error)
        return wait

    def _ask(self, job: Job) -> None:
        remote = remote_job(job, self.name)
        progress = self.bulk.progress(remote)
        if (progress.processed, progress.failed) != (job.processed, job.failed):
            self.reserve.moved()
            bulk_jobs.note(self.store, job.id, processed=progress.processed, failed=progress.failed)
        if progress.state is BulkState.OPEN:  # its upload broke off: nothing was done, nor shall be
            self.bulk.abort(remote)
        elif progress.state is BulkState.LOST:
            log.warning("mapping %s: bulk job %s is not known any more", self.name, job.remote_id)
            self._end(job, unknown=True)
        elif progress.state is BulkState.DONE:
            self._settle(job, remote, progress)
        elif job.state == "open":
            bulk_jobs.sent(self.store, job.id)

    def _settle(self, job: Job, remote: BulkJob, progress: BulkProgress) -> None:
        """Settle what became of each record; lanes send one again, in full, of which the destination says nothing."""
        failure, results = progress.failure, 0
        try:
            results = self.settler.settle(job, self.bulk.results(remote, progress))
        except BulkUnreadable as error:
            failure = Rejected(error.code, error.message, Remedy.RETRY_SMALLER)
        worked = job.state == "sent" or results > 0 or progress.processed > 0
        if not results and failure is progress.failure:
            self.guard.withdraw(job.counted)
        self.reserve.moved()
        freed = self._end(job, unknown=worked)
        told = (self.name, job.remote_id, progress.processed, progress.failed)
        log.info("mapping %s: bulk job %s ended, %d records, %d refused", *told)
        if freed and worked:
            log.warning(
                "mapping %s: %d records of bulk job %s have no result: by calls", self.name, freed, job.remote_id
            )
        if failure is not None and worked:
            self.ended_early(failure)

    def _end(self, job: Job, *, unknown: bool) -> int:
        """Free what a job still carries, and forget it; with `unknown`, whether it was done: lanes send it in full."""
        self._polls.pop(job.id, None)
        freed = bulk_jobs.free(self.store, job.id, left=unknown, resend=unknown)
        outbox.wake(self.store, self.mapping_id)
        return freed


def remote_job(job: Job, lane: str) -> BulkJob:
    """The destination's job, from what is kept of it; `lane` is the name of its mapping."""
    operation: BulkOperation = "delete" if job.operation == "delete" else "upsert"
    return BulkJob(job.remote_id or "", job.object, operation, job.key_field, lane)
