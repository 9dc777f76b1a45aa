"""Normal form: what Salesforce will store and return for a Postgres value, and what it would refuse.

`normaliser(field)` precomputes everything a field needs, because the function it returns runs for every value of every
record. All of them accept their own results (a value that was read is normal already), and raise RecordRejected with
Salesforce's own code before a call is spent on a value that cannot be stored. Messages never hold the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NoReturn

from syncbridge.errors import RecordRejected
from syncbridge.model import Normal, Value
from syncbridge.schemas import FieldKind, RemoteField

Normalise = Callable[[Value], Normal]

#: Salesforce trims what Java's trim() does: the space and everything below it; not the no-break or full-width space.
_TRIMMED = "".join(map(chr, range(0x21)))
#: Salesforce's check is stricter; this one refuses only what it surely refuses.
_EMAIL = re.compile(r"[^@\s,;:<>()\[\]\\\"]+@[^@\s.,;:<>()\[\]\\\"]+(?:\.[^@\s.,;:<>()\[\]\\\"]+)+")
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
_DATE_PREFIX = re.compile(r"\d{4}-\d\d-\d\d")
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_TRUE = frozenset(("true", "t", "1"))
_FALSE = frozenset(("false", "f", "0"))
_FIRST_YEAR, _LAST_YEAR = 1700, 4000
_EXACT = 2**53  # below it every whole number is a double


def normaliser(field: RemoteField) -> Normalise:
    """The function to this field's normal form."""
    return _BY_KIND.get(field.kind, _refused)(field)


def long_id(text: str) -> str:
    """The 18 characters of a record id; ValueError for what is none."""
    if not _ID.fullmatch(text):
        raise ValueError("not a record id")
    if len(text) == 18:
        return text
    upper = [sum(1 << at for at, each in enumerate(text[start : start + 5]) if each.isupper()) for start in (0, 5, 10)]
    return text + "".join(_SUFFIX[bits] for bits in upper)


def _reject(field: RemoteField, code: str, what: str) -> NoReturn:
    raise RecordRejected(f"{field.name}: {what}", code=code, fields=(field.name,))


def _mistyped(field: RemoteField, value: Value) -> NoReturn:
    _reject(field, "INVALID_TYPE_ON_FIELD_IN_RECORD", f"a {type(value).__name__} is not a {field.kind}")


def _spelled(field: RemoteField, value: Value) -> str:
    """A value of another type as text, the way Postgres would cast it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, int | float | date | time):
        return str(value)
    _mistyped(field, value)


def _text(field: RemoteField) -> Normalise:
    longest = field.length or None
    lines = field.kind is FieldKind.TEXT
    lower = field.kind is FieldKind.EMAIL  # Salesforce stores addresses in lower case
    email = _EMAIL.fullmatch if field.kind is FieldKind.EMAIL else None

    def normalise(value: Value) -> Normal:
        if value is None:
            return None
        text = (value if type(value) is str else _spelled(field, value)).strip(_TRIMMED)
        if not text:
            return None
        if lines and "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if longest is not None and len(text) > longest:
            _reject(field, "STRING_TOO_LONG", f"data value too large ({len(text)} characters, max length={longest})")
        if lower:
            text = text.lower()
        if email is not None and not email(text):
            _reject(field, "INVALID_EMAIL_ADDRESS", "invalid email address")
        return text

    return normalise


def _boolean(field: RemoteField) -> Normalise:
    def normalise(value: Value) -> Normal:
        if value is True or value is False:
            return value
        if value is None or value == "":
            return False  # a checkbox is never null
        text = value.strip().lower() if isinstance(value, str) else str(value)
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        _mistyped(field, value)

    return normalise


def _decimal(field: RemoteField, value: Value) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        _mistyped(field, value)
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
    try:
        # repr() of a float is its shortest form: 2.675 means 2.675, not the binary number beside it
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        _mistyped(field, value)
    if not number.is_finite():
        _reject(field, "NUMBER_OUTSIDE_VALID_RANGE", "not a finite number")
    return number


def _integer(field: RemoteField) -> Normalise:
    limit = 10 ** (field.precision or 18)

    def normalise(value: Value) -> Normal:
        if value is None:
            return None
        if type(value) is int:
            whole = value
        else:
            number = _decimal(field, value)
            if number is None:
                return None
            whole = int(number)
            if whole != number:
                _mistyped(field, value)
        if not -limit < whole < limit:
            _reject(field, "NUMBER_OUTSIDE_VALID_RANGE", "value outside of valid range on numeric field")
        return whole

    return normalise


def _number(field: RemoteField) -> Normalise:
    """Rounded to the scale here, halves away from zero as Postgres does it: the API would store all digits."""
    scale = field.scale or 0
    step = Decimal(1).scaleb(-scale)
    limit = Decimal(10) ** ((field.precision or 18) - scale)
    float_limit = float(limit)

    def normalise(value: Value) -> Normal:
        if value is None:
            return None
        if type(value) is float and scale and value == round(value, scale) and -float_limit < value < float_limit:
            return value
        number = value if type(value) is Decimal and value.is_finite() else _decimal(field, value)
        if number is None:
            return None
        rounded = number.quantize(step, rounding=ROUND_HALF_UP) if -limit < number < limit else limit
        if not -limit < rounded < limit:  # rounding may have led out of the range
            _reject(field, "NUMBER_OUTSIDE_VALID_RANGE", "value outside of valid range on numeric field")
        stored = float(
            rounded
        )  # a double, whatever the scale: 15 digits are sure, what is beyond is what that double says
        if scale:
            return stored
        whole = int(rounded) if abs(rounded) < _EXACT else int(Decimal(repr(stored)))
        if not -limit < whole < limit:
            _reject(field, "NUMBER_OUTSIDE_VALID_RANGE", "value outside of valid range on numeric field")
        return whole

    return normalise


def _date(field: RemoteField) -> Normalise:
    def normalise(value: Value) -> Normal:
        if value is None or value == "":
            return None
        if isinstance(value, datetime):
            value = _in_utc(value).date()
        elif isinstance(value, str):
            value = _parsed(field, value).date() if len(value) > 10 else _day(field, value)
        if not isinstance(value, date):
            _mistyped(field, value)
        _check_year(field, value.year)
        return value.isoformat()

    return normalise


def _datetime(field: RemoteField) -> Normalise:
    def normalise(value: Value) -> Normal:
        if isinstance(value, datetime):
            moment = value if value.tzinfo is UTC else _in_utc(value)
        elif value is None or value == "":
            return None
        elif isinstance(value, str):
            if value[-9:] == ".000+0000" and len(value) == 28 and value[10] == "T":
                return value  # as the API writes it
            moment = _parsed(field, value)
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
        else:
            _mistyped(field, value)
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            _check_year(field, moment.year)
        return moment.isoformat()[:19] + ".000+0000"

    return normalise


def _in_utc(moment: datetime) -> datetime:
    """A timestamp without time zone is taken as UTC."""
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _parsed(field: RemoteField, text: str) -> datetime:
    try:
        return _in_utc(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        _mistyped(field, text)


def _day(field: RemoteField, text: str) -> date:
    try:
        if not _DATE_PREFIX.fullmatch(text):
            raise ValueError("not an ISO date")
        return date.fromisoformat(text)
    except ValueError:
        _mistyped(field, text)


def _check_year(field: RemoteField, year: int) -> None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        _reject(field, "INVALID_TYPE_ON_FIELD_IN_RECORD", f"the year must lie in {_FIRST_YEAR} to {_LAST_YEAR}")


def _time(field: RemoteField) -> Normalise:
    def normalise(value: Value) -> Normal:
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = time.fromisoformat(value.strip())
            except ValueError:
                _mistyped(field, value)
        if not isinstance(value, time):
            _mistyped(field, value)
        return f"{value.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"

    return normalise


def _allowed(field: RemoteField) -> Callable[[str], str]:
    """Picklist values are matched whatever their case, and stored as the picklist spells them."""
    exact = frozenset(field.options)
    folded = {option.lower(): option for option in reversed(field.options)}
    restricted = field.restricted

    def allow(text: str) -> str:
        if not restricted or text in exact:
            return text
        known = folded.get(text.lower())
        if known is None:
            _reject(
                field, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field (not listed)"
            )
        return known

    return allow


def _picklist(field: RemoteField) -> Normalise:
    text_of, allow = _text(field), _allowed(field)

    def normalise(value: Value) -> Normal:
        text = text_of(value)
        return None if text is None else allow(str(text))

    return normalise


def _multipicklist(field: RemoteField) -> Normalise:
    allow = _allowed(field)

    def normalise(value: Value) -> Normal:
        if value is None:
            return None
        if isinstance(value, str):
            value = value.split(";")
        if not isinstance(value, list):
            _mistyped(field, value)
        if any(not isinstance(each, str) for each in value):
            _mistyped(field, value)
        if any(";" in each for each in value):
            _reject(field, "INVALID_TYPE_ON_FIELD_IN_RECORD", "an element holds ';', which separates chosen options")
        chosen = {allow(text) for each in value if (text := each.strip(_TRIMMED))}
        return ";".join(sorted(chosen)) or None

    return normalise


def _reference(field: RemoteField) -> Normalise:
    def normalise(value: Value) -> Normal:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            _mistyped(field, value)
        try:
            return long_id(value.strip())
        except ValueError:
            _reject(field, "MALFORMED_ID", "id value of incorrect type")

    return normalise


def _refused(field: RemoteField) -> Normalise:
    def normalise(value: Value) -> Normal:
        _reject(field, "INVALID_FIELD_FOR_INSERT_UPDATE", "fields of this type cannot be written")

    return normalise


_BY_KIND: dict[FieldKind, Callable[[RemoteField], Normalise]] = {
    FieldKind.STRING: _text,
    FieldKind.TEXT: _text,
    FieldKind.EMAIL: _text,
    FieldKind.PHONE: _text,
    FieldKind.URL: _text,
    FieldKind.BOOLEAN: _boolean,
    FieldKind.INTEGER: _integer,
    FieldKind.NUMBER: _number,
    FieldKind.DATE: _date,
    FieldKind.DATETIME: _datetime,
    FieldKind.TIME: _time,
    FieldKind.PICKLIST: _picklist,
    FieldKind.MULTIPICKLIST: _multipicklist,
    FieldKind.REFERENCE: _reference,
    FieldKind.IDENTIFIER: _reference,
}
