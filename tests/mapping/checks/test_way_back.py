"""What `check` says of mappings with a way back: fields that only the destination fills, columns of several fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge.errors import Finding
from syncbridge.schemas import Table
from tests.mapping.checks.fix_people import HEAD, PEOPLE, findings

BOTH = HEAD + "  LINE\ndirection: both\n"


def told(line: str) -> list[Finding]:
    return [
        found
        for found in findings(BOTH.replace("LINE", line))
        if ("Formula__c" in found.message or "Hidden" in found.message) and "put back" not in found.message
    ]


@pytest.mark.parametrize("line", ["Formula__c: nickname", "Formula__c: {column: nickname, owner: destination}"])
def test_a_calculated_field_may_come_into_a_column(line: str) -> None:
    assert told(line) == []
    assert told("Hidden__c: nickname") == []


@pytest.mark.parametrize(
    ("line", "severity", "message", "remedy"),
    [
        ("Formula__c: {column: nickname, owner: postgres}", "error", "so that Postgres cannot own it", "Leave `owner`"),
        ("Formula__c: {sql: upper(nickname)}", "error", "it can only come from there", "Give it a column of the table"),
        ("Formula__c: {constant: x}", "error", "it can only come from there", "Give it a column of the table"),
        ("Formula__c: last_name", "error", "it can only come from there", "that no other field writes"),
        ("Formula__c: vip", "", "", ""),
        ("Formula__c: data", "error", "jsonb does not fit a field of type string", ""),
        ("Formula__c: {column: nickname, default: x}", "warning", "so that nothing is ever sent", "Leave it out."),
        ("Hidden__c: {constant: x}", "error", "lets nobody write this field, so that it can only come", ""),
    ],
)
def test_a_field_that_cannot_be_written_and_says_otherwise_is_told(
    line: str, severity: str, message: str, remedy: str
) -> None:
    found = told(line)
    assert [each.severity for each in found] == ([severity] if severity else [])
    for each in found:
        assert message in each.message
        assert remedy in each.remedy


def test_no_record_is_matched_by_a_calculated_field() -> None:
    (found,) = told("Formula__c: nickname\nmatch_on: Formula__c")
    assert (found.severity, found.where.rpartition(":")[2]) == ("error", "9")
    assert "is filled by the destination" in found.message


def test_of_two_fields_over_one_column_the_second_is_told_to_be_put_back() -> None:
    lines = "FirstName: nickname\n  About__c: {}"
    (found,) = [each for each in findings(BOTH.replace("LINE", lines.format("nickname"))) if "put back" in each.message]
    assert found.severity == "warning"
    assert "fields.About__c: nickname takes changes of FirstName" in found.message
    silent = findings(BOTH.replace("LINE", lines.format("{column: nickname, owner: postgres}")))
    assert [each for each in silent if "put back" in each.message] == []


def rights(more: str, table: Table = PEOPLE) -> list[tuple[str, str]]:
    """What is said of the login's rights to write."""
    found = findings(HEAD + "  FirstName: nickname\n" + more, table=table)
    return [(each.message, each.sql) for each in found if "lacks" in each.message]


def granting(*, inserts: str = "", updates: str = "", deletes: bool = False) -> Table:
    """The table with rights on these columns only."""
    columns = {
        name: replace(each, insertable=name in inserts.split(), updatable=name in updates.split())
        for name, each in PEOPLE.columns.items()
    }
    return replace(PEOPLE, columns=columns, deletable=deletes)


def test_a_login_that_may_only_read_is_told_what_the_way_back_needs() -> None:
    bare = granting()
    assert rights("", bare) == []
    assert rights("direction: both\n") == []
    ((message, sql),) = rights("direction: both\n", bare)
    assert message == "`direction: both` writes rows of public.people: the login sync lacks UPDATE, INSERT"
    assert sql == 'GRANT UPDATE, INSERT ON "public"."people" TO "sync";'
    ((_, sql),) = rights("direction: both\ncreates: {to_postgres: ignore}\n", bare)
    assert sql == 'GRANT UPDATE ON "public"."people" TO "sync";'
    ((_, sql),) = rights("direction: both\ndeletes: {to_postgres: delete}\n", bare)
    assert sql == 'GRANT UPDATE, INSERT, DELETE ON "public"."people" TO "sync";'


def test_a_sequence_that_gives_keys_to_new_rows_has_to_be_open() -> None:
    key = replace(PEOPLE.columns["id"], has_default=True, sequence="public.people_id_seq", drawable=False)
    closed = replace(PEOPLE, columns={**PEOPLE.columns, "id": key})
    text = HEAD + "  FirstName: nickname\ndirection: both\n"
    (found,) = [each for each in findings(text, table=closed) if "people_id_seq" in each.message]
    assert (found.severity, found.sql) == (
        "error", 'GRANT USAGE, UPDATE ON SEQUENCE public.people_id_seq TO "sync";'
    )  # fmt: skip
    ignored = text + "creates: {to_postgres: ignore}\n"
    assert not [each for each in findings(ignored, table=closed) if "people_id_seq" in each.message]


def test_rights_on_columns_are_enough_where_they_are_all_that_is_written() -> None:
    assert rights("direction: both\n", granting(inserts="id nickname last_name", updates="nickname last_name")) == []
    marked = "direction: both\ndeletes: {to_postgres: {set: {vip: false}}}\n"
    ((_, sql),) = rights(marked, granting(inserts="nickname last_name", updates="nickname last_name"))
    assert sql == 'GRANT UPDATE ("vip"), INSERT ("id") ON "public"."people" TO "sync";'
