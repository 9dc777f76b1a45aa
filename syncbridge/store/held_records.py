"""Held records: new remote records that did not become rows, because they are refused or because a person decides.

They have no key yet, so they are known by their remote ids. To try one again whatever it holds, ask for another look at
it (`rechecks.add`); a change of the record does it too. Which row a record is, as a person says, stays with it until it
is a row; one that a person ignores stays held, and nobody is told of it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array, time_array, to_microseconds
from syncbridge.model import Fields

#: What a person decides: it is the row of a key, a new row, or none at all.
LINK, CREATE, IGNORE = "link", "create", "ignore"
#: Code of a record whose row, which a person named, is gone or has another record by now.
ROW_NOT_FREE = "ROW_NOT_FREE"


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """One of them; `fields` are the mapped ones in normal form."""

    remote_id: str
    fields: Fields
    code: str
    message: str
    modified: datetime
    candidates: tuple[str, ...] = ()  # keys of the rows that it could be
    decision: str | None = None  # LINK, CREATE, IGNORE; None: nobody said which row it is
    decided_key: str | None = None  # of LINK
    decided_at: datetime | None = None  # somebody decided, or asked for another try, which is not done yet
    since: datetime | None = None


#: Of a `HeldRecord`, from the table as `h`.
COLUMNS = (
    "h.remote_id, h.fields, h.code, h.message, h.modified, h.candidates, h.decision, h.decided_key, h.decided_at,"
    " h.since"
)

# Which row it is stays decided while Postgres refuses it.
_HOLD = """
insert into syncbridge.held_record as h (mapping_id, remote_id, fields, code, message, modified, candidates)
select %(mapping)s, remote_id, fields, code, message, modified,
       array(select jsonb_array_elements_text(candidates::jsonb))
  from unnest(%(remote_ids)s, %(fields)s, %(codes)s, %(messages)s, %(modified)s, %(candidates)s)
       as new (remote_id, fields, code, message, modified, candidates)
on conflict (mapping_id, remote_id) do update
   set fields = excluded.fields, code = excluded.code, message = excluded.message, modified = excluded.modified,
       candidates = excluded.candidates, decided_at = null,
       decision = case when excluded.code <> %(not_free)s then h.decision end,
       decided_key = case when excluded.code <> %(not_free)s then h.decided_key end
 where (h.fields::text, h.code, h.message, h.candidates)
       is distinct from (excluded.fields::text, excluded.code, excluded.message, excluded.candidates)
    or h.decided_at is not null
returning remote_id
"""


def hold(connection: Connection, mapping_id: int, records: Sequence[HeldRecord]) -> set[str]:
    """Hold these; the remote ids of those that were not held before, or for something else, or were tried again."""
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
        "candidates": text_array(orjson.dumps(each.candidates).decode() for each in ordered),
        "not_free": ROW_NOT_FREE,
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
        f"select {COLUMNS} from syncbridge.held_record h"  # noqa: S608 - constants
        " where mapping_id = %s and (%s::text[] is null or remote_id = any(%s)) order by since, remote_id limit %s",
        (mapping_id, *[None if remote_ids is None else text_array(sorted(set(remote_ids)))] * 2, limit),
    )
    return {row[0]: from_row(row) for row in rows}


def from_row(row: Sequence[Any]) -> HeldRecord:
    """Of COLUMNS."""
    remote_id, fields, code, message, modified, candidates, *rest = row
    return HeldRecord(remote_id, fields, code, message, modified, tuple(candidates), *rest)
