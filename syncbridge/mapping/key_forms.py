"""Whether a text that came from elsewhere is the key of a row, spelled as Postgres spells it. Pure.

A key that is spelled otherwise (`007`, a uuid in capitals) would name another entity than the row's own key, so it is
none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date

from syncbridge.mapping.keys import decode_key, encode_key
from syncbridge.schemas import Column

_BITS = {"int2": 15, "int4": 31, "int8": 63}
_WHOLE = re.compile("0|-?[1-9][0-9]{0,18}")
_NUMERIC = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: More digits than a key will ever have; Postgres would take some 130,000.
_LONGEST_NUMERIC = 200


def is_key(text: str, columns: Sequence[Column]) -> bool:
    """Whether `text` is a key of a table with these key columns."""
    try:
        parts = decode_key(text, len(columns))
    except (ValueError, json.JSONDecodeError):
        return False
    return encode_key(parts) == text and all(
        _is_value(part, column) for part, column in zip(parts, columns, strict=True)
    )


def _is_value(text: str, column: Column) -> bool:
    kind = column.base_type
    if "\0" in text:
        return False
    if kind in _BITS:
        limit = 1 << _BITS[kind]
        return _WHOLE.fullmatch(text) is not None and -limit <= int(text) < limit
    if kind == "numeric":
        return len(text) <= _LONGEST_NUMERIC and _NUMERIC.fullmatch(text) is not None
    if kind == "uuid":
        return _UUID.fullmatch(text) is not None
    if kind == "bool":
        return text in ("t", "f")
    if kind == "enum":
        return text in column.options
    if kind == "date":
        return _is_date(text)
    return column.length is None or len(text) <= column.length


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
