"""Held changes: remote changes that are not in their row, because a person decides or because Postgres refuses them.

What a person decides is kept with the change, for the values that are held; whoever writes remote changes carries it
out. Where other values are held meanwhile, the decision is gone.
"""

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

#: Stands for the change as a whole, where no one field is meant.
WHOLE = "*"
#: Why a change of kind `delete` is held.
ROW_DELETED = "the row was deleted and the record changed"
RECORD_DELETED = "the record was deleted and the row changed"


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
    committed: datetime | None = None  # when the row changed, as far as capture knew
    taken: Mapping[str, str] = field(default_factory=dict)  # field or WHOLE -> local, remote or retry
    decided_at: datetime | None = None
    revision: int = 0  # of what is held; given by `hold`
    since: datetime | None = None


#: Of a `HeldChange`, from the table as `h`.
COLUMNS = (
    "h.key, h.remote_id, h.kind, h.modified, h.fields, h.code, h.message, h.committed, coalesce(h.taken, '{}'),"
    " h.decided_at, h.revision, h.since"
)

_HOLD = """
insert into syncbridge.held_change as h
       (mapping_id, key, remote_id, kind, fields, code, message, modified, committed)
select %(mapping)s, key, remote_id, kind, fields, code, message, modified, committed
  from unnest(%(keys)s, %(remote_ids)s, %(kinds)s, %(fields)s, %(codes)s, %(messages)s, %(modified)s, %(committed)s)
       as new (key, remote_id, kind, fields, code, message, modified, committed)
on conflict (mapping_id, key) do update
   set remote_id = excluded.remote_id, kind = excluded.kind, fields = excluded.fields, code = excluded.code,
       message = excluded.message, modified = excluded.modified, committed = coalesce(excluded.committed, h.committed),
       revision = excluded.revision, taken = null, decided_at = null
 where (h.remote_id, h.kind, h.fields::text, h.code, h.message)
       is distinct from (excluded.remote_id, excluded.kind, excluded.fields::text, excluded.code, excluded.message)
    or h.taken is not null
returning key
"""


def hold(connection: Connection, mapping_id: int, changes: Sequence[HeldChange]) -> set[str]:
    """Hold these; the keys of those that were not held before, or for something else, or that somebody decided on."""
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
        "committed": time_array(
            None if each.committed is None else to_microseconds(each.committed) for each in ordered
        ),
    }
    return {key for (key,) in connection.execute(_HOLD, parameters)}


def release(connection: Connection, mapping_id: int, keys: Iterable[str]) -> None:
    """Nothing is held of these entities any longer."""
    connection.execute(
        "delete from syncbridge.held_change where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(set(keys)))),
    )


def keys(connection: Connection, mapping_id: int) -> list[str]:
    """The entities of a mapping of which something is held."""
    rows = connection.execute("select key from syncbridge.held_change where mapping_id = %s", (mapping_id,))
    return [key for (key,) in rows]


def read(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, HeldChange]:
    """What is held of these entities."""
    return _read(connection, _READ, mapping_id, keys)


def lock(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, HeldChange]:
    """The same, and nobody decides about them until the transaction ends. Locked in key order."""
    return _read(connection, _READ + " order by h.key for update", mapping_id, keys)


_READ = f"select {COLUMNS} from syncbridge.held_change h where h.mapping_id = %s and h.key = any(%s)"  # noqa: S608 - constants


def _read(connection: Connection, sql: str, mapping_id: int, keys: Iterable[str]) -> dict[str, HeldChange]:
    rows = connection.execute(sql, (mapping_id, text_array(sorted(set(keys)))))
    return {row[0]: HeldChange(*row) for row in rows}
