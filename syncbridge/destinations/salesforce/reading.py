"""Reading: records in normal form, and queries that look records up by a field, each short enough for a URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from syncbridge.destinations.base import RemoteRecord
from syncbridge.destinations.salesforce.describe import field_of
from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.errors import SyncbridgeError
from syncbridge.model import Normal, Normaliser
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject

#: Characters of one encoded statement; URI and headers together may have 16,384 bytes.
LONGEST = 12_000

_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"})


class Shape:
    """The columns to read of an object, and how a row of JSON becomes a record in normal form."""

    def __init__(self, described: RemoteObject, fields: Sequence[str]) -> None:
        found = {name: field_of(described, name) for name in fields}
        self._normal = [(name, field.name, normaliser(field)) for name, field in found.items()]
        self.columns = list(dict.fromkeys(("Id", *(field.name for field in found.values()))))

    def record(self, row: Mapping[str, Any]) -> RemoteRecord:
        try:
            fields = {name: normal(row.get(spelled)) for name, spelled, normal in self._normal}
        except SyncbridgeError:
            fields = {name: tolerant(normal, row.get(spelled)) for name, spelled, normal in self._normal}
        return RemoteRecord(row["Id"], fields)


def tolerant(normal: Normaliser, value: Any) -> Normal:
    """A value that was read: what is stored may break rules that came later (a picklist value that was retired).

    Such a value is shown as it is.
    """
    try:
        return normal(value)
    except SyncbridgeError:
        return value if isinstance(value, str | int | float | bool) else None


def literal(field: RemoteField, value: Normal) -> str:
    """A value as SOQL spells it for this field."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if field.kind is FieldKind.DATETIME:
        return text.removesuffix("+0000") + "Z" if text.endswith("+0000") else text
    if field.kind in (FieldKind.DATE, FieldKind.TIME):
        return text
    return f"'{text.translate(_ESCAPES)}'"


def lookups(object: str, field: RemoteField, columns: Sequence[str], values: Sequence[Normal]) -> Iterator[str]:
    """Statements that together find the records whose `field` has one of `values`."""
    # Names were checked against the describe, and literals are escaped.
    head = f"SELECT {', '.join(columns)} FROM {object} WHERE {field.name} IN ("  # noqa: S608
    room = LONGEST - len(quote_plus(head)) - 3
    chosen: list[str] = []
    length = 0
    for value in values:
        spelled = literal(field, value)
        size = len(quote_plus(spelled)) + 3  # the comma is encoded too
        if chosen and length + size > room:
            yield f"{head}{','.join(chosen)})"
            chosen, length = [], 0
        chosen.append(spelled)
        length += size
    if chosen:
        yield f"{head}{','.join(chosen)})"


def by_value(
    records: Sequence[RemoteRecord], sought: RemoteField, name: str, values: Sequence[Normal]
) -> dict[Normal, list[RemoteRecord]]:
    """The records of each value, compared as Salesforce compares; values without one are left out."""
    found: dict[object, list[RemoteRecord]] = {}
    for record in records:
        found.setdefault(sought.comparable(record.fields[name]), []).append(record)
    return {value: same for value in values if (same := found.get(sought.comparable(value)))}
