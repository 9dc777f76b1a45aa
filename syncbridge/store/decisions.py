"""Decisions: what persons decide about held changes, kept until whoever writes remote changes carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from psycopg import Connection

from syncbridge.arrays import text_array
from syncbridge.store import polls, rechecks
from syncbridge.store.held_changes import COLUMNS, HeldChange, Kind

#: A side has its way, or what was refused is tried again.
LOCAL, REMOTE, RETRY = "local", "remote", "retry"

#: What can be decided about a kind of held change.
CHOICES: Mapping[Kind, tuple[str, ...]] = {
    "conflict": (LOCAL, REMOTE),
    "bounce": (LOCAL, REMOTE),
    "delete": (LOCAL, REMOTE),
    "refused": (LOCAL, RETRY),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A held change with the name of its mapping."""

    mapping: str
    change: HeldChange


def listed(connection: Connection, *, mapping: str | None = None, limit: int = 100) -> list[Listed]:
    """What is held, the oldest first."""
    rows = connection.execute(
        f"select m.name, {COLUMNS} from syncbridge.held_change h"  # noqa: S608 - constants
        " join syncbridge.mapping m on m.id = h.mapping_id"
        " where %(mapping)s::text is null or m.name = %(mapping)s order by h.since, h.key limit %(limit)s",
        {"mapping": mapping, "limit": limit},
    )
    return [Listed(row[0], HeldChange(*row[1:])) for row in rows]


def count(connection: Connection, *, mapping: str | None = None) -> int:
    """How many are held."""
    row = connection.execute(
        "select count(*) from syncbridge.held_change h join syncbridge.mapping m on m.id = h.mapping_id"
        " where %(mapping)s::text is null or m.name = %(mapping)s",
        {"mapping": mapping},
    ).fetchone()
    assert row is not None  # an aggregate gives a row
    return int(row[0])


def take(connection: Connection, mapping_id: int, key: str, revision: int, taken: Mapping[str, str]) -> bool:
    """Keep what a person decided about a held change, beside what was decided of other fields before.

    `taken` is field (or WHOLE) -> LOCAL, REMOTE or RETRY. False when something else than `revision` is held by now.
    """
    with connection.transaction():
        row = connection.execute(
            "update syncbridge.held_change set taken = (coalesce(taken, '{}')::jsonb || %s::jsonb)::json,"
            " decided_at = now() where mapping_id = %s and key = %s and revision = %s returning remote_id",
            (orjson.dumps(dict(taken)).decode(), mapping_id, key, revision),
        ).fetchone()
        if row is not None:  # whoever polls looks at it next, and at once
            rechecks.add(connection, mapping_id, [row[0]])
            polls.wake(connection, mapping_id)
    return row is not None


def undecided(connection: Connection, mapping_id: int, kinds: Sequence[str]) -> tuple[int, int]:
    """How many changes of these kinds are held on which nobody decided, and the highest revision among them."""
    row = connection.execute(
        "select count(*), coalesce(max(revision), 0) from syncbridge.held_change"
        " where mapping_id = %s and kind = any(%s) and taken is null",
        (mapping_id, text_array(kinds)),
    ).fetchone()
    assert row is not None  # an aggregate gives a row
    return row[0], row[1]


# Rechecks come with it in one statement: there may be a great many.
_TAKE_ALL = """
with held as materialized (
    select key from syncbridge.held_change
     where mapping_id = %(mapping)s and kind = any(%(kinds)s) and revision <= %(until)s and taken is null
     order by key for update),
decided as (
    update syncbridge.held_change h
       set decided_at = now(),
           taken = case when h.kind <> 'delete' and %(side)s <> 'retry' and h.fields::text <> '{}'
                        then (select json_object_agg(name, %(side)s::text) from json_object_keys(h.fields) as name)
                        else json_build_object('*', %(side)s::text) end
      from held where h.mapping_id = %(mapping)s and h.key = held.key
    returning h.remote_id),
asked as (
    insert into syncbridge.recheck (mapping_id, remote_id)
    select distinct %(mapping)s::integer, remote_id from decided order by remote_id
    on conflict (mapping_id, remote_id) do update set seen = null)
select count(*) from decided
"""


def take_all(connection: Connection, mapping_id: int, kinds: Sequence[str], side: str, until: int) -> int:
    """Decide, in all fields, about every change of these kinds up to a revision on which nobody did; how many."""
    parameters = {"mapping": mapping_id, "kinds": text_array(kinds), "side": side, "until": until}
    with connection.transaction():
        row = connection.execute(_TAKE_ALL, parameters).fetchone()
        polls.wake(connection, mapping_id)
    assert row is not None  # an aggregate gives a row
    return int(row[0])
