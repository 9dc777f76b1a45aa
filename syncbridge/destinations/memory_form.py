"""Normal form of the destination in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal

from syncbridge.errors import RecordRejected
from syncbridge.model import Normal, Value
from syncbridge.schemas import RemoteField


def normaliser(field: RemoteField) -> Callable[[Value], Normal]:
    """Text is kept as it is, up to its length; everything else becomes what JSON can hold."""
    length = field.length

    def normalise(value: Value) -> Normal:
        normal = _plain(value)
        if isinstance(normal, float) and not math.isfinite(normal):
            raise RecordRejected(f"{field.name}: not a finite number", code="NOT_A_NUMBER", fields=(field.name,))
        if length is not None and isinstance(normal, str) and len(normal) > length:
            raise RecordRejected(f"{field.name}: longer than {length}", code="STRING_TOO_LONG", fields=(field.name,))
        return normal

    return normalise


def _plain(value: Value) -> Normal:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list):
        return ";".join(sorted(value))
    return value
