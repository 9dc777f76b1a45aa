"""SOQL: what is refused and how it is worded, the calendar, and conditions against a plain Python filter."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.periods import period
from syncbridge.sandbox.salesforce.soql.sql import compile_query

ORG = load_org()
NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)  # a Wednesday


def refused(soql: str) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        compile_query(ORG, parse(soql), NOW)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("soql", "message"),
    [
        ("SELECT Id FORM Account", "unexpected token: 'Account'"),
        ("SELECT Id f FROM Account", "only aggregate expressions use field aliasing"),
        ("SELECT FROM Account", "unexpected token: 'FROM'"),
        ("SELECT Id FROM Account WHERE", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Name", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Name = 'x", "mismatched character '<EOF>' expecting '''"),
        ("SELECT Id FROM Account WHERE Name == 'x'", "unexpected token: '='"),
        ("SELECT Id FROM Account WHERE (Name = 'x'", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Name = 'x' OR Name = 'y' AND Name = 'z'", "unexpected token: 'AND'"),
        ("SELECT Id FROM Account WHERE Name IN ()", "unexpected token: ')'"),
        ("SELECT Id FROM Account ORDER Name", "unexpected token: 'Name'"),
        ("SELECT Id FROM Account ORDER BY Name NULLS", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account LIMIT x", "unexpected token: 'x'"),
        ("SELECT Id FROM Account LIMIT -1", "unexpected token: '-1'"),
        ("SELECT Id FROM Account LIMIT 9999999999", "unexpected token: '9999999999'"),
        ("SELECT Id FROM Account WHERE CreatedDate > LAST_N_DAYS:9999999", "unexpected token: 'LAST_N_DAYS:9999999'"),
        ("SELECT Id FROM Account; DROP TABLE Account", "unexpected token: ';'"),
        ("SELECT * FROM Account", "unexpected token: '*'"),
        ("SELECT Id, FROM Account", "unexpected token: 'FROM'"),
        ("SELECT Id FROM Account WHERE CreatedDate = SOMEDAY", "unexpected token: 'SOMEDAY'"),
    ],
)
def test_what_is_no_soql_is_malformed_and_shown_where(soql: str, message: str) -> None:
    code, text = refused(soql)
    assert code == "MALFORMED_QUERY"
    assert text.splitlines()[-1] == message
    assert "ERROR at Row:1:Column:" in text


def test_an_error_points_at_the_place() -> None:
    code, text = refused("SELECT Id\nFROM Account\nWHERE Nope = 1")
    assert code == "INVALID_FIELD"
    assert text.startswith(
        "\nWHERE Nope = 1\n      ^\nERROR at Row:3:Column:7\nNo such column 'Nope' on entity 'Account'."
    )


@pytest.mark.parametrize(
    ("soql", "code", "text"),
    [
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported."),
        ("SELECT Nope FROM Account", "INVALID_FIELD", "No such column 'Nope' on entity 'Account'."),
        ("SELECT Nope.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Nope' in field path."),
        ("SELECT DandbCompany.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'DandbCompany'"),
        ("SELECT Account.Nope FROM Contact", "INVALID_FIELD", "No such column 'Nope' on entity 'Account'."),
        ("SELECT Id FROM Account ORDER BY Nope", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Id, id FROM Account", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "must be of type string and should be enclosed"),
        (
            "SELECT Id FROM Account WHERE NumberOfEmployees = '5'",
            "INVALID_FIELD",
            "value of filter criterion for field 'NumberOfEmployees' must be of type int and should not be enclosed in",
        ),
        ("SELECT Id FROM Account WHERE IsDeleted = 'false'", "INVALID_FIELD", "of type boolean and should not be"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE Birthdate > 2026-01-01T00:00:00Z", "INVALID_FIELD", "must be of type date"),
        ("SELECT Id FROM Account WHERE Name = TODAY", "INVALID_FIELD", "must be of type string"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered"),
        ("SELECT Id FROM Account ORDER BY Description", "INVALID_FIELD", "field 'Description' can not be sorted"),
        (
            "SELECT Id FROM Account WHERE NumberOfEmployees LIKE '5'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid operator",
        ),
        ("SELECT Id FROM Account WHERE Name INCLUDES ('x')", "INVALID_FIELD", "multipicklist"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        (f"SELECT Id FROM Account WHERE Name = '{'x' * 100_000}'", "MALFORMED_QUERY", "longer than 100000"),
    ],
)
def test_what_the_org_does_not_know_is_refused_by_name(soql: str, code: str, text: str) -> None:
    found, message = refused(soql)
    assert found == code
    assert text in message


@pytest.mark.parametrize(
    ("word", "start", "end"),
    [
        ("TODAY", "2026-05-13", "2026-05-14"),
        ("YESTERDAY", "2026-05-12", "2026-05-13"),
        ("TOMORROW", "2026-05-14", "2026-05-15"),
        ("LAST_N_DAYS:7", "2026-05-06", "2026-05-14"),
        ("NEXT_N_DAYS:7", "2026-05-14", "2026-05-21"),
        ("N_DAYS_AGO:3", "2026-05-10", "2026-05-11"),
        ("THIS_WEEK", "2026-05-10", "2026-05-17"),
        ("LAST_WEEK", "2026-05-03", "2026-05-10"),
        ("LAST_N_WEEKS:2", "2026-04-26", "2026-05-10"),
        ("THIS_MONTH", "2026-05-01", "2026-06-01"),
        ("NEXT_MONTH", "2026-06-01", "2026-07-01"),
        ("LAST_N_MONTHS:5", "2025-12-01", "2026-05-01"),
        ("NEXT_N_MONTHS:8", "2026-06-01", "2027-02-01"),
        ("N_MONTHS_AGO:5", "2025-12-01", "2026-01-01"),
        ("THIS_QUARTER", "2026-04-01", "2026-07-01"),
        ("LAST_QUARTER", "2026-01-01", "2026-04-01"),
        ("NEXT_FISCAL_QUARTER", "2026-07-01", "2026-10-01"),
        ("LAST_YEAR", "2025-01-01", "2026-01-01"),
        ("LAST_90_DAYS", "2026-02-12", "2026-05-14"),
        ("NEXT_N_YEARS:2", "2027-01-01", "2029-01-01"),
    ],
)
def test_calendar_words_are_ranges_of_days(word: str, start: str, end: str) -> None:
    assert period(word, NOW.date()) == (date.fromisoformat(start), date.fromisoformat(end))


@pytest.mark.parametrize("word", ["SOMEDAY", "LAST_N_DAYS", "LAST_N_MOONS:2", "THIS_N_DAYS:1", "LAST_MOON"])
def test_other_words_are_no_period(word: str) -> None:
    assert period(word, NOW.date()) is None


TEXTS = st.sampled_from(["a", "A", "b", "ab", "B%", "x'y", "back\\slash"])
NUMBERS = st.integers(-2, 2)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"Site": st.none() | TEXTS, "NumberOfEmployees": st.none() | NUMBERS, "IsPartner": st.booleans()}
    ),
    max_size=8,
)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def compare(left: Any, operator: str, right: Any) -> bool:
    """What SOQL says of a comparison: two truth values, no case, and nothing is less than an empty field."""
    left, right = (each.lower() if isinstance(each, str) else each for each in (left, right))
    if operator in ("=", "!="):
        return bool((left == right) == (operator == "="))
    if left is None or right is None:
        return False
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> tuple[str, Any]:
    """A condition as SOQL text and as a function of a row."""
    kind = draw(st.sampled_from(["text", "number", "flag", "in", "not", "and", "or"] if depth else ["text", "number"]))
    if kind in ("and", "or"):
        parts = draw(st.lists(conditions(depth - 1), min_size=2, max_size=3))
        combine = all if kind == "and" else any
        return "(" + f" {kind} ".join(text for text, _ in parts) + ")", lambda row: combine(f(row) for _, f in parts)
    if kind == "not":
        text, inner = draw(conditions(depth - 1))
        return f"not {text}", lambda row: not inner(row)
    if kind == "flag":
        wanted = draw(st.booleans())
        return f"IsPartner = {str(wanted).upper()}", lambda row: row["IsPartner"] == wanted
    if kind == "in":
        values = draw(st.lists(st.none() | TEXTS, min_size=1, max_size=3))
        folded = {each.lower() if each is not None else None for each in values}
        negated = draw(st.booleans())
        listed = ", ".join("null" if each is None else quoted(each) for each in values)

        def inside(row: dict[str, Any]) -> bool:
            value = row["Site"].lower() if row["Site"] is not None else None
            return (value in folded) != negated

        return f"Site {'not ' if negated else ''}in ({listed})", inside
    field, value = ("Site", draw(st.none() | TEXTS)) if kind == "text" else ("NumberOfEmployees", draw(NUMBERS))
    operator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    literal = "null" if value is None else quoted(value) if isinstance(value, str) else str(value)
    return f"{field} {operator} {literal}", lambda row: compare(row[field], operator, value)


@given(rows=ROWS, condition=conditions())
def test_any_condition_selects_what_a_plain_filter_selects(rows: list[dict[str, Any]], condition: Any) -> None:
    text, keep = condition
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(
            'create table "Account" ("seq" integer primary key, "Id" text, "IsDeleted" integer default 0, '
            '"Site" text collate nocase, "NumberOfEmployees" integer, "IsPartner" integer)'
        )
        connection.executemany(
            'insert into "Account" ("Site", "NumberOfEmployees", "IsPartner") values (?, ?, ?)',
            [(row["Site"], row["NumberOfEmployees"], row["IsPartner"]) for row in rows],
        )
        statement = compile_query(ORG, parse(f"SELECT Id FROM Account WHERE {text}"), NOW)
        found = [row[0] - 1 for row in connection.execute(*statement.select('t0."seq"'))]
    finally:
        connection.close()
    assert found == [at for at, row in enumerate(rows) if keep(row)]
