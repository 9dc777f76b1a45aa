"""Rechecks: remote records that are looked at again by their id, whatever the watermark says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array
from syncbridge.model import Fields


class Postponed(NamedTuple):
    """A remote record as it was seen while its entity could not be decided about."""

    remote_id: str
    key: str
    seen: Fields | None  # None: another look is needed whatever its base becomes


def add(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> None:
    """Ask for another look at these records, whatever was seen of them; one that is asked for keeps its age."""
    wanted = sorted(set(remote_ids))
    if wanted:
        connection.execute(
            "insert into syncbridge.recheck (mapping_id, remote_id) select %s, unnest(%s)"
            " on conflict (mapping_id, remote_id) do update set seen = null",
            (mapping_id, text_array(wanted)),
        )


_POSTPONE = """
insert into syncbridge.recheck as r (mapping_id, remote_id, key, seen)
select %s, remote_id, key, seen from unnest(%s, %s, %s) as new (remote_id, key, seen)
on conflict (mapping_id, remote_id) do update
   set key = excluded.key, seen = case when r.seen is not null then excluded.seen end
"""


def postpone(connection: Connection, mapping_id: int, records: Sequence[Postponed]) -> None:
    """Ask for another look at records once their entities are not on their way any more.

    None is needed when the base is by then what was seen: that was our own write.
    """
    if records:
        ordered = sorted({each.remote_id: each for each in records}.values())
        seen = (None if each.seen is None else orjson.dumps(each.seen) for each in ordered)
        ids, keys = (each.remote_id for each in ordered), (each.key for each in ordered)
        connection.execute(_POSTPONE, (mapping_id, text_array(ids), text_array(keys), json_array(seen)))


_DROP_KNOWN = """
delete from syncbridge.recheck r
 using syncbridge.link l
 where r.mapping_id = %(mapping)s and r.seen is not null
   and l.mapping_id = %(mapping)s and l.key = r.key and l.remote_id = r.remote_id
   and l.base::jsonb @> r.seen::jsonb
"""

_DUE = """
select r.remote_id from syncbridge.recheck r
 where r.mapping_id = %(mapping)s
   and not exists (select from syncbridge.outbox o
                    where o.mapping_id = %(mapping)s and o.key = r.key
                      and (o.job is not null or o.lease_until > clock_timestamp()))
 order by r.since, r.remote_id limit %(limit)s
"""


def due(connection: Connection, mapping_id: int, limit: int) -> list[str]:
    """Records that have to be looked at now, the oldest first; those that need it no more are dropped."""
    parameters = {"mapping": mapping_id, "limit": limit}
    connection.execute(_DROP_KNOWN, parameters)
    return [remote_id for (remote_id,) in connection.execute(_DUE, parameters)]


def among(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> set[str]:
    """Those of these records that wait for another look."""
    rows = connection.execute(
        "select remote_id from syncbridge.recheck where mapping_id = %s and remote_id = any(%s)",
        (mapping_id, text_array(sorted(set(remote_ids)))),
    )
    return {remote_id for (remote_id,) in rows}


def remove(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> None:
    """These were looked at."""
    connection.execute(
        "delete from syncbridge.recheck where mapping_id = %s and remote_id = any(%s)",
        (mapping_id, text_array(sorted(set(remote_ids)))),
    )
