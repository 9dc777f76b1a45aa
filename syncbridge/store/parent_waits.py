"""Remote records that refer to a record without a row: their lookup is not written before that is linked.

Nobody has to tell when a parent comes. The children look for the links of what they wait for, by one statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from psycopg import Connection

from syncbridge.arrays import bigint_array, text_array


class ParentWait(NamedTuple):
    """One lookup of a remote record that waits."""

    remote_id: str
    field: str
    parent_id: int
    parent_remote_id: str


def record(
    connection: Connection, mapping_id: int, remote_ids: Iterable[str], waits: Sequence[ParentWait]
) -> set[tuple[str, str]]:
    """What these records wait for now, nothing else; (remote id, field) of what did not wait for this before."""
    connection.execute(
        "delete from syncbridge.parent_wait w where mapping_id = %(mapping)s and remote_id = any(%(ids)s)"
        " and not exists (select from unnest(%(remote_ids)s, %(fields)s, %(parent_remote_ids)s)"
        "                        as kept (remote_id, field, parent_remote_id)"
        "                  where (kept.remote_id, kept.field, kept.parent_remote_id)"
        "                      = (w.remote_id, w.field, w.parent_remote_id))",
        {
            "mapping": mapping_id,
            "ids": text_array(sorted(set(remote_ids))),
            "remote_ids": text_array(wait.remote_id for wait in waits),
            "fields": text_array(wait.field for wait in waits),
            "parent_remote_ids": text_array(wait.parent_remote_id for wait in waits),
        },
    )
    if not waits:
        return set()
    added = connection.execute(
        "insert into syncbridge.parent_wait (mapping_id, remote_id, field, parent_id, parent_remote_id)"
        " select %s, * from unnest(%s, %s, %s, %s) on conflict do nothing returning remote_id, field",
        (
            mapping_id,
            text_array(wait.remote_id for wait in waits),
            text_array(wait.field for wait in waits),
            bigint_array(wait.parent_id for wait in waits),
            text_array(wait.parent_remote_id for wait in waits),
        ),
    )
    return {(remote_id, field) for remote_id, field in added}


def late(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> set[tuple[str, str]]:
    """(remote id, field) of what waits too long already, of these records."""
    rows = connection.execute(
        "select remote_id, field from syncbridge.parent_wait where mapping_id = %s and remote_id = any(%s) and late",
        (mapping_id, text_array(sorted(set(remote_ids)))),
    )
    return {(remote_id, field) for remote_id, field in rows}


def fields(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> dict[str, set[str]]:
    """What waits of these records: remote id -> fields."""
    rows = connection.execute(
        "select remote_id, field from syncbridge.parent_wait where mapping_id = %s and remote_id = any(%s)",
        (mapping_id, text_array(sorted(set(remote_ids)))),
    )
    waiting: dict[str, set[str]] = {}
    for remote_id, name in rows:
        waiting.setdefault(remote_id, set()).add(name)
    return waiting


_COME = """
with come as (
    select w.remote_id from syncbridge.parent_wait w
     where w.mapping_id = %(mapping)s
       and exists (select from syncbridge.link l
                    where l.mapping_id = w.parent_id and l.remote_id = w.parent_remote_id)
), late as (
    update syncbridge.parent_wait w set late = true
     where w.mapping_id = %(mapping)s and not w.late and w.since < now() - make_interval(secs => %(patience)s)
 returning w.remote_id
)
insert into syncbridge.recheck (mapping_id, remote_id)
select %(mapping)s, remote_id from (select remote_id from come union select remote_id from late) as found
on conflict (mapping_id, remote_id) do update set seen = null
"""


def recheck(connection: Connection, mapping_id: int, patience: float) -> int:
    """Ask for another look at records whose parent has come, or for which they waited `patience` seconds; how many."""
    return connection.execute(_COME, {"mapping": mapping_id, "patience": patience}).rowcount
