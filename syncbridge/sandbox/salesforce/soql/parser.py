"""SOQL text to a syntax tree: the clauses of a statement. Names are checked when it is compiled."""

from __future__ import annotations

from functools import lru_cache

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.soql.reader import CLAUSES, Reader
from syncbridge.sandbox.salesforce.soql.tokens import Source, Token
from syncbridge.sandbox.salesforce.soql.tree import (
    Branch,
    Call,
    FieldGroup,
    Grouping,
    Operand,
    Order,
    Path,
    Query,
    Selected,
    TypeOf,
)

TOO_COMPLICATED = "Query is either selecting too many fields or the filter conditions are too complicated."
LARGEST_NUMBER = 2**31 - 1
LONGEST_CACHED = 4000
CACHED = 512


def parse(text: str) -> Query:
    """Return the syntax tree of a SOQL statement, or raise MALFORMED_QUERY. Short ones are remembered."""
    try:
        return _parse_once(text) if len(text) <= LONGEST_CACHED else _Parser(Source(text)).statement()
    except RecursionError:
        raise Refusal("QUERY_TOO_COMPLICATED", TOO_COMPLICATED) from None


@lru_cache(maxsize=CACHED)
def _parse_once(text: str) -> Query:
    return _Parser(Source(text)).statement()


class _Parser(Reader):
    def statement(self) -> Query:
        query = self._query()
        if self._is("all") and self._following == "rows":
            raise self._source.malformed(self._token, "ALL ROWS not allowed in this context")
        if self._token.kind != "end":
            raise self._source.malformed(self._token)
        return query

    def _query(self) -> Query:
        self._expect("select")
        fields = self._selection()
        self._expect("from")
        name, alias, related = self._from()
        scope = self._scope() if self._take("using") else "everything"
        where = self._conditions() if self._take("where") else None
        if self._take("with"):
            self._security()
        grouping = self._grouping() if self._take("group") else None
        order = self._order() if self._take("order") else ()
        limit = self._whole_number() if self._take("limit") else None
        offset = self._whole_number() if self._take("offset") else 0
        self._purposes()
        return Query(
            source=self._source, fields=fields, object_name=name.text, object_at=name.at, alias=alias, related=related,
            scope=scope, where=where, grouping=grouping, order=order, limit=limit, offset=offset,
        )  # fmt: skip

    def _subquery(self) -> Query:
        self._expect("(")
        query = self._query()
        self._expect(")")
        return query

    def _selection(self) -> tuple[Selected, ...]:
        fields = [self._selected()]
        while self._take(","):
            fields.append(self._selected())
        counts = [each for each in fields if isinstance(each, Call) and each.name == "count" and not each.argument]
        if counts and len(fields) > 1:
            message = "COUNT() must be the only element in the SELECT list"
            raise self._source.refusal("MALFORMED_QUERY", counts[0].at, message)
        return tuple(fields)

    def _selected(self) -> Selected:
        if self._is("("):
            if self._following != "select":
                raise self._source.malformed(self._token)
            return self._subquery()
        if self._is("typeof") and self._following not in (",", "from", "("):
            return self._typeof()
        token = self._name()
        if self._is("(") and token.word() == "fields":
            return self._field_group(token)
        if self._is("("):
            call = self._call(token)
            return Call(call.name, call.argument, call.at, self._alias())
        return Path(tuple(token.text.split(".")), token.at, self._alias())

    def _alias(self) -> str:
        wanted = self._take("as")
        if wanted or (self._token.kind == "name" and not self._is(*CLAUSES)):
            return self._name().text
        return ""

    def _field_group(self, token: Token) -> FieldGroup:
        self._expect("(")
        group = self._expect("all", "standard", "custom")
        self._expect(")")
        return FieldGroup(group.word(), token.at)

    def _typeof(self) -> TypeOf:
        self._expect("typeof")
        path = self._path()
        branches: list[Branch] = []
        while self._take("when"):
            name = self._next()
            self._expect("then")
            branches.append(Branch(name.text, name.at, self._paths()))
        if not branches:
            raise self._source.malformed(self._token)
        otherwise = self._paths() if self._take("else") else ()
        self._expect("end")
        return TypeOf(path, tuple(branches), otherwise)

    def _paths(self) -> tuple[Path, ...]:
        paths = [self._path()]
        while self._take(","):
            paths.append(self._path())
        return tuple(paths)

    def _from(self) -> tuple[Token, str, tuple[tuple[str, Path], ...]]:
        """The object with its alias, and further aliases for parents: FROM Contact c, c.Account a."""
        if self._token.kind != "name":
            raise self._source.malformed(self._token)
        name = self._next()
        alias = self._alias()
        related = []
        while self._take(","):
            path = self._path()
            related.append((self._alias(), path))
        return name, alias, tuple(related)

    def _scope(self) -> str:
        self._expect("scope")
        token = self._name()
        if token.word() not in ("everything", "mine"):
            raise self._source.malformed(token, f"scope {token.text} is not supported by the sandbox")
        return token.word()

    def _security(self) -> None:
        """Everything is visible to the sandbox's one user, so these change nothing."""
        if self._is("data"):
            raise self._source.malformed(self._token, "WITH DATA CATEGORY is not supported by the sandbox")
        self._expect("security_enforced", "user_mode", "system_mode")

    def _grouping(self) -> Grouping:
        self._expect("by")
        form = "plain"
        if self._is("rollup", "cube") and self._following == "(":
            form = self._next().word()
            self._expect("(")
        keys = self._operands()
        if form != "plain":
            self._expect(")")
        return Grouping(form, keys, self._conditions() if self._take("having") else None)

    def _operands(self) -> tuple[Operand, ...]:
        keys = [self._operand()]
        while self._take(","):
            keys.append(self._operand())
        return tuple(keys)

    def _order(self) -> tuple[Order, ...]:
        self._expect("by")
        keys = [self._order_key()]
        while self._take(","):
            keys.append(self._order_key())
        return tuple(keys)

    def _order_key(self) -> Order:
        operand = self._operand()
        descending = self._take("desc") or (self._take("asc") and False)
        nulls_last = False
        if self._take("nulls"):
            nulls_last = self._expect("first", "last").word() == "last"
        return Order(operand, descending, nulls_last)

    def _whole_number(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit() or int(token.text) > LARGEST_NUMBER:
            raise self._source.malformed(token)
        return int(token.text)

    def _purposes(self) -> None:
        """FOR VIEW, FOR REFERENCE, FOR UPDATE, UPDATE TRACKING: read, and without effect."""
        while self._is("for", "update"):
            word = self._next().word()
            allowed = ("view", "reference", "update") if word == "for" else ("tracking", "viewstat")
            self._expect(*allowed)
            while self._take(","):
                self._expect(*allowed)
