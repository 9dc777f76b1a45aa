"""Bounces: how often fields of a record came in and went out in turn lately. Only of records that do so have a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array


class Turns(NamedTuple):
    """What was counted of one field. Values stand as digests: nothing of them can be read here."""

    since: float  # seconds since 1970
    last: str  # what the remote record held when it was decided about last
    known: Sequence[str]  # what the field held so far, on either side
    turns: int = 0  # how often it came in after it had been turned back
    rounds: int = 0  # how many of these, the last ones without a break, had values that were there before


def read(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, dict[str, Turns]]:
    """Entity key -> field -> what was counted."""
    rows = connection.execute(
        "select key, fields from syncbridge.bounce where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(keys))),
    )
    return {key: {name: Turns(**counted) for name, counted in fields.items()} for key, fields in rows}


def save(connection: Connection, mapping_id: int, counted: Mapping[str, Mapping[str, Turns]]) -> None:
    """Write what was counted, in key order; nothing is kept of an entity without fields."""
    if not counted:
        return
    keys = sorted(key for key, fields in counted.items() if fields)
    texts = (orjson.dumps({name: turns._asdict() for name, turns in counted[key].items()}) for key in keys)
    connection.execute(
        "insert into syncbridge.bounce (mapping_id, key, fields) select %s, key, fields from unnest(%s, %s)"
        " as new (key, fields) on conflict (mapping_id, key) do update set fields = excluded.fields, at = now()",
        (mapping_id, text_array(keys), json_array(texts)),
    )
    over = [key for key, fields in counted.items() if not fields]
    if over:
        connection.execute(
            "delete from syncbridge.bounce where mapping_id = %s and key = any(%s)",
            (mapping_id, text_array(sorted(over))),
        )


def prune(connection: Connection) -> int:
    """Drop what was not counted on for days; how many entities that were."""
    return connection.execute("delete from syncbridge.bounce where at < now() - interval '3 days'").rowcount
