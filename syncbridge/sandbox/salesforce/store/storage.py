"""Records in SQLite: a table per object with a column per field, so that SOQL compiles to plain SQL.

Every caller holds `lock`; the server's loop and a test's thread share one connection. Identifiers in the SQL come from
the org, whose names are checked to be identifiers; values are always bound.
"""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.values import Stored, fold

ORGANIZATION_ID = make_id("00D", 1)
USER_ID = make_id("005", 1)
PROFILE_ID = make_id("00e", 1)
CACHED_STATEMENTS = 512
BINARY_TEXT = frozenset({"id", "reference", "date", "datetime", "time", "address"})
INDEXED_SYSTEM_FIELD = "SystemModstamp"


class StorageError(Exception):
    """The data file or a formula of the org cannot be used."""


class Storage:
    """The tables of one org. `file` None keeps them in memory."""

    def __init__(self, org: Org, file: Path | None = None) -> None:
        self.lock = threading.RLock()
        self._org = org
        self._columns: dict[str, set[str]] = {}
        self._numbers: dict[str, int] = {}
        self._version = -1
        self._connection = _connect(file)
        try:
            self.follow_org()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the database; what was committed stays in its file."""
        with self.lock:
            self._connection.close()

    def follow_org(self) -> None:
        """Create tables and columns that the org has and the database lacks; nothing is ever dropped."""
        if self._version == self._org.version:
            return
        for target in self._org.objects.values():
            try:
                self._prepare(target)
            except sqlite3.Error as error:
                raise StorageError(f"{target.name}: {error}") from error
        self._version = self._org.version

    def reset(self) -> None:
        """Remove all records and start numbering again. Columns become what the org says now, should a type differ."""
        with self.transaction():
            for (table,) in self._connection.execute("select name from sqlite_master where type = 'table'").fetchall():
                self._connection.execute(f'delete from "{table}"')  # noqa: S608 - a name from SQLite itself
            for target in self._org.objects.values():
                self._connection.execute(f'drop table "{target.name}"')
                del self._columns[target.name]
                self._prepare(target)
        self._numbers.clear()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written inside, or none of it. One inside another is undone alone, or with the outer one."""
        nested = self._connection.in_transaction
        self._connection.execute("savepoint nested" if nested else "begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback to nested" if nested else "rollback")
            if nested:
                self._connection.execute("release nested")
            raise
        self._connection.execute("release nested" if nested else "commit")

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def numbers(self, sql: str, parameters: Sequence[Any] = ()) -> array[int]:
        """Return the first column of all rows of a query, packed: 8 bytes a row, whatever their number."""
        return array("Q", (row[0] for row in self._connection.execute(sql, parameters)))

    def rows_with(
        self, target: ObjectType, columns: Sequence[str], by: str, values: Iterable[Stored], *, deleted: bool = False
    ) -> list[tuple[Any, ...]]:
        """Return these columns of the rows whose column `by` has one of the values; one statement for any number."""
        names = ", ".join(f'"{each}"' for each in columns)
        live = "" if deleted else ' and "IsDeleted" = 0'
        listed = list(values)
        wanted = orjson.dumps(listed).decode()
        found = f'"{by}" in (select value from json_each(?1))'  # noqa: S608 - a name of the org
        field = target.find(by)
        blind = field is not None and not field.case_sensitive
        if blind and any(isinstance(each, str) and not each.isascii() for each in listed):  # SQLite tells É from é
            found = f'({found} or fold("{by}") in (select fold(value) from json_each(?1)))'  # noqa: S608
        sql = f'select {names} from "{target.name}" where {found}{live}'  # noqa: S608 - names of the org
        return self.select(sql, (wanted,))

    def next_number(self, target: ObjectType) -> int:
        """Return the number of the next new record of an object."""
        number = self._numbers.get(target.name)
        if number is None:
            sql = f'select coalesce(max("seq"), 0) from "{target.name}"'  # noqa: S608 - a name of the org
            number = self.select(sql)[0][0]
        self._numbers[target.name] = number + 1
        return int(number) + 1

    def insert(self, target: ObjectType, columns: tuple[str, ...], rows: list[tuple[Stored, ...]]) -> None:
        """Insert rows that give the same columns; what they do not give gets its default."""
        names = ", ".join(f'"{each}"' for each in columns)
        marks = ", ".join("?" * len(columns))
        sql = f'insert into "{target.name}" ({names}) values ({marks})'  # noqa: S608 - names of the org
        self._connection.executemany(sql, rows)

    def update(self, target: ObjectType, columns: tuple[str, ...], rows: list[tuple[Stored, ...]]) -> None:
        """Set the same columns in several rows; the last value of each row is its id."""
        names = ", ".join(f'"{each}" = ?' for each in columns)
        sql = f'update "{target.name}" set {names} where "Id" = ?'  # noqa: S608 - names of the org
        self._connection.executemany(sql, rows)

    def count(self, target: ObjectType) -> int:
        """Return how many records of an object are not deleted."""
        sql = f'select count(*) from "{target.name}" where "IsDeleted" = 0'  # noqa: S608 - a name of the org
        return int(self.select(sql)[0][0])

    def _prepare(self, target: ObjectType) -> None:
        table = target.name
        if table not in self._columns:
            info = self._connection.execute(f'pragma table_xinfo("{table}")').fetchall()
            self._columns[table] = {row[1].lower() for row in info} or self._create(target)
        for field in target.fields:
            if field.name.lower() not in self._columns[table]:
                self._connection.execute(f'alter table "{table}" add column {_column(field)}')
                self._columns[table].add(field.name.lower())
        for field in target.fields:
            if _is_indexed(field):
                self._connection.execute(
                    f'create index if not exists "{table}_{field.name}" on "{table}" ("{field.name}") '
                    f'where "{field.name}" is not null'
                )

    def _create(self, target: ObjectType) -> set[str]:
        own = {"id": '"Id" text not null unique', "isdeleted": '"IsDeleted" integer not null default 0'}
        columns = own | {each.name.lower(): _column(each) for each in target.fields if each.name.lower() not in own}
        self._connection.execute(
            f'create table "{target.name}" ("seq" integer primary key, {", ".join(columns.values())})'
        )
        return set(columns)


def _connect(file: Path | None) -> sqlite3.Connection:
    connection = None
    try:
        connection = sqlite3.connect(
            file or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
        )
        connection.create_function("fold", 1, fold, deterministic=True)
        for pragma in ("journal_mode=wal", "synchronous=normal", "temp_store=memory", "cache_size=-65536"):
            connection.execute(f"pragma {pragma}")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise StorageError(f"cannot open {file}: {error}") from error
    return connection


def _is_indexed(field: Field) -> bool:
    if field.type == "id":
        return False
    lookup = field.createable and field.reference_to and field.reference_to[-1] != "User"
    return bool(lookup or field.external_id or field.unique or field.id_lookup or field.name == INDEXED_SYSTEM_FIELD)


def _column(field: Field) -> str:
    if field.type in ("boolean", "int"):
        kind = "integer"
    elif field.type in NUMBER_TYPES:
        kind = "real"
    else:
        kind = "text" if field.type in BINARY_TEXT or field.case_sensitive else "text collate nocase"
    text = f'"{field.name}" {kind}'
    if field.formula is not None:
        return f"{text} generated always as ({field.formula}) virtual"
    default = USER_ID if field.reference_to[-1:] == ("User",) and field.defaulted else field.default
    if default is None:
        return text
    literal = str(int(default)) if isinstance(default, bool) else "'" + str(default).replace("'", "''") + "'"
    return f"{text} default {literal}"
