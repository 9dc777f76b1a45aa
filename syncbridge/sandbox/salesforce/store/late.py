"""Late visibility: what is written is seen by queries and feeds seconds later, with the SystemModstamp of its writing.

In an org a transaction takes its time stamp early and is committed late, so that records show up behind a poller's
back: 1 to 3 s after later stamps could be read already (estuary/connectors #2678). Here every record is written
at once, and a query reads through a transaction that takes back what it must not see yet, and is itself undone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from syncbridge.sandbox.salesforce.store.clock import Clock


@dataclass(frozen=True, slots=True)
class Earlier:
    """A row as it was before a write: its stored columns and their values, None for one that was not there."""

    columns: tuple[str, ...]
    values: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class _Version:
    """What queries see of a row until `due`, though it was written at `written`."""

    transaction: int
    written: float
    due: float
    row: Earlier


class Late:
    """Remembers earlier versions of rows. `least` and `most` are seconds; with both 0 nothing is late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[tuple[str, str], list[_Version]] = {}
        self._random = random.Random(0)
        self._least = self._most = 0.0
        self._transaction = 0
        self._due = 0.0

    @property
    def on(self) -> bool:
        """True when writes are to be seen late."""
        return self._most > 0

    def set(self, least: float, most: float) -> None:
        """Let each transaction be seen some seconds late, between these two; what is written keeps its time."""
        self._least, self._most = least, most

    def reset(self) -> None:
        """Be late with nothing, as at the start."""
        self.forget()
        self._random.seed(0)
        self._least = self._most = 0.0

    def forget(self) -> None:
        """Let everything that was written be seen."""
        self._versions.clear()

    def begin(self) -> None:
        """Let a transaction begin: its rows become visible together."""
        self._transaction += 1
        self._due = self._clock.seconds() + self._random.uniform(self._least, self._most)

    def remember(self, table: str, record_id: str, row: Earlier) -> None:
        """Keep what a row was before the transaction in hand."""
        versions = self._versions.setdefault((table, record_id), [])
        if versions and versions[-1].transaction == self._transaction:
            return
        versions.append(_Version(self._transaction, self._clock.seconds(), self._due, row))

    def hidden(self) -> list[tuple[str, str, Earlier]]:
        """Return table, id and earlier row of everything that queries must not see as it is now.

        A row's writes become visible in their order: a later one waits for those before it.
        """
        now = self._clock.seconds()
        found = []
        for key, versions in list(self._versions.items()):
            while versions and versions[0].due <= now:
                del versions[0]
            if versions:
                found.append((*key, versions[0].row))
            else:
                del self._versions[key]
        return found

    def oldest(self) -> float | None:
        """Return when the oldest write took place that cannot be seen yet, in seconds since 1970."""
        if not self.hidden():
            return None
        return min(versions[0].written for versions in self._versions.values())
