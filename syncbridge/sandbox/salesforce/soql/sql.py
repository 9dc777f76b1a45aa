"""A SOQL syntax tree to SQL with bound values, with every name and value checked against the org.

SOQL has two truth values: a comparison with an empty field is false, except != and NOT, which are then true. So
negation is pushed down to the comparisons, where it is spelled out, and SQL's third value never shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field, ObjectType, Org
from syncbridge.sandbox.salesforce.soql.parser import (
    Comparison,
    Condition,
    FieldGroup,
    Junction,
    Literal,
    Membership,
    Negation,
    Order,
    Path,
    Query,
)  # fmt: skip
from syncbridge.sandbox.salesforce.soql.periods import period
from syncbridge.sandbox.salesforce.store.values import DATETIME_FORMAT, datetime_text, parse_datetime

LARGEST_OFFSET = 2000
FIELD_GROUP_LIMIT = 200
DEEPEST_PATH = 5
NOT_LIKE = NUMBER_TYPES | {"int", "boolean", "date", "datetime", "time", "multipicklist", "id", "reference"}
OPPOSITES = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
ADDRESS_PARTS = (
    ("city", "City"), ("country", "Country"), ("geocodeAccuracy", "GeocodeAccuracy"), ("latitude", "Latitude"),
    ("longitude", "Longitude"), ("postalCode", "PostalCode"), ("state", "State"), ("street", "Street"),
)  # fmt: skip
NO_COLUMN = (
    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' "
    "after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
)
NO_OBJECT = (
    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
    "after the entity name. Please reference your WSDL or the describe call for the appropriate names."
)
NO_RELATIONSHIP = (
    "Didn't understand relationship '{}' in field path. If you are attempting to use a custom relationship, be sure to "
    "append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the "
    "appropriate names."
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
        self._org = org
        self._query = query
        self._now = now
        self._values: list[Any] = []
        self._root = Node(target, "t0")
        self._columns = ['t0."seq"']
        self._joins = [f'"{target.name}" t0']
        self._aliases: dict[tuple[str, ...], tuple[str, ObjectType]] = {(): ("t0", target)}

    def statement(self, with_deleted: bool) -> Statement:
        query, target = self._query, self._root.target
        self._root.id_column = self._column('t0."Id"')
        for each in query.fields:
            self._select(each)
        if query.offset > LARGEST_OFFSET:
            raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {LARGEST_OFFSET}")
        conditions = [] if with_deleted else ['t0."IsDeleted" = 0']
        if query.where is not None:
            conditions.append(self._condition(query.where, negated=False))
        if query.count_field is not None:
            column, _ = self._resolve(query.count_field)
            conditions.append(f"{column} is not null")
        order = ", ".join([*(self._order(each) for each in query.order), 't0."seq"'])
        return Statement(
            target=target,
            root=self._root,
            columns=self._columns,
            tables=" ".join(self._joins),
            condition=" and ".join(f"({each})" for each in conditions) or "1",
            values=self._values,
            order=f" order by {order}",
            limit=query.limit,
            offset=query.offset,
        )

    def _refuse(self, at: int, message: str, code: str = "INVALID_FIELD") -> Refusal:
        return self._query.source.refusal(code, at, message)

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
            raise self._refuse(selected.at, message, "MALFORMED_QUERY")
        for each in self._root.target.fields:
            if selected.name == "all" or each.custom == (selected.name == "custom"):
                self._select_field(self._root, each)

    def _select_path(self, path: Path) -> None:
        steps, node = self._own_parts(path), self._root
        alias, target = "t0", self._root.target
        for depth in range(1, len(steps)):
            alias, target = self._join(tuple(steps[:depth]), path.at)
            name = self._relationship_name(node.target, steps[depth - 1])
            if name not in node.parents:
                node.parents[name] = Node(target, alias, self._column(f'{alias}."Id"'))
            node = node.parents[name]
        known = target.find(steps[-1])
        if known is None:
            raise self._refuse(path.at, NO_COLUMN.format(steps[-1], target.name))
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

    def _own_parts(self, path: Path) -> list[str]:
        """Return the steps of a path without the object's own name or alias in front."""
        parts = list(path.parts)
        own = {self._root.target.name.lower(), (self._query.alias or "").lower()}
        if len(parts) > 1 and parts[0].lower() in own and parts[0].lower() not in self._root.target.by_relationship:
            parts = parts[1:]
        if len(parts) - 1 > DEEPEST_PATH:
            raise self._refuse(path.at, "SOQL relationships may not go more than 5 levels up", "MALFORMED_QUERY")
        return parts

    def _relationship_name(self, target: ObjectType, name: str) -> str:
        return str(target.by_relationship[name.lower()].relationship)

    def _join(self, steps: tuple[str, ...], at: int) -> tuple[str, ObjectType]:
        """Return alias and object of a parent, joining it on first use."""
        key = tuple(each.lower() for each in steps)
        if key not in self._aliases:
            child_alias, child = self._aliases[key[:-1]] if len(key) == 1 else self._join(steps[:-1], at)
            ref = child.by_relationship.get(key[-1])
            parents = [self._org.find(each) for each in reversed(ref.reference_to)] if ref else []
            parent = next((each for each in parents if each is not None), None)
            if ref is None or parent is None:
                raise self._refuse(at, NO_RELATIONSHIP.format(steps[-1]))
            alias = f"t{len(self._aliases)}"
            self._joins.append(f'left join "{parent.name}" {alias} on {alias}."Id" = {child_alias}."{ref.name}"')
            self._aliases[key] = (alias, parent)
        return self._aliases[key]

    def _resolve(self, path: Path) -> tuple[str, Field]:
        steps = self._own_parts(path)
        alias, target = self._join(tuple(steps[:-1]), path.at) if len(steps) > 1 else ("t0", self._root.target)
        known = target.find(steps[-1])
        if known is None:
            raise self._refuse(path.at, NO_COLUMN.format(steps[-1], target.name))
        return f'{alias}."{known.name}"', known

    def _order(self, order: Order) -> str:
        column, known = self._resolve(order.path)
        if known.is_long_text or known.type in ("address", "multipicklist"):
            raise self._refuse(order.path.at, f"field '{known.name}' can not be sorted in a query call")
        return f"{column}{' desc' if order.descending else ''} nulls {'last' if order.nulls_last else 'first'}"

    def _condition(self, condition: Condition, *, negated: bool) -> str:
        match condition:
            case Negation(part):
                return self._condition(part, negated=not negated)
            case Junction(operator, parts):
                word = operator if not negated else {"and": "or", "or": "and"}[operator]
                return "(" + f" {word} ".join(self._condition(each, negated=negated) for each in parts) + ")"
            case Comparison(path, operator, value):
                return self._comparison(path, operator, value, negated=negated)
            case Membership(path, operator, excluded, values):
                return self._membership(path, operator, values, negated=negated != excluded)

    def _filterable(self, path: Path) -> tuple[str, Field]:
        column, known = self._resolve(path)
        if known.is_long_text or known.type == "address":
            raise self._refuse(path.at, f"field '{known.name}' can not be filtered in a query call")
        return column, known

    def _bind(self, value: Any) -> str:
        self._values.append(value)
        return "?"

    def _comparison(self, path: Path, operator: str, value: Literal, *, negated: bool) -> str:
        column, known = self._filterable(path)
        if operator == "like":
            return self._like(column, known, path, value, negated=negated)
        if negated:
            operator = OPPOSITES[operator]
        if known.type == "multipicklist" and operator not in ("=", "!="):
            raise self._refuse(path.at, f"invalid operator on multipicklist field '{known.name}'")
        if value.kind == "period":
            return self._period(column, known, operator, value, negated=negated)
        stored = self._value(known, value)
        if stored is None:
            if operator in ("=", "!="):
                return f"{column} is {'not ' if operator == '!=' else ''}null"
            return "1" if negated else "0"
        if operator == "!=" or (negated and operator != "="):
            return f"({column} {operator} {self._bind(stored)} or {column} is null)"
        return f"{column} {operator} {self._bind(stored)}"

    def _like(self, column: str, known: Field, path: Path, value: Literal, *, negated: bool) -> str:
        if known.type in NOT_LIKE:
            raise self._refuse(path.at, "invalid operator", "INVALID_QUERY_FILTER_OPERATOR")
        if value.kind != "string":
            raise self._wrong_kind(known, value)
        test = f"{column} {'not ' if negated else ''}like {self._bind(value.pattern)} escape '\\'"
        return f"({test} or {column} is null)" if negated else test

    def _period(self, column: str, known: Field, operator: str, value: Literal, *, negated: bool) -> str:
        """Compare a date or datetime with a range of days: before it, in it, after it."""
        days = period(value.text, self._now.date())
        if days is None:
            raise self._refuse(value.at, f"unexpected token: '{value.text}'", "MALFORMED_QUERY")
        if known.type not in ("date", "datetime"):
            raise self._wrong_kind(known, value)
        start, end = (
            each.isoformat() if known.type == "date" else f"{each.isoformat()}T00:00:00.000+0000" for each in days
        )
        if operator in ("=", "!="):
            inside = f"{column} >= {self._bind(start)} and {column} < {self._bind(end)}"
            return f"({inside})" if operator == "=" else f"(not ({inside}) or {column} is null)"
        bound = start if operator in ("<", ">=") else end
        test = f"{column} {'<' if operator[0] == '<' else '>='} {self._bind(bound)}"
        return f"({test} or {column} is null)" if negated else test

    def _membership(self, path: Path, operator: str, values: tuple[Literal, ...], *, negated: bool) -> str:
        column, known = self._filterable(path)
        if operator == "includes":
            return self._includes(column, known, path, values, negated=negated)
        if known.type == "multipicklist":
            raise self._refuse(path.at, f"invalid operator on multipicklist field '{known.name}'")
        stored = [self._value(known, each) for each in values]
        marks = ", ".join(self._bind(each) for each in stored if each is not None)
        with_null = None in stored
        inside = f"{column} in ({marks})" + (f" or {column} is null" if with_null else "")
        if not negated:
            return f"({inside})"
        rest = f"and {column} is not null" if with_null else f"or {column} is null"
        return f"({column} not in ({marks}) {rest})"

    def _includes(self, column: str, known: Field, path: Path, values: tuple[Literal, ...], *, negated: bool) -> str:
        if known.type != "multipicklist":
            raise self._refuse(path.at, "includes and excludes are for multipicklist fields", "INVALID_FIELD")
        choices = []
        for each in values:
            if each.kind != "string":
                raise self._wrong_kind(known, each)
            wanted = [part.strip().lower() for part in each.text.split(";")]
            tests = [f"instr(';' || lower({column}) || ';', {self._bind(f';{part};')}) > 0" for part in wanted]
            choices.append("(" + " and ".join(tests) + ")")
        test = f"coalesce({' or '.join(choices)}, 0)"
        return f"not {test}" if negated else test

    def _value(self, known: Field, value: Literal) -> Any:
        """Return a literal as the column stores it; a literal of another type is refused."""
        if value.kind == "null":
            return None
        if known.type in ("id", "reference"):
            full = to_18(value.text) if value.kind == "string" else None
            if value.text == "" and value.kind == "string":
                return None
            if full is None:
                raise self._refuse(value.at, f"invalid ID field: {value.text}", "INVALID_QUERY_FILTER_OPERATOR")
            return full
        expected = {"boolean": "boolean", "int": "number", "date": "date", "datetime": "datetime"}.get(known.type)
        expected = expected or ("number" if known.type in NUMBER_TYPES else "string")
        if value.kind != expected:
            raise self._wrong_kind(known, value)
        return _stored(expected, value.text) if expected != "datetime" else self._moment(value)

    def _moment(self, value: Literal) -> str:
        """A stored datetime has whole seconds; a literal with a part of a second lies just after one."""
        moment = parse_datetime(value.text.upper())
        if moment is None:
            raise self._query.source.refusal("MALFORMED_QUERY", value.at, f"unexpected token: '{value.text}'")
        if moment.microsecond:
            return moment.strftime(DATETIME_FORMAT).replace(".000", f".{moment.microsecond // 1000:03d}")
        return datetime_text(moment)

    def _wrong_kind(self, known: Field, value: Literal) -> Refusal:
        quoted = known.type not in NUMBER_TYPES | {"boolean", "int", "date", "datetime", "time"}
        expected = {"datetime": "dateTime"}.get(known.type, known.type if not quoted else "string")
        not_ = "" if quoted else "not "
        message = f"value of filter criterion for field '{known.name}' must be of type {expected} and should {not_}be "
        return self._refuse(value.at, message + "enclosed in quotes")


def _stored(kind: str, text: str) -> Any:
    if kind == "boolean":
        return int(text == "true")
    if kind == "number":
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() and abs(number) < 2**53 else float(number)
    return text or None
