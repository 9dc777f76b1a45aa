"""The locks of a Bulk job: each slice takes them for as long as its records take, and fails records without them.

As in Bulk API, a job waits some seconds for a lock and then fails the record. Where more than 100 records of one batch
fail, the rest of the batch goes back to the queue for a while; those that failed are not tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from syncbridge.sandbox.salesforce.bulk.jobs import IngestJob
from syncbridge.sandbox.salesforce.bulk.lines import JobFailure
from syncbridge.sandbox.salesforce.bulk.runner import Runner
from syncbridge.sandbox.salesforce.errors import TOO_MANY_LOCK_FAILURES
from syncbridge.sandbox.salesforce.store.changes import Outcome
from syncbridge.sandbox.salesforce.store.locks import POLL_SECONDS, Holder, Locks, LocksHeld, RowLocked

BATCH = 10_000
MOST_LOCK_FAILURES = 100
MOST_RETRIES = 20


class Turns:
    """Lets the slices of one job write, one after the other."""

    def __init__(self, locks: Locks, runner: Runner, job: IngestJob, lock: threading.RLock) -> None:
        self._locks = locks
        self._runner = runner
        self._job = job
        self._lock = lock
        self._failures = 0

    def write(self, slice: Callable[[], list[Outcome]], *, may_wait: bool) -> None:
        """Write a slice, unless the job has ended meanwhile. JobFailure when its batch was put back too often."""
        if self._job.processed % BATCH == 0:
            self._failures = 0
        holder = Holder(may_wait=may_wait and self._locks.wait_seconds > 0)
        try:
            outcomes = self._written(slice, holder)
            if holder.rows:
                self._runner.pause(self._job, holder.rows * self._locks.row_seconds)
                while self._locks.holds(holder) and not self._job.ended and not self._runner.closing:
                    self._runner.pause(self._job, POLL_SECONDS)
        finally:
            self._locks.release(holder)
        self._failures += sum(isinstance(each.refusal, RowLocked) for each in outcomes)
        if self._failures > MOST_LOCK_FAILURES:
            self._put_back()

    def _written(self, slice: Callable[[], list[Outcome]], holder: Holder) -> list[Outcome]:
        deadline = time.monotonic() + self._locks.wait_seconds
        while True:
            with self._lock:
                if self._job.ended:
                    return []
                self._locks.holder = holder
                try:
                    return slice()
                except LocksHeld:
                    pass
            self._runner.pause(self._job, POLL_SECONDS)
            holder.may_wait = time.monotonic() < deadline

    def _put_back(self) -> None:
        """Wait until the locks are free, at most as long as for one of them."""
        self._failures = 0
        self._job.retries += 1
        if self._job.retries > MOST_RETRIES:
            raise JobFailure(*TOO_MANY_LOCK_FAILURES)
        deadline = time.monotonic() + self._locks.wait_seconds
        while self._locks.any_held and time.monotonic() < deadline and not self._job.ended:
            self._runner.pause(self._job, POLL_SECONDS)
