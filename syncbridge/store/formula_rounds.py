"""Rounds over all records of a mapping that read what the destination calculates: how far the last one came."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import Connection


class Place(NamedTuple):
    """A round goes on behind this key; None is its begin."""

    after: str | None


_GO_ON = """
insert into syncbridge.formula_round as r (mapping_id) values (%(mapping)s)
on conflict (mapping_id) do update
   set began_at = case when r.done then now() else r.began_at end, after = case when not r.done then r.after end,
       done = false
 where not r.done or r.began_at <= now() - make_interval(secs => %(every)s)
returning after
"""


def go_on(connection: Connection, mapping_id: int, every: float) -> Place | None:
    """Go on with the round, or begin one when the last began `every` seconds ago; None when none is due."""
    row = connection.execute(_GO_ON, {"mapping": mapping_id, "every": every}).fetchone()
    return None if row is None else Place(row[0])


def advance(connection: Connection, mapping_id: int, after: str | None, *, done: bool) -> None:
    """The round was read up to this key; perhaps that was the last one."""
    connection.execute(
        "update syncbridge.formula_round set after = %s, done = %s where mapping_id = %s", (after, done, mapping_id)
    )
