"""Rows of the source as they are now: the entities of a batch of keys, and pages of keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection
from psycopg.types.string import TextLoader

from syncbridge.arrays import register, text_array
from syncbridge.errors import RetryLater, SchemaDrift, SyncbridgeError

#: SQLSTATE classes and codes that one row's values can cause inside an expression of the mapping.
_ROW_FAULTS = ("22", "P0001", "21000", "2201", "54000")


@dataclass(frozen=True, slots=True)
class Rows:
    """What composing gave: raw text per column. A key that is in neither dict has no entity (gone, or filtered)."""

    column_oids: tuple[int, ...] = ()  # types of the columns after the key
    found: dict[str, Sequence[str | None]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # key -> what Postgres said about its expressions


def prepare(connection: Connection) -> None:
    """Make a connection return every value as Postgres's text, and keep it to reading."""
    register(connection)
    for oid in {info.oid for info in psycopg.postgres.types} | {info.array_oid for info in psycopg.postgres.types}:
        connection.adapters.register_loader(oid, TextLoader)
    connection.read_only = True


def compose(connection: Connection, sql: str, keys: Sequence[str]) -> Rows:
    """Run a mapping's compose query for these keys, in one statement.

    A row whose expression fails (a division by zero, a bad cast) fails the statement; the batch is then halved until
    the rows at fault are alone. Raises SchemaDrift when the query no longer fits the schema, RetryLater when the
    server is not there.
    """
    try:
        cursor = connection.execute(sql, (text_array(keys),), prepare=True)  # type: ignore[call-overload]
    except psycopg.Error as error:
        if error.sqlstate is None or not error.sqlstate.startswith(_ROW_FAULTS):
            raise classify(error) from error
        if len(keys) == 1:
            return Rows(refused={keys[0]: _describe(error)})
        middle = len(keys) // 2
        return _join(compose(connection, sql, keys[:middle]), compose(connection, sql, keys[middle:]))
    oids = tuple(column.type_code for column in (cursor.description or ())[1:])
    return Rows(oids, {row[0]: row[1:] for row in cursor.fetchall()})


def _join(left: Rows, right: Rows) -> Rows:
    return Rows(left.column_oids or right.column_oids, {**left.found, **right.found}, {**left.refused, **right.refused})


def _describe(error: psycopg.Error) -> str:
    """What went wrong without the value: Postgres quotes it after a colon, or in quotes."""
    message = error.diag.message_primary or type(error).__name__
    return message.split(":", 1)[0].split('"', 1)[0].strip()


def classify(error: psycopg.Error) -> SyncbridgeError:
    """A driver error by its remedy."""
    state = error.sqlstate or ""
    text = error.diag.message_primary or str(error).split("\n", 1)[0]
    if isinstance(error, psycopg.OperationalError) and not state.startswith(("42", "3F")):
        return RetryLater(f"Postgres is not available: {text}", code=state)
    if state in ("42501",):
        return SchemaDrift(
            f"Postgres refuses to read: {text}", code=state, hint="Grant SELECT to the login of [source]."
        )
    if state.startswith(("42", "3F")):
        return SchemaDrift(
            f"the mapping's query no longer fits the schema: {text}",
            code=state,
            hint="Run `syncbridge check`, mend the mapping or the table, then `syncbridge setup` and `syncbridge resume`.",
        )
    return RetryLater(f"Postgres failed: {text}", code=state)


def keys_page(connection: Connection, sql: str, parameters: Iterable[object]) -> list[str]:
    """One page of keys in key order."""
    try:
        return [row[0] for row in connection.execute(sql, tuple(parameters))]  # type: ignore[call-overload]
    except psycopg.Error as error:
        raise classify(error) from error


def estimate(connection: Connection, sql: str, parameters: Iterable[object] = ()) -> int:
    """How many rows a query gives, as the planner guesses: good enough for a progress bar, free on any size."""
    try:
        plan = connection.execute(f"explain {sql}", tuple(parameters)).fetchone()  # type: ignore[call-overload]
    except psycopg.Error as error:
        raise classify(error) from error
    text = str(plan[0]) if plan else ""
    digits = text.partition("rows=")[2].split(" ", 1)[0]
    return int(digits) if digits.isdigit() else 0


def position(connection: Connection) -> str:
    """The end of the write-ahead log right now, as text."""
    row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None  # the function always answers
    return str(row[0])
