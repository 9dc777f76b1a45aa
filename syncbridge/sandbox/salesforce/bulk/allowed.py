"""Which SOQL a query job refuses, by its words; whatever passes is compiled like any other query."""

from __future__ import annotations

from itertools import pairwise

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.soql.tokens import Source
from syncbridge.sandbox.salesforce.soql.tree import AGGREGATES

NO_SUBQUERIES = Refusal("API_ERROR", "Aggregate Relationships not supported in Bulk V2 Query with CSV content type")
COMPOUND = Refusal("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")


def check_words(text: str) -> None:
    """Refuse GROUP BY, OFFSET, TYPEOF, aggregates and child subqueries."""
    words = [each.word() for each in Source(text).tokens()]
    from_at = _from_at(words)
    for at, (word, following) in enumerate(pairwise(words)):
        if at < from_at and following == "(" and word in AGGREGATES:
            raise _refused("Aggregate functions are")
        if at < from_at and (word, following) == ("(", "select"):
            raise NO_SUBQUERIES
        if at < from_at and word == "typeof":
            raise _refused("TYPEOF is")
        if at > from_at and (word, following) == ("group", "by"):
            raise _refused("GROUP BY is")
        if at > from_at and word == "offset" and following.isdigit():
            raise _refused("OFFSET is")


def _from_at(words: list[str]) -> int:
    """Return where the FROM of the outermost query stands."""
    depth = 0
    for at, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if word == "from" and not depth:
            return at
    return len(words)


def _refused(what: str) -> Refusal:
    return Refusal("API_ERROR", f"{what} not supported in Bulk V2 Query")
