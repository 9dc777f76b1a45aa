"""Queries that look records up by a field's values, each short enough for a URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from syncbridge.model import Normal
from syncbridge.schemas import FieldKind, RemoteField

#: Characters of one encoded statement; URI and headers together may have 16,384 bytes.
LONGEST = 12_000

_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"})


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
