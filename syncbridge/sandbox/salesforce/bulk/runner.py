"""The thread that does jobs, one after the other, and where a test can hold it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from syncbridge.sandbox.salesforce.bulk.jobs import RUNNING, UPLOADED, IngestJob, QueryJob

CLOSE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Hold:
    """Where jobs stop until they are let go: before they start, or in progress once `rows` records are processed."""

    state: str
    rows: int = 0


class Runner:
    """Does jobs in a thread of its own, which starts with the first of them."""

    def __init__(self, run: Callable[[IngestJob | QueryJob], None]) -> None:
        self._run = run
        self._changed = threading.Condition()
        self._queue: deque[IngestJob | QueryJob] = deque()
        self._thread: threading.Thread | None = None
        self._hold: Hold | None = None
        self._busy = False
        self._held: IngestJob | QueryJob | None = None
        self._closing = False

    @property
    def closing(self) -> bool:
        """True when the server ends."""
        return self._closing

    def submit(self, job: IngestJob | QueryJob) -> None:
        """Have a job done as soon as those before it are."""
        with self._changed:
            self._queue.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="salesforce-sandbox-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def hold(self, hold: Hold | None) -> None:
        """Hold jobs from now on, or let all go."""
        with self._changed:
            self._hold = hold
            self._changed.notify_all()

    def look_again(self) -> None:
        """Notice that a job was aborted."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing moves: every job has ended or is held. False when that took too long."""
        with self._changed:
            return self._changed.wait_for(self._is_still, seconds)

    def close(self) -> None:
        """End the thread, with the job in hand left as it is."""
        with self._changed:
            self._closing = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def rows_free(self, job: IngestJob, most: int) -> int:
        """Return how many records may be processed before the job is held, at most `most`."""
        hold = self._hold
        if hold is None or hold.state != RUNNING or hold.rows <= job.processed:
            return most
        return min(most, hold.rows - job.processed)

    def checkpoint(self, job: IngestJob | QueryJob) -> bool:
        """Wait here while the job is held; False when it is not to go on."""
        with self._changed:
            while self._stops_here(job):
                self._held = job
                self._changed.notify_all()
                self._changed.wait()
            self._held = None
            return not self._closing and job.state == RUNNING

    def pause(self, job: IngestJob | QueryJob, seconds: float) -> None:
        """Let time pass, unless the job is aborted meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or job.state != RUNNING, seconds)

    def _stops_here(self, job: IngestJob | QueryJob) -> bool:
        hold = self._hold
        if hold is None or hold.state != RUNNING or self._closing:
            return False
        return job.state == RUNNING and job.processed >= hold.rows

    def _next(self) -> IngestJob | QueryJob | None:
        while self._queue and self._queue[0].state != UPLOADED:
            self._queue.popleft()
        if self._hold is not None and self._hold.state == UPLOADED:
            return None
        return self._queue[0] if self._queue else None

    def _is_still(self) -> bool:
        if self._held is not None:
            return self._stops_here(self._held)
        return not self._busy and self._next() is None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closing or self._next() is not None)
                if self._closing:
                    return
                job = self._queue.popleft()
                self._busy = True
            self._run(job)
