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
from syncbridge.destinations.salesforce.bulk.cells import ABSENT, NULL, encoder
from syncbridge.destinations.salesforce.describe import field_of
from syncbridge.model import Fields, Normal
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject

#: Salesforce takes 150 MB of what it makes of an upload in base64, and advises to send no more than this.
MOST_BYTES = 100_000_000
#: Characters of one cell, and of one record (Limits of the Bulk API 2.0).
LONGEST_CELL = 32_000
LONGEST_RECORD = 400_000

#: What every record of an org may refer to without a lock on it.
_NEVER_LOCKED = frozenset(("User", "Group", "Queue", "RecordType", "Profile", "UserRole"))


class Sheet:
    """A file to fill once. `close` removes it from the disk."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._file = self._new_file()
        self._starts = array("Q")
        self._parents: list[Any] = []

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
        fields = [field_of(described, name) for name in columns]
        key = field_of(described, key_field)
        rows = _Rows(columns, fields)
        locks = _locks(fields)
        write, starts, parents = self._file.write, self._starts, self._parents
        size = write(",".join(columns).encode() + b"\n")
        seen: set[object] = set()
        unfit: list[Normal] = []
        taken = 0
        for record in islice(records, most):
            taken += 1
            row = rows.row(record)
            line = rows.line(row) if row is not None else None
            value = record.get(key_field)
            folded = key.comparable(value)
            if row is None or line is None or value is None or folded in seen:
                unfit.append(value)
                continue
            seen.add(folded)
            if locks:
                starts.append(size)
                parents.append(row[locks[0]] if len(locks) == 1 else tuple([row[at] for at in locks]))
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
        """The finished file, in the order to send it in."""
        file = self._file
        file.flush()
        order = sorted(range(len(self._parents)), key=self._parents.__getitem__)
        if all(map(int.__eq__, order, range(len(order)))):
            return file
        ordered = self._new_file()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
            starts = self._starts
            ordered.write(lines[: starts[0]])
            for at in order:
                ordered.write(lines[starts[at] : starts[at + 1]])
        ordered.flush()
        return ordered


class _Lines:
    """Gives csv.writer's lines back instead of keeping them."""

    def write(self, line: str) -> str:
        return line


class _Rows:
    """Records as rows of cells, and rows as lines; None for what no job can carry."""

    def __init__(self, columns: Sequence[str], fields: Sequence[RemoteField]) -> None:
        self._columns = columns
        encoders = [(at, encoder(field)) for at, field in enumerate(fields)]
        self._encoders = [(at, encode) for at, encode in encoders if encode is not None]
        self._line: Callable[[Iterable[Any]], Any] = csv.writer(_Lines(), lineterminator="\n").writerow

    def row(self, record: Fields) -> list[Any] | None:
        row: list[Any] = list(map(record.get, self._columns, repeat(ABSENT)))
        if NULL in row:
            return None
        if None in row:
            row = [NULL if value is None else value for value in row]
        for at, encode in self._encoders:
            row[at] = encode(row[at])
        return row

    def line(self, row: Sequence[Any]) -> str | None:
        line: str = self._line(row)
        # A carriage return is taken as the end of a line, also within quotes (reports from real orgs).
        if "\r" in line or (len(line) > LONGEST_CELL and _is_too_long(row, line)):
            return None
        return line


def _is_too_long(row: Sequence[Any], line: str) -> bool:
    return len(line) > LONGEST_RECORD or any(isinstance(cell, str) and len(cell) > LONGEST_CELL for cell in row)


def _locks(fields: Sequence[RemoteField]) -> list[int]:
    """Columns whose parents a write locks; those first without which a record cannot be (its masters)."""
    at = [
        at
        for at, field in enumerate(fields)
        if field.kind is FieldKind.REFERENCE and not _NEVER_LOCKED.issuperset(field.refers_to)
    ]
    return sorted(at, key=lambda at: not fields[at].required)
