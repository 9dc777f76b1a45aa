"""The jobs of one org: five calls for one that goes well, and one for each further look at how far it is.

One process may begin a job and another go on with it: nothing about it is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, cast

import orjson

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
)
from syncbridge.destinations.salesforce.bulk.calls import JobCalls, JobGone
from syncbridge.destinations.salesforce.bulk.failures import ASK_AGAIN, of_job, of_refusal
from syncbridge.destinations.salesforce.bulk.results import Verdict, failed, left_over, results, succeeded
from syncbridge.destinations.salesforce.bulk.sheet import Sheet
from syncbridge.destinations.salesforce.client import CallRejected, Client
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.describe import Descriptions
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.errors import Remedy
from syncbridge.model import Fields

#: Five of Salesforce's batches. Smaller jobs overlap better: one is gathered while Salesforce does another.
MOST_RECORDS = 50_000
#: An upload that is answered late must not be given up, or it would be sent again and again. Salesforce itself ends a
#: request after ten minutes.
UPLOAD_SECONDS = 600.0

#: Objects that assignment rules are for. A job runs rules by their id only, never "the active one".
_ASSIGNED = frozenset(("account", "case", "lead"))
_STATES: Mapping[str, BulkState] = {
    "Open": BulkState.OPEN,
    "JobComplete": BulkState.DONE,
    "Failed": BulkState.DONE,
    "Aborted": BulkState.DONE,
}
_ABORTED = Rejected("Aborted", "the job was aborted", Remedy.RETRY_SMALLER)


class SalesforceBulk(BulkLoading):
    """Jobs that write. Each call counts as one of the org's API calls, and is made on the caller's own thread."""

    def __init__(
        self,
        client: Client,
        descriptions: Descriptions,
        settings: SalesforceSettings,
        clock: Callable[[], float],
    ) -> None:
        self.bulk_from = settings.bulk_from
        self.jobs_in_flight = settings.bulk_jobs
        self.most_records = MOST_RECORDS
        self._calls = JobCalls(client, clock)
        self._descriptions = descriptions
        self._settings = settings

    def begin(self, object: str, operation: BulkOperation, key_field: str = "", *, lane: str = "") -> BulkJob:
        if self._settings.assignment_rules and object.lower() in _ASSIGNED:
            told = f"`assignment_rules` asks for the active rule of {object}, which a job cannot run."
            raise BulkRefused(told, code="ASSIGNMENT_RULES", delay=ASK_AGAIN)
        wanted = {"object": object, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        if operation == "upsert":
            wanted["externalIdFieldName"] = key_field
        created = self._calls.create(Request("bulk create", "POST", "jobs/ingest", orjson.dumps(wanted), lane=lane))
        return BulkJob(created["id"], object, operation, wanted.get("externalIdFieldName", ""), lane)

    def upload(self, job: BulkJob, columns: Sequence[str], records: Iterable[Fields | str]) -> BulkUpload:
        with Sheet() as sheet:
            if job.operation == "delete":
                uploaded = sheet.fill_deletes(cast("Iterable[str]", records), self.most_records)
            else:
                described, upserts = self._descriptions.get(job.object), cast("Iterable[Fields]", records)
                uploaded = sheet.fill_upserts(described, columns, job.key_field, upserts, self.most_records)
            file = sheet.file()
            try:
                self._calls.call(_upload(job, file))
                close = Request("bulk close", "PATCH", _path(job), b'{"state":"UploadComplete"}', lane=job.lane)
                self._calls.call(close)
            except CallRejected as refused:
                raise of_refusal(refused.rejected) from None
        return uploaded

    def progress(self, job: BulkJob) -> BulkProgress:
        try:
            told = self._calls.ask(Request("bulk poll", "GET", _path(job), lane=job.lane))
        except JobGone:
            return BulkProgress(BulkState.LOST)
        state = _STATES.get(told["state"], BulkState.RUNNING)
        failure = None
        if told["state"] == "Aborted":
            failure = _ABORTED
        elif told["state"] == "Failed":
            failure = of_job(told.get("errorMessage") or "")
            if failure.remedy is Remedy.SCHEMA:
                self._descriptions.forget(job.object)
        return BulkProgress(state, told.get("numberRecordsProcessed", 0), told.get("numberRecordsFailed", 0), failure)

    def results(self, job: BulkJob, progress: BulkProgress) -> Iterator[BulkResult]:
        described = self._descriptions.get(job.object)
        for name, own_columns, verdict in self._files_of(job, progress):
            request = Request("bulk results", "GET", f"{_path(job)}/{name}", answers="stream", lane=job.lane)
            yield from results(self._calls.ask(request), job, described, own_columns, verdict)

    def _files_of(self, job: BulkJob, progress: BulkProgress) -> list[tuple[str, int, Verdict]]:
        """The files that hold the results, with how many columns of each are Salesforce's own."""
        files: list[tuple[str, int, Verdict]] = []
        if progress.failure is not None or progress.processed > progress.failed:
            files.append(("successfulResults", 2, succeeded))
        if progress.failure is not None or progress.failed:
            allow_save = self._settings.duplicate_rules == "allow_save"
            files.append(("failedResults", 2, failed(deleting=job.operation == "delete", allow_save=allow_save)))
        if progress.failure is not None:
            files.append(("unprocessedrecords", 0, left_over(progress.failure)))
        return files

    def abort(self, job: BulkJob) -> None:
        self._calls.abort(Request("bulk abort", "PATCH", _path(job), b'{"state":"Aborted"}', lane=job.lane))


def _path(job: BulkJob) -> str:
    return f"jobs/ingest/{job.id}"


def _upload(job: BulkJob, file: IO[bytes]) -> Request:
    path = f"{_path(job)}/batches"
    return Request(
        "bulk upload",
        "PUT",
        path,
        file=file,
        content_type="text/csv",
        answers="nothing",
        read_timeout=UPLOAD_SECONDS,
        lane=job.lane,
    )
