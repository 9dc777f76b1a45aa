"""Aggregate queries: functions, GROUP BY, ROLLUP, CUBE, HAVING, against plain Python over the same records."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.soql.grouped import compile_groups
from syncbridge.sandbox.salesforce.soql.parser import parse
from tests.sandbox.conftest import Api
from tests.sandbox.test_soql import NOW, NUMBERS, ORG, compare


def refused(soql: str) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        compile_groups(ORG, parse(soql), NOW)
    return caught.value.code, caught.value.message.splitlines()[-1]


@pytest.fixture
def deals(api: Api) -> Api:
    """Opportunities in three stages, one of them without an amount, one with an account."""
    account = api.create("Account", Name="acme")
    for stage, day, amount, parent in (
        ("New", "2025-02-28", 100.5, account),
        ("new", "2026-03-01", 200.0, None),
        ("Won", "2026-12-31", None, account),
        ("Lost", "2026-03-31", -5.0, None),
    ):
        values = {"StageName": stage, "CloseDate": day, "Amount": amount, "AccountId": parent}
        api.create("Opportunity", Name=f"{stage} {day}", **values)
    return api


def test_functions_over_everything_make_one_result(deals: Api) -> None:
    soql = (
        "SELECT COUNT(Id), COUNT(Amount) n, SUM(Amount), AVG(Amount) mean, MIN(CloseDate), MAX(Name) FROM Opportunity"
    )
    assert deals.query(soql) == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "AggregateResult"},
                "expr0": 4, "n": 3, "expr1": 295.5, "mean": 98.5, "expr2": "2025-02-28", "expr3": "Won 2026-12-31",
            }
        ],
    }  # fmt: skip
    [empty] = deals.rows("SELECT COUNT(Id) n, MAX(Amount) most FROM Opportunity WHERE Name = 'none'")
    assert empty == {"n": 0, "most": None}


def test_groups_go_by_fields_parents_and_parts_of_dates(deals: Api) -> None:
    soql = "SELECT StageName, COUNT(Id) n FROM Opportunity GROUP BY StageName ORDER BY COUNT(Id) DESC, StageName"
    rows = deals.rows(soql)
    assert [(row["StageName"].lower(), row["n"]) for row in rows] == [("new", 2), ("lost", 1), ("won", 1)]
    by_account = deals.rows("SELECT Account.Name, SUM(Amount) FROM Opportunity GROUP BY Account.Name")
    assert by_account == [{"Name": None, "expr0": 195.0}, {"Name": "acme", "expr0": 100.5}]
    soql = "SELECT CALENDAR_YEAR(CloseDate) y, CALENDAR_QUARTER(CloseDate), COUNT(Id) FROM Opportunity "
    soql += "GROUP BY CALENDAR_YEAR(CloseDate), CALENDAR_QUARTER(CloseDate) ORDER BY y, CALENDAR_QUARTER(CloseDate)"
    assert [tuple(row.values()) for row in deals.rows(soql)] == [(2025, 1, 1), (2026, 1, 2), (2026, 4, 1)]


def test_having_chooses_groups_and_limit_counts_them(deals: Api) -> None:
    soql = "SELECT StageName s FROM Opportunity GROUP BY StageName HAVING {} ORDER BY StageName DESC"

    def found(condition: str, rest: str = "") -> list[str]:
        return [row["s"].lower() for row in deals.rows(soql.format(condition) + rest)]

    assert found("COUNT(Id) > 1 OR MAX(Amount) = -5") == ["new", "lost"]
    assert found("StageName LIKE 'w%' AND NOT COUNT(Amount) > 0") == ["won"]
    assert found("COUNT(Id) > 0", " LIMIT 1 OFFSET 1") == ["new"]


def test_rollup_and_cube_add_subtotals(deals: Api) -> None:
    soql = (
        "SELECT CALENDAR_YEAR(CloseDate) y, StageName s, GROUPING(StageName) g, COUNT(Id) n FROM Opportunity GROUP BY "
    )
    rows = deals.rows(soql + "ROLLUP(CALENDAR_YEAR(CloseDate), StageName)")
    found = {(row["y"], row["s"] and row["s"].lower(), row["g"]): row["n"] for row in rows}
    assert found == {
        (2025, "new", 0): 1, (2026, "new", 0): 1, (2026, "won", 0): 1, (2026, "lost", 0): 1,
        (2025, None, 1): 1, (2026, None, 1): 3, (None, None, 1): 4,
    }  # fmt: skip
    cube = deals.rows(soql + "CUBE(CALENDAR_YEAR(CloseDate), StageName)")
    assert {(row["s"].lower(), row["n"]) for row in cube if row["y"] is None and row["s"]} == {
        ("new", 2), ("won", 1), ("lost", 1),
    }  # fmt: skip
    assert len(cube) == len(rows) + 3


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("CALENDAR_YEAR", 2024), ("FISCAL_YEAR", 2024), ("CALENDAR_QUARTER", 4), ("FISCAL_QUARTER", 4),
        ("CALENDAR_MONTH", 12), ("FISCAL_MONTH", 12), ("DAY_IN_MONTH", 29), ("DAY_IN_YEAR", 364), ("DAY_IN_WEEK", 1),
        ("WEEK_IN_MONTH", 5), ("WEEK_IN_YEAR", 52), ("HOUR_IN_DAY", 23), ("DAY_ONLY", "2024-12-29"),
    ],
)  # fmt: skip
def test_date_functions_take_parts_of_a_datetime(api: Api, function: str, expected: Any) -> None:
    api.create("Contact", LastName="x", EmailBouncedDate="2024-12-29T23:05:00Z")  # a Sunday
    call = f"{function}(EmailBouncedDate)"
    assert api.rows(f"SELECT {call} v FROM Contact GROUP BY {call}") == [{"v": expected}]
    assert (
        len(api.rows(f"SELECT Id FROM Contact WHERE {function}(convertTimezone(EmailBouncedDate)) = {expected}")) == 1
    )
    assert api.rows(f"SELECT Id FROM Contact WHERE {call} != {expected}") == []


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        ("SELECT Name, MAX(Amount) FROM Opportunity", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Name FROM Opportunity GROUP BY StageName", "MALFORMED_QUERY", "grouped or aggregated: Name"),
        ("SELECT COUNT(Id) FROM Account GROUP BY Id", "MALFORMED_QUERY", "Grouped field should not be aggregated: Id"),
        ("SELECT MAX(Amount) FROM Opportunity LIMIT 1", "MALFORMED_QUERY", "aggregate functions cannot also use LIMIT"),
        ("SELECT MAX(Amount) FROM Opportunity ORDER BY Name", "MALFORMED_QUERY", "cannot also use ORDER BY"),
        ("SELECT SUM(Name) FROM Account", "MALFORMED_QUERY", "field Name does not support aggregate operator SUM"),
        ("SELECT COUNT(IsDeleted) FROM Account", "MALFORMED_QUERY", "does not support aggregate operator COUNT"),
        (
            "SELECT COUNT(Id) FROM Account GROUP BY CreatedDate",
            "INVALID_FIELD",
            "field 'CreatedDate' can not be grouped",
        ),
        ("SELECT MAX(Name) n, MIN(Name) N FROM Account", "MALFORMED_QUERY", "duplicate alias: N"),
        ("SELECT COUNT(Id) FROM Account WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "HAVING"),
        ("SELECT COUNT(Id) FROM Account HAVING COUNT(Id) > 1", "MALFORMED_QUERY", "unexpected token: 'HAVING'"),
        ("SELECT COUNT(), Name FROM Account", "MALFORMED_QUERY", "COUNT() must be the only element"),
        ("SELECT CALENDAR_YEAR(Name) FROM Account GROUP BY CALENDAR_YEAR(Name)", "MALFORMED_QUERY", "does not support"),
        ("SELECT GROUPING(Name) FROM Account GROUP BY Name", "MALFORMED_QUERY", "ROLLUP or CUBE"),
    ],
)
def test_groups_that_are_refused(soql: str, code: str, message: str) -> None:
    found, text = refused(soql)
    assert found == code
    assert message in text


def test_more_groups_than_a_page_holds_are_refused(deals: Api, sandbox: SandboxServer) -> None:
    sandbox.control.set_page_size(2)
    response = deals.get("/query", params={"q": "SELECT StageName FROM Opportunity GROUP BY StageName"})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert len(deals.rows("SELECT StageName FROM Opportunity GROUP BY StageName LIMIT 2")) == 2


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "Site": st.none() | st.sampled_from(["a", "A", "b"]),
            "NumberOfEmployees": st.none() | NUMBERS,
            "IsPartner": st.booleans(),
        }
    ),
    max_size=10,
)


def plain_groups(rows: list[dict[str, Any]], keys: list[str], operator: str, bound: int) -> set[tuple[Any, ...]]:
    """What the query of the next test must find, worked out in Python."""
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in rows:
        key = tuple(row[each].lower() if isinstance(row[each], str) else row[each] for each in keys)
        groups[key].append(row["NumberOfEmployees"])
    if not keys:
        groups.setdefault((), [])
    found = set()
    for key, values in groups.items():
        numbers = [each for each in values if each is not None]
        if keys and not compare(max(numbers, default=None), operator, bound):
            continue
        total = sum(numbers) if numbers else None
        found.add((*key, len(values), len(numbers), len(set(numbers)), total, min(numbers, default=None)))
    return found


@given(
    rows=ROWS,
    keys=st.sampled_from([[], ["Site"], ["IsPartner"], ["Site", "IsPartner"]]),
    operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    bound=NUMBERS,
)
def test_any_grouping_finds_what_plain_python_finds(
    rows: list[dict[str, Any]], keys: list[str], operator: str, bound: int
) -> None:
    functions = (
        "COUNT(Id), COUNT(NumberOfEmployees), COUNT_DISTINCT(NumberOfEmployees), SUM(NumberOfEmployees), "
        "MIN(NumberOfEmployees)"
    )
    soql = f"SELECT {', '.join([*keys, functions])} FROM Account"
    if keys:
        soql += f" GROUP BY {', '.join(keys)} HAVING MAX(NumberOfEmployees) {operator} {bound}"
    groups = compile_groups(ORG, parse(soql), NOW)
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(
            'create table "Account" ("seq" integer primary key, "Id" text default \'i\', '
            '"IsDeleted" integer default 0, "Site" text collate nocase, "NumberOfEmployees" integer, '
            '"IsPartner" integer)'
        )
        connection.executemany(
            'insert into "Account" ("Site", "NumberOfEmployees", "IsPartner") values (?, ?, ?)',
            [(row["Site"], row["NumberOfEmployees"], row["IsPartner"]) for row in rows],
        )
        found = [groups.show(row) for row in connection.execute(groups.sql, groups.values)]
    finally:
        connection.close()
    shown = [tuple(each.lower() if isinstance(each, str) else each for each in list(row.values())[1:]) for row in found]
    assert len(shown) == len(set(shown))
    assert set(shown) == plain_groups(rows, keys, operator, bound)
