"""Rows of the table of types: numbers, booleans, dates and times."""

from __future__ import annotations

from syncbridge.mapping.types.rule import Back, Refused, There, TypeRule
from syncbridge.schemas import FieldKind as F

WHOLE = ("int2", "int4", "int8", "oid")
TOO_LARGE = Refused("NUMBER_OUTSIDE_VALID_RANGE")
NO_NUMBER = Refused("NOT_A_NUMBER")
NO_DATE = Refused("DATE_OUT_OF_RANGE")
MISTYPED = Refused("INVALID_TYPE_ON_FIELD_IN_RECORD")
TOO_MANY_DIGITS = Refused("TOO_MANY_DIGITS")
OUT_OF_RANGE = Refused("OUT_OF_RANGE")

_NUMBERS = "Numbers"
_TRUTH = "Booleans"
_DATES = "Dates and times"

_OF_NUMBERS = (
    TypeRule(
        _NUMBERS,
        WHOLE,
        (F.INTEGER, F.NUMBER),
        "The same number. One with more digits than the field has before its point refuses the record.",
        "The same number. One that is not whole, or lies outside the column's range, refuses the record.",
        (
            There("42", 42),
            There("0", 0),
            There(None, None),
            There("-7", -7, column="integer"),
            There("123456789", TOO_LARGE, column="bigint", field="int"),
            There(
                "9007199254740993",
                9007199254740992,
                "9007199254740992",
                column="bigint",
                field="double(18,0)",
                why="Salesforce's numbers are doubles: 15 digits are sure",
            ),
        ),
        (
            Back(12.5, Refused("NOT_WHOLE"), column="integer", field="double(18,2)"),
            Back(40000, OUT_OF_RANGE, column="smallint", field="int"),
            Back(None, Refused("NULL_NOT_ALLOWED"), column="integer not null", field="int"),
        ),
    ),
    TypeRule(
        _NUMBERS,
        WHOLE,
        (F.STRING, F.TEXT, F.PHONE, F.PICKLIST),
        "Its digits.",
        "A text of digits, with a sign perhaps. Any other refuses the record.",
        (There("42", "42"), There(None, None), There("-7", "-7", column="integer", field="string(20)")),
        (
            Back("0042", "42", column="integer", field="string(20)"),
            Back("forty-two", NO_NUMBER, column="integer", field="string(20)"),
        ),
    ),
    TypeRule(
        _NUMBERS,
        ("numeric",),
        (F.NUMBER,),
        "Rounded to the field's digits after the point, halves away from zero, as Postgres's own `round`. NaN, "
        "infinity, and more digits before the point than the field has refuse the record.",
        "The same number. One that the column's precision or scale would not hold as it is refuses the record.",
        (
            There("1234.5", 1234.5),
            There("2.675", 2.68, "2.68"),
            There("-2.675", -2.68, "-2.68"),
            There("0.004", 0, "0"),
            There(None, None),
            There("NaN", NO_NUMBER),
            There("Infinity", NO_NUMBER, column="numeric"),
            There("12345678901234567.89", TOO_LARGE, column="numeric"),
            There(
                "1234567890123456.78",
                1234567890123456.8,
                "1234567890123456.8",
                column="numeric(18,2)",
                why="beyond 15 digits, see above",
            ),
        ),
        (
            Back(12.345, TOO_MANY_DIGITS, column="numeric(10,2)", field="double(18,3)"),
            Back(12.34, "12.340", column="numeric(10,3)", field="double(18,2)"),
            Back(123456, OUT_OF_RANGE, column="numeric(5,0)", field="double(18,0)"),
        ),
    ),
    TypeRule(
        _NUMBERS,
        ("numeric",),
        (F.INTEGER,),
        "The same number. One that is not whole refuses the record.",
        "The same number, as above.",
        (There("42", 42), There("42.5", MISTYPED), There(None, None)),
        warning="a number that is not whole is refused",
        cast="round({})",
    ),
    TypeRule(
        _NUMBERS,
        ("numeric",),
        (F.STRING, F.TEXT),
        "As Postgres writes it, with the zeros of its scale.",
        "A text that is a number without exponent. Any other refuses the record.",
        (There("1.5", "1.500"), There("-0.25", "-0.250"), There(None, None), There("NaN", NO_NUMBER)),
        (
            Back("1.5", "1.500", field="string(20)"),
            Back("1.5 EUR", NO_NUMBER, field="string(20)"),
            Back("1.2345", TOO_MANY_DIGITS, field="string(20)"),
        ),
    ),
    TypeRule(
        _NUMBERS,
        ("money",),
        (F.NUMBER, F.STRING, F.TEXT),
        "Read as `column::numeric`, so that neither the currency's sign nor its comma matters, then as a numeric. An "
        "`sql:` that gives money has to say `::numeric` itself.",
        "Written as `numeric::money`, with as many digits after the point as the server's `lc_monetary` has.",
        (There("12.34", 12.34, field="double(18,2)"), There("-0.05", "-0.05", field="string(20)"), There(None, None)),
        (Back(1234.5, "1234.50", field="double(18,2)"), Back(10**17, OUT_OF_RANGE, field="double(18,0)")),
    ),
    TypeRule(
        _NUMBERS,
        ("float4", "float8"),
        (F.NUMBER,),
        "Its shortest decimal form, rounded as a numeric is. NaN and infinity refuse the record.",
        "The same number. Into `real` only as many digits as it holds; more refuse the record.",
        (
            There("0.1", 0.1),
            There("2.675", 2.68, "2.68"),
            There("-1.5", -1.5),
            There(None, None),
            There("NaN", NO_NUMBER),
            There("-Infinity", NO_NUMBER),
            There("1e300", TOO_LARGE, column="double precision"),
        ),
        (
            Back(0.123456789, "0.123456789", column="double precision", field="double(18,9)"),
            Back(0.123456789, TOO_MANY_DIGITS, column="real", field="double(18,9)"),
        ),
    ),
)

_OF_TRUTH = (
    TypeRule(
        _TRUTH,
        ("bool",),
        (F.BOOLEAN,),
        "The same. A checkbox is never null: null becomes false.",
        "The same. A null in Postgres stays one until the checkbox is changed remotely.",
        (There("true", True), There("false", False), There(None, False, "false")),
    ),
    TypeRule(
        _TRUTH,
        ("bool",),
        (F.STRING, F.TEXT, F.PICKLIST),
        "`true` or `false`. Use `values` for other words.",
        "true, t, 1, false, f, 0 in any case. Any other text refuses the record.",
        (There("true", "true"), There("false", "false"), There(None, None)),
        (Back("TRUE", "true", field="string(10)"), Back("maybe", Refused("NOT_A_BOOLEAN"), field="string(10)")),
    ),
)

_UTC_NOON = "2024-05-01T12:00:00.000+0000"

_OF_DATES = (
    TypeRule(
        _DATES,
        ("date",),
        (F.DATE,),
        "The same day. Infinity, years before Christ and what is not in the years 1700 to 4000 refuse the record.",
        "The same day.",
        (
            There("2024-02-29", "2024-02-29"),
            There(None, None),
            There("infinity", NO_DATE),
            There("0044-03-15 BC", NO_DATE),
            There("1699-12-31", MISTYPED),
        ),
    ),
    TypeRule(
        _DATES,
        ("date",),
        (F.STRING, F.TEXT),
        "As 2024-02-29.",
        "A text like that. Any other refuses the record.",
        (There("2024-02-29", "2024-02-29"), There(None, None), There("-infinity", NO_DATE)),
        (Back("29.2.2024", Refused("NOT_A_DATE"), field="string(20)"),),
    ),
    TypeRule(
        _DATES,
        ("date",),
        (F.DATETIME,),
        "Midnight in UTC.",
        "The day, of a moment that is midnight in UTC. Any other refuses the record.",
        (There("2024-02-29", "2024-02-29T00:00:00.000+0000"), There(None, None)),
        (Back(_UTC_NOON, Refused("TIME_OF_DAY"), field="datetime"),),
        warning="a date becomes midnight in UTC",
        cast="{}::timestamp at time zone 'Europe/Berlin'",
    ),
    TypeRule(
        _DATES,
        ("timestamptz",),
        (F.DATETIME,),
        "The same moment in UTC; parts of a second are cut off, as Salesforce does. Infinity and years outside 1700 "
        "to 4000 refuse the record.",
        "The same moment, written in UTC, so that no session's zone matters.",
        (
            There("2024-05-01 07:25:37+00", "2024-05-01T07:25:37.000+0000"),
            There("2024-05-01 07:25:37.999+00", "2024-05-01T07:25:37.000+0000", "2024-05-01 07:25:37+00"),
            There("2024-10-27 02:30:00+02", "2024-10-27T00:30:00.000+0000", why="02:30 in Berlin, summer time"),
            There("2024-10-27 02:30:00+01", "2024-10-27T01:30:00.000+0000", why="02:30 again, winter time"),
            There("2024-02-29 23:30:00+05:45", "2024-02-29T17:45:00.000+0000"),
            There(None, None),
            There("infinity", NO_DATE),
            There("4001-01-01 00:00:00+00", MISTYPED),
        ),
    ),
    TypeRule(
        _DATES,
        ("timestamp",),
        (F.DATETIME,),
        "Taken as UTC; otherwise as above. For another zone write `sql: created_at at time zone 'Europe/Berlin'`.",
        "The moment in UTC, without its zone.",
        (
            There("2024-05-01 07:25:37", "2024-05-01T07:25:37.000+0000"),
            There("2024-03-31 02:30:00", "2024-03-31T02:30:00.000+0000", why="an hour that Berlin skips, UTC does not"),
            There("2024-05-01 07:25:37.5", "2024-05-01T07:25:37.000+0000", "2024-05-01 07:25:37"),
            There(None, None),
            There("-infinity", NO_DATE),
        ),
    ),
    TypeRule(
        _DATES,
        ("timestamptz", "timestamp"),
        (F.DATE,),
        "The day in UTC.",
        "Midnight in UTC of that day. A time of day in Postgres is kept until the date is changed remotely.",
        (
            There("2024-05-01 23:30:00-05", "2024-05-02", "2024-05-02 00:00:00+00", column="timestamptz"),
            There("2024-05-01 23:30:00", "2024-05-01", "2024-05-01 00:00:00", column="timestamp"),
            There(None, None),
            There("infinity", NO_DATE),
        ),
        warning="the day is taken in UTC",
        cast="({} at time zone 'Europe/Berlin')::date",
    ),
    TypeRule(
        _DATES,
        ("time",),
        (F.TIME,),
        "The same time of day, cut to milliseconds. 24:00 refuses the record.",
        "The same time of day. Into `time(0)` no parts of a second; they refuse the record.",
        (
            There("12:30:00.5", "12:30:00.500Z"),
            There("12:30:00.123456", "12:30:00.123Z", "12:30:00.123"),
            There("00:00:00", "00:00:00.000Z"),
            There(None, None),
            There("24:00:00", Refused("TIME_OUT_OF_RANGE")),
        ),
        (Back("12:30:00.500Z", TOO_MANY_DIGITS, column="time(0)", field="time"),),
    ),
)

PLAIN: tuple[TypeRule, ...] = (*_OF_NUMBERS, *_OF_TRUTH, *_OF_DATES)
