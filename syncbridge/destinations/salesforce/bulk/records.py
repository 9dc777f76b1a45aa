"""Rows of a query job as records in normal form, a column at a time: a value that stands there often is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from syncbridge.destinations.feed import RemoteChange
from syncbridge.destinations.salesforce.bulk.cells import json_reader
from syncbridge.destinations.salesforce.describe import field_of
from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.destinations.salesforce.reading import tolerant
from syncbridge.errors import SyncbridgeError
from syncbridge.model import Normal, Normaliser
from syncbridge.schemas import RemoteField, RemoteObject

T = TypeVar("T")
_Read = Callable[[str], Any] | None


class JobRecords:
    """Reads rows whose cells stand in the order of `columns`, `Id` and `stamp` among them."""

    def __init__(self, described: RemoteObject, fields: Sequence[str], columns: Sequence[str], stamp: str) -> None:
        places = {name: place for place, name in enumerate(columns)}
        found = {name: field_of(described, name) for name in fields}
        self._names = tuple(found)
        self._readers = [(places[field.name], _reader(field), normaliser(field)) for field in found.values()]
        self._id, self._stamp = places["Id"], places[stamp]

    def __call__(self, rows: Sequence[Sequence[str]]) -> tuple[RemoteChange, ...]:
        """The records of some rows, in order."""
        if not rows:
            return ()
        cells = list(zip(*rows, strict=True))
        moments = _each(_moment, cells[self._stamp])
        values = [self._normal_forms(read, normal, cells[place]) for place, read, normal in self._readers]
        names = self._names
        return tuple(
            RemoteChange(remote_id, modified, dict(zip(names, record, strict=True)))
            for remote_id, modified, record in zip(cells[self._id], moments, _across(values, len(rows)), strict=True)
        )

    @staticmethod
    def _normal_forms(read: _Read, normal: Normaliser, column: Sequence[str]) -> Sequence[Normal]:
        values = column if read is None else _each(read, column)
        try:
            return _each(normal, values)
        except SyncbridgeError:
            return [tolerant(normal, value) for value in values]


def _each(make: Callable[[Any], T], column: Sequence[Any]) -> Sequence[T]:
    """What a function makes of every value; where few stand again and again, it is called once for each."""
    distinct = set(column)
    if 2 * len(distinct) > len(column):
        return list(map(make, column))
    made = {value: make(value) for value in distinct}
    return list(map(made.__getitem__, column))


def _across(columns: Sequence[Sequence[Normal]], rows: int) -> Iterable[Sequence[Normal]]:
    """A value of each column, for each row."""
    return zip(*columns, strict=True) if columns else [()] * rows


def _reader(field: RemoteField) -> _Read:
    """From a cell to what JSON would hold; None for texts, of which '' is null too."""
    read = json_reader(field)
    return None if read is None else lambda cell: read(cell) if cell else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
