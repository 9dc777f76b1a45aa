"""The normal form: what Salesforce makes of a value before it stores it, and what it refuses.

`normaliser(field)` gives the function for one field. It takes the JSON value and returns the value to store (text, int,
float or None), or raises a Refusal. Stored values are already what a response shows, but for booleans: 0, 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from syncbridge.sandbox.salesforce.errors import Refusal, WrongType
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field

Stored = str | int | float | None
Normaliser = Callable[[Any], Stored]

#: What is cut off at both ends of a text: the space and all below it, as in Java's trim(); no-break spaces stay.
BLANKS = "".join(map(chr, range(33)))
#: Types whose normal form is the text without the blanks around it, as long as it is short enough.
PLAIN_TEXT = frozenset({"string", "textarea", "phone", "url", "combobox"})
EMAIL = re.compile(r"^[^@\s,;:<>()\[\]\\\"]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+$")
DATETIME_FORMAT = "%Y-%m-%dT%H:%M:%S.000+0000"
FIRST_YEAR, LAST_YEAR = 1700, 4000
TRUE_TEXTS = {"true": 1, "1": 1, "false": 0, "0": 0}


def normaliser(field: Field) -> Normaliser:
    """Return the function that turns JSON values for this field into stored ones."""
    return partial(_BY_TYPE[field.type], field)


def datetime_text(moment: datetime) -> str:
    """Return a moment as the API writes it: UTC, whole seconds, .000+0000."""
    return moment.astimezone(UTC).strftime(DATETIME_FORMAT)


def parse_datetime(text: str) -> datetime | None:
    """Return the moment that an ISO 8601 text says, in UTC; None if it says none."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(field: Field, value: Any) -> Stored:
    if value is None:
        return None
    if type(value) is not str:
        raise WrongType(field.name, "string", value)
    value = value.strip(BLANKS)
    if len(value) > field.length:
        raise Refusal(
            "STRING_TOO_LONG",
            f"{field.label}: data value too large: {value} (max length={field.length})",
            fields=[field.name],
        )
    return value or None


def _email(field: Field, value: Any) -> Stored:
    text = _text(field, value)
    if text is not None and not EMAIL.match(str(text)):
        raise Refusal("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", fields=[field.name])
    return text.lower() if isinstance(text, str) else text


def _picklist(field: Field, value: Any) -> Stored:
    text = _text(field, value)
    if text is not None and field.restricted:
        return _allowed(field, str(text))
    return text


def _allowed(field: Field, text: str) -> str:
    if text in field.values:
        return text
    for each in field.values:
        if each.lower() == text.lower():
            return each
    raise Refusal(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        f"{field.label}: bad value for restricted picklist field: {text}",
        fields=[field.name],
    )


def _multipicklist(field: Field, value: Any) -> Stored:
    text = _text(field, value)
    if text is None:
        return None
    chosen = [each.strip() for each in str(text).split(";") if each.strip()]
    if field.restricted:
        chosen = [_allowed(field, each) for each in chosen]
    order = {each: at for at, each in enumerate(field.values)}
    kept = sorted(dict.fromkeys(chosen), key=lambda each: order.get(each, len(order)))
    return ";".join(kept) or None


def _boolean(field: Field, value: Any) -> Stored:
    if value is True or value is False:
        return int(value)
    if isinstance(value, str) and value.strip().lower() in TRUE_TEXTS:
        return TRUE_TEXTS[value.strip().lower()]
    raise WrongType(field.name, "boolean", value)


def _number(field: Field, expected: str, value: Any) -> Decimal | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise WrongType(field.name, expected, value)
    try:
        number = Decimal(str(value).strip())
    except ArithmeticError:
        raise WrongType(field.name, expected, value) from None
    if not number.is_finite():
        raise WrongType(field.name, expected, value)
    return number


def _out_of_range(field: Field, value: Any) -> Refusal:
    return Refusal(
        "NUMBER_OUTSIDE_VALID_RANGE",
        f"{field.label}: value outside of valid range on numeric field: {value}",
        fields=[field.name],
    )


def _int(field: Field, value: Any) -> Stored:
    number = _number(field, "int", value)
    if number is None:
        return None
    if number != number.to_integral_value():
        raise WrongType(field.name, "int", value)
    if abs(number) >= 10**field.digits:
        raise _out_of_range(field, value)
    return int(number)


def _double(field: Field, value: Any) -> Stored:
    number = _number(field, "double", value)
    if number is None:
        return None
    if abs(number) >= 10 ** (field.precision - field.scale):
        raise _out_of_range(field, value)
    return float(number)  # the scale rounds in pages only: the API stores and returns every digit that it was given


def _date(field: Field, value: Any) -> Stored:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or value[4:5] != "-" or value[7:8] != "-":
        raise WrongType(field.name, "date", value)
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        raise WrongType(field.name, "date", value) from None
    if len(value) != 10 and parse_datetime(value) is None:
        raise WrongType(field.name, "date", value)
    _check_year(field, day.year, value)
    return day.isoformat()


def _datetime(field: Field, value: Any) -> Stored:
    if value is None or value == "":
        return None
    moment = parse_datetime(value) if isinstance(value, str) else None
    if moment is None:
        raise WrongType(field.name, "datetime", value)
    _check_year(field, moment.year, value)
    return datetime_text(moment)


def _check_year(field: Field, year: int, value: str) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise Refusal("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{field.label}: invalid date: {value}", fields=[field.name])


def _time(field: Field, value: Any) -> Stored:
    if value is None or value == "":
        return None
    match = re.match(r"^([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,3})\d*)?Z?$", str(value))
    if match is None:
        raise WrongType(field.name, "time", value)
    hour, minute, second, part = match.groups()
    return f"{hour}:{minute}:{second}.{(part or '').ljust(3, '0')}Z"


def _reference(field: Field, value: Any) -> Stored:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise WrongType(field.name, "ID", value)
    full = to_18(value.strip())
    if full is None:
        raise Refusal("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", fields=[field.name])
    return full


_BY_TYPE: dict[str, Callable[[Field, Any], Stored]] = {
    "id": _reference, "reference": _reference, "string": _text, "textarea": _text, "phone": _text, "url": _text,
    "combobox": _text, "email": _email, "picklist": _picklist, "multipicklist": _multipicklist, "boolean": _boolean,
    "int": _int, "double": _double, "currency": _double, "percent": _double, "date": _date, "datetime": _datetime,
    "time": _time, "address": _text,
}  # fmt: skip


def fold(value: Stored) -> Stored:
    """Return a value as uniqueness and queries compare it: text without regard to case."""
    return value.lower() if isinstance(value, str) else value
