"""An entity key as one text: of one column its output text, of several a JSON list, exactly as Postgres writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence


def encode_key(values: Sequence[str]) -> str:
    """The key of these column texts; equals what `compose_sql` and `keys_sql` make of the same row."""
    if len(values) == 1:
        return values[0]
    # jsonb_build_array(...)::text separates with ", " and escapes only what it must, as json.dumps does
    return json.dumps(list(values), ensure_ascii=False)


def decode_key(key: str, columns: int) -> tuple[str, ...]:
    """The column texts of a key; ValueError when it is not a key of so many columns."""
    if columns == 1:
        return (key,)
    values = json.loads(key)
    if not isinstance(values, list) or len(values) != columns or not all(isinstance(value, str) for value in values):
        raise ValueError(f"not a key of {columns} columns")
    return tuple(values)
