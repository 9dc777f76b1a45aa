"""Stored values as the cells of a query job's CSV, which writes numbers and moments otherwise than JSON does."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field

Cell = Callable[[Any], str | None]
SMALLEST_PLAIN, LARGEST_PLAIN = 1e-3, 1e7


def cell_of(known: Field) -> Cell | None:
    """Return the function for the values of a field, or None where they are shown as they are stored."""
    if known.type == "boolean":
        return _boolean
    if known.type == "datetime":
        return _moment
    if known.type in NUMBER_TYPES:
        return _number
    return None


def _boolean(value: Any) -> str:
    return "true" if value else "false"


def _moment(value: Any) -> str | None:
    return None if value is None else f"{value[:-5]}Z"


def _number(value: Any) -> str | None:
    """The way Java writes a double: 12.5, 0.0, 1.6147805824397E13."""
    if value is None:
        return None
    number = float(value)
    if number == 0 or SMALLEST_PLAIN <= abs(number) < LARGEST_PLAIN:
        return repr(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    first, rest = digits[0], "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{first}.{rest}E{exponent + len(digits) - 1}"
