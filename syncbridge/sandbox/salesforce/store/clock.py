"""The sandbox's own time: it follows the machine's, and a test may move it forward instead of waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from syncbridge.sandbox.salesforce.store.values import datetime_text


class Clock:
    """Tells the time; `advance` moves it, `restore` undoes all moves."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0
        self._second = -1
        self._stamp = ""

    def seconds(self) -> float:
        """Return the time as seconds since 1970."""
        return self._source() + self._offset

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    def stamp(self) -> str:
        """Return the time as the API writes it, in whole seconds."""
        second = int(self.seconds())
        if second != self._second:
            self._second = second
            self._stamp = datetime_text(datetime.fromtimestamp(second, UTC))
        return self._stamp

    def stamp_before(self, seconds: float) -> str:
        """Return the time some seconds ago as the API writes it."""
        return datetime_text(self.now() - timedelta(seconds=seconds))

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._offset += seconds

    def restore(self) -> None:
        """Follow the machine's time again."""
        self._offset = 0.0
