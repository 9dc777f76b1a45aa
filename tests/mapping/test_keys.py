"""Keys: one text, the same in Python and in Postgres."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge.mapping.keys import decode_key, encode_key

VALUES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20), min_size=1, max_size=4)


@given(VALUES)
def test_a_key_is_read_back(values: list[str]) -> None:
    assert decode_key(encode_key(values), len(values)) == tuple(values)


@given(st.lists(st.text(), min_size=2, max_size=3), st.lists(st.text(), min_size=2, max_size=3))
def test_different_rows_have_different_keys(one: list[str], other: list[str]) -> None:
    assert (encode_key(one) == encode_key(other)) == (one == other)


@given(values=VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_postgres_writes_the_same_key(connection: Connection, values: list[str]) -> None:
    texts = ", ".join(["%s::text"] * len(values))
    sql = "select %s::text" if len(values) == 1 else f"select jsonb_build_array({texts})::text"
    assert connection.execute(sql, values).fetchone() == (encode_key(values),)


@pytest.mark.parametrize("key", ["a", "5", '["a"]', '["a", 5]', '["a", "b", "c"]', '{"a": 1}'])
def test_what_is_no_key_of_two_columns_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"not a key|Expecting"):
        decode_key(key, 2)
