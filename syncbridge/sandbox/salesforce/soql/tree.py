"""The syntax tree of a SOQL statement, as plain values. `at` is always a place in the statement's text."""

from __future__ import annotations

from dataclasses import dataclass

from syncbridge.sandbox.salesforce.soql.tokens import Source

AGGREGATES = frozenset({"count", "count_distinct", "sum", "avg", "min", "max"})


@dataclass(frozen=True, slots=True)
class Path:
    """A field, or a field of a parent: Account.Owner.Name."""

    parts: tuple[str, ...]
    at: int
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a field: MAX(Amount), CALENDAR_YEAR(convertTimezone(CreatedDate)). `name` is in lower case."""

    name: str
    argument: Operand | None
    at: int
    alias: str = ""

    @property
    def is_aggregate(self) -> bool:
        """True for COUNT, SUM and so on, and for a function of one of them."""
        inner = isinstance(self.argument, Call) and self.argument.is_aggregate
        return inner or self.name in AGGREGATES or self.name == "grouping"


Operand = Path | Call


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Branch:
    """WHEN object THEN fields."""

    object_name: str
    at: int
    fields: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TypeOf:
    """TYPEOF relationship WHEN ... THEN ... ELSE ... END."""

    path: Path
    branches: tuple[Branch, ...]
    otherwise: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value: kind is string, number, date, datetime, boolean, null or period. `pattern` is a string for LIKE."""

    kind: str
    text: str
    at: int
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """field = value, and the other operators, and LIKE."""

    operand: Operand
    operator: str
    value: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """IN, NOT IN, INCLUDES, EXCLUDES: operator is `in` or `includes`."""

    operand: Operand
    operator: str
    negated: bool
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class SemiJoin:
    """field IN (SELECT ...); an anti-join where negated."""

    operand: Operand
    negated: bool
    query: Query


@dataclass(frozen=True, slots=True)
class Junction:
    """AND or OR of several conditions."""

    operator: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT a condition."""

    part: Condition


Condition = Comparison | Membership | SemiJoin | Junction | Negation


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY."""

    operand: Operand
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Grouping:
    """GROUP BY; `form` is plain, rollup or cube."""

    form: str
    keys: tuple[Operand, ...]
    having: Condition | None


@dataclass(frozen=True, slots=True)
class Query:
    """A whole statement, or one in parentheses. A query among its fields is a child subquery."""

    source: Source
    fields: tuple[Selected, ...]
    object_name: str
    object_at: int = 0
    alias: str = ""
    related: tuple[tuple[str, Path], ...] = ()
    scope: str = "everything"
    where: Condition | None = None
    grouping: Grouping | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0

    @property
    def counted(self) -> bool:
        """True for SELECT COUNT(), whose answer has no records."""
        first = self.fields[0]
        return isinstance(first, Call) and first.name == "count" and first.argument is None

    @property
    def aggregated(self) -> bool:
        """True where the answer has groups instead of records."""
        calls = (each for each in self.fields if isinstance(each, Call))
        return self.grouping is not None or any(each.is_aggregate for each in calls)


Selected = Path | Call | FieldGroup | TypeOf | Query
