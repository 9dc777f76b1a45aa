"""Calls in flight: a fixed number of places per destination, shared fairly between lanes (mappings).

The rules, in the order in which they bind:

* A lane holds at most one place less than there are (when there are two or more) as soon as a second lane is known: a
  lane whose calls hang can then never take the last place from the others. The only lane there is may use all of them;
  the unnamed lane, of calls that belong to no mapping, does not count as another.
* While other lanes wait, no lane holds more than its share: the places divided by the lanes that hold or want one,
  rounded up. Shares are taken at the next call; calls in flight are never broken off.
* Free places go round the waiting lanes in turn; inside a lane the oldest call goes first.
* Calls that lock the same things (`locks`) are never in flight together, whatever their lanes. A call that waits for
  such a lock is not overtaken by a younger one that wants it too, and others go before it meanwhile.

Work runs on this object's own threads, which are started when needed and end with `close`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from syncbridge.errors import RetryLater

Call = Callable[[], Any]


NO_LOCKS: frozenset[str] = frozenset()
#: Calls of one lane that are looked at for one that need not wait for a lock.
LOOK_AHEAD = 32


class NotBegun(RetryLater):
    """No place became free in time, or the destination was closed: nothing was sent."""


@dataclass(slots=True)
class _Batch:
    """The calls that one thread waits for."""

    answers: list[Any]
    open: int
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One call that waits."""

    call: Call
    batch: _Batch
    index: int
    locks: frozenset[str]


@dataclass(slots=True)
class _Lane:
    """What one mapping waits for and holds."""

    waiting: deque[_Entry] = field(default_factory=deque)
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
        self._locked: set[str] = set()
        self._closed = False

    def run(
        self, lane: str, calls: Sequence[Call], *, locks: Sequence[frozenset[str]] = (), limit: float | None = None
    ) -> list[Any]:
        """Run `calls` in this lane and return, in order, what each returned or the exception it raised.

        `locks` names for each call what no two calls may hold at once; none where it is left out. Calls that have not
        begun after `limit` seconds are not made: their answer is a `NotBegun`.
        """
        if not calls:
            return []
        batch = _Batch([None] * len(calls), len(calls))
        with self._lock:
            if self._closed:
                return [NotBegun("closed", code="CLOSED") for _ in calls]
            own = self._lanes.setdefault(lane, _Lane())
            own.waiting.extend(
                _Entry(call, batch, index, locks[index] if locks else NO_LOCKS) for index, call in enumerate(calls)
            )
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
                    self._answer(lane.waiting.popleft(), NotBegun("closed", code="CLOSED"))
            self._wanted.notify_all()
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()

    def _wait(self, own: _Lane, batch: _Batch, limit: float | None) -> None:
        if batch.done.wait(limit):
            return
        with self._lock:
            late = [entry for entry in own.waiting if entry.batch is batch]
            for entry in late:
                own.waiting.remove(entry)
                self._answer(entry, NotBegun("no call became free in time", code="NO_FREE_CALL"))
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
            lane, entry = taken
            try:
                answer = entry.call()
            except Exception as error:
                answer = error
            with self._lock:
                lane.held -= 1
                self._locked -= entry.locks
                self._answer(entry, answer)

    def _take(self) -> tuple[_Lane, _Entry] | None:
        """The next call by the rules above, or None. Under the lock."""
        waiting = sum(1 for lane in self._lanes.values() if lane.waiting)
        if not waiting:
            return None
        busy = sum(1 for lane in self._lanes.values() if lane.waiting or lane.held)
        alone = len(self._lanes) - ("" in self._lanes) <= 1
        ceiling = self.places if alone or self.places == 1 else self.places - 1
        share = -(-self.places // busy)
        wanted = set(self._locked)  # and what older calls wait for
        for name, lane in self._lanes.items():
            others_wait = waiting > 1
            if lane.waiting and lane.held < (min(ceiling, share) if others_wait else ceiling):
                entry = _first_free(lane.waiting, wanted)
                if entry is None:
                    continue
                lane.waiting.remove(entry)
                self._lanes[name] = self._lanes.pop(name)  # its next turn comes after all others
                lane.held += 1
                self._locked |= entry.locks
                return lane, entry
        return None

    @staticmethod
    def _answer(entry: _Entry, answer: Any) -> None:
        batch = entry.batch
        batch.answers[entry.index] = answer
        batch.open -= 1
        if not batch.open:
            batch.done.set()


def _first_free(waiting: Iterable[_Entry], wanted: set[str]) -> _Entry | None:
    """The oldest of the next calls that locks nothing of `wanted`, to which it adds what those before it lock."""
    for entry in islice(waiting, LOOK_AHEAD):
        if entry.locks.isdisjoint(wanted):
            return entry
        wanted |= entry.locks
    return None
