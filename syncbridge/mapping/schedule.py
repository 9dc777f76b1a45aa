"""When a mapping's sides are compared again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

_DAY = 86400


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every so many seconds; with `at`, minutes since midnight in UTC, every so many days at that time."""

    every: int
    at: int | None = None

    def next(self, last: datetime) -> datetime:
        """When it is due, of which the last one was then."""
        if self.at is None:
            return last + timedelta(seconds=self.every)
        day = last.astimezone(UTC).date() + timedelta(days=max(1, self.every // _DAY))
        return datetime.combine(day, time(self.at // 60, self.at % 60), UTC)
