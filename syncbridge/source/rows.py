"""Rows of the source as they are now: the entities of a batch of keys, and pages of keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection
from psycopg.types.string import TextLoader

from syncbridge.arrays import register, text_array
from syncbridge.errors import ConfigurationError, RetryLater, SchemaDrift, SyncbridgeError

#: SQLSTATE classes that one row's values can cause inside an expression of the mapping: data, cardinality, a domain's
#: constraint, limits, and whatever a function raises.
_ROW_FAULTS = ("20", "21", "22", "23", "2F", "38", "39", "54", "P0")
_NOT_SUPPORTED = "0A000"
_READ_ONLY = "25006"


@dataclass(frozen=True, slots=True)
class Rows:
    """What composing gave: raw text per column. A key that is in neither dict has no entity (gone, or filtered)."""

    column_oids: tuple[int, ...] = ()  # types of the columns, the key's first
    found: dict[str, Sequence[str | None]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # key -> what Postgres said about its expressions


def prepare(connection: Connection) -> None:
    """Make an autocommit connection return every value as Postgres's text, and keep it to reading."""
    register(connection)
    _read_texts(connection)
    connection.read_only = True  # of transaction blocks; single statements heed the session's default
    connection.execute("set default_transaction_read_only = on")
    # Rows are read by their keys, a batch at a time: compiling a plan costs more than it runs, and the server's default
    # for disks that turn would have it sort a handful of row addresses, or scan a table, for each entity.
    connection.execute("set jit = off")
    connection.execute("set random_page_cost = 1.1")


def _read_texts(reading: Connection | psycopg.Cursor) -> None:
    for oid in {info.oid for info in psycopg.postgres.types} | {info.array_oid for info in psycopg.postgres.types}:
        reading.adapters.register_loader(oid, TextLoader)


def compose(connection: Connection, sql: str, keys: Sequence[str]) -> Rows:
    """Run a mapping's compose query for these keys, in one statement.

    A row whose expression fails (a division by zero, a bad cast) fails the statement; the batch is then halved until
    the rows at fault are alone. Raises SchemaDrift when the query no longer fits the schema, RetryLater when the
    server is not there.
    """
    try:
        cursor = _run(connection, sql, keys)
    except psycopg.Error as error:
        if not _is_row_fault(error):
            raise classify(error) from error
        if len(keys) == 1:
            return Rows(refused={keys[0]: _describe(error)})
        middle = len(keys) // 2
        return _join(compose(connection, sql, keys[:middle]), compose(connection, sql, keys[middle:]))
    oids = tuple(column.type_code for column in cursor.description or ())
    return Rows(oids, {row[0]: row for row in cursor.fetchall()})


def compose_within(connection: Connection, sql: str, keys: Sequence[str]) -> Rows:
    """The same within a transaction of a connection that also writes: a statement that fails undoes nothing of it."""
    try:
        with connection.transaction():
            cursor = connection.cursor()
            _read_texts(cursor)
            # not prepared: a plan that a changed column made useless could only be dropped outside of a transaction
            cursor.execute(sql, (text_array(keys),), prepare=False)
    except psycopg.Error as error:
        if not _is_row_fault(error):
            raise classify(error) from error
        if len(keys) == 1:
            return Rows(refused={keys[0]: _describe(error)})
        middle = len(keys) // 2
        return _join(compose_within(connection, sql, keys[:middle]), compose_within(connection, sql, keys[middle:]))
    oids = tuple(column.type_code for column in cursor.description or ())
    return Rows(oids, {row[0]: row for row in cursor.fetchall()})


def _run(connection: Connection, sql: str, keys: Sequence[str]) -> psycopg.Cursor:
    try:
        return connection.execute(sql, (text_array(keys),), prepare=True)
    except psycopg.errors.FeatureNotSupported:
        # "cached plan must not change result type": a column's type was changed. psycopg forgets its statements too.
        connection.execute("deallocate all")
        return connection.execute(sql, (text_array(keys),), prepare=True)


def _is_row_fault(error: psycopg.Error) -> bool:
    return error.sqlstate is not None and error.sqlstate.startswith(_ROW_FAULTS)


def _join(left: Rows, right: Rows) -> Rows:
    return Rows(left.column_oids or right.column_oids, {**left.found, **right.found}, {**left.refused, **right.refused})


def _describe(error: psycopg.Error) -> str:
    """What went wrong without the value: Postgres puts it in quotes; what a function raises may hold it anywhere."""
    if (error.sqlstate or "").startswith("P0") or " at RAISE" in (error.diag.context or ""):
        return "a function raised an exception"
    return re.sub(r'"[^\n]*"', '"..."', error.diag.message_primary or type(error).__name__)


def classify(error: psycopg.Error) -> SyncbridgeError:
    """A driver error by its remedy."""
    state = error.sqlstate or ""
    text = error.diag.message_primary or str(error).split("\n", 1)[0]
    if isinstance(error, psycopg.OperationalError) and not state.startswith(("42", "3F")):
        return RetryLater(f"Postgres is not available: {text}", code=state)
    if _is_row_fault(error):
        return ConfigurationError(f"the SQL fails on a row: {_describe(error)}", code=state)
    if state == "42501":
        return SchemaDrift(
            f"Postgres refuses to read: {text}", code=state, hint="Grant SELECT to the login of [source]."
        )
    if state.startswith(("42", "3F")):
        return SchemaDrift(
            f"the mapping's query no longer fits the schema: {text}",
            code=state,
            hint="Run `syncbridge check`, mend mapping or table, then `syncbridge setup` and `syncbridge resume`.",
        )
    if state in (_NOT_SUPPORTED, _READ_ONLY):
        return SchemaDrift(f"the mapping's SQL cannot be run: {text}", code=state, hint="It may only read.")
    return RetryLater(f"Postgres failed: {text}", code=state)


def keys_page(connection: Connection, sql: str, parameters: Iterable[object]) -> list[str]:
    """One page of keys in key order."""
    try:
        return [row[0] for row in connection.execute(sql, tuple(parameters))]
    except psycopg.Error as error:
        raise classify(error) from error


def pairs_page(connection: Connection, sql: str, parameters: Iterable[object]) -> list[tuple[str, str]]:
    """One page of keys and texts beside them, in key order."""
    try:
        return [(key, text) for key, text in connection.execute(sql, tuple(parameters))]
    except psycopg.Error as error:
        raise classify(error) from error


def position(connection: Connection) -> str:
    """The end of the write-ahead log right now, as text."""
    row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None  # the function always answers
    return str(row[0])


def type_names(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Base type names of result columns: `int8`, `text[]`; every enum is `enum`."""
    try:
        found = connection.execute(
            "select t.oid::text, case when t.typtype = 'e' then 'enum'"
            " when t.typcategory = 'A' and e.typtype = 'e' then 'enum[]'"
            " when t.typcategory = 'A' and e.oid is not null then e.typname || '[]' else t.typname::text end"
            " from pg_type t left join pg_type e on e.oid = t.typelem where t.oid = any(%s::oid[])",
            (list(dict.fromkeys(oids)),),
        )
    except psycopg.Error as error:
        raise classify(error) from error
    by_oid = {int(oid): name for oid, name in found}
    return [by_oid.get(oid, "text") for oid in oids]


def existing(connection: Connection, compose_sql: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that have an entity now; its values are not worked out. One whose filter fails is left out."""
    try:
        found = connection.execute(
            f"select _entity_key from ({compose_sql}) as entity (_entity_key)",  # noqa: S608 - SQL of the mapping
            (text_array(keys),),
        )
    except psycopg.Error as error:
        if not _is_row_fault(error):
            raise classify(error) from error
        middle = len(keys) // 2
        halves = (keys[:middle], keys[middle:]) if middle else ()
        return {key for half in halves for key in existing(connection, compose_sql, half)}
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
    """A transaction id that no transaction running now has reached: what `passed` waits for.

    It is one of our own. A snapshot's xmax would not do: it follows the last transaction that *ended*, and those that
    run may lie above it.
    """
    row = connection.execute("select pg_current_xact_id()::text").fetchone()
    assert row is not None  # the function always answers
    return str(row[0])


def passed(connection: Connection, barrier: str) -> bool:
    """Whether every transaction that ran when `next_transaction` gave `barrier` has ended."""
    row = connection.execute(
        "select (pg_snapshot_xmin(pg_current_snapshot())::text::numeric >= %s::text::numeric)::text", (barrier,)
    ).fetchone()
    return row is not None and row[0] == "true"
