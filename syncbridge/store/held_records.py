"""Held records: new remote records that did not become rows, because they are refused or because a person decides.

They have no key yet, so they are known by their remote ids. To try one again whatever it holds, ask for another look at
it (`rechecks.add`); a change of the record does it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array, time_array, to_microseconds
from syncbridge.model import Fields


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """One of them; `fields` are the mapped ones in normal form."""

    remote_id: str
    fields: Fields
    code: str
    message: str
    modified: datetime


_HOLD = """
insert into syncbridge.held_record as h (mapping_id, remote_id, fields, code, message, modified)
select %(mapping)s, remote_id, fields, code, message, modified
  from unnest(%(remote_ids)s, %(fields)s, %(codes)s, %(messages)s, %(modified)s)
       as new (remote_id, fields, code, message, modified)
on conflict (mapping_id, remote_id) do update
   set fields = excluded.fields, code = excluded.code, message = excluded.message, modified = excluded.modified
 where (h.fields::text, h.code, h.message) is distinct from (excluded.fields::text, excluded.code, excluded.message)
returning remote_id
"""


def hold(connection: Connection, mapping_id: int, records: Sequence[HeldRecord]) -> set[str]:
    """Hold these; the remote ids of those that were not held before, or for something else."""
    if not records:
        return set()
    ordered = sorted(records, key=lambda each: each.remote_id)
    parameters = {
        "mapping": mapping_id,
        "remote_ids": text_array(each.remote_id for each in ordered),
        "fields": json_array(orjson.dumps(each.fields) for each in ordered),
        "codes": text_array(each.code for each in ordered),
        "messages": text_array(each.message for each in ordered),
        "modified": time_array(to_microseconds(each.modified) for each in ordered),
    }
    return {remote_id for (remote_id,) in connection.execute(_HOLD, parameters)}


def release(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> None:
    """These are rows now, or gone."""
    if ids := sorted(set(remote_ids)):
        connection.execute(
            "delete from syncbridge.held_record where mapping_id = %s and remote_id = any(%s)",
            (mapping_id, text_array(ids)),
        )


def read(
    connection: Connection, mapping_id: int, remote_ids: Iterable[str] | None = None, *, limit: int = 100_000
) -> dict[str, HeldRecord]:
    """What is held of these records (None: of all), the oldest first."""
    rows = connection.execute(
        "select remote_id, fields, code, message, modified from syncbridge.held_record"
        " where mapping_id = %s and (%s::text[] is null or remote_id = any(%s)) order by since, remote_id limit %s",
        (mapping_id, *[None if remote_ids is None else sorted(set(remote_ids))] * 2, limit),
    )
    return {row[0]: HeldRecord(*row) for row in rows}
