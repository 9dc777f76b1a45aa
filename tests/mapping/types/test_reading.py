"""Values: what Postgres really writes, read back; and what no destination could store, refused for its record alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledField
from syncbridge.mapping.types.reading import READABLE, field_reader, reader
from syncbridge.model import Value
from syncbridge.source.catalog import describe_query
from syncbridge.source.rows import prepare

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


def read(connection: Connection, sql: str) -> Value:
    """What a mapping would make of an expression: its type described, its text read."""
    described = describe_query(connection, f"select {sql}")
    assert isinstance(described, list)
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as raw:
        prepare(raw)
        row = raw.execute(f"select {sql}".encode()).fetchone()
    assert row is not None
    assert isinstance(row[0], str)
    return reader(described[0].base_type)(row[0])


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("7::int2", 7),
        ("-7::int4", -7),
        ("9223372036854775807::int8", 9223372036854775807),
        ("0.1::float8", 0.1),
        ("1e300::float8", 1e300),
        ("1.5::float4", 1.5),
        ("1.50::numeric(10,2)", Decimal("1.50")),
        ("123456789012345678901234567890.5::numeric", Decimal("123456789012345678901234567890.5")),
        ("true", True),
        ("false", False),
        ("' a '::text", " a "),
        ("'a'::varchar(5)", "a"),
        ("' a'::char(5)", " a"),
        ("'0B0F6C0E-0000-4000-8000-00000000000A'::uuid", "0b0f6c0e-0000-4000-8000-00000000000a"),
        ("'AB'::citext", "AB"),
        ("'gl ad'::mood", "gl ad"),
        ("'x'::name", "x"),
        ("date '2024-02-29'", date(2024, 2, 29)),
        ("timestamp '2024-02-29 12:30:00.25'", datetime(2024, 2, 29, 12, 30, 0, 250000, UTC)),
        ("timestamptz '2024-02-29 12:30:00+05:30'", datetime(2024, 2, 29, 7, 0, tzinfo=UTC)),
        ("timestamptz '1850-01-01 00:00:00+00'", datetime(1850, 1, 1, tzinfo=UTC)),
        ("time '12:30:00.5'", time(12, 30, 0, 500000)),
        ("array['a,b', null, '', 'NULL', 'q\"\\']", ["a,b", "", "NULL", 'q"\\']),
        ("'{}'::text[]", []),
        ("'[0:1]={a,b}'::varchar[]", ["a", "b"]),
        ("array['sad', 'gl ad']::mood[]", ["sad", "gl ad"]),
        ("array['0b0f6c0e-0000-4000-8000-00000000000a']::uuid[]", ["0b0f6c0e-0000-4000-8000-00000000000a"]),
        ("'a'::short", "a"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_what_postgres_writes_is_read(connection: Connection, sql: str, value: Value, zone: str) -> None:
    connection.execute("create extension citext; create type mood as enum ('sad', 'gl ad'); create domain short text")
    connection.execute(f"alter database \"{connection.info.dbname}\" set timezone = '{zone}'")
    found = read(connection, sql)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("base_type", "text", "code"),
    [
        ("float8", "NaN", "NOT_A_NUMBER"),
        ("float4", "-Infinity", "NOT_A_NUMBER"),
        ("numeric", "NaN", "NOT_A_NUMBER"),
        ("numeric", "Infinity", "NOT_A_NUMBER"),
        ("date", "infinity", "DATE_OUT_OF_RANGE"),
        ("date", "0044-03-15 BC", "DATE_OUT_OF_RANGE"),
        ("date", "10000-01-01", "DATE_OUT_OF_RANGE"),
        ("timestamp", "-infinity", "DATE_OUT_OF_RANGE"),
        ("timestamp", "0044-03-15 12:00:00 BC", "DATE_OUT_OF_RANGE"),
        ("timestamptz", "infinity", "DATE_OUT_OF_RANGE"),
        ("timestamptz", "9999-12-31 23:59:59-05", "DATE_OUT_OF_RANGE"),
        ("time", "24:00:00", "TIME_OUT_OF_RANGE"),
        ("text[]", '{{a,b},{"c",d}}', "NESTED_ARRAY"),
    ],
)
def test_what_no_destination_can_store_refuses_its_record(base_type: str, text: str, code: str) -> None:
    with pytest.raises(RecordRejected) as caught:
        reader(base_type)(text)
    assert caught.value.code == code
    assert text not in caught.value.message


@pytest.mark.parametrize(
    "base_type", ["json", "jsonb", "bytea", "interval", "money", "int4range", "int4[]", "timetz", "point", "xml"]
)
def test_a_type_without_counterpart_must_be_cast(base_type: str) -> None:
    with pytest.raises(SchemaDrift, match="cannot be delivered as it is") as caught:
        reader(base_type)
    assert "::text" in caught.value.hint


@given(elements=st.lists(TEXTS | st.none(), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_array_of_texts_is_read_as_postgres_writes_it(connection: Connection, elements: list[str | None]) -> None:
    row = connection.execute("select %s::text[]::text", [elements]).fetchone()
    assert row is not None
    assert reader("text[]")(row[0]) == [element for element in elements if element is not None]


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=5), whole=st.integers(-(2**63), 2**63 - 1))
def test_numbers_keep_every_digit(number: Decimal, whole: int) -> None:
    assert reader("numeric")(format(number, "f")) == number
    assert reader("int8")(str(whole)) == whole


def field(**facts: object) -> CompiledField:
    return CompiledField("Remote__c", "column", 1, "col", **facts)  # type: ignore[arg-type]


def test_null_becomes_the_default() -> None:
    assert field_reader(field(), "int4")(None) is None
    assert field_reader(field(default=5), "int4")(None) == 5
    assert field_reader(field(default=5), "int4")("7") == 7


def test_values_translate_by_text_and_refuse_what_they_do_not_list() -> None:
    translate = field_reader(field(values={"a": "A", "b": None, "7": 8}, default="D"), "text")
    assert [translate(text) for text in ("a", "b", "7", None)] == ["A", None, 8, "D"]
    with pytest.raises(RecordRejected, match="Remote__c: the value is not listed under values:") as caught:
        translate("hunter2")
    assert (caught.value.code, caught.value.fields) == ("VALUE_NOT_MAPPED", ("Remote__c",))
    assert "hunter2" not in str(caught.value)


def test_values_make_types_that_cannot_be_delivered_deliverable() -> None:
    assert field_reader(field(values={"{}": "empty"}), "jsonb")("{}") == "empty"


def test_a_constant_is_itself() -> None:
    assert field_reader(CompiledField("R", "constant", constant=7), "")(None) == 7


def test_a_refusal_names_its_field() -> None:
    with pytest.raises(RecordRejected, match="Remote__c: the date is infinite") as caught:
        field_reader(field(), "date")("infinity")
    assert caught.value.fields == ("Remote__c",)


@pytest.mark.parametrize(
    "base_type", sorted(READABLE - {"text", "varchar", "bpchar", "name", "uuid", "citext", "enum"})
)
def test_a_text_of_another_type_refuses_its_record_and_raises_nothing_else(base_type: str) -> None:
    with pytest.raises(RecordRejected) as caught:
        field_reader(field(), base_type)('{"hunter2')
    assert "hunter2" not in caught.value.message
