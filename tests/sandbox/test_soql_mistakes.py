"""Mistakes: queries with words dropped, doubled, swapped or replaced are answered or refused, and break nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.soql.grouped import compile_groups
from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from syncbridge.sandbox.salesforce.store.storage import Storage
from tests.sandbox.test_soql import NOW

QUERIES = [
    "SELECT Id , Account.Name , FORMAT ( CreatedDate ) f FROM Contact c , c.Account a WHERE a.Name LIKE 'x%' AND "
    "( CreatedDate > TODAY OR NOT Email IN ( 'a' , null ) ) ORDER BY Owner.Name DESC NULLS LAST LIMIT 5 OFFSET 1",
    "SELECT Name , ( SELECT LastName FROM Contacts WHERE Email != null ORDER BY Id LIMIT 2 ) FROM Account WHERE "
    "Id NOT IN ( SELECT AccountId FROM Opportunity WHERE Amount >= 10.5 ) AND DAY_ONLY ( CreatedDate ) = 2026-01-01",
    "SELECT StageName s , SUM ( Amount ) , COUNT ( Id ) n FROM Opportunity WHERE CloseDate = LAST_N_DAYS:3 "
    "GROUP BY ROLLUP ( StageName , CALENDAR_YEAR ( CloseDate ) ) HAVING MAX ( Amount ) > 5 ORDER BY n LIMIT 3",
    "SELECT TYPEOF Owner WHEN User THEN Email ELSE Name END , FIELDS ( STANDARD ) FROM Lead USING SCOPE mine "
    "WHERE Owner.Type = 'User' WITH SECURITY_ENFORCED FOR VIEW",
    "SELECT COUNT ( ) FROM Case WHERE IsClosed = FALSE AND Id > '500000000000001AAA' ALL ROWS",
]
WORDS = sorted(
    {word for query in QUERIES for word in query.split()} | {"''", "5e400", "9" * 20, "LAST_N_DAYS:9999999999", ":x"}
)
EDITS = st.lists(
    st.tuples(st.sampled_from(["drop", "double", "replace", "swap"]), st.integers(0, 60), st.sampled_from(WORDS)),
    max_size=4,
)


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    """The empty tables of the standard org."""
    storage = Storage(load_org())
    yield storage
    storage.close()


def edited(query: str, edits: list[tuple[str, int, str]]) -> str:
    words = query.split()
    for kind, at, word in edits:
        place = at % len(words)
        if kind == "drop" and len(words) > 1:
            del words[place]
        elif kind == "double":
            words.insert(place, words[place])
        elif kind == "replace":
            words[place] = word
        else:
            words[place - 1], words[place] = words[place], words[place - 1]
    return " ".join(words)


@pytest.mark.parametrize("query", QUERIES[:-1])
def test_the_queries_are_right_without_mistakes(storage: Storage, query: str) -> None:
    assert answered(storage, query)


def answered(storage: Storage, soql: str) -> bool:
    """Return whether a query is answered; anything but an answer or a refusal is raised."""
    org = load_org()
    try:
        query = parse(soql)
        if query.aggregated and not query.counted:
            groups = compile_groups(org, query, NOW)
            storage.select(groups.sql, groups.values)
        else:
            statement = compile_query(org, query, NOW)
            storage.select(*statement.select())
            for child in statement.root.children.values():
                storage.select(child.select_by_parent(20), [*child.values, "[]"])
    except Refusal:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(query=st.sampled_from(QUERIES), edits=EDITS)
def test_whatever_the_mistakes_a_query_is_answered_or_refused(
    storage: Storage, query: str, edits: list[tuple[str, int, str]]
) -> None:
    answered(storage, edited(query, edits))
