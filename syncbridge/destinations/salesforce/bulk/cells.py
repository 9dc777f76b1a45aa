"""Values in normal form as the cells of a job's CSV, and back; what the cells of a query job mean.

What Salesforce takes (Bulk API 2.0 guide, "Prepare CSV Files"): UTF-8, ISO 8601 for dates, `#N/A` for null, an empty
cell for a field that is to stay as it is. The text `#N/A` itself cannot be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.model import Normal
from syncbridge.schemas import FieldKind, RemoteField

NULL = "#N/A"
ABSENT = ""

#: From a value to what csv.writer writes as it should be; cells that are filled in already pass as they are.
Encode = Callable[[Any], Any]
Decode = Callable[[str], Normal]

_BOOLEANS: Mapping[Any, str] = {True: "true", False: "false", NULL: NULL, ABSENT: ABSENT}


def encoder(field: RemoteField) -> Encode | None:
    """How to write a column's values; None where the csv module does it right (text, dates, whole numbers)."""
    if field.kind is FieldKind.BOOLEAN:
        return _BOOLEANS.__getitem__
    if field.kind is FieldKind.NUMBER:
        return _digits
    return None


def decoder(field: RemoteField) -> Decode | None:
    """How to read a column's cells, neither empty nor null; None where they are in normal form already."""
    if field.kind is FieldKind.BOOLEAN:
        return _boolean
    if field.kind is FieldKind.INTEGER or (field.kind is FieldKind.NUMBER and not field.scale):
        return _whole
    if field.kind is FieldKind.NUMBER:
        return float
    if field.kind is FieldKind.DATETIME:
        return normaliser(field)
    return None


def json_reader(field: RemoteField) -> Callable[[str], Any] | None:
    """How to read a cell of a query job, not empty, as JSON has the value; None for text, which needs nothing.

    Numbers are written as Java writes a double: 0.0, 1.6147805824397E13.
    """
    if field.kind is FieldKind.BOOLEAN:
        return _boolean
    if field.kind is FieldKind.INTEGER:
        return _whole
    if field.kind is FieldKind.NUMBER:
        return float
    return None


def _digits(value: Any) -> Any:
    """A double in its shortest form, never with an exponent: nothing says that those are taken."""
    if type(value) is not float:
        return value
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def _boolean(cell: str) -> bool:
    return cell.lower() == "true"


def _whole(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        return int(Decimal(cell))  # 0.0 has been met (estuary/connectors #2820)
