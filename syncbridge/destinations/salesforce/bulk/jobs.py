"""The jobs of one org: eight calls for one that goes well, whatever the number of its records.

One process may begin a job and another go on with it: nothing about it is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

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
from syncbridge.destinations.salesforce.bulk.failures import ASK_AGAIN, of_call, of_creation, of_job, of_record
from syncbridge.destinations.salesforce.bulk.results import Verdict, all_rejected, results, succeeded
from syncbridge.destinations.salesforce.bulk.sheet import Sheet
from syncbridge.destinations.salesforce.client import CallRejected, Client
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.errors import NeedsOperator, Remedy, SchemaDrift
from syncbridge.model import Fields
from syncbridge.schemas import RemoteObject

MOST_RECORDS = 100_000  # ten of Salesforce's batches

#: Objects that assignment rules are for. A job runs rules by their id only, never "the active one".
_ASSIGNED = frozenset(("account", "case", "lead"))
_STATES: Mapping[str, BulkState] = {
    "Open": BulkState.OPEN,
    "JobComplete": BulkState.DONE,
    "Failed": BulkState.DONE,
    "Aborted": BulkState.DONE,
}
_ABORTED = Rejected("Aborted", "the job was aborted", Remedy.RETRY_SMALLER)
_LEFT = Rejected("Failed", "the job ended before it came to this record", Remedy.RETRY_SMALLER)


class SalesforceBulk(BulkLoading):
    """Each call counts as one of the org's API calls, and is made on the caller's own thread."""

    def __init__(
        self,
        client: Client,
        describe: Callable[[str], RemoteObject],
        settings: SalesforceSettings,
        clock: Callable[[], float],
    ) -> None:
        self.bulk_from = settings.bulk_from
        self.jobs_in_flight = settings.bulk_jobs
        self.most_records = MOST_RECORDS
        self._client = client
        self._describe = describe
        self._settings = settings
        self._clock = clock

    def begin(self, object: str, operation: BulkOperation, key_field: str = "") -> BulkJob:
        if self._settings.assignment_rules and object.lower() in _ASSIGNED:
            told = f"`assignment_rules` asks for the active rule of {object}, which a job cannot run."
            raise BulkRefused(told, code="ASSIGNMENT_RULES", delay=ASK_AGAIN)
        wanted = {"object": object, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        if operation == "upsert":
            wanted["externalIdFieldName"] = key_field
        try:
            created = self._call(Request("bulk create", "POST", "jobs/ingest", orjson.dumps(wanted)))
        except CallRejected as refused:
            raise of_creation(refused.rejected) from None
        except NeedsOperator as error:
            if type(error) is NeedsOperator or error.code == "NOT_FOUND":
                raise BulkRefused(error.message, code=error.code, hint=error.hint, delay=ASK_AGAIN) from None
            raise
        return BulkJob(created["id"], object, operation, key_field if operation == "upsert" else "")

    def upload(self, job: BulkJob, columns: Sequence[str], records: Iterable[Fields | str]) -> BulkUpload:
        with Sheet() as sheet:
            if job.operation == "delete":
                uploaded = sheet.fill_deletes(records, self.most_records)  # type: ignore[arg-type]
            else:
                described = self._describe(job.object)
                uploaded = sheet.fill_upserts(described, columns, job.key_field, records, self.most_records)  # type: ignore[arg-type]
            path, file = f"jobs/ingest/{job.id}", sheet.file()
            self._ask(
                Request("bulk upload", "PUT", f"{path}/batches", file=file, content_type="text/csv", answers="nothing")
            )
        self._ask(Request("bulk close", "PATCH", path, b'{"state":"UploadComplete"}'))
        return uploaded

    def progress(self, job: BulkJob) -> BulkProgress:
        try:
            told = self._ask(Request("bulk poll", "GET", f"jobs/ingest/{job.id}"))
        except SchemaDrift as error:
            if error.code == "NOT_FOUND":
                return BulkProgress(BulkState.LOST)
            raise
        state = _STATES.get(told["state"], BulkState.RUNNING)
        failure = None
        if told["state"] == "Aborted":
            failure = _ABORTED
        elif told["state"] == "Failed":
            failure = of_job(told.get("errorMessage") or "")
        return BulkProgress(state, told.get("numberRecordsProcessed", 0), told.get("numberRecordsFailed", 0), failure)

    def results(self, job: BulkJob, progress: BulkProgress) -> Iterator[BulkResult]:
        described = self._describe(job.object)
        refused = partial(
            of_record,
            deleting=job.operation == "delete",
            save_in_spite_of_alerts=self._settings.duplicate_rules == "allow_save",
        )
        cut_short = progress.failure is not None
        parts: list[Iterator[BulkResult]] = []
        if cut_short or progress.processed > progress.failed:
            parts.append(self._file(job, described, "successfulResults", succeeded))
        if cut_short or progress.failed:
            failed: Verdict = lambda row, key: refused(row[0] or str(key), row[1])  # noqa: E731
            parts.append(self._file(job, described, "failedResults", failed))
        if cut_short:
            left = all_rejected(progress.failure or _LEFT)
            parts.append(self._file(job, described, "unprocessedrecords", left, own_columns=0))
        return chain.from_iterable(parts)

    def abort(self, job: BulkJob) -> None:
        try:
            self._call(Request("bulk abort", "PATCH", f"jobs/ingest/{job.id}", b'{"state":"Aborted"}'))
        except CallRejected as refused:
            if refused.rejected.code != "INVALIDJOBSTATE":  # it has ended
                raise of_call(refused.rejected) from None
        except SchemaDrift as error:
            if error.code != "NOT_FOUND":
                raise

    def _file(
        self, job: BulkJob, described: RemoteObject, name: str, verdict: Verdict, *, own_columns: int = 2
    ) -> Iterator[BulkResult]:
        """The results of one file; the call is made when the first of them is asked for."""
        request = Request("bulk results", "GET", f"jobs/ingest/{job.id}/{name}", answers="stream")
        yield from results(self._ask(request), job, described, verdict, own_columns=own_columns)

    def _ask(self, request: Request) -> Any:
        try:
            return self._call(request)
        except CallRejected as refused:
            raise of_call(refused.rejected) from None

    def _call(self, request: Request) -> Any:
        return self._client.call(request, until=self._clock() + 2 * self._client.one_call)
