"""Held changes: remote changes that are not in their row, because a person decides or because Postgres refuses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array, time_array, to_microseconds
from syncbridge.model import Normal

Kind = Literal["conflict", "bounce", "delete", "refused"]


@dataclass(frozen=True, slots=True)
class HeldChange:
    """One of them; `fields` gives base, local and remote value of each field that it is about."""

    key: str
    remote_id: str
    kind: Kind
    modified: datetime
    fields: Mapping[str, Mapping[str, Normal]] = field(default_factory=dict)
    code: str | None = None
    message: str | None = None


_HOLD = """
insert into syncbridge.held_change as h (mapping_id, key, remote_id, kind, fields, code, message, modified)
select %(mapping)s, key, remote_id, kind, fields, code, message, modified
  from unnest(%(keys)s, %(remote_ids)s, %(kinds)s, %(fields)s, %(codes)s, %(messages)s, %(modified)s)
       as new (key, remote_id, kind, fields, code, message, modified)
on conflict (mapping_id, key) do update
   set remote_id = excluded.remote_id, kind = excluded.kind, fields = excluded.fields, code = excluded.code,
       message = excluded.message, modified = excluded.modified
 where (h.remote_id, h.kind, h.fields::text, h.code, h.message)
       is distinct from (excluded.remote_id, excluded.kind, excluded.fields::text, excluded.code, excluded.message)
returning key
"""


def hold(connection: Connection, mapping_id: int, changes: Sequence[HeldChange]) -> set[str]:
    """Hold these; the keys of those that were not held before, or for something else."""
    if not changes:
        return set()
    ordered = sorted(changes, key=lambda each: each.key.encode())
    parameters = {
        "mapping": mapping_id,
        "keys": text_array(each.key for each in ordered),
        "remote_ids": text_array(each.remote_id for each in ordered),
        "kinds": text_array(each.kind for each in ordered),
        "fields": json_array(orjson.dumps(each.fields) for each in ordered),
        "codes": text_array(each.code for each in ordered),
        "messages": text_array(each.message for each in ordered),
        "modified": time_array(to_microseconds(each.modified) for each in ordered),
    }
    return {key for (key,) in connection.execute(_HOLD, parameters)}


def release(connection: Connection, mapping_id: int, keys: Iterable[str]) -> None:
    """Nothing is held of these entities any longer."""
    connection.execute(
        "delete from syncbridge.held_change where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(set(keys)))),
    )


def read(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, HeldChange]:
    """What is held of these entities."""
    rows = connection.execute(
        "select key, remote_id, kind, modified, fields, code, message from syncbridge.held_change"
        " where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(set(keys)))),
    )
    return {row[0]: HeldChange(*row) for row in rows}
