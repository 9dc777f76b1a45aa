"""SOQL text to a syntax tree, by recursive descent. Knows the grammar only; names are checked in sql.py."""

from __future__ import annotations

from dataclasses import dataclass

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.soql.tokens import Source, Token, like_pattern, unquote

TOO_COMPLICATED = "Query is either selecting too many fields or the filter conditions are too complicated."
COMPARISONS = frozenset({"=", "!=", "<>", "<", ">", "<=", ">="})
CLAUSES = frozenset({"from", "where", "order", "limit", "offset", "group", "having", "for", "with", "using", "all"})
LATER = {"group": "GROUP BY", "having": "HAVING", "with": "WITH", "using": "USING SCOPE", "for": "FOR"}


@dataclass(frozen=True, slots=True)
class Path:
    """A field, or a field of a parent: Account.Owner.Name."""

    parts: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""

    name: str
    at: int


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

    path: Path
    operator: str
    value: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """IN, NOT IN, INCLUDES, EXCLUDES: operator is `in` or `includes`."""

    path: Path
    operator: str
    negated: bool
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """AND or OR of several conditions."""

    operator: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT a condition."""

    part: Condition


Condition = Comparison | Membership | Junction | Negation


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole statement. `counted` is count() or count(field), and then there are no fields."""

    source: Source
    fields: tuple[Path | FieldGroup, ...]
    counted: bool
    count_field: Path | None
    object_name: str
    object_at: int
    alias: str | None
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int


def parse(text: str) -> Query:
    """Return the syntax tree of a SOQL statement, or raise MALFORMED_QUERY."""
    try:
        return _Parser(Source(text)).query()
    except RecursionError:
        raise Refusal("QUERY_TOO_COMPLICATED", TOO_COMPLICATED) from None


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = source.tokens()
        self._at = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._token
        self._at += 1 if token.kind != "end" else 0
        return token

    def _is(self, *words: str) -> bool:
        return self._token.kind in ("name", "operator", "mark") and self._token.word() in words

    def _take(self, *words: str) -> bool:
        found = self._is(*words)
        self._at += found
        return found

    def _expect(self, word: str) -> Token:
        if not self._is(word):
            raise self._source.malformed(self._token)
        return self._next()

    def query(self) -> Query:
        self._expect("select")
        counted, count_field, fields = self._selection()
        self._expect("from")
        name = self._name()
        alias = self._name().text if self._token.kind == "name" and not self._is(*CLAUSES) else None
        where = self._conditions() if self._take("where") else None
        if self._token.kind == "name" and self._token.word() in LATER:
            raise self._source.malformed(self._token, f"{LATER[self._token.word()]} is not supported by the sandbox")
        order = self._order() if self._take("order") else ()
        limit = self._whole_number() if self._take("limit") else None
        offset = self._whole_number() if self._take("offset") else 0
        if self._token.kind != "end":
            raise self._source.malformed(self._token)
        return Query(self._source, fields, counted, count_field, name.text, name.at, alias, where, order, limit, offset)

    def _selection(self) -> tuple[bool, Path | None, tuple[Path | FieldGroup, ...]]:
        if self._is("count") and self._tokens[self._at + 1].text == "(":
            self._next()
            self._expect("(")
            path = None if self._is(")") else self._path()
            self._expect(")")
            return True, path, ()
        fields = [self._selected()]
        while self._take(","):
            fields.append(self._selected())
        return False, None, tuple(fields)

    def _selected(self) -> Path | FieldGroup:
        if self._is("("):
            raise self._source.malformed(self._token, "child subqueries are not supported by the sandbox")
        token = self._name()
        if not self._take("("):
            return Path(tuple(token.text.split(".")), token.at)
        group = self._next()
        self._expect(")")
        if token.word() != "fields" or group.word() not in ("all", "standard", "custom"):
            raise self._source.malformed(token, f"{token.text}() is not supported by the sandbox")
        return FieldGroup(group.word(), token.at)

    def _name(self) -> Token:
        if self._token.kind != "name" or self._is(*CLAUSES, "select"):
            raise self._source.malformed(self._token)
        return self._next()

    def _path(self) -> Path:
        token = self._name()
        return Path(tuple(token.text.split(".")), token.at)

    def _conditions(self) -> Condition:
        """One condition, or several joined by the same word; SOQL wants parentheses where AND and OR meet."""
        parts = [self._single()]
        operator = self._token.word() if self._is("and", "or") else ""
        while operator and self._take(operator):
            parts.append(self._single())
        if self._is("and", "or"):
            raise self._source.malformed(self._token)
        return parts[0] if len(parts) == 1 else Junction(operator, tuple(parts))

    def _single(self) -> Condition:
        if self._take("not"):
            return Negation(self._single())
        if self._take("("):
            inner = self._conditions()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        path = self._path()
        negated = self._take("not")
        if negated or self._is("in", "includes", "excludes"):
            if not self._is("in") and (negated or not self._is("includes", "excludes")):
                raise self._source.malformed(self._token)
            word = self._next().word()
            return Membership(path, "in" if word == "in" else "includes", negated or word == "excludes", self._list())
        if self._take("like"):
            return Comparison(path, "like", self._literal())
        if self._token.kind != "operator" or self._token.text not in COMPARISONS:
            raise self._source.malformed(self._token)
        operator = self._next().text
        return Comparison(path, "!=" if operator == "<>" else operator, self._literal())

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        if self._is("select"):
            raise self._source.malformed(self._token, "semi-joins are not supported by the sandbox")
        values = [self._literal()]
        while self._take(","):
            values.append(self._literal())
        self._expect(")")
        return tuple(values)

    def _literal(self) -> Literal:
        token = self._next()
        if token.kind == "string":
            return Literal("string", unquote(token.text), token.at, like_pattern(token.text))
        if token.kind in ("number", "date", "datetime"):
            return Literal(token.kind, token.text, token.at)
        if token.kind == "name" and token.word() in ("true", "false"):
            return Literal("boolean", token.word(), token.at)
        if token.kind == "name" and token.word() == "null":
            return Literal("null", "null", token.at)
        if token.kind == "name" and "." not in token.text and token.word() not in CLAUSES:
            return Literal("period", token.text.upper(), token.at)
        raise self._source.malformed(token)

    def _order(self) -> tuple[Order, ...]:
        self._expect("by")
        keys = [self._order_key()]
        while self._take(","):
            keys.append(self._order_key())
        return tuple(keys)

    def _order_key(self) -> Order:
        path = self._path()
        descending = self._take("desc") or (self._take("asc") and False)
        nulls_last = False
        if self._take("nulls"):
            if not self._is("first", "last"):
                raise self._source.malformed(self._token)
            nulls_last = self._next().word() == "last"
        return Order(path, descending, nulls_last)

    def _whole_number(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            raise self._source.malformed(token)
        return int(token.text)
