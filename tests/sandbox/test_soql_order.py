"""ORDER BY, LIMIT and OFFSET, over the record's fields and its parent's, against a plain Python sort."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from tests.sandbox.test_soql import NOW, NUMBERS, ORG

TEXTS = st.none() | st.sampled_from(["a", "A", "b", "B", "ab"])
ROWS = st.lists(st.tuples(TEXTS, st.none() | NUMBERS, st.none() | st.integers(1, 3)), max_size=9)
KEYS = {"Site": 0, "NumberOfEmployees": 1, "Parent.Site": 2}
ORDERS = st.lists(
    st.tuples(st.sampled_from(sorted(KEYS)), st.booleans(), st.sampled_from(["", " NULLS FIRST", " NULLS LAST"])),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[0],
)


@pytest.fixture(scope="module")
def tables() -> Iterator[sqlite3.Connection]:
    """An Account table with the columns of the test."""
    connection = sqlite3.connect(":memory:")
    connection.execute(
        'create table "Account" ("seq" integer primary key, "Id" text unique, "IsDeleted" integer default 0, '
        '"ParentId" text, "Site" text collate nocase, "NumberOfEmployees" integer)'
    )
    yield connection
    connection.close()


def before(one: Any, other: Any, descending: bool, nulls_last: bool) -> int:
    """Compare two values as ORDER BY does: empty ones first unless told otherwise, whatever the direction."""
    if one is None or other is None:
        place = int(one is None) - int(other is None)
        return place if nulls_last else -place
    one, other = (each.lower() if isinstance(each, str) else each for each in (one, other))
    place = int(one > other) - int(one < other)
    return -place if descending else place


@given(rows=ROWS, order=ORDERS, limit=st.none() | st.integers(0, 6), offset=st.integers(0, 4))
def test_any_order_is_that_of_a_plain_sort(
    tables: sqlite3.Connection, rows: list[Any], order: list[Any], limit: int | None, offset: int
) -> None:
    tables.execute('delete from "Account"')
    ids = [f"001{at:012d}AAA" for at in range(len(rows))]
    parents = [ids[up - 1] if up and up <= len(ids) else None for _, _, up in rows]
    stored = [(ids[at], parents[at], row[0], row[1]) for at, row in enumerate(rows)]
    tables.executemany(
        'insert into "Account" ("Id", "ParentId", "Site", "NumberOfEmployees") values (?, ?, ?, ?)', stored
    )
    sites = {each[0]: each[2] for each in stored}
    plain = [(site, number, sites.get(str(parent))) for _, parent, site, number in stored]

    def compare(one: int, other: int) -> int:
        for key, descending, nulls in order:
            place = before(plain[one][KEYS[key]], plain[other][KEYS[key]], descending, nulls == " NULLS LAST")
            if place:
                return place
        return one - other

    expected = sorted(range(len(rows)), key=cmp_to_key(compare))[offset:]
    keys = ", ".join(f"{key}{' DESC' if descending else ''}{nulls}" for key, descending, nulls in order)
    soql = f"SELECT Id FROM Account ORDER BY {keys}{f' LIMIT {limit}' if limit is not None else ''} OFFSET {offset}"
    statement = compile_query(ORG, parse(soql), NOW)
    found = [row[0] - 1 for row in tables.execute(*statement.select('t0."seq"'))]
    assert found == expected[:limit]
