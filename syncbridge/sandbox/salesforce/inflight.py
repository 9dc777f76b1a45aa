"""Requests under way: how many of them run for long, and the locks that each holds until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from syncbridge.sandbox.salesforce.faults import concurrent_limit
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.locks import POLL_SECONDS, Holder, Locks

#: Requests under way for so long count as long; an org has no more than 25 of them, a developer's has 5.
LONG_SECONDS = 20
CONCURRENT_CALLS = 25


class InFlight:
    """The requests of one server that are not answered yet; `concurrent_max` of them may run for long."""

    def __init__(self, clock: Clock, locks: Locks) -> None:
        self.concurrent_max = CONCURRENT_CALLS
        self._clock = clock
        self._locks = locks
        self._began: dict[int, float] = {}
        self._number = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request for as long as the block lasts."""
        self._number += 1
        number = self._number
        self._began[number] = self._clock.seconds()
        try:
            yield
        finally:
            self._began.pop(number, None)

    def reset(self) -> None:
        """Forget the requests under way."""
        self.concurrent_max = CONCURRENT_CALLS
        self._began.clear()

    def check(self) -> None:
        """Refuse a request while as many run for long as the org allows."""
        now = self._clock.seconds()
        if sum(now - each >= LONG_SECONDS for each in self._began.values()) >= self.concurrent_max:
            raise concurrent_limit()

    @asynccontextmanager
    async def locks(self, *, may_wait: bool) -> AsyncIterator[Holder]:
        """Give a request its locks, and keep them until its records have taken their time."""
        locks = self._locks
        holder = Holder(may_wait=may_wait and locks.wait_seconds > 0)
        try:
            yield holder
            if holder.rows:
                await asyncio.sleep(holder.rows * locks.row_seconds)
                while locks.holds(holder):
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            locks.release(holder)
