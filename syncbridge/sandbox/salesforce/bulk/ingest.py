"""Doing an ingest job: its data is read, checked and written in slices, so that memory and waiting stay small.

A slice is one transaction under the sandbox's lock. Twenty-five slices are one of Salesforce's batches of 10,000
records, within which an external id may be given once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from syncbridge.sandbox.salesforce.bulk.columns import Columns
from syncbridge.sandbox.salesforce.bulk.jobs import COMPLETE, FAILED, RUNNING, IngestJob
from syncbridge.sandbox.salesforce.bulk.limits import BulkUsage
from syncbridge.sandbox.salesforce.bulk.lines import JobFailure, Lines, check_file, check_rows, reader
from syncbridge.sandbox.salesforce.bulk.results import OrderedResults, Results
from syncbridge.sandbox.salesforce.bulk.runner import Runner
from syncbridge.sandbox.salesforce.bulk.turns import BATCH, Turns
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.faults import Faults, Kind, Rule
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Outcome
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.deletes import Deletes
from syncbridge.sandbox.salesforce.store.locks import Locks
from syncbridge.sandbox.salesforce.store.values import Stored
from syncbridge.sandbox.salesforce.store.writes import Writes

SLICE = 400
ROUTE = "bulk_job"
NO_ROWS_LEFT = "Daily limit of records exceeded. The remaining data is not processed"


@dataclass(slots=True)
class _Progress:
    """What a job in hand remembers from slice to slice."""

    target: ObjectType
    columns: Columns
    key: Field | None
    org_version: int
    rules: list[Rule]
    failing: Rule | None
    seen: set[Stored] = field(default_factory=set)


class Ingest:
    """Does ingest jobs."""

    def __init__(
        self, *, org: Org, writes: Writes, deletes: Deletes, clock: Clock, faults: Faults, locks: Locks
    ) -> None:
        self._org = org
        self._writes = writes
        self._deletes = deletes
        self._clock = clock
        self._faults = faults
        self._locks = locks

    def run(self, job: IngestJob, runner: Runner, usage: BulkUsage, lock: threading.RLock) -> None:
        """Do a job from its first record to its last, or until it fails or is aborted."""
        started = time.monotonic()
        with lock:
            if job.ended:
                return
            job.move(RUNNING, self._clock.stamp())
        for rule in self._rules("latency", job):
            if rule.route == ROUTE and rule.strike():
                runner.pause(job, rule.seconds)
        error = None
        try:
            self._process(job, runner, usage, lock)
        except JobFailure as failure:
            error = str(failure)
        with lock:
            job.milliseconds = (time.monotonic() - started) * 1000
            if job.state == RUNNING and not runner.closing:
                job.move(COMPLETE if error is None else FAILED, self._clock.stamp(), error)

    def _process(self, job: IngestJob, runner: Runner, usage: BulkUsage, lock: threading.RLock) -> None:
        if not job.data.exists():
            return
        with job.data.open("rb") as file:
            long = check_file(file, job)
            file.seek(0)
            lines = Lines(file)
            rows = reader(lines, job)
            job.header = next(rows, [])
            job.header_end = job.offset = lines.offset
            if not job.header:
                return
            progress = self._begin(job)
            results = OrderedResults(job) if job.ordered else Results(job)
            turns = Turns(self._locks, runner, job, lock)
            try:
                while runner.checkpoint(job):
                    taken = self._take(job, rows, runner, usage, progress)
                    if not taken:
                        return
                    check_rows(taken, len(job.header), job.processed, long=long)
                    write = partial(self._slice, job, taken, lines.offset, progress, results, usage)
                    turns.write(write, may_wait=not progress.rules)
                    if job.ended:
                        return
            finally:
                results.close()

    def _rules(self, kind: Kind, job: IngestJob) -> list[Rule]:
        return self._faults.wanted(kind, ROUTE, f"/jobs/ingest/{job.id}", job.object)

    def _begin(self, job: IngestJob) -> _Progress:
        target, columns, key = self._resolve(job)
        failing = next((each for each in self._rules("job_failed", job) if each.strike()), None)
        return _Progress(target, columns, key, self._org.version, self._rules("rows", job), failing)

    def _resolve(self, job: IngestJob) -> tuple[ObjectType, Columns, Field | None]:
        """Return what the org of now makes of the job's object, columns and external id; JobFailure for nothing."""
        target = self._org.find(job.object)
        if target is None:
            raise JobFailure("InvalidBatch", f"Unable to find object: {job.object}")
        return target, Columns(self._org, target, job), target.find(job.external_id) if job.external_id else None

    def _take(
        self, job: IngestJob, rows: Iterator[list[str]], runner: Runner, usage: BulkUsage, progress: _Progress
    ) -> list[list[str]]:
        """Return the records of the next slice, none at the end; JobFailure where the job cannot go on."""
        most = min(SLICE, BATCH - job.processed % BATCH, usage.max_rows - usage.rows)
        if progress.failing is not None:
            most = min(most, progress.failing.rows - job.processed)
            if most <= 0:
                raise JobFailure(*progress.failing.job_error())
        if most <= 0:
            raise JobFailure("ExceededQuota", NO_ROWS_LEFT)
        if job.processed % BATCH == 0:
            progress.seen.clear()
        return list(islice(rows, runner.rows_free(job, most)))

    def _slice(
        self,
        job: IngestJob,
        rows: list[list[str]],
        end: int,
        progress: _Progress,
        results: Results | OrderedResults,
        usage: BulkUsage,
    ) -> list[Outcome]:
        """Write records and their results; `end` is the place behind them in the data."""
        if progress.org_version != self._org.version:
            progress.target, progress.columns, progress.key = self._resolve(job)
            progress.org_version = self._org.version
        ids = [progress.columns.id_of(row) for row in rows]
        if job.operation == "delete":
            outcomes = self._delete(job, ids, rows, progress)
        else:
            outcomes = self._write(job, rows, progress)
        if job.processed % BATCH == 0:
            usage.batches += 1
        job.failed += results.add(rows, ids, outcomes)
        job.processed += len(rows)
        job.offset = end
        usage.rows += len(rows)
        job.modified = self._clock.stamp()
        return outcomes

    def _write(self, job: IngestJob, rows: list[list[str]], progress: _Progress) -> list[Outcome]:
        self._writes.allow_duplicates = False
        change_of = progress.columns.change
        changes = [change_of(row) for row in rows]
        if progress.rules:
            for at, change in enumerate(changes):
                record = dict(zip(job.header, rows[at], strict=True))
                change.refusal = change.refusal or _struck(progress.rules, job.processed + at, record)
        match job.operation:
            case "insert":
                return self._writes.write("insert", changes)
            case "update":
                return self._writes.write("update", changes)
        seen = progress.seen.copy() if self._locks.on else progress.seen
        outcomes = self._writes.write("upsert", changes, key=progress.key, seen=seen)
        progress.seen = seen  # only now: a slice that has to wait for locks is written again
        return outcomes

    def _delete(self, job: IngestJob, ids: list[str], rows: list[list[str]], progress: _Progress) -> list[Outcome]:
        prefix = progress.target.prefix

        def refusal(index: int, record: dict[str, object]) -> Refusal | None:
            given = ids[index]
            if (to_18(given.strip()) or "")[:3] != prefix:
                return Refusal("MALFORMED_ID", f"malformed id {given}")
            return _struck(progress.rules, job.processed + index, dict(zip(job.header, rows[index], strict=True)))

        return self._deletes.delete(ids, fault=refusal)


def _struck(rules: list[Rule], index: int, record: dict[str, str]) -> Refusal | None:
    for rule in rules:
        refusal = rule.row_refusal(index, record)
        if refusal is not None:
            return refusal
    return None
