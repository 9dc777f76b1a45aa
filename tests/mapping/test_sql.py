"""SQL as text: quoting that survives any name, and fragments that stay inside their parentheses."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge.mapping.sql import (
    enclosed,
    escaped,
    fragment_fault,
    literal,
    outside_quotes,
    quoted,
    shown,
    split_table,
)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
on_one_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize(
    ("name", "expected"), [("a", '"a"'), ('a"b', '"a""b"'), ("A b", '"A b"'), ("a.b", '"a.b"'), ("é%", '"é%"')]
)
def test_names_are_quoted(name: str, expected: str) -> None:
    assert quoted(name) == expected


@pytest.mark.parametrize("name", ["", "a\x00b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        quoted(name)


@given(name=TEXTS.filter(bool), text=TEXTS)
@on_one_database
def test_any_name_and_any_text_come_back_from_the_server(connection: Connection, name: str, text: str) -> None:
    name = name.encode()[:60].decode(errors="ignore") or "x"
    cursor = connection.execute(escaped(f"select {literal(text)} as {quoted(name)}"), ())
    assert cursor.description is not None
    assert cursor.description[0].name == name
    assert cursor.fetchone() == (text,)


def test_a_literal_means_the_same_whatever_the_server_makes_of_backslashes(connection: Connection) -> None:
    connection.execute("set standard_conforming_strings = off; set escape_string_warning = off")
    assert connection.execute(f"select {literal(chr(92) + chr(39))}").fetchone() == ("\\'",)


@pytest.mark.parametrize(
    "fragment",
    [
        "a",
        "not is_test",
        "a || ';' || $$;)$$ || $tag$ ' ; $tag$",
        "E'it\\'s ;(' || 'it''s )'",
        '"odd ; name)" = 1',
        "(a[1] + f(b, c))",
        "a -- ; ( ' \" \n + b",
        "a /* ; /* nested ( */ ' */ + b",
        "jsonb_path_query_first(a, '$.b')::text",
        "a$1b",
        "select count(*) from orders",
    ],
)
def test_one_expression_is_accepted(fragment: str) -> None:
    assert fragment_fault(fragment) == ""


@pytest.mark.parametrize(
    ("fragment", "fault"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("-- only this", "holds nothing but a comment"),
        ("/* only this */", "holds nothing but a comment"),
        ("a;", "holds a semicolon; it must be one expression"),
        ("(a", "has an opening ( that is never closed"),
        ("a[1", "has an opening [ that is never closed"),
        ("a)", "has a closing ) too many"),
        ("(a]", "has a closing ] too many"),
        ("a) or (b", "has a closing ) too many"),
        ("'a", "has a quote ' that is never closed"),
        ('"a', 'has a quote " that is never closed'),
        ("E'a\\'", "has a quote ' that is never closed"),
        ("$$ a", "has a quote $$ that is never closed"),
        ("$x$ a $y$", "has a quote $x$ that is never closed"),
        ("/* a", "has a comment /* that is never closed"),
        ("/* /* a */", "has a comment /* that is never closed"),
        ("a = $1", "holds the parameter $1, which has no value here"),
        ("a\x00", "holds a NUL character"),
    ],
)
def test_what_is_not_one_expression_is_told(fragment: str, fault: str) -> None:
    assert fragment_fault(fragment) == fault


_PIECES = st.sampled_from(
    ["1", "'", '"', "(", ")", "[", "]", "--", "/*", "*/", "\n", ";", "$$", "$a$", "E'", "\\", " ", ","]
)


@given(fragment=st.lists(_PIECES, max_size=8).map("".join))
@on_one_database
def test_an_accepted_fragment_never_leaves_its_parentheses(connection: Connection, fragment: str) -> None:
    """Postgres agrees: whatever is accepted either fails, or leaves what follows it as it was."""
    if fragment_fault(fragment):
        return
    with connection.transaction(force_rollback=True):
        try:
            row = connection.execute(f"select {enclosed(fragment)}::text is null, 'guard' as guard", ()).fetchone()
        except Exception as error:
            assert type(error).__module__.startswith("psycopg")  # noqa: PT017 - an error is one of two right outcomes
        else:
            assert row is not None
            assert row[-1] == "guard"


def test_only_words_outside_quotes_count_as_sql() -> None:
    assert outside_quotes("a || 'select' || \"select\" /* select */ -- select\n + B") == "a B"


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a.b.c", "a b", 'a"b', '"a', '""', 'a."b"c'])
def test_what_names_no_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write schema"):
        split_table(text)


@given(st.text(min_size=1).filter(lambda s: "\x00" not in s), st.text(min_size=1).filter(lambda s: "\x00" not in s))
def test_any_quoted_table_is_read_back(schema: str, table: str) -> None:
    assert split_table(f"{quoted(schema)}.{quoted(table)}") == (schema, table)


@pytest.mark.parametrize(
    ("name", "written"),
    [("price", "price"), ("user", '("user")'), ("Odd", '("Odd")'), ('a"b', '("a""b")'), ("order_", "order_")],
)
def test_a_column_is_shown_as_it_can_be_written_in_a_mapping_file(name: str, written: str) -> None:
    assert shown(name) == written
