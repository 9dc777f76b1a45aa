"""Conditions to SQL with bound values; a value of another type than its field is refused.

SOQL has two truth values: a comparison with an empty field is false, except != and NOT, which are then true. So
negation is pushed down to the comparisons, where it is spelled out, and SQL's third value never shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field
from syncbridge.sandbox.salesforce.soql.functions import column_of
from syncbridge.sandbox.salesforce.soql.names import Names
from syncbridge.sandbox.salesforce.soql.periods import period
from syncbridge.sandbox.salesforce.soql.tree import (
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Negation,
    Operand,
    Path,
    SemiJoin,
)
from syncbridge.sandbox.salesforce.store.values import DATETIME_FORMAT, datetime_text, fold, parse_datetime

NOT_LIKE = NUMBER_TYPES | {"int", "boolean", "date", "datetime", "time", "multipicklist", "id", "reference"}
OPPOSITES = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

Resolve = Callable[[Operand], tuple[str, Field]]
#: Compiles the query of a semi-join: SQL and its values.
Inner = Callable[[SemiJoin], tuple[str, list[Any]]]


class Conditions:
    """Compiles the conditions of one query; `values` are those to bind, in order.

    `resolve` gives the SQL and the field of what stands on the left, where that is more than fields and date functions.
    """

    def __init__(self, names: Names, now: datetime, *, inner: Inner, resolve: Resolve | None = None) -> None:
        self.values: list[Any] = []
        self._names = names
        self._now = now
        self._inner = inner
        self._resolve = resolve or (lambda operand: column_of(names, operand))

    def sql(self, condition: Condition, *, negated: bool = False) -> str:
        """Return the SQL of a condition or of its opposite."""
        match condition:
            case Negation(part):
                return self.sql(part, negated=not negated)
            case Junction(operator, parts):
                word = operator if not negated else {"and": "or", "or": "and"}[operator]
                joined = "(" + f" {word} ".join(self.sql(each, negated=negated) for each in parts) + ")"
                bound = None if negated else _common_bound(condition)
                return f"({joined} and {self.sql(bound)})" if bound else joined
            case Comparison(operand, operator, value):
                return self._comparison(operand, operator, value, negated=negated)
            case Membership(operand, operator, excluded, values):
                return self._membership(operand, operator, values, negated=negated != excluded)
            case SemiJoin():
                return self._semi_join(condition)

    def _semi_join(self, condition: SemiJoin) -> str:
        column, _ = self._resolve(condition.operand)
        sql, values = self._inner(condition)
        self.values += values
        return f"({column} not in ({sql}) or {column} is null)" if condition.negated else f"{column} in ({sql})"

    def _filterable(self, operand: Operand) -> tuple[str, Field]:
        column, known = self._resolve(operand)
        if known.is_long_text or known.type == "address":
            raise self._names.refuse(operand.at, f"field '{known.name}' can not be filtered in a query call")
        return column, known

    def _bind(self, value: Any) -> str:
        self.values.append(value)
        return "?"

    def _comparison(self, operand: Operand, operator: str, value: Literal, *, negated: bool) -> str:
        column, known = self._filterable(operand)
        if operator == "like":
            return self._like(column, known, operand, value, negated=negated)
        if negated:
            operator = OPPOSITES[operator]
        if known.type == "multipicklist" and operator not in ("=", "!="):
            raise self._names.refuse(operand.at, f"invalid operator on multipicklist field '{known.name}'")
        if value.kind == "period":
            return self._period(column, known, operator, value, negated=negated)
        stored = self._value(known, value)
        if stored is None:
            if operator in ("=", "!="):
                return f"{column} is {'not ' if operator == '!=' else ''}null"
            return "1" if negated else "0"
        if operator == "!=" or (negated and operator != "="):
            return f"({column} {operator} {self._bind(stored)} or {column} is null)"
        test = f"{column} {operator} {self._bind(stored)}"
        return f"({test}{self._or_in_another_case(column, known, [stored])})" if operator == "=" else test

    def _like(self, column: str, known: Field, operand: Operand, value: Literal, *, negated: bool) -> str:
        if known.type in NOT_LIKE:
            raise self._names.refuse(operand.at, "invalid operator", "INVALID_QUERY_FILTER_OPERATOR")
        if value.kind != "string":
            raise self._wrong_kind(known, value)
        pattern = value.pattern
        if not pattern.isascii():  # SQLite's LIKE tells É from é
            column, pattern = f"fold({column})", str(fold(pattern))
        test = f"{column} {'not ' if negated else ''}like {self._bind(pattern)} escape '\\'"
        return f"({test} or {column} is null)" if negated else test

    def _period(self, column: str, known: Field, operator: str, value: Literal, *, negated: bool) -> str:
        """Compare a date or datetime with a range of days: before it, in it, after it."""
        days = period(value.text, self._now.date())
        if days is None:
            raise self._names.malformed(value.at, f"unexpected token: '{value.text}'")
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

    def _membership(self, operand: Operand, operator: str, values: tuple[Literal, ...], *, negated: bool) -> str:
        column, known = self._filterable(operand)
        if operator == "includes":
            return self._includes(column, known, operand, values, negated=negated)
        if known.type == "multipicklist":
            raise self._names.refuse(operand.at, f"invalid operator on multipicklist field '{known.name}'")
        stored = [self._value(known, each) for each in values]
        marks = ", ".join(self._bind(each) for each in stored if each is not None)
        with_null = None in stored
        inside = f"{column} in ({marks})" + (f" or {column} is null" if with_null else "")
        if not negated:
            return f"({inside}{self._or_in_another_case(column, known, stored)})"
        rest = f"and {column} is not null" if with_null else f"or {column} is null"
        return f"({column} not in ({marks}) {rest})"

    def _or_in_another_case(self, column: str, known: Field, stored: Sequence[Any]) -> str:
        """SQLite tells É from é, which Salesforce does not; what has only ASCII letters is found by an index."""
        wide = [] if known.case_sensitive else [each for each in stored if isinstance(each, str) and not each.isascii()]
        return f" or fold({column}) in ({', '.join(self._bind(fold(each)) for each in wide)})" if wide else ""

    def _includes(
        self, column: str, known: Field, operand: Operand, values: tuple[Literal, ...], *, negated: bool
    ) -> str:
        if known.type != "multipicklist":
            raise self._names.refuse(operand.at, "includes and excludes are for multipicklist fields", "INVALID_FIELD")
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
                raise self._names.refuse(value.at, f"invalid ID field: {value.text}", "INVALID_QUERY_FILTER_OPERATOR")
            return full
        if known.type == "time" and value.kind == "time":
            return f"{value.text[:8]}.{value.text[9:12].rstrip('Z').ljust(3, '0')}Z"
        expected = {"boolean": "boolean", "int": "number", "date": "date", "datetime": "datetime"}.get(known.type)
        expected = expected or ("number" if known.type in NUMBER_TYPES else "string")
        expected = "time" if known.type == "time" else expected
        if value.kind != expected:
            raise self._wrong_kind(known, value)
        return _stored(expected, value.text) if expected != "datetime" else self._moment(value)

    def _moment(self, value: Literal) -> str:
        """A stored datetime has whole seconds; a literal with a part of a second lies just after one."""
        moment = parse_datetime(value.text.upper())
        if moment is None:
            raise self._names.malformed(value.at, f"unexpected token: '{value.text}'")
        if moment.microsecond:
            return moment.strftime(DATETIME_FORMAT).replace(".000", f".{moment.microsecond // 1000:03d}")
        return datetime_text(moment)

    def _wrong_kind(self, known: Field, value: Literal) -> Refusal:
        quoted = known.type not in NUMBER_TYPES | {"boolean", "int", "date", "datetime", "time"}
        expected = {"datetime": "dateTime"}.get(known.type, known.type if not quoted else "string")
        not_ = "" if quoted else "not "
        message = f"value of filter criterion for field '{known.name}' must be of type {expected} and should {not_}be "
        return self._names.refuse(value.at, message + "enclosed in quotes")


def _stored(kind: str, text: str) -> Any:
    if kind == "boolean":
        return int(text == "true")
    if kind == "number":
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() and abs(number) < 2**53 else float(number)
    return text or None


def _common_bound(junction: Junction) -> Comparison | None:
    """Return what both parts of `a > x OR (a = x AND b > y)` imply, a >= x, so that an index on a is used."""
    if junction.operator != "or" or len(junction.parts) != 2:
        return None
    one, other = junction.parts
    if not (isinstance(one, Comparison) and isinstance(other, Junction) and other.operator == "and"):
        return None
    same = other.parts[0]
    if not (isinstance(same, Comparison) and isinstance(same.operand, Path) and isinstance(one.operand, Path)):
        return None
    value, again = one.value, same.value
    if one.operand.parts != same.operand.parts or same.operator != "=" or one.operator not in (">", "<"):
        return None
    if value.kind not in ("date", "datetime", "number") or (value.kind, value.text) != (again.kind, again.text):
        return None
    return Comparison(one.operand, f"{one.operator}=", value)
