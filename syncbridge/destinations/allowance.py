"""The allowance of API calls that a remote system grants for a day, and how much of it is ours to use.

Others use the same allowance (people, other programs), so what counts is what the remote system says is used, by
whomever. Below `slow_at` calls are free. From there to `stop_at` they are spaced out, more and more, until their rate
is the one that the allowance can bear for ever. At `stop_at` no call is made; from time to time one caller is told to
look again, so that work goes on by itself when the window has moved.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from syncbridge.destinations.base import Limits
from syncbridge.errors import QuotaExhausted, RateLimited
from syncbridge.model import LOGIN

WINDOW = 86_400.0
RECHECK = 300.0
#: Seconds that a look may take; who asks meanwhile comes back soon and not after RECHECK.
LOOK_SECONDS = 30.0
LOOK_DELAY = 5.0


class Allowance:
    """Thread-safe. `note` tells it what the remote system said, `reserve` asks before each call."""

    def __init__(self, *, slow_at: float, stop_at: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._slow_at = min(slow_at, stop_at)
        self._stop_at = stop_at
        self._clock = clock
        self._lock = threading.Lock()
        self._used: int | None = None
        self._allowed: int | None = None
        self._refused = ""  # why the remote system itself said no
        self._next_call = 0.0
        self._next_look = 0.0
        self._looking_until = 0.0
        self._made: Counter[tuple[str, str]] = Counter()  # by lane and kind

    def note(self, used: int, allowed: int) -> None:
        """What the remote system says is used, of how much."""
        with self._lock:
            was = self._stopped()
            self._used, self._allowed = used, allowed
            if self._stopped() and not was:
                self._next_look = self._clock() + RECHECK

    def looked(self, used: int, allowed: int) -> None:
        """What the remote system answered when it was asked again: an earlier refusal no longer counts."""
        with self._lock:
            self._used, self._allowed, self._refused = used, allowed, ""
            self._looking_until = 0.0

    def refused(self, reason: str) -> float:
        """The remote system refused a call because an allowance is spent; seconds until it is asked again."""
        with self._lock:
            self._refused = reason
            self._next_look = self._clock() + RECHECK
            self._looking_until = 0.0
            return RECHECK

    def reserve(self, patience: float) -> float:
        """Seconds to wait before the next call may be made.

        Raises QuotaExhausted when none may be made, RateLimited when the wait would be longer than `patience`.
        """
        with self._lock:
            now = self._clock()
            if self._stopped():
                raise QuotaExhausted(
                    self._detail(),
                    code="DAILY_SHARE",
                    hint="It goes on by itself when calls become free; `daily_share` says how much is ours.",
                    delay=LOOK_DELAY if now < self._looking_until else max(1.0, self._next_look - now),
                )
            begin = max(now, self._next_call)
            if begin - now > patience:
                raise RateLimited(self._detail(), code="SPACING", delay=begin - now)
            self._next_call = begin + self._spacing()
            return begin - now

    def look_again(self) -> bool:
        """Whether this caller should ask the remote system what is used; true for one caller at a time."""
        with self._lock:
            if not self._stopped() or self._clock() < self._next_look:
                return False
            self._next_look = self._clock() + RECHECK
            self._looking_until = self._clock() + LOOK_SECONDS
            return True

    def count(self, kind: str, lane: str = "") -> None:
        """One call was made, for the mapping that `lane` names."""
        with self._lock:
            self._made[lane, kind] += 1

    def made(self) -> dict[tuple[str, str], int]:
        """All calls that were counted, by lane and kind."""
        with self._lock:
            return dict(self._made)

    def limits(self) -> Limits:
        """All that is known."""
        with self._lock:
            state = "stopped" if self._stopped() else "slow" if self._spacing() else "ok"
            calls = sum(count for (_, kind), count in self._made.items() if kind != LOGIN)
            share = None if self._allowed is None else int(self._allowed * self._stop_at)
            detail = self._detail() if state != "ok" else ""
            return Limits(self._used, self._allowed, calls, state, detail, share=share)

    def _stopped(self) -> bool:
        return bool(self._refused) or self._part() >= self._stop_at

    def _part(self) -> float:
        return (self._used or 0) / self._allowed if self._allowed else 0.0

    def _spacing(self) -> float:
        """Seconds between calls: none below `slow_at`, the lasting rate at `stop_at`."""
        part = self._part()
        if not self._allowed or part < self._slow_at:
            return 0.0
        width = self._stop_at - self._slow_at
        urgency = min(1.0, (part - self._slow_at) / width) if width else 1.0
        return WINDOW / (self._allowed * self._stop_at) * urgency

    def _detail(self) -> str:
        if self._refused:
            return self._refused
        what = f"{self._used:,} of {self._allowed:,} API calls of the day are used"
        return f"{what}; our share ends at {self._stop_at:.0%}" if self._stopped() else f"{what}: slowing down"
