"""Departures: entities whose remote record is gone. `links.remove` notes them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg import Connection

from syncbridge.arrays import text_array


def since(
    connection: Connection, mapping_id: int, moment: datetime, *, keys: Iterable[str], remote_ids: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Of these keys and remote ids those that departed after a moment of the state database."""
    rows = connection.execute(
        "select key, remote_id from syncbridge.departure where mapping_id = %(mapping)s and key = any(%(keys)s)"
        " and at > %(moment)s union all"
        " select key, remote_id from syncbridge.departure where mapping_id = %(mapping)s and remote_id = any(%(ids)s)"
        " and at > %(moment)s",
        {
            "mapping": mapping_id,
            "moment": moment,
            "keys": text_array(sorted(keys)),
            "ids": text_array(sorted(remote_ids)),
        },
    ).fetchall()
    return {key for key, _ in rows}, {remote_id for _, remote_id in rows if remote_id is not None}


def prune(connection: Connection) -> None:
    """Forget those that no page can be older than (30 days: the longest that a first load is read after it began)."""
    connection.execute("delete from syncbridge.departure where at < now() - interval '30 days'")
