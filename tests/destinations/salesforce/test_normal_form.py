"""What Salesforce stores for a Postgres value, and what is refused before a call is spent on it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.destinations.salesforce.normal_form import long_id, normaliser
from syncbridge.errors import RecordRejected
from syncbridge.model import Normal, Value
from syncbridge.schemas import FieldKind, RemoteField

STRING = RemoteField("Name", FieldKind.STRING, length=10)
TEXT = RemoteField("Description", FieldKind.TEXT, length=32000)
EMAIL = RemoteField("Email", FieldKind.EMAIL, length=80)
BOOLEAN = RemoteField("Active__c", FieldKind.BOOLEAN)
INTEGER = RemoteField("Employees", FieldKind.INTEGER, precision=8, scale=0)
MONEY = RemoteField("Revenue", FieldKind.NUMBER, precision=12, scale=2)
WHOLE = RemoteField("Score__c", FieldKind.NUMBER, precision=18, scale=0)
DATE = RemoteField("Birthdate", FieldKind.DATE)
DATETIME = RemoteField("Seen_At__c", FieldKind.DATETIME)
TIME = RemoteField("Opens__c", FieldKind.TIME)
PICKLIST = RemoteField("Status__c", FieldKind.PICKLIST, length=255, options=("Active", "Former"), restricted=True)
OPEN_PICKLIST = RemoteField("Source", FieldKind.PICKLIST, length=255, options=("Web",))
MULTI = RemoteField("Tags__c", FieldKind.MULTIPICKLIST, options=("Red", "Green", "Blue"), restricted=True)
REFERENCE = RemoteField("AccountId", FieldKind.REFERENCE, length=18, refers_to=("Account",))
ADDRESS = RemoteField("MailingAddress", FieldKind.OTHER)

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("field", "value", "normal"),
    [
        (STRING, "Ada", "Ada"),
        (STRING, "  Ada \t\n", "Ada"),
        (STRING, "\u00a0Ada\u3000", "\u00a0Ada\u3000"),  # Salesforce trims only what is narrow
        (STRING, "", None),
        (STRING, "   ", None),
        (STRING, None, None),
        (STRING, "0123456789  ", "0123456789"),
        (STRING, "東京東京東京東京東京", "東京東京東京東京東京"),
        (STRING, 42, "42"),
        (STRING, Decimal("1E+3"), "1000"),
        (STRING, True, "true"),
        (STRING, date(2026, 5, 1), "2026-05-01"),
        (TEXT, "a\r\nb\rc\nd", "a\nb\nc\nd"),
        (EMAIL, " Ada@Example.COM ", "ada@example.com"),
        (EMAIL, "", None),
        (BOOLEAN, None, False),
        (BOOLEAN, "", False),
        (BOOLEAN, True, True),
        (BOOLEAN, "t", True),
        (BOOLEAN, "False", False),
        (BOOLEAN, 1, True),
        (INTEGER, 42, 42),
        (INTEGER, "42", 42),
        (INTEGER, Decimal("42.0"), 42),
        (INTEGER, "", None),
        (MONEY, Decimal("2.675"), 2.68),
        (MONEY, 2.675, 2.68),
        (MONEY, Decimal("-2.675"), -2.68),
        (MONEY, Decimal("1234.5"), 1234.5),
        (MONEY, "1234.5", 1234.5),
        (MONEY, 7, 7.0),
        (MONEY, None, None),
        (WHOLE, 12.5, 13),
        (WHOLE, Decimal("9007199254740991"), 9007199254740991),
        (WHOLE, Decimal("123456789012345678"), 123456789012345680),  # what a double makes of it
        (WHOLE, 1.2345678901234568e17, 123456789012345680),
        (DATE, date(2026, 5, 1), "2026-05-01"),
        (DATE, "2026-05-01", "2026-05-01"),
        (DATE, datetime(2026, 5, 1, 1, 0, tzinfo=INDIA), "2026-04-30"),
        (DATE, "", None),
        (DATETIME, datetime(2026, 5, 1, 7, 25, 37, 999999, tzinfo=UTC), "2026-05-01T07:25:37.000+0000"),
        (DATETIME, datetime(2026, 5, 1, 12, 55, 37, tzinfo=INDIA), "2026-05-01T07:25:37.000+0000"),
        (DATETIME, datetime(2026, 5, 1, 7, 25, 37), "2026-05-01T07:25:37.000+0000"),  # noqa: DTZ001
        (DATETIME, "2026-05-01T07:25:37.000+0000", "2026-05-01T07:25:37.000+0000"),
        (DATETIME, "2026-05-01T07:25:37Z", "2026-05-01T07:25:37.000+0000"),
        (DATETIME, "2026-05-01 09:25:37+02", "2026-05-01T07:25:37.000+0000"),
        (DATETIME, date(2026, 5, 1), "2026-05-01T00:00:00.000+0000"),
        (TIME, time(7, 25, 37, 123456), "07:25:37.123Z"),
        (TIME, "07:25:37.000Z", "07:25:37.000Z"),
        (PICKLIST, "Active", "Active"),
        (PICKLIST, "ACTIVE", "Active"),
        (PICKLIST, "", None),
        (OPEN_PICKLIST, "Fair", "Fair"),
        (MULTI, ["Red", "Blue", "Red"], "Blue;Red"),
        (MULTI, "Red; blue", "Blue;Red"),
        (MULTI, [], None),
        (REFERENCE, "003G000001SUbc4", "003G000001SUbc4IAD"),
        (REFERENCE, "003G000001SUbc4IAD", "003G000001SUbc4IAD"),
        (REFERENCE, "", None),
    ],
)
def test_a_value_becomes_what_salesforce_stores(field: RemoteField, value: Value, normal: Normal) -> None:
    found = normaliser(field)(value)
    assert found == normal
    assert type(found) is type(normal)
    assert normaliser(field)(found) == normal  # what was read is normal already


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        (STRING, "01234567890", "STRING_TOO_LONG"),
        (STRING, ["secret"], "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (EMAIL, "secret", "INVALID_EMAIL_ADDRESS"),
        (EMAIL, "secret@localhost", "INVALID_EMAIL_ADDRESS"),
        (EMAIL, "secret@a..b", "INVALID_EMAIL_ADDRESS"),
        (BOOLEAN, "secret", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (INTEGER, 100_000_000, "NUMBER_OUTSIDE_VALID_RANGE"),
        (INTEGER, Decimal("1.5"), "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (INTEGER, True, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (MONEY, Decimal("10000000000"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, Decimal("9999999999.995"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (WHOLE, 999_999_999_999_999_999, "NUMBER_OUTSIDE_VALID_RANGE"),  # as a double it has 19 digits
        (MONEY, Decimal("1e40"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, 1e300, "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, float("-inf"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, Decimal("NaN"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, float("nan"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, Decimal("Infinity"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (MONEY, "secret", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (DATE, "secret", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (DATE, 7, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (DATE, date(1500, 1, 1), "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (DATETIME, "secret", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (DATETIME, datetime(9999, 1, 1, tzinfo=UTC), "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (TIME, "secret", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (PICKLIST, "secret", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (MULTI, ["Red", "secret"], "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (MULTI, ["Red;Blue"], "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (REFERENCE, "secret", "MALFORMED_ID"),
        (REFERENCE, 7, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (ADDRESS, "secret", "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_what_cannot_be_stored_is_refused_without_showing_it(field: RemoteField, value: Value, code: str) -> None:
    with pytest.raises(RecordRejected) as refused:
        normaliser(field)(value)
    assert (refused.value.code, refused.value.fields) == (code, (field.name,))
    assert "secret" not in str(refused.value)


def test_an_id_keeps_its_letters_and_gains_their_case() -> None:
    assert long_id("003G000001SUbc4") == "003G000001SUbc4IAD"
    with pytest.raises(ValueError, match="record id"):
        long_id("003G000001SUbc")


@given(st.text())
def test_the_normal_form_of_text_is_its_own_normal_form(text: str) -> None:
    normalise = normaliser(RemoteField("Description", FieldKind.TEXT))
    once = normalise(text)
    assert normalise(once) == once


@given(st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False), st.integers(0, 6))
def test_the_normal_form_of_a_number_is_its_own_normal_form(number: Decimal, scale: int) -> None:
    normalise = normaliser(RemoteField("Score__c", FieldKind.NUMBER, precision=18, scale=scale))
    once = normalise(number)
    assert normalise(once) == once
    assert isinstance(once, int | float)
    assert abs(Decimal(repr(once)) - number) <= Decimal(1).scaleb(-scale) / 2 + abs(number) * Decimal("1e-15")


@given(st.datetimes(min_value=datetime(1700, 1, 2), max_value=datetime(4000, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_the_normal_form_of_a_moment_is_the_same_second_in_utc(moment: datetime) -> None:
    normal = str(normaliser(DATETIME)(moment))
    assert datetime.fromisoformat(normal) == moment.astimezone(UTC).replace(microsecond=0)
    assert normaliser(DATETIME)(normal) == normal
