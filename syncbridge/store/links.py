"""Links: which remote record an entity is, and its base, the field values both sides last agreed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap
from typing import LiteralString

import orjson
import psycopg
from psycopg import Connection

from syncbridge.arrays import json_array, text_array, texts
from syncbridge.model import Fields, Lsn
from syncbridge.store import copying
from syncbridge.store.copying import Column


@dataclass(frozen=True, slots=True)
class Link:
    """`base` is in the destination's normal form."""

    key: str
    remote_id: str
    base: Fields
    delivered_at: datetime


_UPSERT = """
insert into syncbridge.link as l (mapping_id, key, remote_id, base)
select %(mapping)s, key, remote_id, base from unnest(%(keys)s, %(remote_ids)s, %(bases)s) as new (key, remote_id, base)
on conflict (mapping_id, key) do update
   set remote_id = excluded.remote_id, base = excluded.base, delivered_at = now()
"""


def upsert(connection: Connection, mapping_id: int, links: Mapping[str, tuple[str, Fields]]) -> None:
    """Record key -> (remote id, new base)."""
    if not links:
        return
    keys = sorted(links)
    parameters = {
        "mapping": mapping_id,
        "keys": text_array(keys),
        "remote_ids": text_array(links[key][0] for key in keys),
        "bases": json_array(orjson.dumps(links[key][1]) for key in keys),
    }
    connection.execute(_UPSERT, parameters, prepare=True)


_ADD: LiteralString = "copy syncbridge.link (mapping_id, key, remote_id, base) from stdin (format binary)"


def add(connection: Connection, mapping_id: int, links: Mapping[str, tuple[str, Fields]]) -> None:
    """The same of entities that are not likely to be linked yet: it costs less when none of them is."""
    if len(links) < copying.WORTH_COPYING:
        upsert(connection, mapping_id, links)
        return
    keys = sorted(links)
    remote_ids, bases = texts(links[key][0] for key in keys), texts(orjson.dumps(links[key][1]) for key in keys)
    try:
        with connection.transaction():
            columns: list[Column] = [copying.number("integer", mapping_id), texts(keys), remote_ids, bases]
            copying.copy_rows(connection, _ADD, columns)
    except psycopg.errors.UniqueViolation:
        upsert(connection, mapping_id, links)


def replaced(connection: Connection, mapping_id: int, remote_ids: Mapping[str, str]) -> set[str]:
    """Of key -> remote id, the keys that are linked to another record so far."""
    keys = sorted(remote_ids)
    rows = connection.execute(
        "select l.key from unnest(%s, %s) as new (key, remote_id) join syncbridge.link l"
        " on l.mapping_id = %s and l.key = new.key and l.remote_id <> new.remote_id",
        (text_array(keys), text_array(remote_ids[key] for key in keys), mapping_id),
        prepare=True,
    )
    return {key for (key,) in rows}


def changing(
    connection: Connection, mapping_id: int, field: str, remote_ids: Iterable[str], until: Lsn
) -> list[tuple[str, str]]:
    """Records of a mapping that deliver changes and refer, by `field`, to one of these: (remote id, key).

    Only changes up to the position `until` count, and only while they are on their way. Takes the longer the more are:
    a second or so for some 300,000, as no index has what bases refer to. One would cost more, at every delivery.
    """
    rows = connection.execute(
        "select l.base ->> %(field)s, o.key from syncbridge.outbox o"
        "  join syncbridge.link l on l.mapping_id = o.mapping_id and l.key = o.key"
        " where o.mapping_id = %(mapping)s and o.status = 'pending' and o.since_lsn <= %(until)s::text::pg_lsn"
        "   and l.base ->> %(field)s = any(%(ids)s)"
        "   and (select m.status from syncbridge.mapping m where m.id = %(mapping)s) in ('active', 'waiting')",
        {"mapping": mapping_id, "field": field, "ids": text_array(sorted(remote_ids)), "until": str(until)},
    )
    return [(remote_id, key) for remote_id, key in rows]


_REMOVE = """
with gone as (
    delete from syncbridge.link where mapping_id = %(mapping)s and key = any(%(keys)s) returning key, remote_id
), forgotten as (
    delete from syncbridge.kept_row where mapping_id = %(mapping)s and key = any(%(keys)s)
)
insert into syncbridge.departure (mapping_id, key, remote_id)
select %(mapping)s, wanted.key, gone.remote_id from unnest(%(keys)s) as wanted (key) left join gone using (key)
 where exists (select from syncbridge.watermark where mapping_id = %(mapping)s)
 order by wanted.key collate "C"
on conflict (mapping_id, key) do update set remote_id = excluded.remote_id, at = excluded.at
"""


def remove(connection: Connection, mapping_id: int, keys: Sequence[str]) -> None:
    """Forget links whose remote record is gone. Where changes are polled, that they departed is remembered a while."""
    if keys:
        connection.execute(_REMOVE, {"mapping": mapping_id, "keys": text_array(sorted(set(keys)))})


def withdraw(connection: Connection, mapping_id: int, keys: Sequence[str]) -> None:
    """Forget links of rows that were not made after all; their records are still there."""
    if keys:
        connection.execute(
            "delete from syncbridge.link where mapping_id = %s and key = any(%s)",
            (mapping_id, text_array(sorted(keys))),
        )


def read(connection: Connection, mapping_id: int, key: str) -> Link | None:
    """One link."""
    row = connection.execute(
        "select key, remote_id, base, delivered_at from syncbridge.link where mapping_id = %s and key = %s",
        (mapping_id, key),
    ).fetchone()
    return None if row is None else Link(*row)


def remote_ids(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, str]:
    """Key -> remote id, of those of these entities that have a record."""
    rows = connection.execute(
        "select key, remote_id from syncbridge.link where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(keys))),
        prepare=True,
    )
    return dict(rows.fetchall())


def holders(connection: Connection, mapping_id: int, remote_ids: Sequence[str]) -> dict[str, str]:
    """Remote id -> key of the entity that has this record, of those that have one."""
    rows = connection.execute(
        "select remote_id, key from syncbridge.link where remote_id = any(%s) and mapping_id = %s",
        (text_array(remote_ids), mapping_id),
    )
    return dict(rows.fetchall())


def of_records(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> list[Link]:
    """The links of these remote records, in key order; two entities may have one record."""
    rows = connection.execute(
        "select key, remote_id, base, delivered_at from syncbridge.link"
        " where remote_id = any(%s) and mapping_id = %s order by key",
        (text_array(remote_ids), mapping_id),
    )
    return list(starmap(Link, rows.fetchall()))


def of_entities(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, Link]:
    """The links of those of these entities that have one."""
    rows = connection.execute(
        "select key, remote_id, base, delivered_at from syncbridge.link where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(set(keys)))),
    )
    return {row[0]: Link(*row) for row in rows}


def lock(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, Link]:
    """The same, locked in key order until the transaction ends."""
    rows = connection.execute(
        "select key, remote_id, base, delivered_at from syncbridge.link where mapping_id = %s and key = any(%s)"
        " order by key for update",
        (mapping_id, text_array(sorted(set(keys)))),
    )
    return {row[0]: Link(*row) for row in rows}


def keys_after(connection: Connection, mapping_id: int, after: str | None, limit: int) -> list[str]:
    """The next page of linked keys in key order."""
    behind = "" if after is None else " and key > %s"  # no `or`: it would hide the range from the index
    rows = connection.execute(
        f"select key from syncbridge.link where mapping_id = %s{behind} order by key limit %s",  # noqa: S608 - constants
        (mapping_id, limit) if after is None else (mapping_id, after, limit),
    )
    return [key for (key,) in rows]


def page(connection: Connection, mapping_id: int, after: str | None, limit: int) -> list[tuple[str, str]]:
    """The next page of keys and remote ids, in key order."""
    behind = "" if after is None else " and key > %s"  # as in keys_after
    rows = connection.execute(
        f"select key, remote_id from syncbridge.link where mapping_id = %s{behind} order by key limit %s",  # noqa: S608 - constants
        (mapping_id, limit) if after is None else (mapping_id, after, limit),
    )
    return [(key, remote_id) for key, remote_id in rows]


def bases_after(connection: Connection, mapping_id: int, after: str | None, limit: int) -> list[Link]:
    """The next page of links in key order, with their bases."""
    behind = "" if after is None else " and key > %s"  # as in keys_after
    rows = connection.execute(
        f"select key, remote_id, base, delivered_at from syncbridge.link where mapping_id = %s{behind}"  # noqa: S608 - constants
        " order by key limit %s",
        (mapping_id, limit) if after is None else (mapping_id, after, limit),
    )
    return list(starmap(Link, rows.fetchall()))


def read_many(connection: Connection, mapping_id: int, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Remote id and base, as JSON text, of those of these keys that are linked."""
    rows = connection.execute(
        "select key, remote_id, base::text from syncbridge.link where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(sorted(keys))),
    )
    return {key: (remote_id, base) for key, remote_id, base in rows}


# Found one by one by their whole key, as in `claims`.
_AT_REST = """
select l.key, l.remote_id, l.base::text
  from unnest(%(keys)s) as wanted (key)
       cross join lateral (select key, remote_id, base from syncbridge.link
                            where mapping_id = %(mapping)s and key = wanted.key offset 0) as l
       left join lateral (select true as waits from syncbridge.outbox
                           where mapping_id = %(mapping)s and key = wanted.key offset 0) as o on true
 where o.waits is null
"""


def at_rest(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Remote id and base, as JSON text, of those of these keys that are linked and have no row in the outbox."""
    parameters = {"mapping": mapping_id, "keys": text_array(sorted(keys))}
    rows = connection.execute(_AT_REST, parameters, prepare=True)
    return {key: (remote_id, base) for key, remote_id, base in rows}


def count(connection: Connection, mapping_id: int) -> int:
    """How many entities have a remote record."""
    row = connection.execute("select count(*) from syncbridge.link where mapping_id = %s", (mapping_id,)).fetchone()
    return 0 if row is None else int(row[0])
