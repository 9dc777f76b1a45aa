"""How many calls may be in flight at once: fewer for a while when the remote system says that it is too much.

A refusal halves the number; afterwards it rises again by one at a time, while calls get through (additive increase,
multiplicative decrease, as TCP does it). Several refusals of calls that were in flight together count once. A wait that
the remote system asked for is kept by all calls, not only by the one that was told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from syncbridge.errors import RateLimited, RetryLater

#: Seconds for which calls must get through until one more is let in flight.
RISE_AFTER = 10.0


@dataclass(frozen=True, slots=True)
class Lowered:
    """Calls in flight while there are fewer than the settings allow, and what the remote system said."""

    in_flight: int
    most: int
    reason: str

    def __str__(self) -> str:
        return f"{self.in_flight} of {self.most} calls in flight, after {self.reason}"


class Pace:
    """Thread-safe. Each call takes a `turn`; `refused` and `got_through` tell how it went."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._free = threading.Condition()
        self._allowed = most
        self._in_flight = 0
        self._changed = float("-inf")  # when the number last went down or up
        self._not_before = float("-inf")
        self._reason = ""

    @contextmanager
    def turn(self, patience: float) -> Iterator[float]:
        """One call's place, and when it began; RetryLater when none is free within `patience` seconds."""
        with self._free:
            if not self._free.wait_for(lambda: self._in_flight < self._allowed, max(0.0, patience)):
                raise RetryLater(f"No call became free in time: {self._lowered()}.", code="NO_FREE_CALL")
            self._in_flight += 1
            began = self._clock()
        try:
            yield began
        finally:
            with self._free:
                self._in_flight -= 1
                self._free.notify()

    def reserve(self, patience: float) -> float:
        """Seconds that every call has to wait now; RateLimited when that is longer than `patience`."""
        with self._free:
            wait = max(0.0, self._not_before - self._clock())
            if wait > patience:
                raise RateLimited(self._reason, code="ASKED_TO_WAIT", delay=wait)
            return wait

    def refused(self, reason: str, *, began: float, delay: float | None = None) -> None:
        """The remote system has too much to do. `began` is of the call's turn, `delay` the wait it asked for."""
        with self._free:
            now = self._clock()
            self._not_before = max(self._not_before, now + (delay or 0.0))
            self._reason = reason
            if began >= self._changed or self._allowed == self._most:
                self._allowed = max(1, min(self._allowed, self._most) // 2)
                self._changed = now

    def got_through(self) -> None:
        """A call was answered as usual."""
        if self._allowed == self._most:
            return
        with self._free:
            now = self._clock()
            if self._allowed < self._most and now - self._changed >= RISE_AFTER:
                self._allowed += 1
                self._changed = now
                self._free.notify()

    def lowered(self) -> Lowered | None:
        """How many calls may be in flight and why, while these are fewer than usual."""
        with self._free:
            return self._lowered()

    def _lowered(self) -> Lowered | None:
        return Lowered(self._allowed, self._most, self._reason) if self._allowed < self._most else None
