"""Work on the destination's threads: several calls in flight, all with one end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from syncbridge.destinations.calls import Calls
from syncbridge.destinations.salesforce.client import Client
from syncbridge.destinations.salesforce.writes import Send
from syncbridge.errors import SyncbridgeError

T = TypeVar("T")
#: What one worker thread does: it is given the way to make calls.
Part = Callable[[Send], T]


class Flights:
    """Runs parts on at most `places` threads, fair between lanes."""

    def __init__(self, client: Client, places: int, *, name: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._places = places
        self._clock = clock
        self._calls = Calls(places, name=name)

    def until(self, calls: float) -> float:
        """When the last attempt may begin, so that all ends within `call_seconds` for each round of calls."""
        return self._clock() + self._client.one_call * max(1, math.ceil(calls / self._places))

    def run(
        self, lane: str, parts: Sequence[Part[T]], until: float, locks: Sequence[frozenset[str]] = ()
    ) -> list[T | Exception]:
        """What each part returned or raised. After an error that concerns every call, parts that wait are not begun.

        `locks` as in `Calls.run`.
        """
        stopped: list[SyncbridgeError] = []

        def begin(part: Part[T]) -> T:
            if stopped:
                raise stopped[0]
            try:
                return part(lambda request: self._client.call(replace(request, lane=lane), until=until))
            except SyncbridgeError as error:
                stopped.append(error)
                raise

        limit = max(0.0, until - self._clock())
        return self._calls.run(lane, [partial(begin, part) for part in parts], locks=locks, limit=limit)

    def close(self) -> None:
        """Refuse what waits and end the threads."""
        self._calls.close()
