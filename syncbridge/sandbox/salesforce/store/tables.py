"""The tables behind an org's objects, kept in step with the org while it changes.

An object is a table of its name with a column per field. Where formulas use parents or the time, which no column can,
the table is called `... stored` and the object's name is a view with these formulas; SQLite looks through it, so
queries read both the same way and use the same indexes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from syncbridge.sandbox.salesforce.org.expressions import ROW, Expressions
from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field, ObjectType, Org

USER_ID = make_id("005", 1)
BINARY_TEXT = frozenset({"id", "reference", "date", "datetime", "time", "address"})
INDEXED_SYSTEM_FIELD = "SystemModstamp"


class Tables:
    """Creates what the org has and the database lacks; columns are never dropped."""

    def __init__(self, org: Org, connection: sqlite3.Connection) -> None:
        self._org = org
        self._connection = connection
        self._columns: dict[str, set[str]] = {}
        self._expressions = Expressions(org)
        self._stored: dict[str, tuple[str, ...]] = {}

    def of(self, target: ObjectType) -> str:
        """Return the name of the table with an object's records."""
        return self._expressions.table(target)

    def stored_columns(self, target: ObjectType) -> tuple[str, ...]:
        """Return the columns of an object's table that hold values, `seq` first."""
        table = self.of(target)
        if table not in self._stored:
            info = self._connection.execute(f'pragma table_info("{table}")').fetchall()  # generated ones are not in it
            self._stored[table] = tuple(row[1] for row in info)
        return self._stored[table]

    def follow(self, *, recreate: bool = False) -> None:
        """Create tables, columns, indexes and views; with `recreate`, every object's table anew and empty."""
        self._drop_views()
        self._stored.clear()
        self._expressions = Expressions(self._org)
        for target in self._org.objects.values():
            self._name(target)
            table = self.of(target)
            if recreate and table in self._columns:
                self._connection.execute(f'drop table "{table}"')
                del self._columns[table]
            self._prepare(target)
        for target in self._org.objects.values():
            if self._expressions.live_fields(target):
                self._create_view(target)

    def _drop_views(self) -> None:
        views = self._connection.execute("select name from sqlite_master where type = 'view'").fetchall()
        for (view,) in views:
            self._connection.execute(f'drop view "{view}"')

    def _name(self, target: ObjectType) -> None:
        """Give the object's table the name that it has to have; it may come from a time with other formulas."""
        wanted = self.of(target)
        for other in {target.name, f"{target.name} stored"} - {wanted}:
            if self._exists(other):
                self._connection.execute(f'alter table "{other}" rename to "{wanted}"')
                self._columns.pop(other, None)

    def _exists(self, table: str) -> bool:
        sql = "select 1 from sqlite_master where type = 'table' and name = ?"
        return self._connection.execute(sql, (table,)).fetchone() is not None

    def _prepare(self, target: ObjectType) -> None:
        table = self.of(target)
        live = self._expressions.live_fields(target)
        fields = [each for each in target.fields if each not in live]
        if table not in self._columns:
            info = self._connection.execute(f'pragma table_xinfo("{table}")').fetchall()
            self._columns[table] = {row[1].lower() for row in info} or self._create(table, fields)
        for field in fields:
            if field.name.lower() not in self._columns[table]:
                self._connection.execute(f'alter table "{table}" add column {_column(field)}')
                self._columns[table].add(field.name.lower())
        compared = {name.lower() for rule in target.rules.duplicates for name in rule.fields[:1]}
        for field in fields:
            if _is_indexed(field) or field.name.lower() in compared:
                filled = "" if field.name == INDEXED_SYSTEM_FIELD else f' where "{field.name}" is not null'
                self._connection.execute(
                    f'create index if not exists "{target.name}_{field.name}" on "{table}" ("{field.name}"){filled}'
                )

    def _create(self, table: str, fields: list[Field]) -> set[str]:
        own = {"id": '"Id" text not null unique', "isdeleted": '"IsDeleted" integer not null default 0'}
        columns = own | {each.name.lower(): _column(each) for each in fields if each.name.lower() not in own}
        self._connection.execute(f'create table "{table}" ("seq" integer primary key, {", ".join(columns.values())})')
        return set(columns)

    def _create_view(self, target: ObjectType) -> None:
        live = self._expressions.live_fields(target)
        names = {each.name for each in live}
        kept = ["seq", *(each.name for each in target.fields)]
        kept += [each for each in ("IsDeleted",) if target.find(each) is None]
        columns = [f'{ROW}."{each}"' for each in kept if each not in names]
        for field in live:
            formula = self._expressions.stored_sql(target, str(field.formula))
            columns.append(f'cast(({formula}) as {_kind(field)}) as "{field.name}"')
        self._connection.execute(
            f'create view "{target.name}" as select {", ".join(columns)} from "{self.of(target)}" {ROW}'  # noqa: S608
        )


def add_functions(connection: sqlite3.Connection, today: Callable[[], str], now: Callable[[], str]) -> None:
    """Let expressions ask for the time."""
    connection.create_function("today", 0, today)
    connection.create_function("now", 0, now)


def _is_indexed(field: Field) -> bool:
    if field.type == "id":
        return False
    lookup = field.createable and field.reference_to and field.reference_to[-1] != "User"
    return bool(lookup or field.external_id or field.unique or field.id_lookup or field.name == INDEXED_SYSTEM_FIELD)


def _kind(field: Field) -> str:
    if field.type in ("boolean", "int"):
        return "integer"
    return "real" if field.type in NUMBER_TYPES else "text"


def _column(field: Field) -> str:
    blind = _kind(field) == "text" and field.type not in BINARY_TEXT and not field.case_sensitive
    text = f'"{field.name}" {_kind(field)}{" collate nocase" if blind else ""}'
    if field.formula is not None:
        return f"{text} generated always as ({field.formula}) virtual"
    default = USER_ID if field.reference_to[-1:] == ("User",) and field.defaulted else field.default
    if default is None:
        return text
    literal = str(int(default)) if isinstance(default, bool) else "'" + str(default).replace("'", "''") + "'"
    return f"{text} default {literal}"
