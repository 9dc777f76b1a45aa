"""What persons decide about held records, and what there is to decide.

A record that got its row in another way meanwhile (a person linked that row to it) is not held any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection

from syncbridge.arrays import text_array
from syncbridge.model import Operation, Outcome
from syncbridge.store import polls, rechecks, sync_log
from syncbridge.store.held_records import COLUMNS, IGNORE, HeldRecord, from_row
from syncbridge.store.sync_log import Incoming

#: What the log says of a record that is ignored.
IGNORED = "a person decided that it becomes no row"

# Held records as `h`, with their mappings as `m`.
_HELD = """
  from syncbridge.held_record h join syncbridge.mapping m on m.id = h.mapping_id
 where not exists (select from syncbridge.link l where l.remote_id = h.remote_id and l.mapping_id = h.mapping_id)
   and (%(mapping)s::text is null or m.name = %(mapping)s)
   and (h.decision is distinct from 'ignore' or %(ignored)s)
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """A held record with the name of its mapping."""

    mapping: str
    record: HeldRecord


def listed(
    connection: Connection, *, mapping: str | None = None, ignored: bool = False, limit: int = 100
) -> list[Listed]:
    """What is held, the oldest first; those that a person ignores only when asked for."""
    rows = connection.execute(
        f"select m.name, {COLUMNS} {_HELD} order by h.since, h.remote_id limit %(limit)s",
        {"mapping": mapping, "ignored": ignored, "limit": limit},
    )
    return [Listed(row[0], from_row(row[1:])) for row in rows]


def count(connection: Connection, *, mapping: str | None = None, ignored: bool = False) -> int:
    """How many `listed` would list without a limit."""
    row = connection.execute(
        f"select count(*) {_HELD}",
        {"mapping": mapping, "ignored": ignored},
    ).fetchone()
    assert row is not None  # an aggregate gives a row
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Count:
    """Held records of a mapping: those that nobody decided about, and those of which it is not carried out yet."""

    held: int
    decided: int


def counts(connection: Connection) -> dict[int, Count]:
    """Mapping id -> how many are held of it."""
    rows = connection.execute(
        f"select h.mapping_id, count(*) filter (where h.decided_at is null), count(h.decided_at) {_HELD} group by 1",
        {"mapping": None, "ignored": False},
    )
    return {mapping_id: Count(held, decided) for mapping_id, held, decided in rows}


def retry(connection: Connection, mapping_id: int, remote_ids: Sequence[str] | None = None) -> list[str]:
    """Try these again (None: all but those that are ignored); the remote ids of those that will be.

    One that is named and was ignored is not ignored any more.
    """
    return _decide(
        connection,
        "update syncbridge.held_record set decided_at = now(), decision = nullif(decision, 'ignore')"
        " where mapping_id = %(mapping)s and case when %(ids)s::text[] is null then decision is distinct from 'ignore'"
        " else remote_id = any(%(ids)s::text[]) end returning remote_id",
        mapping_id,
        remote_ids,
        {},
    )


def decide(connection: Connection, mapping_id: int, remote_id: str, decision: str, key: str | None = None) -> bool:
    """Keep what a person says of a record: it is the row of `key` (LINK), a new one (CREATE), or none (IGNORE).

    False when it is not held any more.
    """
    with connection.transaction():
        done = _decide(
            connection,
            "update syncbridge.held_record set decision = %(decision)s, decided_key = %(key)s, decided_at = now()"
            " where mapping_id = %(mapping)s and remote_id = any(%(ids)s) returning remote_id",
            mapping_id,
            [remote_id],
            {"decision": decision, "key": key},
        )
        if done and decision == IGNORE:
            told = Incoming("", Operation.NOTHING, Outcome.IGNORED, remote_id, message=IGNORED)
            sync_log.append_incoming(connection, mapping_id, [told])
    return bool(done)


def _decide(
    connection: Connection,
    statement: LiteralString,
    mapping_id: int,
    remote_ids: Sequence[str] | None,
    values: Mapping[str, object],
) -> list[str]:
    """Whoever polls looks at them next, and at once."""
    ids = None if remote_ids is None else text_array(sorted(set(remote_ids)))
    with connection.transaction():
        rows = connection.execute(statement, {"mapping": mapping_id, "ids": ids, **values})
        done = sorted(remote_id for (remote_id,) in rows)
        rechecks.add(connection, mapping_id, done)
        if done:
            polls.wake(connection, mapping_id)
    return done
