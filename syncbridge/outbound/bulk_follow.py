"""Bulk jobs that were begun: how far they are, what became of their records, and their end.

What it does is decided by the state and the destination alone, so any process can go on where another one stopped. It
works beside whoever gathers for the next job, and leaves alone what that one is at.
"""

from __future__ import annotations

import logging
import random
import time
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
    Destination,
    Rejected,
)
from syncbridge.errors import Remedy, RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.outbound.bulk_reserve import Reserve
from syncbridge.outbound.bulk_results import ResultSettler
from syncbridge.outbound.bulk_turn import LOOK_EVERY, POLL_FIRST, POLL_LAST, REST, Turn
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.parts import Parts, unavailable
from syncbridge.outbound.recording import Counts
from syncbridge.outbound.stops import Stops
from syncbridge.store import bulk_jobs, outbox
from syncbridge.store.bulk_jobs import Job

log = logging.getLogger("syncbridge.bulk")


@dataclass(slots=True)
class Follower:
    """Follows the jobs of one mapping until they are settled, while its process has the turn."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    bulk: BulkLoading
    store: Connection
    source: Connection
    turn: Turn
    max_attempts: int = 12
    kin: Kin = field(default_factory=Kin)
    rng: random.Random = field(default_factory=random.Random)
    counts: Counts = field(default_factory=Counts)
    clock: Callable[[], float] = time.monotonic
    _reserve: Reserve = field(init=False)
    _guard: Guard = field(init=False)
    _stops: Stops = field(init=False)
    _settler: ResultSettler = field(init=False)

    def __post_init__(self) -> None:
        number = self.mapping_id
        parts = Parts.make(
            number,
            self.mapping,
            self.destination,
            self.store,
            self.source,
            kin=self.kin,
            max_attempts=self.max_attempts,
            rng=self.rng,
            counts=self.counts,
        )
        self._guard, self._stops = parts.guard, parts.stops
        self._reserve = Reserve(number, self.mapping.name, self.store, lambda: self.clock(), self.turn)
        both = self.mapping.two_way is not None
        self._settler = ResultSettler(number, self.store, parts.composer, parts.recorder, parts.guard, parts.mask, both)

    def step(self) -> float:
        """Ask each job that is due, and settle it when it ended; seconds until there is something to do again.

        Errors set the mapping's status; none is raised but a lost state database (RetryLater).
        """
        if not self.turn.ours:
            return LOOK_EVERY
        try:
            left = set(self.turn.left)
            jobs = bulk_jobs.read_all(self.store, self.mapping_id)
            waits = [self._follow(job) for job in jobs if job.state == "sent" or job.id in left]
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        return min([LOOK_EVERY, *waits])

    def _follow(self, job: Job) -> float:
        """Whatever is next for a job; seconds until it can be asked again."""
        if job.state == "preparing":  # somebody gathered for it, and ended
            bulk_jobs.free(self.store, job.id)
            return 0.0
        at, wait = self.turn.polls.get(job.id, (float("-inf"), POLL_FIRST))
        if self.clock() < at:
            return at - self.clock()
        self.turn.polls[job.id] = (self.clock() + wait, min(wait * 1.5, POLL_LAST))
        try:
            self._ask(job)
        except psycopg.OperationalError:
            raise
        except RetryLater as error:
            self.turn.polls[job.id] = (self.clock() + max(POLL_LAST, error.delay or 0.0), POLL_LAST)
            log.warning("mapping %s: bulk job %s: %s; asking again", self.mapping.name, job.remote_id, error.message)
        except Exception as error:
            self.turn.polls[job.id] = (self.clock() + POLL_LAST, POLL_LAST)
            self._stops.stop_for(error)
        return wait

    def _ask(self, job: Job) -> None:
        remote = remote_job(job, self.mapping.name)
        progress = self.bulk.progress(remote)
        if (progress.processed, progress.failed) != (job.processed, job.failed):
            self._reserve.moved()
            bulk_jobs.note(self.store, job.id, processed=progress.processed, failed=progress.failed)
        if progress.state is BulkState.OPEN:  # its upload broke off: nothing was done, nor shall be
            self.bulk.abort(remote)
        elif progress.state is BulkState.LOST:
            log.warning("mapping %s: bulk job %s is not known any more", self.mapping.name, job.remote_id)
            self._end(job, unknown=True)
        elif progress.state is BulkState.DONE:
            self._settle(job, remote, progress)
        elif job.state == "open":
            bulk_jobs.sent(self.store, job.id)

    def _settle(self, job: Job, remote: BulkJob, progress: BulkProgress) -> None:
        """Settle what became of each record; lanes send one again, in full, of which the destination says nothing."""
        failure, results = progress.failure, 0
        try:
            results = self._settler.settle(job, self.bulk.results(remote, progress))
        except BulkUnreadable as error:
            failure = Rejected(error.code, error.message, Remedy.RETRY_SMALLER)
        worked = job.state == "sent" or results > 0 or progress.processed > 0
        if not results and failure is progress.failure:
            self._guard.withdraw(job.counted)
        self._reserve.moved()
        freed = self._end(job, unknown=worked)
        told = (self.mapping.name, job.remote_id, progress.processed, progress.failed)
        log.info("mapping %s: bulk job %s ended, %d records, %d refused", *told)
        if freed and worked:
            left = (self.mapping.name, freed, job.remote_id)
            log.warning("mapping %s: %d records of bulk job %s have no result: by calls", *left)
        if failure is not None and worked:
            self._reserve.rest(failure.delay or REST, self._stops.mask(f"{failure.code}: {failure.message}"))

    def _end(self, job: Job, *, unknown: bool) -> int:
        """Free what a job still carries, and forget it; with `unknown`, whether it was done: lanes send it in full."""
        self.turn.polls.pop(job.id, None)
        freed = bulk_jobs.free(self.store, job.id, left=unknown, resend=unknown)
        outbox.wake(self.store, self.mapping_id)
        return freed


def remote_job(job: Job, lane: str) -> BulkJob:
    """The destination's job, from what is kept of it; `lane` is the name of its mapping."""
    operation: BulkOperation = "delete" if job.operation == "delete" else "upsert"
    return BulkJob(job.remote_id or "", job.object, operation, job.key_field, lane)
