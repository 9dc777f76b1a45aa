"""Who delivers a backlog: what lanes leave to bulk jobs while these are at it.

Live changes that come later always go by lanes, at once. What a job does not take ends the reserve: nothing waits for
a job to be filled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import Connection

from syncbridge.model import Priority
from syncbridge.store import bulk_jobs, outbox, runs

#: Seconds for which lanes leave a backlog to jobs, unless that is renewed: longer than an upload takes.
RESERVED = 120.0
#: Seconds without progress of any job after which lanes deliver the backlog beside them.
PATIENCE = 300.0


@dataclass(slots=True)
class Reserve:
    """What lanes of one mapping leave to its bulk jobs: live changes up to a moment, and what goes after them."""

    mapping_id: int
    store: Connection
    clock: Callable[[], float]
    _held: set[Priority] = field(default_factory=set)
    _moved_at: float = 0.0

    def moved(self) -> None:
        """A job was given records, or made progress."""
        self._moved_at = self.clock()

    def hold(self, priority: Priority, before: datetime | None) -> None:
        """Let lanes leave rows of this priority, as far as they came due `before` then (None: all)."""
        self._held.add(priority)
        bulk_jobs.reserve(self.store, self.mapping_id, priority, before=before, seconds=RESERVED)

    def renew(self, priority: Priority) -> None:
        """While every job is taken the backlog waits for the next one, as long as they make progress."""
        if priority not in self._held:
            return
        if self.clock() - self._moved_at < PATIENCE:
            bulk_jobs.renew_reserve(self.store, self.mapping_id, priority, seconds=RESERVED)
        else:
            self._end(priority)

    def end(self, priority: Priority) -> None:
        """No backlog of this priority is left; but the next page of a run that goes on is waited for."""
        of_run = priority is Priority.BULK and runs.is_pending(self.store, self.mapping_id)
        if priority in self._held and not of_run:
            self._end(priority)

    def end_all(self) -> None:
        """Lanes deliver everything, also what somebody else had left to jobs before."""
        for priority in (Priority.LIVE, Priority.BULK):
            self._end(priority)

    def _end(self, priority: Priority) -> None:
        self._held.discard(priority)
        bulk_jobs.end_reserve(self.store, self.mapping_id, priority)
        outbox.wake(self.store, self.mapping_id)
