"""Query jobs: Salesforce writes all rows of a query into a CSV file in its own time, and gives it page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NamedTuple

import orjson

from syncbridge.destinations.feed import ScanLost
from syncbridge.destinations.salesforce.bulk.calls import JobCalls, JobGone
from syncbridge.destinations.salesforce.bulk.results import csv_rows
from syncbridge.destinations.salesforce.client import Client
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.errors import NeedsOperator, RetryLater

#: What `Sforce-Locator` says on the last page.
LAST = "null"


class QueryPage(NamedTuple):
    """A page of results; a cell is empty for null."""

    rows: list[list[str]]
    following: str  # the locator of the next page, empty after the last


class QueryFailed(RetryLater):
    """The job ended without results."""


class QueryJobs:
    """The query jobs of one org. Each call counts as one of the org's API calls."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._calls = JobCalls(client, clock)

    def begin(self, statement: str, *, lane: str) -> str:
        """Create a job; its id. Raises BulkRefused where queries by pages have to do."""
        wanted = {"operation": "query", "query": statement, "contentType": "CSV", "lineEnding": "LF"}
        request = Request("bulk query create", "POST", "jobs/query", orjson.dumps(wanted), lane=lane)
        return str(self._calls.create(request)["id"])

    def finished(self, job: str, *, lane: str) -> int | None:
        """How many rows a job has found, None while it works. Raises QueryFailed, ScanLost."""
        try:
            told = self._calls.ask(Request("bulk query poll", "GET", _path(job), lane=lane))
        except JobGone:
            raise _lost(job, "is not known any more") from None
        if told["state"] == "JobComplete":
            return int(told.get("numberRecordsProcessed", 0))
        if told["state"] == "Failed":
            raise QueryFailed(str(told.get("errorMessage") or "Failed"), code="QUERY_FAILED")
        if told["state"] == "Aborted":
            raise _lost(job, "was aborted")
        return None

    def page(self, job: str, columns: Sequence[str], locator: str, most: int, *, lane: str) -> QueryPage:
        """The results behind a locator, empty for the first; `columns` are those of the statement. Raises ScanLost."""
        params = {"maxRecords": str(most)} | ({"locator": locator} if locator else {})
        request = Request("bulk results", "GET", f"{_path(job)}/results", params=params, answers="stream", lane=lane)
        try:
            response = self._calls.ask(request)
        except JobGone:
            raise _lost(job, "is not known any more") from None
        with closing(csv_rows(response)) as rows:
            header = next(rows, [])
            found = list(rows)
        if len(header) != len(columns):
            raise NeedsOperator(f"The results of job {job} have other columns.", code="UNEXPECTED_ANSWER")
        told = response.headers.get("Sforce-NumberOfRecords", "")
        if not told.isdigit() or int(told) != len(found) or any(len(row) != len(header) for row in found):
            raise RetryLater(f"The results of job {job} did not come to their end.", code="INCOMPLETE_ANSWER")
        following = response.headers.get("Sforce-Locator") or LAST
        return QueryPage(found, "" if following == LAST else following)

    def abort(self, job: str, *, lane: str) -> None:
        """End a job as soon as may be; nothing happens to one that has ended or is gone."""
        self._calls.abort(Request("bulk abort", "PATCH", _path(job), b'{"state":"Aborted"}', lane=lane))


def _path(job: str) -> str:
    return f"jobs/query/{job}"


def _lost(job: str, what: str) -> ScanLost:
    return ScanLost(f"The query job {job} {what}.", code="SCAN_LOST", hint="All records are read anew.")
