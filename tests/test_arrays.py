"""Arrays that we build byte by byte arrive at a real server as what they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge import arrays

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
MOMENTS = st.datetimes(timezones=st.just(UTC))


@pytest.fixture
def server(connection: Connection) -> Connection:
    arrays.register(connection)
    return connection


def _back(server: Connection, array: object, cast: str) -> list[Any]:
    """The elements as the server has them, one row each."""
    rows = server.execute(
        f"select element from unnest(%s::{cast}) with ordinality as a(element, n) order by n", (array,)
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (arrays.text_array, "text"),
        (arrays.json_array, "json"),
        (arrays.bigint_array, "bigint"),
        (arrays.boolean_array, "boolean"),
        (arrays.lsn_array, "pg_lsn"),
        (arrays.time_array, "timestamptz"),
    ],
)
def test_an_empty_array_is_empty_and_has_its_type(server: Connection, make: Callable[[Any], Any], kind: str) -> None:
    row = server.execute("select cardinality(%s), pg_typeof(%s)::text", (make([]), make([]))).fetchone()
    assert row is not None
    assert row[0] == 0
    assert row[1] == {"timestamptz": "timestamp with time zone[]"}.get(kind, f"{kind}[]")


def test_texts_keep_quotes_backslashes_commas_braces_null_and_unicode(server: Connection) -> None:
    texts = ["", "NULL", None, 'a"b', "a\\b", "{x,y}", "a, b", " x ", "\n\t", "Zoë 🎈 한국 \U0010ffff", "'; drop"]
    assert _back(server, arrays.text_array(texts), "text[]") == texts
    assert _back(server, arrays.text_array([b"\xc3\xa9"]), "text[]") == ["é"]


def test_big_arrays_and_big_elements_arrive(server: Connection) -> None:
    many = [str(n) for n in range(100_000)]
    assert _back(server, arrays.text_array(many), "text[]") == many
    large = ["x" * 5_000_000, None, "é" * 1_000_000]
    assert _back(server, arrays.text_array(large), "text[]") == large


def test_json_arrives_as_it_was_written(server: Connection) -> None:
    row = server.execute("select (%s)[1]::text, (%s)[2]::text", (a := arrays.json_array([b'{"b": 1,"a":2}', None]), a))
    assert row.fetchone() == ('{"b": 1,"a":2}', None)


def test_positions_use_all_64_bits(server: Connection) -> None:
    assert _back(server, arrays.lsn_array([0, 2**32, 2**64 - 1]), "pg_lsn[]") == ["0/0", "1/0", "FFFFFFFF/FFFFFFFF"]


def test_values_that_do_not_fit_are_refused_before_they_are_sent() -> None:
    with pytest.raises(Exception, match=r"format requires|out of range|int too large"):
        arrays.bigint_array([2**63])


def test_a_nul_is_refused_by_the_server_and_not_cut(server: Connection) -> None:
    with pytest.raises(psycopg.DataError):
        server.execute("select %s", (arrays.text_array(["a\0b"]),))


@given(
    texts=st.lists(st.none() | TEXT),
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1)),
    truths=st.lists(st.booleans()),
    moments=st.lists(MOMENTS),
)
@settings(max_examples=60)
def test_every_array_comes_back_as_it_went(
    server: Connection,
    texts: list[str | None],
    numbers: list[int],
    truths: list[bool],
    moments: list[datetime],
) -> None:
    assert _back(server, arrays.text_array(texts), "text[]") == texts
    assert _back(server, arrays.bigint_array(numbers), "bigint[]") == numbers
    assert _back(server, arrays.boolean_array(truths), "boolean[]") == truths
    times = arrays.time_array(arrays.to_microseconds(moment) for moment in moments)
    assert _back(server, times, "timestamptz[]") == moments
