"""Jobs and batches of Bulk API 1.0, as the API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from syncbridge.sandbox.salesforce.bulk.jobs import (
    ABORTED,
    COMPLETE,
    FAILED,
    RUNNING,
    UPLOADED,
    IngestJob,
    Jobs,
    QueryJob,
)
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.store.storage import USER_ID

BATCH_PREFIX, RESULT_PREFIX = "751", "752"
OPEN, CLOSED = "Open", "Closed"
STATES = {UPLOADED: "Queued", RUNNING: "InProgress", COMPLETE: "Completed", FAILED: "Failed", ABORTED: "Not Processed"}
TIMES = ("totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime")
Work = IngestJob | QueryJob


@dataclass(slots=True, kw_only=True)
class BatchJob:
    """A job that takes batches while it is open."""

    id: str
    operation: str
    object: str
    content_type: str
    version: float
    created: str
    external_id: str | None = None
    concurrency: str = "Parallel"
    state: str = OPEN
    modified: str = ""
    batches: list[Work] = field(default_factory=list)

    @property
    def is_query(self) -> bool:
        """True where batches are SOQL."""
        return self.operation in ("query", "queryAll")

    @property
    def is_json(self) -> bool:
        """True where batches and results are JSON."""
        return self.content_type == "JSON"

    def move(self, state: str, stamp: str) -> None:
        """Enter a state."""
        self.state, self.modified = state, stamp

    def details(self) -> dict[str, Any]:
        """Return what the API says about the job."""
        states = [STATES[each.state] for each in self.batches]
        shown: dict[str, Any] = {"id": self.id, "operation": self.operation, "object": self.object}
        shown |= {"createdById": USER_ID, "createdDate": self.created, "systemModstamp": self.modified}
        shown["state"] = self.state
        if self.external_id is not None:
            shown["externalIdFieldName"] = self.external_id
        shown |= {"concurrencyMode": self.concurrency, "contentType": self.content_type}
        for state in ("Queued", "InProgress", "Completed", "Failed"):
            shown[f"numberBatches{state}"] = states.count(state)
        shown["numberBatchesTotal"] = len(states)
        shown["numberRecordsProcessed"] = sum(each.processed for each in self.batches)
        shown |= {"numberRetries": 0, "apiVersion": self.version}
        shown["numberRecordsFailed"] = sum(_failed(each) for each in self.batches)
        return shown | _times(sum(each.milliseconds for each in self.batches))

    def batch(self, work: Work) -> dict[str, Any]:
        """Return what the API says about one of the job's batches."""
        shown: dict[str, Any] = {"id": work.id, "jobId": self.id, "state": STATES[work.state]}
        if work.error is not None:
            shown["stateMessage"] = work.error
        shown |= {"createdDate": work.created, "systemModstamp": work.modified}
        shown |= {"numberRecordsProcessed": work.processed, "numberRecordsFailed": _failed(work)}
        return shown | _times(work.milliseconds)


class BatchJobs:
    """The jobs of Bulk API 1.0 of an org. `work` has what the runner does for their batches."""

    def __init__(self) -> None:
        self._jobs: dict[str, BatchJob] = {}
        self.work = Jobs(BATCH_PREFIX)

    def add(self, job: BatchJob) -> None:
        """Take in a new job."""
        self._jobs[job.id] = job

    def find(self, job_id: str) -> BatchJob | None:
        """Return the job with this id, or None."""
        return self._jobs.get(to_18(job_id) or "")

    def clear(self) -> None:
        """Forget all jobs, and the files of their batches."""
        self._jobs.clear()
        self.work.clear()


def result_id(work: Work) -> str:
    """Return the id of the one result that a query's batch has."""
    return to_18(RESULT_PREFIX + work.id[3:15]) or ""


def _failed(work: Work) -> int:
    return work.failed if isinstance(work, IngestJob) else 0


def _times(milliseconds: float) -> dict[str, int]:
    return dict(zip(TIMES, (round(milliseconds), round(milliseconds), 0), strict=True))
