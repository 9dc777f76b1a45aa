"""Aggregate queries: SOQL with functions such as MAX(), GROUP BY, ROLLUP, CUBE and HAVING to SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from syncbridge.sandbox.salesforce.org.describe import groupable
from syncbridge.sandbox.salesforce.org.model import Field, Org
from syncbridge.sandbox.salesforce.soql.conditions import Conditions
from syncbridge.sandbox.salesforce.soql.filters import Setting, rows_of, semi_joins
from syncbridge.sandbox.salesforce.soql.formats import formatter
from syncbridge.sandbox.salesforce.soql.functions import aggregate_of, column_of, output_name, path_of
from syncbridge.sandbox.salesforce.soql.names import Names
from syncbridge.sandbox.salesforce.soql.tree import AGGREGATES, Call, Operand, Path, Query

NOT_GROUPED = "Field must be grouped or aggregated: {}"
OVERALL = "Non-grouped query that uses overall aggregate functions cannot also use {}"
MOST_SUBTOTALS = 3
Show = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Groups:
    """SQL of an aggregate query. `columns` are the keys of a result with what makes the value to show."""

    sql: str
    values: list[Any]
    columns: list[tuple[str, Show]]

    def show(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return a row as a response shows it."""
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for (name, value), stored in zip(self.columns, row, strict=False):
            record[name] = value(stored)
        return record


def compile_groups(org: Org, query: Query, now: datetime, *, with_deleted: bool = False) -> Groups:
    """Return the SQL of an aggregate query, or raise INVALID_FIELD, INVALID_TYPE or MALFORMED_QUERY."""
    setting = Setting(org, now, with_deleted)
    return _Grouped(setting, query, Names(org, query, setting.target(query))).groups()


class _Grouped:
    def __init__(self, setting: Setting, query: Query, names: Names) -> None:
        self._setting = setting
        self._query = query
        self._names = names
        self._keys = [self._key(each) for each in query.grouping.keys] if query.grouping else []
        self._grouped: frozenset[str] = frozenset(self._keys)
        self._aliases: dict[str, Operand] = {}

    def groups(self) -> Groups:
        query, names = self._query, self._names
        self._check_clauses()
        columns = self._columns()
        rows, values = rows_of(self._setting, names, query)
        selects, bound = [], list[Any]()
        for kept in self._sets():
            self._grouped = frozenset(kept)
            listed = [*self._selected(), *(self._value(self._aliased(each.operand))[0] for each in query.order)]
            having, having_values = self._having()
            by = f" group by {', '.join(kept)}" if kept else ""
            selects.append(f"select {', '.join(listed)} from {names.tables} where {rows}{by}{having}")  # noqa: S608
            bound += [*values, *having_values]
        sql = " union all ".join(selects) + self._order(len(columns))
        if query.limit is not None or query.offset:
            sql += f" limit {query.limit if query.limit is not None else -1} offset {query.offset}"
        return Groups(sql, bound, columns)

    def _key(self, operand: Operand) -> str:
        sql, known = column_of(self._names, operand)
        if isinstance(operand, Path) and not groupable(known):
            raise self._names.refuse(operand.at, f"field '{known.name}' can not be grouped in a query call")
        return sql

    def _check_clauses(self) -> None:
        query, names = self._query, self._names
        if query.grouping is None:
            for word, used in (("LIMIT", query.limit is not None), ("OFFSET", query.offset), ("ORDER BY", query.order)):
                if used:
                    raise names.malformed(query.object_at, OVERALL.format(word))
        elif query.grouping.form != "plain" and len(self._keys) > MOST_SUBTOTALS:
            message = f"GROUP BY {query.grouping.form.upper()} takes {MOST_SUBTOTALS} fields at most"
            raise names.malformed(query.object_at, message)

    def _sets(self) -> list[list[str]]:
        """Return the keys of each set of groups: one set, or the subtotals of ROLLUP and CUBE, too."""
        keys = self._keys
        form = self._query.grouping.form if self._query.grouping else "plain"
        if form == "rollup":
            return [keys[:size] for size in range(len(keys), -1, -1)]
        if form == "cube":
            return [list(each) for size in range(len(keys), -1, -1) for each in combinations(keys, size)]
        return [keys]

    def _columns(self) -> list[tuple[str, Show]]:
        columns: list[tuple[str, Show]] = []
        unnamed = 0
        for each in self._query.fields:
            if not isinstance(each, Path | Call):
                raise self._names.malformed(self._query.object_at, "A grouped query selects fields and functions only")
            known = self._value(each)[1]
            name = each.alias
            if not name and (isinstance(each, Path) or each.name == "tolabel"):
                name = output_name(each)
            elif not name:
                name, unnamed = f"expr{unnamed}", unnamed + 1
            if name.lower() in self._aliases:
                raise self._names.malformed(each.at, f"duplicate alias: {name}")
            self._aliases[name.lower()] = each
            formatted = isinstance(each, Call) and each.name == "format"
            columns.append((name, formatter(known) if formatted else _shown(known)))
        return columns

    def _selected(self) -> list[str]:
        return [self._value(each)[0] for each in self._query.fields if isinstance(each, Path | Call)]

    def _value(self, operand: Operand) -> tuple[str, Field]:
        """Return the SQL of what is selected, sorted by or compared; it must be grouped or aggregated."""
        names = self._names
        if isinstance(operand, Call) and operand.name in ("format", "tolabel") and operand.argument is not None:
            return self._value(operand.argument)
        if isinstance(operand, Call) and operand.name == "grouping":
            return self._subtotal(operand)
        if isinstance(operand, Call) and operand.name in AGGREGATES:
            if operand.argument is None:
                raise names.malformed(operand.at, "COUNT() needs a field in a grouped query")
            sql, known = column_of(names, operand.argument)
            if sql in self._keys:
                raise names.malformed(operand.argument.at, f"Grouped field should not be aggregated: {known.name}")
            return aggregate_of(names, operand)
        sql, known = column_of(names, operand)
        if sql not in self._keys:
            raise names.malformed(operand.at, NOT_GROUPED.format(".".join(path_of(operand).parts)))
        return (sql if sql in self._grouped else "null"), known

    def _aliased(self, operand: Operand) -> Operand:
        """Return what an alias in ORDER BY stands for."""
        return self._aliases.get(operand.parts[0].lower(), operand) if isinstance(operand, Path) else operand

    def _subtotal(self, call: Call) -> tuple[str, Field]:
        """GROUPING(field): 1 in the rows that are a subtotal over the field, 0 in others."""
        assert call.argument is not None
        sql, _ = column_of(self._names, call.argument)
        form = self._query.grouping.form if self._query.grouping else "plain"
        if sql not in self._keys or form == "plain":
            raise self._names.malformed(call.at, "GROUPING() is for fields of GROUP BY ROLLUP or CUBE")
        return str(int(sql not in self._grouped)), Field(name="GROUPING", label="GROUPING", type="int")

    def _having(self) -> tuple[str, list[Any]]:
        grouping = self._query.grouping
        if grouping is None or grouping.having is None:
            return "", []
        inner = semi_joins(self._setting, self._names, self._query)
        conditions = Conditions(self._names, self._setting.now, inner=inner, resolve=self._value)
        return f" having {conditions.sql(grouping.having)}", conditions.values

    def _order(self, selected: int) -> str:
        keys = []
        for place, each in enumerate(self._query.order, selected + 1):
            direction = " desc" if each.descending else ""
            keys.append(f"{place}{direction} nulls {'last' if each.nulls_last else 'first'}")
        return f" order by {', '.join(keys)}" if keys else ""


def _shown(known: Field) -> Show:
    return (lambda value: None if value is None else bool(value)) if known.type == "boolean" else lambda value: value
