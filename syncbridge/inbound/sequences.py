"""Sequences of keys: they are moved past keys that records bring along, so that no later local insert meets one.

Sources: Postgres manual, "Sequence Manipulation Functions" (what `nextval` and `setval` ask for, and that neither is
undone by a rollback), "pg_sequence".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from psycopg import Connection

from syncbridge.mapping.keys import decode_key
from syncbridge.mapping.sql import quoted
from syncbridge.mapping.two_way import KeysByDefault
from syncbridge.source.row_writes import Refusal

#: Code of a row whose key is past a sequence that the login may not move.
SEQUENCE = "SEQUENCE_STAYS"

#: So many values are drawn one by one, which can never move a sequence back; nobody else draws more than that between
#: our look at it and `setval`.
_DRAWN = 1000

_OWNED = """
select asked.place - 1, owned.name, s.seqincrement, s.seqmax, s.seqcache,
       pg_catalog.has_sequence_privilege(s.seqrelid, 'UPDATE')
           and pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT'),
       case when pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT')
            then pg_catalog.pg_sequence_last_value(s.seqrelid) end
  from pg_catalog.unnest(%(columns)s::text[]) with ordinality as asked (name, place)
 cross join lateral pg_catalog.pg_get_serial_sequence(%(table)s::text, asked.name) as owned (name)
  join pg_catalog.pg_attribute a on a.attrelid = %(table)s::text::regclass and a.attname = asked.name
   and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  join pg_catalog.pg_sequence s on s.seqrelid = owned.name::regclass
 where s.seqincrement > 0
"""


class _Owned(NamedTuple):
    """The sequence of one column of the key."""

    place: int  # of the column among those of the key, from 0
    name: str  # as SQL names it
    increment: int
    most: int
    cached: int
    movable: bool  # the login may look at it, and move it
    last: int | None  # None: nothing was drawn yet, or the login may not look

    def passed_by(self, value: int) -> bool:
        """Whether the sequence would come to this value. At its end it would only be used up for nothing."""
        return (self.last is None or value > self.last) and value < self.most


def refusals(connection: Connection, given: KeysByDefault, keys: Collection[str]) -> dict[str, Refusal]:
    """Of these keys of new rows those that a later insert would meet, because the login may not move the sequence."""
    refused = {}
    for owned in _owned(connection, given) if keys else ():
        if not owned.movable:
            grant = f"GRANT USAGE, UPDATE ON SEQUENCE {owned.name} TO {quoted(connection.info.user)};"
            column = given.columns[owned.place]
            why = f"a later insert would get the same {column}, and the login may not move the sequence"
            for key in keys:
                if owned.passed_by(_value(key, given, owned)):
                    refused[key] = Refusal(SEQUENCE, f"{why}: {grant}")
    return refused


def pass_by(connection: Connection, given: KeysByDefault, keys: Collection[str]) -> None:
    """Move the sequences of the key to the highest of these keys, or leave them where they are past it."""
    for owned in _owned(connection, given) if keys else ():
        top = max((value for key in keys if (value := _value(key, given, owned)) < owned.most), default=None)
        if top is None or not owned.movable or not owned.passed_by(top):
            continue
        last = owned.last if owned.last is not None else _draw(connection, owned.name, 1)
        steps = -(-(top - last) // owned.increment)
        if steps > _DRAWN:
            connection.execute("select pg_catalog.setval(%s::regclass, %s)", (owned.name, top))
        elif steps > 0:
            _draw(connection, owned.name, steps + owned.cached - 1)


def _draw(connection: Connection, sequence: str, times: int) -> int:
    """The highest of so many values. What a session has in its cache comes first."""
    drawn = connection.execute(
        "select max(pg_catalog.nextval(%s::regclass)) from pg_catalog.generate_series(1, %s)", (sequence, times)
    ).fetchone()
    assert drawn is not None  # an aggregate gives a row
    return int(drawn[0])


def _owned(connection: Connection, given: KeysByDefault) -> Sequence[_Owned]:
    rows = connection.execute(_OWNED, {"table": given.table, "columns": list(given.columns)}, prepare=True)
    return [_Owned(*row) for row in rows]


def _value(key: str, given: KeysByDefault, owned: _Owned) -> int:
    return int(decode_key(key, len(given.columns))[owned.place])
