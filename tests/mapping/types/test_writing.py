"""The way back: what comes from a destination is spelled for its column exactly, or refuses its record."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledField
from syncbridge.mapping.spec import Scalar
from syncbridge.mapping.types.reading import reader
from syncbridge.mapping.types.reverse import reverse
from syncbridge.mapping.types.writing import Writer, field_writer, input_sql, writer
from syncbridge.model import Normal
from syncbridge.schemas import Column, FieldKind, RemoteField

F = FieldKind
NUMBER = RemoteField("N__c", F.NUMBER, precision=18, scale=4)
STRING = RemoteField("S__c", F.STRING, length=255)
CHECKBOX = RemoteField("C__c", F.BOOLEAN)
MULTI = RemoteField("M__c", F.MULTIPICKLIST, length=4099)
PICKLIST = RemoteField("P__c", F.PICKLIST, options=("Active", "Former", "Trial"), restricted=True)


def column(base_type: str, **facts: object) -> Column:
    return Column("c", base_type, base_type=base_type, **facts)  # type: ignore[arg-type]


def back(field: RemoteField, base_type: str, **facts: object) -> Writer:
    return writer(column(base_type, **facts), field, normaliser(field))


@pytest.mark.parametrize(
    ("facts", "value", "text"),
    [
        ({}, 12.5, "12.5"),
        ({}, 1e22, "10000000000000000000000"),
        ({}, 1e-7, "0.0000001"),
        ({"precision": 4, "scale": 2}, -99.99, "-99.99"),
        ({"precision": 4, "scale": 2}, 5.0, "5.0"),
        ({"precision": 2, "scale": 4}, 0.0099, "0.0099"),
        ({"precision": 2, "scale": -2}, 9900.0, "9900.0"),
        ({"precision": 2, "scale": 0}, 0.0, "0.0"),
    ],
)
def test_a_number_that_the_column_holds_is_spelled_out(facts: dict[str, int], value: Normal, text: str) -> None:
    assert back(NUMBER, "numeric", **facts)(value) == text


@pytest.mark.parametrize(
    ("base_type", "facts", "value", "code"),
    [
        ("numeric", {"precision": 4, "scale": 2}, 100.0, "OUT_OF_RANGE"),
        ("numeric", {"precision": 4, "scale": 2}, 1.005, "TOO_MANY_DIGITS"),
        ("numeric", {"precision": 2, "scale": 4}, 0.01, "OUT_OF_RANGE"),
        ("numeric", {"precision": 2, "scale": -2}, 9910.0, "TOO_MANY_DIGITS"),
        ("numeric", {}, True, "NOT_A_NUMBER"),
        ("numeric", {}, "secret", "NOT_A_NUMBER"),
        ("int2", {}, 32768, "OUT_OF_RANGE"),
        ("int4", {}, -2147483649, "OUT_OF_RANGE"),
        ("int8", {}, 1e300, "OUT_OF_RANGE"),
        ("oid", {}, -1, "OUT_OF_RANGE"),
        ("int4", {}, 0.5, "NOT_WHOLE"),
        ("float8", {}, 9007199254740993, "TOO_MANY_DIGITS"),
        ("float4", {}, 16777217, "TOO_MANY_DIGITS"),
        ("float4", {}, 1e39, "OUT_OF_RANGE"),
        ("float4", {}, 1e-60, "TOO_MANY_DIGITS"),
        ("money", {}, -1e17, "OUT_OF_RANGE"),
    ],
)
def test_a_number_that_the_column_would_change_is_refused(
    base_type: str, facts: dict[str, int], value: Normal, code: str
) -> None:
    with pytest.raises(RecordRejected) as caught:
        back(NUMBER, base_type, **facts)(value)
    assert (caught.value.code, caught.value.fields) == (code, ("N__c",))
    assert str(value) not in caught.value.message


@pytest.mark.parametrize(
    ("base_type", "value", "code"),
    [
        ("int4", "1e9", "NOT_A_NUMBER"),
        ("int4", "\N{ARABIC-INDIC DIGIT ONE}", "NOT_A_NUMBER"),
        ("numeric", "9" * 5000, "NOT_A_NUMBER"),
        ("numeric", "1_000", "NOT_A_NUMBER"),
        ("numeric", "NaN", "NOT_A_NUMBER"),
        ("bool", "yes", "NOT_A_BOOLEAN"),
        ("date", "20240229", "NOT_A_DATE"),
        ("date", "2024-02-30", "NOT_A_DATE"),
        ("date", "2024-W09-4", "NOT_A_DATE"),
        ("uuid", "{0b0f6c0e-0000-4000-8000-00000000000a}", "NOT_A_UUID"),
        ("text", "a\x00b", "NOT_A_TEXT"),
    ],
)
def test_a_text_that_is_none_of_the_column_is_refused(base_type: str, value: str, code: str) -> None:
    with pytest.raises(RecordRejected) as caught:
        back(STRING, base_type)(value)
    assert caught.value.code == code
    assert value not in caught.value.message


def test_null_is_null_and_where_it_may_not_be_the_empty_value_or_a_refusal() -> None:
    assert back(STRING, "text")(None) is None
    assert back(STRING, "varchar", not_null=True)(None) == ""
    assert back(MULTI, "text[]", not_null=True)(None) == "{}"
    with pytest.raises(RecordRejected, match="N__c: c may not be null") as caught:
        back(NUMBER, "int4", not_null=True)(None)
    assert caught.value.code == "NULL_NOT_ALLOWED"


def test_labels_are_found_by_what_is_sent_for_them() -> None:
    spell = back(PICKLIST, "enum", options=("active", "FORMER", "unknown to Salesforce"))
    assert [spell("Active"), spell("Former")] == ["active", "FORMER"]
    with pytest.raises(RecordRejected, match="not a label of enum"):
        spell("Trial")


def test_two_labels_that_are_sent_alike_have_no_way_back() -> None:
    spell = back(PICKLIST, "enum", options=("active", "ACTIVE", "former"))
    assert spell("Former") == "former"
    with pytest.raises(RecordRejected) as caught:
        spell("Active")
    assert caught.value.code == "LABEL_AMBIGUOUS"


def test_a_pair_that_does_not_fit_has_no_way_back() -> None:
    with pytest.raises(SchemaDrift, match="N__c: jsonb does not fit a field of type number"):
        back(NUMBER, "jsonb")


def translated(
    values: dict[str, Scalar | None],
    field: RemoteField,
    base_type: str = "text",
    *,
    not_null: bool = False,
    **facts: Scalar,
) -> Writer:
    mapped = CompiledField(field.name, "column", 1, "c", values=values, **facts)  # type: ignore[arg-type]
    return field_writer(mapped, column(base_type, not_null=not_null), field, normaliser(field))


def test_values_are_read_from_right_to_left() -> None:
    spell = translated({"active": "active", "churned": "Former", "7": "Trial"}, PICKLIST)
    assert [spell("Active"), spell("Former"), spell("Trial"), spell(None)] == ["active", "churned", "7", None]
    with pytest.raises(RecordRejected, match="P__c: the value is not on a right side under values:") as caught:
        translated({"active": "Active"}, PICKLIST)("Former")
    assert (caught.value.code, caught.value.fields) == ("VALUE_NOT_MAPPED", ("P__c",))


def test_values_that_share_a_right_side_are_named_and_refused() -> None:
    values: dict[str, Scalar | None] = {"trial": "Active", "active": "ACTIVE", "churned": "Former"}
    table, shared = reverse(values, normaliser(PICKLIST))
    assert table == {"Former": "churned"}
    assert list(shared) == [("Active", ("trial", "active"))]
    with pytest.raises(RecordRejected) as caught:
        translated(values, PICKLIST)("Active")
    assert caught.value.code == "VALUE_AMBIGUOUS"


def test_the_two_spellings_of_a_boolean_are_one_left_side() -> None:
    spell = translated({"true": "Yes", "false": "No", "t": "Yes", "f": "No"}, STRING, "bool")
    assert [spell("Yes"), spell("No")] == ["true", "false"]
    assert reverse({"true": "Yes", "t": "Yes"}, normaliser(STRING))[1] == [("Yes", ("true", "t"))]


def test_null_on_a_right_side_comes_back_only_where_the_column_may_not_be_null() -> None:
    values: dict[str, Scalar | None] = {"active": "Active", "deleted": None}
    assert translated(values, PICKLIST)(None) is None
    assert translated(values, PICKLIST, not_null=True)(None) == "deleted"
    with pytest.raises(RecordRejected) as caught:
        translated({"active": "Active"}, PICKLIST, not_null=True)(None)
    assert caught.value.code == "NULL_NOT_ALLOWED"


def test_what_stands_for_null_comes_back_as_null() -> None:
    assert translated({"active": "Active"}, PICKLIST, default="Trial")("Trial") is None
    assert translated({"active": True}, CHECKBOX)(False) is None
    assert translated({"active": True, "gone": False}, CHECKBOX)(False) == "gone"
    with pytest.raises(RecordRejected):
        translated({"active": "Active"}, PICKLIST, default="Trial", not_null=True)("Trial")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)
OPTIONS = st.lists(TEXTS.filter(lambda text: ";" not in text), min_size=1, max_size=5, unique=True)
MOMENTS = st.datetimes(datetime(1700, 1, 2), datetime(3999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
LOSSLESS = {
    ("int8", NUMBER): st.integers(-(10**13), 10**13),
    ("int4", STRING): st.integers(-(2**31), 2**31 - 1),
    ("numeric", NUMBER): st.decimals(-(10**11), 10**11, places=4),
    ("numeric", STRING): st.decimals(-(10**20), 10**20, places=4),
    ("float8", NUMBER): st.decimals(-(10**11), 10**11, places=4).map(float),
    ("bool", CHECKBOX): st.booleans(),
    ("bool", STRING): st.booleans(),
    ("text", STRING): TEXTS,
    ("date", RemoteField("D__c", F.DATE)): st.dates(date(1700, 1, 1), date(4000, 12, 31)),
    ("date", STRING): st.dates(),
    ("date", RemoteField("T__c", F.DATETIME)): st.dates(date(1700, 1, 1), date(4000, 12, 31)),
    ("timestamptz", RemoteField("T__c", F.DATETIME)): MOMENTS.map(lambda moment: moment.replace(microsecond=0)),
    ("timestamp", RemoteField("T__c", F.DATETIME)): MOMENTS.map(lambda moment: moment.replace(microsecond=0)),
    ("time", RemoteField("H__c", F.TIME)): st.times().map(
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
    ("uuid", STRING): st.uuids().map(str),
    ("text[]", MULTI): OPTIONS.map(sorted),
}


@pytest.mark.parametrize(("base_type", "field"), LOSSLESS, ids=lambda each: getattr(each, "kind", each))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_nothing_is_lost_of_comes_back_as_it_went(base_type: str, field: RemoteField, data: st.DataObject) -> None:
    value: Any = data.draw(LOSSLESS[base_type, field])
    normalise = normaliser(field)
    text = back(field, base_type)(normalise(value))
    assert text is not None
    written = {"true": "t", "false": "f"}.get(text, text) if base_type == "bool" else text
    assert reader(base_type)(written) == value


@given(
    value=st.one_of(st.decimals(-(10**7), 10**7, places=4), st.integers(-(10**6), 10**6)),
    precision=st.integers(1, 9),
    scale=st.integers(0, 4),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_not_refused_is_stored_by_postgres_as_it_is(
    connection: Connection, value: Decimal | int, precision: int, scale: int
) -> None:
    assume(scale <= precision)
    normal = normaliser(NUMBER)(value)
    numeric = Column("c", f"numeric({precision},{scale})", base_type="numeric", precision=precision, scale=scale)
    for held in (numeric, Column("c", "int2", base_type="int2"), Column("c", "float4", base_type="float4")):
        text = _unless_refused(held, normal)
        if text is not None:
            stored = f"select ({input_sql(held)})::{held.type}::text::numeric = %s::text::numeric"
            assert connection.execute(stored, [text, str(value)]).fetchone() == (True,)
        elif held is numeric:  # as Postgres would have refused it, or changed it
            changed = f"abs(n) >= 1e{precision - scale} or round(n, {scale}) <> n"
            row = connection.execute(f"select {changed} from (select %s::text::numeric as n)_", [str(value)])
            assert row.fetchone() == (True,)


def _unless_refused(held: Column, normal: Normal) -> str | None:
    try:
        return writer(held, NUMBER, normaliser(NUMBER))(normal)
    except RecordRejected:
        return None


def test_the_input_of_every_type_is_one_that_postgres_takes(connection: Connection) -> None:
    connection.execute("create extension citext; create type mood as enum ('sad'); create domain short as varchar(3)")
    for of_sql, base_type, text in (
        ("integer", "int4", "7"),
        ("short", "varchar", "abc"),
        ("character(5)", "bpchar", "a"),
        ("money", "money", "12.50"),
        ("mood", "enum", "sad"),
        ("mood[]", "enum[]", '{"sad"}'),
        ("citext[]", "citext[]", '{"a"}'),
        ("character varying(3)[]", "varchar[]", '{"abc"}'),
        ("time(0) without time zone", "time", "12:30:00"),
    ):
        connection.execute(f"create temporary table held (c {of_sql})")
        taken = input_sql(Column("c", of_sql, base_type=base_type))
        connection.execute(f"insert into held values ({taken})", [text])
        connection.execute("drop table held")


def test_a_cast_to_the_column_never_cuts_what_the_column_would_refuse(connection: Connection) -> None:
    connection.execute("create temporary table held (c varchar(3))")
    taken = input_sql(Column("c", "character varying(3)", base_type="varchar"))
    with pytest.raises(Exception, match="value too long"):
        connection.execute(f"insert into held values ({taken})", ["abcdef"])


def test_a_moment_of_another_destination_keeps_its_fraction_or_is_refused() -> None:
    moment = RemoteField("T__c", F.DATETIME)
    assert back(moment, "timestamptz")("2024-05-01T09:25:37.25+02:00") == "2024-05-01 07:25:37.250000+00:00"
    assert back(moment, "timestamp", scale=2)("2024-05-01T07:25:37.250Z") == "2024-05-01 07:25:37.250000"
    with pytest.raises(RecordRejected, match="fractions of a second"):
        back(moment, "timestamptz", scale=1)("2024-05-01T07:25:37.250Z")
    assert back(RemoteField("H__c", F.TIME), "time", scale=3)("07:25:37.123Z") == time(7, 25, 37, 123000).isoformat()
