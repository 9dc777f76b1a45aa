"""Writing rows of the source: locked first, then changed in batches, a row that Postgres refuses alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection

from syncbridge.arrays import text_array
from syncbridge.errors import NeedsOperator, RetryLater, SchemaDrift, SyncbridgeError

Row = Sequence[str | None]

#: SQLSTATE classes that one row's values can cause: data, constraints, a view's check option, limits, and whatever a
#: trigger raises.
_ROW_FAULTS = ("21", "22", "23", "2F", "38", "39", "44", "54", "P0")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why Postgres does not take a row."""

    code: str  # SQLSTATE
    message: str  # without values


@dataclass(slots=True)
class Done:
    """What became of a batch; a key in neither had no row."""

    keys: set[str] = field(default_factory=set)
    refused: dict[str, Refusal] = field(default_factory=dict)


def lock(connection: Connection, sql: str, keys: Sequence[str]) -> dict[str, Row]:
    """Lock the rows of these keys and read them: key -> texts. In a transaction."""
    return read(connection, sql, keys)


def read(connection: Connection, sql: str, keys: Sequence[str]) -> dict[str, Row]:
    """Read the rows of these keys: key -> texts."""
    try:
        return {row[0]: row[1:] for row in connection.execute(sql, (text_array(keys),)).fetchall()}
    except psycopg.Error as error:
        raise _classified(error) from error


def entities(connection: Connection, compose_sql: str, keys: Sequence[str]) -> set[str]:
    """Those of these keys that pass the mapping's filter."""
    sql = f"select _entity_key from ({compose_sql}) as entity (_entity_key)"  # noqa: S608 - SQL of the mapping
    try:
        return {key for (key,) in connection.execute(sql, (text_array(keys),))}
    except psycopg.Error as error:
        raise _classified(error) from error


_DEFAULTS = """
select '(' || case when a.attidentity = '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid)
            else pg_catalog.format('nextval(%%L::regclass)',
                                   pg_catalog.pg_get_serial_sequence(%(table)s::text, a.attname::text))
       end || ')::' || pg_catalog.format_type(a.atttypid, a.atttypmod)
  from pg_catalog.unnest(%(columns)s::text[]) with ordinality as asked (name, place)
  join pg_catalog.pg_attribute a on a.attrelid = %(table)s::text::regclass and a.attname = asked.name
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 order by asked.place
"""


def defaults(connection: Connection, table: str, columns: Sequence[str]) -> list[str]:
    """The SQL of the defaults of these columns, which is good in this session; `table` is as SQL names it.

    SchemaDrift when one has none.
    """
    found = [sql for (sql,) in connection.execute(_DEFAULTS, {"table": table, "columns": list(columns)})]
    if len(found) < len(columns) or None in found:
        raise SchemaDrift(f"{table}: {', '.join(columns)} has no default any more", hint="Run `syncbridge check`.")
    return found


def evaluate(connection: Connection, sql: str, times: int) -> list[str]:
    """The text of an expression (escaped), as often as asked: keys of rows that are to be made."""
    try:
        rows = connection.execute(f"select {sql} from pg_catalog.generate_series(1, %s)".encode(), (times,))  # noqa: S608 - from the catalog
        return [text for (text,) in rows]
    except psycopg.Error as error:
        raise _classified(error) from error


def matches(connection: Connection, sql: str, values: Sequence[Row]) -> list[tuple[int, str, Row]]:
    """What `TwoWay.match_sql` finds for these records: (place of the record from 0, key, texts of the row).

    A record with a text that a column does not take finds nothing.
    """
    columns = [text_array(column) for column in zip(*values, strict=True)]
    try:
        with connection.transaction():
            return [(row[0] - 1, row[1], row[2:]) for row in connection.execute(sql, columns)]
    except psycopg.Error as error:
        if not (error.sqlstate or "").startswith(_ROW_FAULTS):
            raise _classified(error) from error
    if len(values) == 1:
        return []
    middle = len(values) // 2
    later = [(place + middle, key, row) for place, key, row in matches(connection, sql, values[middle:])]
    return [*matches(connection, sql, values[:middle]), *later]


def change(connection: Connection, sql: str, keys: Sequence[str], values: Sequence[Row] = ()) -> Done:
    """Run a statement over these keys, and over `values`, a row for each key, as further arrays by column.

    Where one row is refused the batch is halved until it is alone; what it did is undone by a savepoint. In a
    transaction, whose locks must not be held up for long: a deadlock is raised as psycopg has it.
    """
    rows, refused = _by_halves(connection, sql, keys, values)
    return Done({key for (key,) in rows}, refused)


def move(
    connection: Connection, sql: str, survivors: Mapping[str, str], limit: int
) -> tuple[list[tuple[str, str]], dict[str, Refusal]]:
    """Move up to `limit` rows by `TwoWay.move_sql` from these parents to those that stand in for them.

    Those that were moved, each with its parent; and the parents of which a row is refused, of which none was moved. In
    a transaction, as of `change`.
    """
    keys = sorted(survivors)
    rows, refused = _by_halves(connection, sql, keys, [(survivors[key],) for key in keys], limit)
    return [(key, parent) for key, parent in rows], refused


def _by_halves(
    connection: Connection, sql: str, keys: Sequence[str], values: Sequence[Row], *further: int
) -> tuple[list[tuple[str, ...]], dict[str, Refusal]]:
    columns = [text_array(column) for column in zip(*values, strict=True)] if values else []
    try:
        with connection.transaction():
            return connection.execute(sql, (text_array(keys), *columns, *further)).fetchall(), {}
    except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
        raise
    except psycopg.Error as error:
        if not (error.sqlstate or "").startswith(_ROW_FAULTS):
            raise _classified(error) from error
        if len(keys) == 1:
            return [], {keys[0]: Refusal(error.sqlstate or "", _describe(error))}
    middle = len(keys) // 2
    rows, refused = _by_halves(connection, sql, keys[:middle], values[:middle], *further)
    others, also_refused = _by_halves(connection, sql, keys[middle:], values[middle:], *further)
    return [*rows, *others], refused | also_refused


def _describe(error: psycopg.Error) -> str:
    """What Postgres says, without values: messages on constraints quote only names, others may quote values."""
    state = error.sqlstate or ""
    if state.startswith("P0") or " at RAISE" in (error.diag.context or ""):
        return "a trigger or function raised an exception"
    message = error.diag.message_primary or type(error).__name__
    return message if state.startswith(("23", "44")) else re.sub(r'"[^\n]*"', '"..."', message)


def _classified(error: psycopg.Error) -> SyncbridgeError:
    state, text = error.sqlstate or "", _describe(error)
    if isinstance(error, psycopg.OperationalError) or state.startswith(("08", "40", "53", "55", "57")):
        return RetryLater(f"Postgres is not available: {text}", code=state)
    if state == "42501":
        hint = "`syncbridge check` prints the GRANT; run it, then `syncbridge resume`."
        return NeedsOperator(f"Postgres refuses to write: {text}", code=state, hint=hint)
    if state.startswith(("42", "3F")):
        hint = "Run `syncbridge check`, mend mapping or table, then `syncbridge setup` and `syncbridge resume`."
        return SchemaDrift(f"the mapping no longer fits the table: {text}", code=state, hint=hint)
    return NeedsOperator(f"Postgres refuses to write: {text}", code=state)
