"""Tokens read one by one, and what is made of them everywhere in a statement: names, paths, values, conditions."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from syncbridge.sandbox.salesforce.soql.tokens import Source, Token, illegal_escape, like_pattern, unquote
from syncbridge.sandbox.salesforce.soql.tree import (
    Call,
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Negation,
    Operand,
    Path,
    Query,
    SemiJoin,
)

COMPARISONS = frozenset({"=", "!=", "<>", "<", ">", "<=", ">="})
CLAUSES = frozenset(
    {"from", "where", "order", "limit", "offset", "group", "having", "for", "with", "using", "all", "update"}
)
FUNCTIONS = frozenset({
    "count", "count_distinct", "sum", "avg", "min", "max", "grouping", "format", "tolabel", "converttimezone",
    "calendar_month", "calendar_quarter", "calendar_year", "day_in_month", "day_in_week", "day_in_year", "day_only",
    "fiscal_month", "fiscal_quarter", "fiscal_year", "hour_in_day", "week_in_month", "week_in_year",
})  # fmt: skip
#: A number with a currency's code in front: USD5000.
CURRENCY_LITERAL = re.compile(r"[A-Za-z]{3}\d+$")
ONE_CURRENCY = "Currency codes and convertCurrency() are for orgs with several currencies; the sandbox has one"


class Reader(ABC):
    """The conditions of a statement, by recursive descent. Knows the grammar only; names are checked later."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = source.tokens()
        self._at = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    @property
    def _following(self) -> str:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)].word()

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

    def _expect(self, *words: str) -> Token:
        if not self._is(*words):
            raise self._source.malformed(self._token)
        return self._next()

    def _name(self) -> Token:
        if self._token.kind != "name" or self._is(*CLAUSES, "select"):
            raise self._source.malformed(self._token)
        return self._next()

    def _path(self) -> Path:
        token = self._name()
        return Path(tuple(token.text.split(".")), token.at)

    def _operand(self) -> Operand:
        """A path, or a function of one."""
        token = self._name()
        return self._call(token) if self._is("(") else Path(tuple(token.text.split(".")), token.at)

    def _call(self, token: Token) -> Call:
        if token.word() == "convertcurrency":
            raise self._source.malformed(token, ONE_CURRENCY)
        if token.word() not in FUNCTIONS:
            raise self._source.malformed(token, f"{token.text}() is not supported by the sandbox")
        self._expect("(")
        argument = None if token.word() == "count" and self._is(")") else self._operand()
        self._expect(")")
        return Call(token.word(), argument, token.at)

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
        operand = self._operand()
        negated = self._take("not")
        if negated or self._is("in", "includes", "excludes"):
            if not self._is("in") and (negated or not self._is("includes", "excludes")):
                raise self._source.malformed(self._token)
            word = self._next().word()
            if word == "in" and self._is("(") and self._following == "select":
                return SemiJoin(operand, negated, self._subquery())
            operator = "in" if word == "in" else "includes"
            return Membership(operand, operator, negated or word == "excludes", self._list())
        if self._take("like"):
            return Comparison(operand, "like", self._literal(pattern=True))
        if self._token.kind != "operator" or self._token.text not in COMPARISONS:
            raise self._source.malformed(self._token)
        operator = self._next().text
        return Comparison(operand, "!=" if operator == "<>" else operator, self._literal())

    @abstractmethod
    def _subquery(self) -> Query:
        """A query in parentheses."""

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        values = [self._literal()]
        while self._take(","):
            values.append(self._literal())
        self._expect(")")
        return tuple(values)

    def _literal(self, *, pattern: bool = False) -> Literal:
        token = self._next()
        if token.kind == "string":
            return self._string(token, pattern=pattern)
        if token.kind in ("number", "date", "datetime", "time"):
            return Literal(token.kind, token.text, token.at)
        if token.kind == "name" and token.word() in ("true", "false"):
            return Literal("boolean", token.word(), token.at)
        if token.kind == "name" and token.word() == "null":
            return Literal("null", "null", token.at)
        if token.kind == "name" and CURRENCY_LITERAL.fullmatch(token.text):
            raise self._source.malformed(token, ONE_CURRENCY)
        if token.kind == "name" and "." not in token.text and token.word() not in CLAUSES:
            return Literal("period", token.text.upper(), token.at)
        raise self._source.malformed(token)

    def _string(self, token: Token, *, pattern: bool) -> Literal:
        bad = illegal_escape(token.text, pattern=pattern)
        if bad is not None:
            message = f"Invalid string literal {token.text}. Illegal character sequence '{bad}' in string literal."
            raise self._source.malformed(token, message)
        return Literal("string", unquote(token.text), token.at, like_pattern(token.text) if pattern else "")
