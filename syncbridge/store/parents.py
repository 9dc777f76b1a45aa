"""What entities wait for, for people and for who waits with them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from syncbridge.model import Lsn


@dataclass(frozen=True, slots=True)
class Parent:
    """One record that an entity waits for.

    `state`: pending, waiting, dead or held, as the outbox says; coming, when a first sync or resync may still find it;
    linked, when it is there; gone, when there is no sign of it.
    """

    mapping: str
    key: str
    held: bool  # the entity waits in whole; False: it was sent without the field
    state: str
    code: str | None
    message: str | None
    status: str  # of that mapping


@dataclass(frozen=True, slots=True)
class Crowd:
    """Entities of a mapping that wait in whole for records of another, all in one state."""

    parent: str
    state: str
    entities: int
    example: str  # a key of the other mapping


_STATE = """
case when exists (select from syncbridge.link l where l.mapping_id = a.parent_id and l.key = a.parent_key) then 'linked'
     when o.status is not null then o.status
     when exists (select from syncbridge.run r where r.mapping_id = a.parent_id and r.status in ('asked', 'pending'))
          then 'coming'
     else 'gone' end
"""
_FROM = """
  from syncbridge.awaited a join syncbridge.mapping m on m.id = a.parent_id
  left join syncbridge.outbox o on o.mapping_id = a.parent_id and o.key = a.parent_key
"""


def of_entity(connection: Connection, mapping_id: int, key: str) -> tuple[Parent, ...]:
    """What one entity waits for, or was sent without."""
    rows = connection.execute(
        f"select m.name, a.parent_key, a.held, {_STATE}, o.error_code, o.error, m.status {_FROM}"
        " where a.mapping_id = %s and a.key = %s order by 1, 2",
        (mapping_id, key),
    )
    return tuple(Parent(*row) for row in rows)


def crowds(connection: Connection) -> dict[int, list[Crowd]]:
    """Mapping id -> who of it waits for what."""
    rows = connection.execute(
        f"select a.mapping_id, m.name, {_STATE} as state, count(distinct a.key), min(a.parent_key) {_FROM}"
        " where a.held and not a.alone group by 1, 2, 3 order by 1, 2, 3"
    )
    found: dict[int, list[Crowd]] = {}
    for mapping_id, *row in rows:
        found.setdefault(mapping_id, []).append(Crowd(*row))
    return found


def resting(connection: Connection, until: Lsn, mapping_id: int) -> tuple[int, int]:
    """Entities with a change at or before `until` that wait for parents: (those whose parents are there, others).

    The first are about to go on.
    """
    row = connection.execute(
        "select (select count(distinct key) from syncbridge.awaited"
        "         where mapping_id = %(mapping)s and ready and lsn <= %(until)s::text::pg_lsn),"
        "       (select count(*) from syncbridge.outbox o"
        "         where o.mapping_id = %(mapping)s and o.status = 'waiting' and o.since_lsn <= %(until)s::text::pg_lsn"
        "           and not exists (select from syncbridge.awaited a"
        "                            where a.mapping_id = o.mapping_id and a.key = o.key and a.ready))",
        {"mapping": mapping_id, "until": str(until)},
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])
