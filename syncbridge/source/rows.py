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

    column_oids: tuple[int, ...] = ()  # types of the columns, the key's first
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
        cursor = connection.execute(sql, (text_array(keys),), prepare=True)
    except psycopg.Error as error:
        if error.sqlstate is None or not error.sqlstate.startswith(_ROW_FAULTS):
            raise classify(error) from error
        if len(keys) == 1:
            return Rows(refused={keys[0]: _describe(error)})
        middle = len(keys) // 2
        return _join(compose(connection, sql, keys[:middle]), compose(connection, sql, keys[middle:]))
    oids = tuple(column.type_code for column in cursor.description or ())
    return Rows(oids, {row[0]: row for row in cursor.fetchall()})


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
            hint="Run `syncbridge check`, mend mapping or table, then `syncbridge setup` and `syncbridge resume`.",
        )
    return RetryLater(f"Postgres failed: {text}", code=state)


def keys_page(connection: Connection, sql: str, parameters: Iterable[object]) -> list[str]:
    """One page of keys in key order."""
    try:
        return [row[0] for row in connection.execute(sql, tuple(parameters))]
    except psycopg.Error as error:
        raise classify(error) from error


def position(connection: Connection) -> str:
    """The end of the write-ahead log right now, as text."""
    row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None  # the function always answers
    return str(row[0])


def type_names(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Base type names of result columns: `int8`, `text[]`; every enum is `enum`."""
    found = {
        oid: (name, kind)
        for oid, name, kind in connection.execute(
            "select t.oid::int8, case when t.typelem <> 0 and t.typlen = -1 then e.typname || '[]' else t.typname end,"
            " t.typtype from pg_type t left join pg_type e on e.oid = t.typelem where t.oid = any(%s::oid[])",
            (list(dict.fromkeys(oids)),),
        )
    }
    by_oid = {int(oid): ("enum" if kind == "e" else name) for oid, (name, kind) in found.items()}
    return [by_oid.get(oid, "text") for oid in oids]


def existing(connection: Connection, compose_sql: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that have an entity now; its values are not worked out."""
    try:
        found = connection.execute(f'select "_key" from ({compose_sql}) as entity', (text_array(keys),))  # noqa: S608
    except psycopg.Error as error:
        raise classify(error) from error
    return {key for (key,) in found}


def count(connection: Connection, sql: str, *, seconds: float) -> int | None:
    """The number a counting query gives, None when that takes longer than `seconds`."""
    try:
        with connection.transaction():
            connection.execute("select set_config('statement_timeout', %s, true)", (str(int(seconds * 1000)),))
            row = connection.execute(sql, ()).fetchone()
    except psycopg.errors.QueryCanceled:
        return None
    except psycopg.Error as error:
        raise classify(error) from error
    return int(row[0]) if row else None


def next_transaction(connection: Connection) -> str:
    """A transaction id that no transaction running now has reached: what `passed` waits for."""
    row = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    assert row is not None  # the function always answers
    return str(row[0])


def passed(connection: Connection, barrier: str) -> bool:
    """Whether every transaction that ran when `next_transaction` gave `barrier` has ended."""
    row = connection.execute(
        "select (pg_snapshot_xmin(pg_current_snapshot())::text::numeric >= %s::text::numeric)::text", (barrier,)
    ).fetchone()
    return row is not None and row[0] == "true"
