"""A SOQL syntax tree to SQL with bound values, with every name and value checked against the org."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.soql.conditions import Conditions
from syncbridge.sandbox.salesforce.soql.names import ROOT, Names
from syncbridge.sandbox.salesforce.soql.parser import FieldGroup, Order, Path, Query

LARGEST_OFFSET = 2000
FIELD_GROUP_LIMIT = 200
ADDRESS_PARTS = (
    ("city", "City"), ("country", "Country"), ("geocodeAccuracy", "GeocodeAccuracy"), ("latitude", "Latitude"),
    ("longitude", "Longitude"), ("postalCode", "PostalCode"), ("state", "State"), ("street", "Street"),
)  # fmt: skip
NO_OBJECT = (
    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
    "after the entity name. Please reference your WSDL or the describe call for the appropriate names."
)


@dataclass(slots=True)
class Node:
    """What a response shows of one object in the select list: its fields, and its parents by relationship."""

    target: ObjectType
    alias: str
    id_column: int = -1
    fields: dict[str, tuple[Field, int]] = field(default_factory=dict)
    parents: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True)
class Statement:
    """SQL for one query. `columns` starts with the row number, by which pages are read again."""

    target: ObjectType
    root: Node
    columns: list[str]
    tables: str
    condition: str
    values: list[Any]
    order: str
    limit: int | None
    offset: int

    def select(self, what: str | None = None, *, limit: int | None = None) -> tuple[str, list[Any]]:
        """Return the SQL and values that select the columns, or something else, of all rows or the first ones."""
        sql = f"select {what or ', '.join(self.columns)} from {self.tables} where {self.condition}{self.order}"  # noqa: S608
        bounds = [each for each in (self.limit, limit) if each is not None]
        if bounds or self.offset:
            sql += f" limit {min(bounds, default=-1)} offset {self.offset}"
        return sql, self.values

    def select_by(self, column: str, *, deleted: bool) -> str:
        """Return the SQL that selects the columns of rows given by a column's values, as one JSON list."""
        live = "" if deleted else ' and t0."IsDeleted" = 0'
        chosen = f'where t0."{column}" in (select value from json_each(?)){live}'  # noqa: S608
        return f"select {', '.join(self.columns)} from {self.tables} {chosen}"  # noqa: S608


def compile_query(org: Org, query: Query, now: datetime, *, with_deleted: bool = False) -> Statement:
    """Return the SQL of a query, or raise INVALID_FIELD, INVALID_TYPE or MALFORMED_QUERY."""
    target = org.find(query.object_name)
    if target is None:
        raise query.source.refusal("INVALID_TYPE", query.object_at, NO_OBJECT.format(query.object_name))
    return _Compiler(org, query, target, now).statement(with_deleted)


class _Compiler:
    def __init__(self, org: Org, query: Query, target: ObjectType, now: datetime) -> None:
        self._query = query
        self._names = Names(org, query, target)
        self._conditions = Conditions(self._names, now)
        self._root = Node(target, ROOT)
        self._columns = ['t0."seq"']

    def statement(self, with_deleted: bool) -> Statement:
        query, target = self._query, self._root.target
        self._root.id_column = self._column('t0."Id"')
        for each in query.fields:
            self._select(each)
        if query.offset > LARGEST_OFFSET:
            raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {LARGEST_OFFSET}")
        conditions = [] if with_deleted else ['t0."IsDeleted" = 0']
        if query.where is not None:
            conditions.append(self._conditions.sql(query.where))
        if query.count_field is not None:
            column, _ = self._names.column(query.count_field)
            conditions.append(f"{column} is not null")
        order = ", ".join([*(self._order(each) for each in query.order), 't0."seq"'])
        return Statement(
            target=target,
            root=self._root,
            columns=self._columns,
            tables=self._names.tables,
            condition=" and ".join(f"({each})" for each in conditions) or "1",
            values=self._conditions.values,
            order=f" order by {order}",
            limit=query.limit,
            offset=query.offset,
        )

    def _column(self, sql: str) -> int:
        self._columns.append(sql)
        return len(self._columns) - 1

    def _select(self, selected: Path | FieldGroup) -> None:
        if isinstance(selected, Path):
            self._select_path(selected)
            return
        limit = self._query.limit
        if selected.name != "standard" and (limit is None or limit > FIELD_GROUP_LIMIT):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {FIELD_GROUP_LIMIT}"
            raise self._names.refuse(selected.at, message, "MALFORMED_QUERY")
        for each in self._root.target.fields:
            if selected.name == "all" or each.custom == (selected.name == "custom"):
                self._select_field(self._root, each)

    def _select_path(self, path: Path) -> None:
        steps, node = self._names.steps(path), self._root
        for depth in range(1, len(steps)):
            alias, parent = self._names.join(tuple(steps[:depth]), path.at)
            name = str(node.target.by_relationship[steps[depth - 1].lower()].relationship)
            if name not in node.parents:
                node.parents[name] = Node(parent, alias, self._column(f'{alias}."Id"'))
            node = node.parents[name]
        known = self._names.field(node.target, steps[-1], path.at)
        if node is self._root and known.name in node.fields:
            message = f"duplicate field selected: {known.name}"
            raise Refusal("MALFORMED_QUERY", message)
        self._select_field(node, known)

    def _select_field(self, node: Node, known: Field) -> None:
        if known.type != "address":
            node.fields[known.name] = (known, self._column(f'{node.alias}."{known.name}"'))
            return
        part = node.target.addresses[known.name]
        columns = [self._column(f'{node.alias}."{part}{name}"') for _, name in ADDRESS_PARTS]
        node.fields[known.name] = (known, columns[0])

    def _order(self, order: Order) -> str:
        column, known = self._names.column(order.path)
        if known.is_long_text or known.type in ("address", "multipicklist"):
            raise self._names.refuse(order.path.at, f"field '{known.name}' can not be sorted in a query call")
        return f"{column}{' desc' if order.descending else ''} nulls {'last' if order.nulls_last else 'first'}"
