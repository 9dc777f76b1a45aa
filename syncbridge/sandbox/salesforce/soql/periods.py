"""SOQL's calendar words (TODAY, LAST_N_DAYS:7, THIS_QUARTER) as half-open ranges of days, in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

Range = tuple[date, date]

SIMPLE_DAYS: dict[str, tuple[int, int]] = {
    "YESTERDAY": (-1, 0), "TODAY": (0, 1), "TOMORROW": (1, 2), "LAST_90_DAYS": (-90, 1), "NEXT_90_DAYS": (1, 91),
}  # fmt: skip
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "FISCAL_QUARTER": 3, "FISCAL_YEAR": 12}


def period(text: str, today: date) -> Range | None:
    """Return the first day of a period and the first day after it, or None when there is no such word or day."""
    word, _, count = text.partition(":")
    try:
        return _counted(word, int(count), today) if count else _fixed(word, today)
    except (OverflowError, ValueError):  # before year 1 or after year 9999
        return None


def _fixed(word: str, today: date) -> Range | None:
    if word in SIMPLE_DAYS:
        start, end = SIMPLE_DAYS[word]
        return today + timedelta(days=start), today + timedelta(days=end)
    which, _, unit = word.partition("_")
    step = {"LAST": -1, "THIS": 0, "NEXT": 1}.get(which)
    starts = _starts(unit)
    if step is None or starts is None:
        return None
    return starts(today, step), starts(today, step + 1)


def _counted(word: str, number: int, today: date) -> Range | None:
    if word in ("LAST_N_DAYS", "NEXT_N_DAYS", "N_DAYS_AGO"):
        first, last = {"LAST_N_DAYS": (-number, 1), "NEXT_N_DAYS": (1, number + 1)}.get(word, (-number, -number + 1))
        return today + timedelta(days=first), today + timedelta(days=last)
    which, _, rest = word.partition("_N_")
    if which in ("LAST", "NEXT") and rest.endswith("S"):
        starts = _starts(rest[:-1])
        if starts is not None:
            return (starts(today, -number), starts(today, 0)) if which == "LAST" else (
                starts(today, 1), starts(today, number + 1))  # fmt: skip
    if word.startswith("N_") and word.endswith("S_AGO"):
        starts = _starts(word[2:-5])
        if starts is not None:
            return starts(today, -number), starts(today, -number + 1)
    return None


def _starts(unit: str) -> Callable[[date, int], date] | None:
    """Return the function that gives the first day of the week, month, quarter or year some steps away."""
    if unit == "WEEK":
        return _week
    if unit not in MONTHS:
        return None
    months = MONTHS[unit]

    def start(today: date, step: int) -> date:
        number = (today.year * 12 + today.month - 1) // months * months + step * months
        return date(number // 12, number % 12 + 1, 1)

    return start


def _week(today: date, step: int) -> date:
    """Weeks start on Sunday, as in the default locale."""
    return today - timedelta(days=(today.weekday() + 1) % 7) + timedelta(weeks=step)
