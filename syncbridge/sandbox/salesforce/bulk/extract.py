"""Doing a query job: the rows that match now, with the values that they have now, written to a CSV file."""

from __future__ import annotations

import csv
import sqlite3
import threading
import time
from array import array
from collections.abc import Iterator

import orjson

from syncbridge.sandbox.salesforce.bulk.allowed import COMPOUND, check_words
from syncbridge.sandbox.salesforce.bulk.cells import Cell, cell_of
from syncbridge.sandbox.salesforce.bulk.chunks import file_chunks
from syncbridge.sandbox.salesforce.bulk.jobs import COMPLETE, DELIMITERS, FAILED, LINE_ENDINGS, RUNNING, QueryJob
from syncbridge.sandbox.salesforce.bulk.runner import Runner
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import Org
from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from syncbridge.sandbox.salesforce.soql.statement import Column as SelectedColumn
from syncbridge.sandbox.salesforce.soql.statement import Statement
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.storage import Storage

PAGE = 2_000
Column = tuple[str, int, Cell | None]


class Extract:
    """Does query jobs."""

    def __init__(self, *, org: Org, storage: Storage, clock: Clock) -> None:
        self._org = org
        self._storage = storage
        self._clock = clock

    def check(self, text: str) -> str:
        """Return the name of the object that a query is about, or refuse what a query job cannot do."""
        statement, _ = self._compile(text, with_deleted=False)
        return statement.target.name

    def run(self, job: QueryJob, runner: Runner, lock: threading.RLock) -> None:
        """Do a job, or leave it half done when it is aborted."""
        started = time.monotonic()
        with lock:
            if job.ended:
                return
            job.move(RUNNING, self._clock.stamp())
        error = None
        try:
            self._write(job, runner, lock)
        except Refusal as refusal:
            error = f"{refusal.code} : {refusal.message}"
        except sqlite3.Error as problem:
            error = f"QUERY_TOO_COMPLICATED : {problem}"
        with lock:
            job.milliseconds = (time.monotonic() - started) * 1000
            if job.state == RUNNING and not runner.closing:
                job.move(COMPLETE if error is None else FAILED, self._clock.stamp(), error)

    def _compile(self, text: str, *, with_deleted: bool) -> tuple[Statement, list[Column]]:
        check_words(text)
        query = parse(text)
        statement = compile_query(self._org, query, self._clock.now(), with_deleted=with_deleted)
        return statement, [_column(each) for each in statement.flat]

    def _write(self, job: QueryJob, runner: Runner, lock: threading.RLock) -> None:
        with lock, self._storage.seen_by_queries():
            statement, columns = self._compile(job.query, with_deleted=job.operation == "queryAll")
            numbers = self._storage.numbers(*statement.select('t0."seq"'))
        sql = statement.select_by("seq", deleted=True)
        taken = _Taken()
        writer = csv.writer(
            taken,
            delimiter=DELIMITERS[job.delimiter],
            lineterminator=LINE_ENDINGS[job.line_ending],
            quoting=csv.QUOTE_ALL,
        )
        writer.writerow([name for name, _, _ in columns])
        with job.results.open("wb") as file:
            file.write(taken.pull(job.ends))
            job.ends.pop(0)
            for start in range(0, len(numbers), PAGE):
                if not runner.checkpoint(job):
                    return
                page = numbers[start : start + PAGE].tolist()
                with lock, self._storage.seen_by_queries():
                    found = self._storage.select(sql, (orjson.dumps(page).decode(),))
                by_number = {row[0]: row for row in found}
                rows = [by_number[each] for each in page if each in by_number]
                writer.writerows([cell(row[at]) if cell else row[at] for _, at, cell in columns] for row in rows)
                file.write(taken.pull(job.ends))
                job.processed += len(rows)


class _Taken:
    """Takes what a CSV writer writes, one record at a time, to know where each of them ends."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def write(self, record: str) -> None:
        self._records.append(record.encode())

    def pull(self, ends: array[int]) -> bytes:
        """Return everything since the last call and add where each record ends in the file."""
        end = ends[-1]
        for each in self._records:
            end += len(each)
            ends.append(end)
        text = b"".join(self._records)
        self._records.clear()
        return text


def _column(selected: SelectedColumn) -> Column:
    if selected.field.type == "address":
        raise COMPOUND
    return selected.name, selected.at, selected.format or cell_of(selected.field)


def page_of(job: QueryJob, first: int, most: int) -> tuple[Iterator[bytes], int, int | None]:
    """Return a page of results with its header, the number of its records, and where the next page starts."""
    total = len(job.ends) - 1
    number = max(min(most, total - first), 0)
    end = first + number
    parts = [(0, job.ends[0])] + ([(job.ends[first], job.ends[end])] if number else [])
    return file_chunks(job.results, parts), number, end if end < total else None
