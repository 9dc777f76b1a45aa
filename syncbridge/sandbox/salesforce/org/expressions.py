"""Expressions of an org file: SQLite over a record's own fields, over its parents' (`Account.Industry`), over today.

`TODAY()` and `NOW()` follow the sandbox's clock. A formula that uses parents or the time is worked out when it is
read, so it changes while its record stays as it is, SystemModstamp included.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing

from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org

#: What a record's row is called in the SQL of an expression.
ROW = "this_record"
#: Texts and quoted names are left alone; paths are what is looked for.
TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?<![\w.])[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*""")
CLOCK = re.compile(r"\b(?:today|now)\s*\(", re.IGNORECASE)
TEXT = re.compile(r"'(?:[^']|'')*'")
DEEPEST = 10


class ExpressionError(ValueError):
    """An expression names something that is not there, or goes in a circle."""


class Expressions:
    """Translates the expressions of an org, as the org is now."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._live: dict[str, list[Field]] = {}

    def live_fields(self, target: ObjectType) -> list[Field]:
        """Return the formula fields that are worked out when they are read: over parents, the time, or such fields."""
        if target.name not in self._live:
            formulas = [each for each in target.fields if each.formula is not None]
            self._live[target.name] = [each for each in formulas if self._is_live(target, each, 0)]
        return self._live[target.name]

    def table(self, target: ObjectType) -> str:
        """Return the name of the table with an object's records; with live fields, its own name is a view."""
        return f"{target.name} stored" if self.live_fields(target) else target.name

    def sql(self, target: ObjectType, text: str, row: str = ROW) -> str:
        """Return an expression over a record of this object as SQL over its row. ExpressionError for wrong paths."""
        return self._sql(target, text, row, 0, stored=False)

    def stored_sql(self, target: ObjectType, text: str, row: str = ROW) -> str:
        """Return the same over a row as it is stored, where live fields are missing: their formulas stand for them."""
        return self._sql(target, text, row, 0, stored=True)

    def _is_live(self, target: ObjectType, field: Field, depth: int) -> bool:
        _check(depth)
        text = str(field.formula)
        if CLOCK.search(TEXT.sub("", text)):
            return True
        for parts in _paths(text):
            known = target.find(parts[0]) if len(parts) == 1 else None
            if len(parts) > 1 or (known and known.formula and self._is_live(target, known, depth + 1)):
                return True
        return False

    def _sql(self, target: ObjectType, text: str, row: str, depth: int, *, stored: bool) -> str:
        _check(depth)

        def translated(match: re.Match[str]) -> str:
            token = match.group()
            if token[0] == "'" or match.string[match.end() :].lstrip().startswith("("):
                return token
            parts = [each.strip(' "') for each in token.split(".")]
            if len(parts) > 1:
                return self._parent_sql(target, parts, row, depth, stored=stored)
            known = target.find(parts[0])
            return token if known is None else self._field_sql(target, known, row, depth, stored=stored)

        return TOKEN.sub(translated, text)

    def _field_sql(self, target: ObjectType, field: Field, row: str, depth: int, *, stored: bool) -> str:
        if stored and field in self.live_fields(target):
            return f"({self._sql(target, str(field.formula), row, depth + 1, stored=True)})"
        return f'{row}."{field.name}"'

    def _parent_sql(self, target: ObjectType, parts: list[str], row: str, depth: int, *, stored: bool) -> str:
        """Return the SQL of a path to a parent's field: a subquery, with a table for each step."""
        tables, condition, child, alias = [], "", target, row
        for step, name in enumerate(parts[:-1]):
            lookup = child.by_relationship.get(name.lower())
            parent = self._org.find(lookup.reference_to[-1]) if lookup else None
            if lookup is None or parent is None:
                raise ExpressionError(f"{child.name} has no relationship {name!r}")
            here = f"parent{depth}_{step}"
            match = f'{here}."Id" = {alias}."{lookup.name}"'
            tables.append(
                f'"{self.table(parent) if stored else parent.name}" {here}' + (f" on {match}" if step else "")
            )
            condition = condition or match
            child, alias = parent, here
        field = child.find(parts[-1])
        if field is None:
            raise ExpressionError(f"{child.name} has no field {parts[-1]!r}")
        value = self._field_sql(child, field, alias, depth, stored=stored)
        return f"(select {value} from {' join '.join(tables)} where {condition})"  # noqa: S608 - names of the org


def problem_of(org: Org, target: ObjectType, text: str) -> str | None:
    """Return what is wrong with an expression over a record of this object, or None."""
    try:
        return _sqlite_problem(org, target, Expressions(org).sql(target, text))
    except ExpressionError as error:
        return str(error)


def formula_problem(org: Org, target: ObjectType, field: Field) -> str | None:
    """Return what is wrong with a field's formula, or None."""
    expressions = Expressions(org)
    try:
        if field in expressions.live_fields(target):
            return _sqlite_problem(org, target, expressions.stored_sql(target, str(field.formula)))
    except ExpressionError as error:
        return str(error)
    others = _columns(each for each in target.fields if each.name != field.name)
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(
                f'create table t ({others}, "{field.name}" generated always as ({field.formula}) virtual)'
            )
        except sqlite3.Error as error:
            return str(error)
    return None


def _sqlite_problem(org: Org, target: ObjectType, sql: str) -> str | None:
    """Let SQLite itself read the SQL, over empty tables."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for name in ("today", "now"):
            connection.create_function(name, 0, str)
        for each in org.objects.values():
            for table in (each.name, f"{each.name} stored"):
                connection.execute(f'create table "{table}" ({_columns(each.fields)})')
        try:
            connection.execute(f'select ({sql}) from "{target.name}" {ROW}').fetchall()  # noqa: S608 - it is empty
        except sqlite3.Error as error:
            return str(error)
    return None


def _columns(fields: Iterable[Field]) -> str:
    return ", ".join(f'"{each.name}"' for each in fields)


def _paths(text: str) -> Iterable[list[str]]:
    for token in TOKEN.findall(text):
        if token[0] != "'":
            yield [each.strip(' "') for each in token.split(".")]


def _check(depth: int) -> None:
    if depth > DEEPEST:
        raise ExpressionError("the formula refers to itself")
