"""Bulk jobs of a destination in memory: done as soon as they are uploaded, unless they are held."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from syncbridge.destinations.base import (
    BulkJob,
    BulkLoading,
    BulkOperation,
    BulkProgress,
    BulkRefused,
    BulkResult,
    BulkState,
    BulkUpload,
    Rejected,
    Result,
)
from syncbridge.destinations.memory_faults import Faults
from syncbridge.errors import NeedsOperator, Remedy, RetryLater
from syncbridge.model import Fields
from syncbridge.schemas import RemoteObject

_ABORTED = Rejected("ABORTED", "the job was aborted", Remedy.RETRY_SMALLER)


class Memory(Protocol):
    """What a job needs of the destination that it belongs to."""

    faults: Faults

    def begin_call(self, operation: str, object: str, count: int, lane: str = "") -> RemoteObject:
        """Count a call, and do what was asked for through `faults`."""

    def upsert_all(self, object: str, external_id: str, records: Sequence[Fields]) -> list[Result]:
        """Store or refuse each record."""

    def delete_all(self, object: str, remote_ids: Sequence[str]) -> list[Result]:
        """Remove or refuse each record."""


@dataclass(slots=True)
class _Kept:
    """A job as the destination keeps it."""

    job: BulkJob
    state: BulkState = BulkState.OPEN
    records: list[Fields | str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)  # of the first records: the others were not come to
    failure: Rejected | None = None


class MemoryBulk(BulkLoading):
    """Results come shuffled. `jobs` lists all that were begun; a job taken out of it is lost.

    `unfit_texts` are texts that no job can carry; `refuses` names objects for which no job is to be had.
    """

    def __init__(
        self, memory: Memory, *, bulk_from: int = 2000, most_records: int = 100_000, jobs_in_flight: int = 2
    ) -> None:
        self.bulk_from = bulk_from
        self.most_records = most_records
        self.jobs_in_flight = jobs_in_flight
        self.jobs: dict[str, BulkJob] = {}
        self.unfit_texts: set[str] = set()
        self.refuses: set[str] = set()
        self._memory = memory
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.RLock()

    def begin(self, object: str, operation: BulkOperation, key_field: str = "", *, lane: str = "") -> BulkJob:
        self._memory.begin_call("bulk_begin", object, 1, lane)
        if object in self.refuses:
            raise BulkRefused(f"{object} cannot be loaded by jobs.", code="REFUSED", delay=3600.0)
        with self._lock:
            job = BulkJob(f"job{len(self._kept) + 1:04}", object, operation, key_field, lane)
            self._kept[job.id] = _Kept(job)
            self.jobs[job.id] = job
        return job

    def upload(self, job: BulkJob, columns: Sequence[str], records: Iterable[Fields | str]) -> BulkUpload:
        taken = list(islice(records, self.most_records))
        self._memory.begin_call("bulk_upload", job.object, len(taken), job.lane)
        unfit = [at for at, record in enumerate(taken) if self._is_unfit(record)]
        with self._lock:
            kept = self._known(job)
            if kept is None or kept.state is not BulkState.OPEN:
                raise BulkRefused(f"Job {job.id} takes no records.", code="NOT_OPEN", delay=3600.0)
            kept.records = [record for record in taken if not self._is_unfit(record)]
            kept.state = BulkState.RUNNING
            if not self._memory.faults.jobs_held:
                self._run(kept)
        if self._memory.faults.lost_answers:
            self._memory.faults.lost_answers -= 1
            raise RetryLater("the answer was lost", code="TIMEOUT", uncertain=True)
        return BulkUpload(len(taken), tuple(unfit))

    def progress(self, job: BulkJob) -> BulkProgress:
        self._memory.begin_call("bulk_progress", job.object, 1, job.lane)
        with self._lock:
            kept = self._known(job)
            if kept is None:
                return BulkProgress(BulkState.LOST)
            failed = sum(1 for result in kept.results if isinstance(result, Rejected))
            return BulkProgress(kept.state, len(kept.results), failed, kept.failure)

    def results(self, job: BulkJob, progress: BulkProgress) -> Iterator[BulkResult]:
        self._memory.begin_call("bulk_results", job.object, 1, job.lane)
        with self._lock:
            kept = self._known(job)
            if kept is None or kept.state is not BulkState.DONE:
                raise NeedsOperator(f"Job {job.id} has no results.", code="NOT_DONE")
            results = [*kept.results, *[kept.failure or _ABORTED] * (len(kept.records) - len(kept.results))]
            pairs = list(zip(kept.records, results, strict=True))
        random.Random(job.id).shuffle(pairs)
        return (_result(job, record, result) for record, result in pairs)

    def abort(self, job: BulkJob) -> None:
        self._memory.begin_call("bulk_abort", job.object, 1, job.lane)
        with self._lock:
            kept = self._known(job)
            if kept is not None and kept.state is not BulkState.DONE:
                kept.state, kept.failure = BulkState.DONE, _ABORTED

    def run_jobs(self) -> None:
        """Do the jobs that were held."""
        with self._lock:
            for kept in self._kept.values():
                if kept.state is BulkState.RUNNING:
                    self._run(kept)

    def _known(self, job: BulkJob) -> _Kept | None:
        return self._kept.get(job.id) if job.id in self.jobs else None

    def _is_unfit(self, record: Fields | str) -> bool:
        values = () if isinstance(record, str) else record.values()
        return not self.unfit_texts.isdisjoint(value for value in values if isinstance(value, str))

    def _run(self, kept: _Kept) -> None:
        """Do a job, up to where it is to fail. Under the lock."""
        most, kept.failure = self._memory.faults.job_failure or (len(kept.records), None)
        self._memory.faults.job_failure = None
        records, job = kept.records[:most], kept.job
        if job.operation == "delete":
            kept.results = self._memory.delete_all(job.object, [str(record) for record in records])
        else:
            upserted = [dict(record) for record in records if not isinstance(record, str)]
            kept.results = self._memory.upsert_all(job.object, job.key_field, upserted)
        kept.state = BulkState.DONE


def _result(job: BulkJob, record: Fields | str, result: Result) -> BulkResult:
    if isinstance(record, str):
        return BulkResult(record, result, {})
    sent = {name: value for name, value in record.items() if name != job.key_field}
    return BulkResult(record[job.key_field], result, sent)
