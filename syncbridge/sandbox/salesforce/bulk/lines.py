"""The lines of an uploaded CSV file, read one by one, and the checks of the file as a whole."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO

from syncbridge.sandbox.salesforce.bulk.jobs import DELIMITERS, IngestJob

LONGEST_FIELD = 32_000
LONGEST_RECORD = 400_000
MOST_COLUMNS = 5_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UNESCAPED_QUOTE = "Failed to parse CSV. Found unescaped quote. A value with quote should be within a quote"
NOT_UTF_8 = "Failed to parse CSV. The data is not encoded in UTF-8"


class JobFailure(Exception):
    """The job as a whole cannot go on; the text is its errorMessage."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} : {message}")


class Lines:
    """Yields lines as text; `offset` is the place behind the last line given, in bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.offset = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.offset += len(line)
            yield line.decode()


def reader(lines: Lines, job: IngestJob) -> Iterator[list[str]]:
    """Yield the records of a job's data, header first; blank lines are left out. JobFailure for what is not CSV."""
    try:
        for row in csv.reader(lines, delimiter=DELIMITERS[job.delimiter], strict=True):
            if row:
                yield row
    except csv.Error:
        raise JobFailure("InvalidBatch", UNESCAPED_QUOTE) from None
    except UnicodeDecodeError:
        raise JobFailure("InvalidBatch", NOT_UTF_8) from None


def check_file(file: IO[bytes], job: IngestJob) -> bool:
    """Go through all data before any is used: encoding, line endings, quotes, lengths. JobFailure at the first fault.

    True when a record is so long that its fields have to be looked at.
    """
    windows = job.line_ending == "CRLF"
    within_quotes = False
    length = longest = 0
    for number, line in enumerate(file):
        if not number and line.startswith(BYTE_ORDER_MARK + b'"'):
            raise JobFailure("InvalidBatch", UNESCAPED_QUOTE)
        if line.count(b'"') & 1:
            within_quotes = not within_quotes
        length += len(line)
        if within_quotes:
            continue
        if line.endswith(b"\n") and line.endswith(b"\r\n") is not windows:
            raise _wrong_line_ending(job)
        if length > LONGEST_FIELD or b"\r" in line[:-2] or not line.isascii():
            _check_text(line, length, job)
            longest = max(length, longest)
        length = 0
    if within_quotes:
        raise JobFailure("InvalidBatch", UNESCAPED_QUOTE)
    return longest > LONGEST_FIELD


def _check_text(line: bytes, length: int, job: IngestJob) -> None:
    """Look closely at a line that may be wrong."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise JobFailure("InvalidBatch", NOT_UTF_8) from None
    if "\r" in text[:-2] and '"' not in text:
        raise _wrong_line_ending(job)
    if length > LONGEST_RECORD:
        raise JobFailure("InvalidBatch", f"A record is longer than {LONGEST_RECORD} characters")


def check_rows(rows: list[list[str]], columns: int, before: int, *, long: bool) -> None:
    """Refuse rows with more or fewer columns than the header, and `long` fields; `before` rows came before these."""
    for number, row in enumerate(rows, before + 1):
        if len(row) != columns:
            text = f"Failed to parse CSV. Row {number} has {len(row)} columns, the header has {columns}"
            raise JobFailure("InvalidBatch", text)
        if long and max(map(len, row)) > LONGEST_FIELD:
            raise JobFailure("InvalidBatch", f"Row {number} has a field longer than {LONGEST_FIELD} characters")


def _wrong_line_ending(job: IngestJob) -> JobFailure:
    text = f"LineEnding is invalid on user data. Current LineEnding setting is {job.line_ending}"
    return JobFailure("ClientInputError", text)
