"""The jobs of one org: five calls for one that goes well, and one for each further look at how far it is.

One process may begin a job and another go on with it: nothing about it is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, cast

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
from syncbridge.destinations.salesforce.bulk.failures import ASK_AGAIN, of_call, of_job, of_refusal
from syncbridge.destinations.salesforce.bulk.results import Verdict, failed, left_over, results, succeeded
from syncbridge.destinations.salesforce.bulk.sheet import Sheet
from syncbridge.destinations.salesforce.client import CallRejected, Client
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.describe import Descriptions
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.errors import NeedsOperator, Remedy, RetryLater, SchemaDrift
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


class _Gone(RetryLater):
    """Salesforce does not know the job: it was deleted, or is older than what it keeps. `progress` tells so."""


class SalesforceBulk(BulkLoading):
    """Each call counts as one of the org's API calls, and is made on the caller's own thread."""

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
        self._client = client
        self._descriptions = descriptions
        self._settings = settings
        self._clock = clock

    def begin(self, object: str, operation: BulkOperation, key_field: str = "", *, lane: str = "") -> BulkJob:
        if self._settings.assignment_rules and object.lower() in _ASSIGNED:
            told = f"`assignment_rules` asks for the active rule of {object}, which a job cannot run."
            raise BulkRefused(told, code="ASSIGNMENT_RULES", delay=ASK_AGAIN)
        wanted = {"object": object, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        if operation == "upsert":
            wanted["externalIdFieldName"] = key_field
        try:
            created = self._call(Request("bulk create", "POST", "jobs/ingest", orjson.dumps(wanted), lane=lane))
        except CallRejected as refused:
            raise of_refusal(refused.rejected) from None
        except (_Gone, NeedsOperator) as error:
            if type(error) in (_Gone, NeedsOperator):  # no such thing as jobs here, or none for this login
                raise BulkRefused(error.message, code=error.code, hint=error.hint, delay=ASK_AGAIN) from None
            raise
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
                self._call(_upload(job, file))
                self._call(Request("bulk close", "PATCH", _path(job), b'{"state":"UploadComplete"}', lane=job.lane))
            except CallRejected as refused:
                raise of_refusal(refused.rejected) from None
        return uploaded

    def progress(self, job: BulkJob) -> BulkProgress:
        try:
            told = self._ask(Request("bulk poll", "GET", _path(job), lane=job.lane))
        except _Gone:
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
            yield from results(self._ask(request), job, described, own_columns, verdict)

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
        try:
            self._call(Request("bulk abort", "PATCH", _path(job), b'{"state":"Aborted"}', lane=job.lane))
        except CallRejected as refused:
            if refused.rejected.code != "INVALIDJOBSTATE":  # it has ended
                raise of_call(refused.rejected) from None
        except _Gone:
            pass

    def _ask(self, request: Request) -> Any:
        try:
            return self._call(request)
        except CallRejected as refused:
            raise of_call(refused.rejected) from None

    def _call(self, request: Request) -> Any:
        try:
            return self._client.call(request, until=self._clock() + 2 * self._client.one_call)
        except SchemaDrift as error:
            if error.code == "NOT_FOUND":  # elsewhere this is about an object or a field
                raise _Gone(error.message, code=error.code) from None
            raise


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
