"""Kept rows: entities whose remote record somebody deleted, and whose row stayed by the mapping's rule.

Their rows do not go out again by themselves. Of each the base of its link is kept, for the case that the record is
undeleted. A new link forgets them, as does the end of the row; `links.remove` does too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array
from syncbridge.model import Fields
from syncbridge.store.links import Link


def keep(connection: Connection, mapping_id: int, kept: Mapping[str, tuple[str, Fields]]) -> None:
    """Remember key -> (remote id, base) of links that are gone."""
    if not kept:
        return
    keys = sorted(kept)
    connection.execute(
        "insert into syncbridge.kept_row (mapping_id, key, remote_id, base)"
        " select %s, key, remote_id, base from unnest(%s, %s, %s) as new (key, remote_id, base)"
        " on conflict (mapping_id, key) do update"
        " set remote_id = excluded.remote_id, base = excluded.base, at = excluded.at",
        (
            mapping_id,
            text_array(keys),
            text_array(kept[key][0] for key in keys),
            json_array(orjson.dumps(kept[key][1]) for key in keys),
        ),
    )


def read(connection: Connection, mapping_id: int, keys: Iterable[str]) -> dict[str, Link]:
    """Of these entities those that are kept: the link that each had, delivered when its delete was found."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = connection.execute(
        "select key, remote_id, base, at from syncbridge.kept_row where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(wanted)),
        prepare=True,
    )
    return {key: Link(key, remote_id, base, at) for key, remote_id, base, at in rows}


def among(connection: Connection, mapping_id: int, keys: Iterable[str]) -> set[str]:
    """Of these entities those that are kept."""
    wanted = sorted(set(keys))
    if not wanted:
        return set()
    rows = connection.execute(
        "select key from syncbridge.kept_row where mapping_id = %s and key = any(%s)",
        (mapping_id, text_array(wanted)),
        prepare=True,
    )
    return {key for (key,) in rows}


def forget(connection: Connection, mapping_id: int, keys: Iterable[str]) -> set[str]:
    """Let these go out again, or be gone; those of them that were kept."""
    wanted = sorted(set(keys))
    if not wanted:
        return set()
    rows = connection.execute(
        "delete from syncbridge.kept_row where mapping_id = %s and key = any(%s) returning key",
        (mapping_id, text_array(wanted)),
    )
    return {key for (key,) in rows}
