"""Rechecks: remote records that are looked at again by their id, whatever the watermark says."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import Connection

from syncbridge.arrays import text_array


def add(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> None:
    """Ask for another look at these records; one that is asked for already keeps its age."""
    connection.execute(
        "insert into syncbridge.recheck (mapping_id, remote_id) select %s, unnest(%s) on conflict do nothing",
        (mapping_id, text_array(sorted(set(remote_ids)))),
    )


def oldest(connection: Connection, mapping_id: int, limit: int) -> list[str]:
    """Records that wait for another look, the oldest first."""
    rows = connection.execute(
        "select remote_id from syncbridge.recheck where mapping_id = %s order by since, remote_id limit %s",
        (mapping_id, limit),
    )
    return [remote_id for (remote_id,) in rows]


def remove(connection: Connection, mapping_id: int, remote_ids: Iterable[str]) -> None:
    """These were looked at."""
    connection.execute(
        "delete from syncbridge.recheck where mapping_id = %s and remote_id = any(%s)",
        (mapping_id, text_array(sorted(set(remote_ids)))),
    )
