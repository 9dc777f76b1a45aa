"""What became of a job's records, as the two CSV files that a client downloads.

Salesforce does not promise an order, so the sandbox gives none: results are shuffled within each slice, the same way
every time. A client that takes the n-th result for the n-th record of its data is wrong here at once.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from syncbridge.sandbox.salesforce.bulk.chunks import file_chunks
from syncbridge.sandbox.salesforce.bulk.jobs import DELIMITERS, LINE_ENDINGS, IngestJob
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.store.changes import Outcome

IDS_OF_FAILURES_SINCE = 53
HEADERS = {"successfulresults": ("sf__Id", "sf__Created"), "failedresults": ("sf__Id", "sf__Error")}


class Results:
    """Writes both files while a job runs; every slice is complete on disk before its counts are seen."""

    def __init__(self, job: IngestJob) -> None:
        self._job = job
        self._files: list[IO[str]] = []
        self._succeeded = self._open("successfulresults")
        self._failed = self._open("failedresults")
        self._order = random.Random(job.id)

    def close(self) -> None:
        """Close both files."""
        for each in self._files:
            each.close()

    def add(self, rows: list[list[str]], ids: list[str], outcomes: list[Outcome]) -> int:
        """Add the results of some records and return how many failed; `ids` are those that the records gave."""
        succeeded, failed = [], []
        named = self._job.version >= IDS_OF_FAILURES_SINCE
        for row, given, outcome in zip(rows, ids, outcomes, strict=True):
            if outcome.refusal is None:
                succeeded.append((outcome.id, "true" if outcome.created else "false", *row))
            else:
                failed.append((given if named else "", error_text(outcome.refusal), *row))
        self._order.shuffle(succeeded)
        self._order.shuffle(failed)
        self._succeeded.writerows(succeeded)
        self._failed.writerows(failed)
        for each in self._files:
            each.flush()
        return len(failed)

    def _open(self, kind: str) -> Any:
        job = self._job
        file = (job.folder / kind).open("w", encoding="utf-8", newline="")
        self._files.append(file)
        file.write(header_line(job, kind))
        return csv.writer(
            file,
            delimiter=DELIMITERS[job.delimiter],
            lineterminator=LINE_ENDINGS[job.line_ending],
            quoting=csv.QUOTE_ALL,
        )


class OrderedResults:
    """Writes one file while a job runs, a line of JSON for each record, in the order of the records."""

    def __init__(self, job: IngestJob) -> None:
        self._file = _ordered(job).open("wb")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def add(self, rows: list[list[str]], ids: list[str], outcomes: list[Outcome]) -> int:
        """Add the results of some records and return how many failed."""
        for outcome in outcomes:
            refusal = outcome.refusal
            shown = {"success": refusal is None, "created": outcome.created and refusal is None, "id": outcome.id}
            self._file.write(orjson.dumps(shown | {"errors": [refusal.as_row()] if refusal else []}) + b"\n")
        return sum(each.refusal is not None for each in outcomes)


def read_outcomes(job: IngestJob) -> Iterator[dict[str, Any]]:
    """Yield what became of each record of an ordered job: success, created, id and errors."""
    path = _ordered(job)
    if path.exists():
        with path.open("rb") as file:
            yield from map(orjson.loads, file)


def _ordered(job: IngestJob) -> Path:
    return job.folder / "outcomes.jsonl"


def header_line(job: IngestJob, kind: str) -> str:
    """Return the first line of a result file: Salesforce quotes its own two columns only."""
    own = [f'"{each}"' for each in HEADERS[kind]]
    return DELIMITERS[job.delimiter].join([*own, *job.header]) + LINE_ENDINGS[job.line_ending]


def result_chunks(job: IngestJob, kind: str) -> Iterator[bytes]:
    """Return a result file in chunks."""
    path = job.folder / kind
    if not path.exists():
        return iter([header_line(job, kind).encode()])
    return file_chunks(path, [(0, path.stat().st_size)])


def unprocessed_chunks(job: IngestJob) -> Iterator[bytes]:
    """Return the header and the records that were not processed, as they were uploaded, in chunks."""
    if not job.data.exists():
        return iter([])
    return file_chunks(job.data, [(0, job.header_end), (job.offset, job.data.stat().st_size)])


def error_text(refusal: Refusal) -> str:
    """Return a refusal as sf__Error shows it: CODE:message:fields--"""
    return row_error_text(refusal.as_row())


def row_error_text(shown: dict[str, Any]) -> str:
    """Return the error of a row in the same way."""
    fields = ", ".join(shown["fields"])
    return f"{shown['statusCode']}:{shown['message']}:{fields + ' ' if fields else ''}--"
