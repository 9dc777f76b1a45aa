"""How single values are written in a mapping file: each function takes the raw value and gives what it means.

They raise ValueError with words that go on the line of the value; `files` adds file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from syncbridge.mapping.sql import fragment_fault, split_table

Scalar = str | int | float | bool

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_PERIOD_NAMES = {seconds: name for name, seconds in _PERIODS.items()}
#: Names that SQL can use without quotes.
ALIAS = "[a-z_][a-z0-9_]{0,62}"
_RATE = re.compile(r"(\d[\d_]*) per (second|minute|hour|day)")
_SHARE = re.compile(r"(\d{1,3}) ?% per (minute|hour|day)")
_DURATION = re.compile(r"(\d{1,6}) ?([smhd])")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a length of time: `100 per hour`."""

    count: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.count} per {_PERIOD_NAMES[self.seconds]}"


@dataclass(frozen=True, slots=True)
class Share:
    """So many of a hundred in a length of time: `20% per hour`."""

    percent: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.percent}% per {_PERIOD_NAMES[self.seconds]}"


def text(value: object) -> str:
    """Text that is not blank."""
    if not isinstance(value, str):
        raise ValueError("should be text" + ("; put it in quotes" if isinstance(value, int | float) else ""))
    if not value.strip():
        raise ValueError("is empty")
    return value


def mapping_name(value: object) -> str:
    """The name of a mapping."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name := text(value)):
        raise ValueError("a mapping's name is made of small letters, digits, - and _, and begins with a letter")
    return name


def fragment(value: object) -> str:
    """An SQL expression."""
    written = text(value)
    if fault := fragment_fault(written):
        raise ValueError(f"this SQL {fault}")
    return written.strip()


def table(value: object) -> str:
    """A table, as `split_table` reads it."""
    split_table(name := text(value))
    return name


def columns(value: object) -> tuple[str, ...]:
    """One column, or a list of them."""
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("should be a column, or a list of columns")
    if len(set(names)) < len(names):
        raise ValueError("names a column twice")
    return tuple(names)


def scalar(value: object) -> Scalar:
    """A text, a number, true or false."""
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError("is empty" if value is None else "should be a text, a number, true or false")


def scalar_or_null(value: object) -> Scalar | None:
    """As scalar, or null."""
    return None if value is None else scalar(value)


def yes_no(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def rate(value: object) -> Rate | None:
    """`100 per hour`, or `off`."""
    if value is None or value == "off":
        return None
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("should read like `100 per hour` (second, minute, hour, day), or `off`")
    return Rate(int(match[1]), _PERIODS[match[2]])


def on_delete(value: object) -> object:
    """`delete`, `ignore`, or `{set: {Field: value}}`."""
    if value in ("delete", "ignore"):
        return value
    if isinstance(value, dict) and list(value) == ["set"]:
        fields = value["set"]
        if isinstance(fields, dict) and fields:
            return {"set": {name: scalar_or_null(constant) for name, constant in fields.items()}}
        raise ValueError("set: needs at least one `Field: value`")
    raise ValueError("should be delete, ignore, or {set: {Field: value}}")


def alias(value: object) -> str:
    """A name of one's own that SQL can use without quotes."""
    if not re.fullmatch(ALIAS, name := text(value)):
        raise ValueError("such a name is made of small letters, digits and _, and begins with a letter")
    return name


def remote_names(value: object) -> tuple[str, ...]:
    """One remote field, or a list of them."""
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("should be a remote field, or a list of remote fields")
    if len({str(name).lower() for name in names}) < len(names):
        raise ValueError("names a field twice")
    return tuple(names)


def share(value: object) -> Share | None:
    """`20% per hour`, or `off`."""
    if value is None or value == "off":
        return None
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) <= 100:
        raise ValueError("should read like `20% per hour` (minute, hour, day), or `off`")
    return Share(int(match[1]), _PERIODS[match[2]])


def seconds(value: object) -> int:
    """A length of time: `30s`, `10m`, `1h`, `1d`."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("should read like `30s`, `10m`, `1h` or `1d`")
    return int(match[1]) * _UNITS[match[2]]


def seconds_or_off(value: object) -> int | None:
    """A length of time, or `off`."""
    if value is None or value == "off":
        return None
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"{error}, or be `off`") from None


def duration(length: int) -> str:
    """The shortest writing of a length of time in seconds; `seconds` reads it back."""
    unit = next(unit for unit in ("d", "h", "m", "s") if length % _UNITS[unit] == 0)
    return f"{length // _UNITS[unit]}{unit}"


def time_of_day(value: object) -> int:
    """`03:30`, in minutes since midnight."""
    match = _TIME_OF_DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('should read like "03:30", in quotes: hours and minutes, in UTC')
    return int(match[1]) * 60 + int(match[2])


def clock(minutes: int) -> str:
    """The writing of a time of the day; `time_of_day` reads it back."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def one_of(*words: str) -> Callable[[object], str]:
    """A function that takes one of these words."""

    def chosen(value: object) -> str:
        if value not in words:
            raise ValueError(f"should be {', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return chosen
