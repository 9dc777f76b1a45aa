"""What became of the records of a job, read from Salesforce's result files as they arrive."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterator
from typing import Any

import requests
import urllib3

from syncbridge.destinations.base import BulkJob, BulkResult, BulkUnreadable, Delivered, Rejected, Result
from syncbridge.destinations.salesforce.bulk.cells import ABSENT, NULL, Decode, decoder
from syncbridge.destinations.salesforce.bulk.failures import of_record
from syncbridge.errors import RecordRejected, RetryLater
from syncbridge.model import Fields, Normal
from syncbridge.schemas import RemoteObject

#: From a row's own columns (`sf__Id` and a second one) and its key to what became of the record.
Verdict = Callable[[list[str], Normal], Result]

CHUNK = 1 << 16


def results(
    response: requests.Response, job: BulkJob, described: RemoteObject, own_columns: int, verdict: Verdict
) -> Iterator[BulkResult]:
    """The results of one file, whose first `own_columns` are Salesforce's. Closes the response.

    Raises RetryLater when the connection breaks, BulkUnreadable for what is no such file.
    """
    rows = csv_rows(response)
    header = next(rows, [])  # of Salesforce's columns only, or none at all, when there is no record
    columns: _Columns | None = None
    for row in rows:
        if columns is None:
            columns = _Columns(header[own_columns:], job, described)
        if len(row) != len(header):
            raise _unexpected(job, "a row that is not as long as the header")
        sent = columns.fields(row[own_columns:])
        key = sent.pop(columns.key)
        yield BulkResult(key, verdict(row, key), sent if job.operation == "upsert" else {})


def succeeded(row: list[str], key: Normal) -> Result:
    """A row of successfulResults: `sf__Id`, `sf__Created`."""
    return Delivered(row[0], row[1] == "true")


def failed(*, deleting: bool, allow_save: bool) -> Verdict:
    """For rows of failedResults: `sf__Id`, `sf__Error`. Salesforce leaves the id out before API version 53."""

    def verdict(row: list[str], key: Normal) -> Result:
        return of_record(row[0] or str(key), row[1], deleting=deleting, allow_save=allow_save)

    return verdict


def left_over(rejected: Rejected) -> Verdict:
    """For rows of unprocessedrecords."""
    return lambda row, key: rejected


class _Columns:
    """The columns that were uploaded, under the names they were uploaded by."""

    def __init__(self, names: list[str], job: BulkJob, described: RemoteObject) -> None:
        wanted = (job.key_field or "Id").lower()
        self._names = names
        self._job = job
        found = next((name for name in names if name.lower() == wanted), None)
        if found is None:
            raise _unexpected(job, f"no column {wanted}")
        self.key = found
        fields = [(name, described.fields.get(name)) for name in names]
        decoders = [(name, decoder(field)) for name, field in fields if field is not None]
        self._decoders = [(name, decode) for name, decode in decoders if decode is not None]

    def fields(self, cells: list[str]) -> Fields:
        fields: dict[str, Any] = dict(zip(self._names, cells, strict=True))
        if ABSENT in cells:
            fields = {name: cell for name, cell in fields.items() if cell != ABSENT}
        if NULL in cells:
            fields = {name: None if cell == NULL else cell for name, cell in fields.items()}
        for name, decode in self._decoders:
            cell = fields.get(name)
            if cell is not None:
                fields[name] = self._decoded(name, decode, cell)
        return fields

    def _decoded(self, name: str, decode: Decode, cell: str) -> Normal:
        try:
            return decode(cell)
        except (ValueError, ArithmeticError, RecordRejected):  # the message would hold the value
            raise _unexpected(self._job, f"a value of {name} that cannot be read") from None


def _unexpected(job: BulkJob, what: str) -> BulkUnreadable:
    return BulkUnreadable(f"The results of job {job.id} have {what}.", code="UNEXPECTED_ANSWER")


def csv_rows(response: requests.Response) -> Generator[list[str], None, None]:
    """The rows of a CSV file as they arrive, header first. Closes the response; errors as of `results`."""
    raw = response.raw
    raw.decode_content = True
    raw.auto_close = False  # else it is closed under the reader's feet at its end
    with response, io.TextIOWrapper(io.BufferedReader(raw, CHUNK), encoding="utf-8", newline="") as lines:
        try:
            yield from csv.reader(lines, strict=True)
        except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
            code = type(error).__name__
            raise RetryLater("The connection broke while results were read.", code=code) from None
        except UnicodeDecodeError:
            raise BulkUnreadable("The results are not UTF-8.", code="UNEXPECTED_ANSWER") from None
        except csv.Error as error:
            raise BulkUnreadable(f"The results are not CSV: {error}.", code="UNEXPECTED_ANSWER") from None
