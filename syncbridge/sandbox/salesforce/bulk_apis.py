"""Both Bulk APIs of one org: their jobs, the day's limits, and the thread that does the work."""

from __future__ import annotations

from pathlib import Path

from syncbridge.sandbox.salesforce.bulk.extract import Extract
from syncbridge.sandbox.salesforce.bulk.ingest import Ingest
from syncbridge.sandbox.salesforce.bulk.jobs import ABORTED, FAILED, IngestJob, Jobs, QueryJob
from syncbridge.sandbox.salesforce.bulk.limits import BulkUsage
from syncbridge.sandbox.salesforce.bulk.runner import Runner
from syncbridge.sandbox.salesforce.bulk_v1.jobs import BatchJobs
from syncbridge.sandbox.salesforce.faults import Faults
from syncbridge.sandbox.salesforce.org.model import Org
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.deletes import Deletes
from syncbridge.sandbox.salesforce.store.locks import Locks
from syncbridge.sandbox.salesforce.store.storage import Storage
from syncbridge.sandbox.salesforce.store.writes import Writes


class Bulk:
    """Everything that belongs to jobs. Callers hold the sandbox's lock, but for `runner`, `reset` and `close`."""

    def __init__(
        self,
        *,
        org: Org,
        storage: Storage,
        writes: Writes,
        deletes: Deletes,
        clock: Clock,
        faults: Faults,
        locks: Locks,
    ) -> None:
        self._lock = storage.lock
        self._clock = clock
        self._ingest = Ingest(org=org, writes=writes, deletes=deletes, clock=clock, faults=faults, locks=locks)
        self.extract = Extract(org=org, storage=storage, clock=clock)
        self.jobs = Jobs()
        self.batch_jobs = BatchJobs()
        self.usage = BulkUsage()
        self.runner = Runner(self._run)
        self._uploads = 0

    def upload_path(self) -> Path:
        """Return a new path for a body that is about to come in."""
        self._uploads += 1
        return self.jobs.folder() / f"upload-{self._uploads}"

    def abort(self, job: IngestJob | QueryJob) -> None:
        """End a job where it is."""
        job.move(ABORTED, self._clock.stamp())
        self.runner.look_again()

    def reset(self) -> None:
        """Have no jobs, nothing held and all limits unused."""
        self.runner.hold(None)
        with self._lock:
            for job in (*self.jobs.every(), *self.batch_jobs.work.every()):
                if not job.ended:
                    self.abort(job)
            self.jobs.clear()
            self.batch_jobs.clear()
            self.usage = BulkUsage()

    def close(self) -> None:
        """End the thread and remove all files. Not to be called with the lock held."""
        self.runner.close()
        self.jobs.clear()
        self.batch_jobs.clear()

    def _run(self, job: IngestJob | QueryJob) -> None:
        """Do a job. Whatever goes wrong ends this job and not the thread, which others wait for."""
        try:
            if isinstance(job, QueryJob):
                self.extract.run(job, self.runner, self._lock)
            else:
                self._ingest.run(job, self.runner, self.usage, self._lock)
        except Exception as error:
            with self._lock:
                if not job.ended:
                    job.move(FAILED, self._clock.stamp(), f"InternalServerError : {error!r}")
