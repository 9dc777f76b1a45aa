"""Who delivers a backlog: what lanes leave to bulk jobs while these are at it.

Live changes that come later always go by lanes, at once. What a job does not take ends the reserve: nothing waits for
a job to be filled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from syncbridge.model import Priority
from syncbridge.outbound.bulk_turn import Turn
from syncbridge.store import bulk_jobs, outbox, runs

log = logging.getLogger("syncbridge.bulk")

#: Seconds for which lanes leave a backlog to jobs, unless that is renewed: longer than an upload takes.
RESERVED = 120.0
#: Seconds without progress of any job after which lanes deliver the backlog beside them.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Reserve:
    """What lanes of one mapping leave to its bulk jobs: live changes up to a moment, and what goes after them.

    Each thread of the process that has the turn has one, with its own connection.
    """

    mapping_id: int
    name: str
    store: Connection
    clock: Callable[[], float]
    turn: Turn

    def moved(self) -> None:
        """A job made progress."""
        self.turn.moved_at = self.clock()

    def adopt(self) -> None:
        """What somebody else left to jobs before, or a run at its beginning, is ended or renewed as if it were ours."""
        self.turn.held.update((Priority.LIVE, Priority.BULK))
        self.moved()

    def hold(self, priority: Priority, before: datetime | None) -> None:
        """Let lanes leave rows of this priority, as far as they came due `before` then (None: all)."""
        if self.resting:
            return
        self.turn.held.add(priority)
        bulk_jobs.reserve(self.store, self.mapping_id, priority, before=before, seconds=RESERVED)

    def renew(self, priority: Priority) -> None:
        """While every job is taken the backlog waits for the next one, as long as they make progress."""
        if priority not in self.turn.held:
            return
        if self.clock() - self.turn.moved_at < PATIENCE:
            bulk_jobs.renew_reserve(self.store, self.mapping_id, priority, seconds=RESERVED)
        else:
            self._end(priority)

    def end(self, priority: Priority) -> None:
        """No backlog of this priority is left; but the next page of a run that goes on is waited for."""
        of_run = priority is Priority.BULK and runs.is_pending(self.store, self.mapping_id)
        if priority in self.turn.held and not of_run:
            self._end(priority)

    def end_all(self) -> None:
        """Lanes deliver everything."""
        for priority in (Priority.LIVE, Priority.BULK):
            self._end(priority)

    @property
    def resting(self) -> bool:
        """Whether lanes do all of it for now."""
        return self.clock() < self.turn.rest_until

    def rest(self, seconds: float, reason: str) -> None:
        """Let the lanes do all of it for a while."""
        self.turn.rest_until = self.clock() + seconds
        self.end_all()
        log.warning("mapping %s: no bulk jobs for %.0f s: %s", self.name, seconds, reason)

    def _end(self, priority: Priority) -> None:
        self.turn.held.discard(priority)
        self.turn.takes_pages &= priority is not Priority.BULK
        bulk_jobs.end_reserve(self.store, self.mapping_id, priority)
        outbox.wake(self.store, self.mapping_id)
