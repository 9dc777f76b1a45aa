"""FORMAT(): values as text, the way the locale en_US writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from syncbridge.sandbox.salesforce.org.model import Field
from syncbridge.sandbox.salesforce.store.values import parse_datetime


def formatter(known: Field) -> Callable[[Any], Any]:
    """Return the function that makes text of a field's stored values; None stays None."""
    write = _WRITERS.get(known.type)
    if write is None:
        return lambda value: value
    return lambda value: None if value is None else write(known, value)


def _number(known: Field, value: Any) -> str:
    places = 0 if known.type == "int" else known.scale
    return f"{value:,.{places}f}"


def _date(_known: Field, value: Any) -> str:
    return _day(date.fromisoformat(value))


def _datetime(_known: Field, value: Any) -> str:
    moment = parse_datetime(value)
    return value if moment is None else f"{_day(moment)}, {moment.hour % 12 or 12}:{moment.minute:02d} {moment:%p}"


def _day(day: date) -> str:
    return f"{day.month}/{day.day}/{day.year}"


_WRITERS: dict[str, Callable[[Field, Any], str]] = {
    "int": _number, "double": _number, "date": _date, "datetime": _datetime,
    "currency": lambda known, value: f"{'-' if value < 0 else ''}${_number(known, abs(value))}",
    "percent": lambda known, value: f"{_number(known, value)}%",
}  # fmt: skip
