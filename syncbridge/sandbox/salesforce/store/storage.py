"""Records in SQLite, so that SOQL compiles to plain SQL: reading and writing rows, in transactions.

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

from syncbridge.sandbox.salesforce.org.expressions import ExpressionError
from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.model import ObjectType, Org
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.late import Earlier, Late
from syncbridge.sandbox.salesforce.store.tables import USER_ID, Tables, add_functions
from syncbridge.sandbox.salesforce.store.values import Stored, fold

__all__ = ["ORGANIZATION_ID", "PROFILE_ID", "USER_ID", "Storage", "StorageError"]

ORGANIZATION_ID = make_id("00D", 1)
PROFILE_ID = make_id("00e", 1)
CACHED_STATEMENTS = 512
MOVED = ("LastModifiedDate", "LastModifiedById", "SystemModstamp")


class StorageError(Exception):
    """The data file or a formula of the org cannot be used."""


class Storage:
    """The records of one org. `file` None keeps them in memory; `clock` tells formulas the time."""

    def __init__(self, org: Org, file: Path | None = None, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        self.lock = threading.RLock()
        self.late = Late(clock)
        #: The moment of the transaction in hand: all that it writes has the same SystemModstamp.
        self.stamp = clock.stamp()
        self._clock = clock
        self._org = org
        self._numbers: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._version = -1
        self._connection = _connect(file)
        add_functions(self._connection, lambda: clock.stamp()[:10], clock.stamp)
        self._tables = Tables(org, self._connection)
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
        try:
            self._tables.follow()
        except (sqlite3.Error, ExpressionError) as error:
            raise StorageError(f"the org does not fit its data: {error}") from error
        self._counts.clear()
        self._version = self._org.version

    def reset(self) -> None:
        """Remove all records and start numbering again. Columns become what the org says now, should a type differ."""
        self.late.forget()
        with self.transaction():
            for (table,) in self._connection.execute("select name from sqlite_master where type = 'table'").fetchall():
                self._connection.execute(f'delete from "{table}"')  # noqa: S608 - a name from SQLite itself
            self._tables.follow(recreate=True)
        self._numbers.clear()
        self._counts.clear()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written inside, or none of it. One inside another is undone alone, or with the outer one."""
        if self._connection.in_transaction:
            with self._savepoint():
                yield
            return
        self.late.begin()
        self.stamp = self._clock.stamp()
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            self._counts.clear()
            raise
        self._connection.execute("commit")

    @contextmanager
    def seen_by_queries(self) -> Iterator[None]:
        """Let everything read inside be as queries see it, without what becomes visible later; nothing may be written.

        Outside, all rows are as they were written last: a record is read by its id, or matched by an external id, at
        once.
        """
        hidden = self.late.hidden()
        if not hidden:
            yield
            return
        self._connection.execute("savepoint late")
        try:
            for table, record_id, earlier in hidden:
                self._take_back(table, record_id, earlier)
            yield
        finally:
            self._connection.execute("rollback to late")
            self._connection.execute("release late")

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

    def last_number(self, target: ObjectType) -> int:
        """Return the number of an object's newest record, 0 where there is none."""
        if target.name not in self._numbers:
            sql = f'select coalesce(max("seq"), 0) from "{target.name}"'  # noqa: S608 - a name of the org
            self._numbers[target.name] = int(self.select(sql)[0][0])
        return self._numbers[target.name]

    def next_number(self, target: ObjectType) -> int:
        """Return the number of the next new record of an object."""
        number = self._numbers[target.name] = self.last_number(target) + 1
        return number

    def insert(self, target: ObjectType, columns: tuple[str, ...], rows: list[tuple[Stored, ...]]) -> None:
        """Insert rows that give the same columns, their id among them; what they do not give gets its default."""
        table = self._tables.of(target)
        names = ", ".join(f'"{each}"' for each in columns)
        marks = ", ".join("?" * len(columns))
        sql = f'insert into "{table}" ({names}) values ({marks})'  # noqa: S608 - names of the org
        self._connection.executemany(sql, rows)
        if self.late.on:
            at = columns.index("Id")
            for row in rows:
                self.late.remember(table, str(row[at]), Earlier((), None))
        if target.name in self._counts:
            self._counts[target.name] += len(rows)

    def update(self, target: ObjectType, columns: tuple[str, ...], rows: list[tuple[Stored, ...]]) -> None:
        """Set the same columns in several rows; the last value of each row is its id."""
        table = self._tables.of(target)
        if self.late.on:
            self._remember(target, [row[-1] for row in rows])
        if "IsDeleted" in columns:
            self._counts.pop(target.name, None)
        names = ", ".join(f'"{each}" = ?' for each in columns)
        sql = f'update "{table}" set {names} where "Id" = ?'  # noqa: S608 - names of the org
        self._connection.executemany(sql, rows)

    def touch(self, target: ObjectType, columns: tuple[str, ...], rows: list[tuple[Stored, ...]]) -> None:
        """Update rows within a transaction, and note that the user did so in its moment."""
        moved = (self.stamp, USER_ID, self.stamp)
        self.update(target, (*columns, *MOVED), [(*row[:-1], *moved, row[-1]) for row in rows])

    def count(self, target: ObjectType) -> int:
        """Return how many records of an object are not deleted."""
        if target.name not in self._counts:
            sql = f'select count(*) from "{target.name}" where "IsDeleted" = 0'  # noqa: S608 - a name of the org
            self._counts[target.name] = int(self.select(sql)[0][0])
        return self._counts[target.name]

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        self._connection.execute("savepoint nested")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback to nested")
            self._connection.execute("release nested")
            self._counts.clear()
            raise
        self._connection.execute("release nested")

    def _remember(self, target: ObjectType, ids: list[Stored]) -> None:
        """Keep rows as they are before they are changed."""
        columns = self._tables.stored_columns(target)
        at = columns.index("Id")
        for row in self.rows_with(target, columns, "Id", ids, deleted=True):
            self.late.remember(self._tables.of(target), row[at], Earlier(columns, row))

    def _take_back(self, table: str, record_id: str, earlier: Earlier) -> None:
        if earlier.values is None:
            self._connection.execute(f'delete from "{table}" where "Id" = ?', (record_id,))  # noqa: S608
            return
        names = ", ".join(f'"{each}"' for each in earlier.columns)
        marks = ", ".join("?" * len(earlier.columns))
        sql = f'insert or replace into "{table}" ({names}) values ({marks})'  # noqa: S608 - names of the org
        self._connection.execute(sql, earlier.values)


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
