"""Calls in flight: a fixed number of places per destination, shared fairly between lanes (mappings).

The rules, in the order in which they bind:

* A lane holds at most one place less than there are (when there are two or more) as soon as a second lane is known: a
  lane whose calls hang can then never take the last place from the others. The only lane there is may use all of them;
  the unnamed lane, of calls that belong to no mapping, does not count as another.
* While other lanes wait, no lane holds more than its share: the places divided by the lanes that hold or want one,
  rounded up. Shares are taken at the next call; calls in flight are never broken off.
* Free places go round the waiting lanes in turn; inside a lane the oldest call goes first.

Work runs on this object's own threads, which are started when needed and end with `close`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from syncbridge.errors import RetryLater

Call = Callable[[], Any]


class NotBegun(RetryLater):
    """No place became free in time, or the destination was closed: nothing was sent."""


@dataclass(slots=True)
class _Batch:
    """The calls that one thread waits for."""

    answers: list[Any]
    open: int
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Lane:
    """What one mapping waits for and holds."""

    waiting: deque[tuple[Call, _Batch, int]] = field(default_factory=deque)
    held: int = 0


class Calls:
    """Runs calls on at most `places` threads, fair between lanes."""

    def __init__(self, places: int, *, name: str = "calls", clock: Callable[[], float] = time.monotonic) -> None:
        if places < 1:
            raise ValueError("at least one place is needed")
        self.places = places
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._lanes: dict[str, _Lane] = {}  # in the order of their next turn
        self._threads: list[threading.Thread] = []
        self._closed = False

    def run(self, lane: str, calls: Sequence[Call], *, limit: float | None = None) -> list[Any]:
        """Run `calls` in this lane and return, in order, what each returned or the exception it raised.

        Calls that have not begun after `limit` seconds are not made: their answer is a `NotBegun`.
        """
        if not calls:
            return []
        batch = _Batch([None] * len(calls), len(calls))
        with self._lock:
            if self._closed:
                return [NotBegun("closed", code="CLOSED") for _ in calls]
            own = self._lanes.setdefault(lane, _Lane())
            own.waiting.extend((call, batch, index) for index, call in enumerate(calls))
            self._start_threads()
            self._wanted.notify(len(calls))
        self._wait(own, batch, limit)
        return batch.answers

    def waiting(self, lane: str) -> int:
        """Calls of this lane that have not begun."""
        with self._lock:
            return len(self._lanes[lane].waiting) if lane in self._lanes else 0

    def close(self) -> None:
        """Refuse what waits, let calls in flight end, and end the threads. May be called twice."""
        with self._lock:
            self._closed = True
            for lane in self._lanes.values():
                while lane.waiting:
                    _, batch, index = lane.waiting.popleft()
                    self._answer(batch, index, NotBegun("closed", code="CLOSED"))
            self._wanted.notify_all()
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()

    def _wait(self, own: _Lane, batch: _Batch, limit: float | None) -> None:
        if batch.done.wait(limit):
            return
        with self._lock:
            late = [entry for entry in own.waiting if entry[1] is batch]
            for entry in late:
                own.waiting.remove(entry)
                self._answer(batch, entry[2], NotBegun("no call became free in time", code="NO_FREE_CALL"))
        batch.done.wait()  # those in flight have limits of their own

    def _start_threads(self) -> None:
        """Have a thread for each call that waits or runs, as far as places allow. Under the lock."""
        calls = sum(len(lane.waiting) + lane.held for lane in self._lanes.values())
        while len(self._threads) < min(calls, self.places):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                while (taken := self._take()) is None:
                    if self._closed:
                        return
                    self._wanted.wait()
                # Taking the last call of one lane can lift another lane's limit, for which a thread may be idle.
                self._wanted.notify()
            lane, (call, batch, index) = taken
            try:
                answer = call()
            except Exception as error:
                answer = error
            with self._lock:
                lane.held -= 1
                self._answer(batch, index, answer)

    def _take(self) -> tuple[_Lane, tuple[Call, _Batch, int]] | None:
        """The next call by the rules above, or None. Under the lock."""
        waiting = sum(1 for lane in self._lanes.values() if lane.waiting)
        if not waiting:
            return None
        busy = sum(1 for lane in self._lanes.values() if lane.waiting or lane.held)
        alone = len(self._lanes) - ("" in self._lanes) <= 1
        ceiling = self.places if alone or self.places == 1 else self.places - 1
        share = -(-self.places // busy)
        for name, lane in self._lanes.items():
            others_wait = waiting > 1
            if lane.waiting and lane.held < (min(ceiling, share) if others_wait else ceiling):
                self._lanes[name] = self._lanes.pop(name)  # its next turn comes after all others
                lane.held += 1
                return lane, lane.waiting.popleft()
        return None

    @staticmethod
    def _answer(batch: _Batch, index: int, answer: Any) -> None:
        batch.answers[index] = answer
        batch.open -= 1
        if not batch.open:
            batch.done.set()
