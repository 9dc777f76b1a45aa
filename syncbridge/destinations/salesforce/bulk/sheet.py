"""The CSV file of one job: written to disk as records come, with the children of one parent together.

Salesforce does a job in batches of 10,000 records in the order of the file, several at a time. Records of one parent in
two of them wait for the same lock, and fail when they wait too long: the file is sorted by parent before it is sent.
"""

from __future__ import annotations

import csv
import mmap
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import islice, repeat
from typing import IO, Any

from syncbridge.destinations.base import BulkUpload
from syncbridge.destinations.salesforce.batches import crowding, parent_fields
from syncbridge.destinations.salesforce.bulk.cells import ABSENT, NULL, encoder
from syncbridge.destinations.salesforce.describe import field_of
from syncbridge.model import Fields
from syncbridge.schemas import RemoteField, RemoteObject

#: Salesforce takes 150 MB of what it makes of an upload in base64, and advises to send no more than this.
MOST_BYTES = 100_000_000
#: Characters of one cell, and of one record (Limits of the Bulk API 2.0).
LONGEST_CELL = 32_000
LONGEST_RECORD = 400_000


class Sheet:
    """A file to fill once; it is gone from the disk when the context ends."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._file = self._new_file()
        self._starts = array("Q")  # of each line, and the end of the last one
        self._parents: list[tuple[str, ...]] = []  # of each line, in the order of the columns that name them

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _new_file(self) -> IO[bytes]:
        return self._open.enter_context(tempfile.TemporaryFile())

    def fill_upserts(
        self, described: RemoteObject, columns: Sequence[str], key_field: str, records: Iterable[Fields], most: int
    ) -> BulkUpload:
        """Write up to `most` records, fewer when the file is full. Raises SchemaDrift for an unknown column."""
        rows = _Rows(columns, [field_of(described, name) for name in columns])
        comparable = field_of(described, key_field).comparable
        locking = parent_fields(described)
        locks = [name for name in columns if described.fields[name].name in locking]
        write, starts, parents = self._file.write, self._starts, self._parents
        size = write(",".join(columns).encode() + b"\n")
        seen: set[object] = set()
        unfit: list[int] = []
        taken = 0
        for record in islice(records, most):
            taken += 1
            key = record.get(key_field)
            folded = comparable(key)
            line = rows.line(record) if key is not None and folded not in seen else None
            if line is None:
                unfit.append(taken - 1)
                continue
            seen.add(folded)
            if locks:
                starts.append(size)
                parents.append(tuple([str(record.get(name) or "") for name in locks]))
            size += write(line.encode())
            if size >= MOST_BYTES:
                break
        starts.append(size)
        return BulkUpload(taken, tuple(unfit))

    def fill_deletes(self, remote_ids: Iterable[str], most: int) -> BulkUpload:
        """Write up to `most` remote ids."""
        ids = list(islice(remote_ids, most))
        self._file.write("".join([f"{each}\n" for each in ("Id", *ids)]).encode())
        return BulkUpload(len(ids), ())

    def file(self) -> IO[bytes]:
        """The finished file, in the order to send it in: that of the records where their parents say nothing else."""
        self._file.flush()
        order = _by_parent(self._parents)
        if order == list(range(len(order))):
            return self._file
        ordered = self._new_file()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
            starts = self._starts
            ordered.write(lines[: starts[0]])
            for at in order:
                ordered.write(lines[starts[at] : starts[at + 1]])
        ordered.flush()
        return ordered


def _by_parent(parents: Sequence[tuple[str, ...]]) -> list[int]:
    """Positions in the order of their parents: those first that the most records share."""
    columns = sorted(zip(*parents, strict=True), key=crowding, reverse=True)
    keys: Sequence[Any] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return sorted(range(len(parents)), key=keys.__getitem__)


class _Lines:
    """Gives csv.writer's lines back instead of keeping them."""

    def write(self, line: str) -> str:
        return line


class _Rows:
    """Records as lines."""

    def __init__(self, columns: Sequence[str], fields: Sequence[RemoteField]) -> None:
        self._columns = columns
        encoders = [(at, encoder(field)) for at, field in enumerate(fields)]
        self._encoders = [(at, encode) for at, encode in encoders if encode is not None]
        self._written: Callable[[Iterable[Any]], Any] = csv.writer(_Lines(), lineterminator="\n").writerow

    def line(self, record: Fields) -> str | None:
        """None for what no job can carry."""
        row: list[Any] = list(map(record.get, self._columns, repeat(ABSENT)))
        if NULL in row:
            return None
        if None in row:
            row = [NULL if value is None else value for value in row]
        for at, encode in self._encoders:
            row[at] = encode(row[at])
        line: str = self._written(row)
        # A carriage return is taken as the end of a line, also within quotes (reports from real orgs).
        if "\r" in line or (len(line) > LONGEST_CELL and _is_too_long(row, line)):
            return None
        return line


def _is_too_long(row: Sequence[Any], line: str) -> bool:
    return len(line) > LONGEST_RECORD or any(isinstance(cell, str) and len(cell) > LONGEST_CELL for cell in row)
