"""Linger: how long the next batch of a mapping waits for more changes, so that API calls carry many records.

The rules, `longest` being the setting:

* After idleness nothing waits: a batch only waits for what keeps coming, counted from the begin of the batch before it.
  So a destination whose calls take longer than that makes nothing wait: its calls fill by themselves.
* While changes come so fast that a call fills within `longest`, the next batch waits until a call is full.
* Below that it waits a part of `longest`: as large as the part of a call that comes within it, but at least a quarter.
  Where not even two changes are likely to come meanwhile, it does not wait.
* A batch of more than a call takes whole calls. What is left waits like what comes next.

So records wait longer only where that saves calls: with a `longest` of 200 ms and calls of 200 records, not at all
below 40 changes a second, then 50 ms at most, 100 ms at 500 a second, 200 ms at 1,000, and 100 ms at 2,000, where a
call is full after that.

Only what is enqueued is heard of. Of rows that come due by themselves (another try) nothing is known, so now and then,
and while that finds more than was known, a batch takes all there is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import exp

#: Seconds over which the rate of changes is a mean.
MEMORY = 1.0
#: Part of the longest wait that is worth it as soon as some changes are likely to come in it.
LEAST = 0.25
SOME = 2
#: Seconds after which a batch takes all there is, whatever is known.
LOOK = 5.0


class Linger:
    """What the lanes of one mapping know of the changes that come for it; thread-safe.

    `longest` is in seconds; `call` is how many records one call takes. `full` is set while a whole call of records
    waits.
    """

    def __init__(self, longest: float, call: int = 1, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.longest = longest
        self.call = call
        self.full = threading.Event()
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0  # records that came and that no batch has taken, as far as is known
        self._rate = 0.0  # changes a second, when `_rated_at` was
        self._rated_at = clock()
        self._began = float("-inf")  # the last batch
        self._looked = float("-inf")  # the last batch that was to take all there is
        self._behind = False  # there may be more than is known

    def came(self, records: int) -> None:
        """So many records were enqueued."""
        with self._lock:
            self._rate, self._rated_at = self._rate_now() + records / MEMORY, self._clock()
            self._waiting += records
            if self._waiting >= self.call:
                self.full.set()

    def left(self) -> float:
        """Seconds that the next batch should still wait, unless a call is full before."""
        with self._lock:
            if self._waiting >= self.call:
                return 0.0
            return max(0.0, self._began + self._period() - self._clock())

    def begin(self, most: int) -> int:
        """A batch begins that could take `most` records: how many it should take."""
        with self._lock:
            now = self._began = self._clock()
            asked = most
            if self._waiting >= self.call and self.longest and not self._behind and now - self._looked < LOOK:
                asked = min(most, self._waiting // self.call * self.call)
            else:
                self._looked = now
                self._behind = self._waiting < most  # unless it finds fewer
            self._left(self._waiting - asked)
            return asked

    def took(self, records: int, asked: int) -> None:
        """The batch found so many records of those it `asked` for; fewer means that none are left."""
        with self._lock:
            if records < asked:
                self._left(0)
                self._behind = False

    def _left(self, records: int) -> None:
        self._waiting = max(0, records)
        if self._waiting < self.call:
            self.full.clear()

    def _period(self) -> float:
        if self._fills():
            return self.longest
        rate = self._rate_now()
        period = self.longest * max(LEAST, rate * self.longest / self.call)
        return period if rate * period >= SOME else 0.0

    def _fills(self) -> bool:
        """Whether a call fills within the longest wait."""
        return self.longest > 0 and self._rate_now() * self.longest >= self.call

    def _rate_now(self) -> float:
        return self._rate * exp((self._rated_at - self._clock()) / MEMORY)
