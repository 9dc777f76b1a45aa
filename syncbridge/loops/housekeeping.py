"""The loop of a worker that looks after itself, after workers that died, and after what is in force."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from syncbridge.loops.loop import Connected
from syncbridge.model import MappingStatus
from syncbridge.store import bounces, claims, database, departures, guard_counts, mappings, sync_log, workers

log = logging.getLogger("syncbridge.worker")

SECONDS = 1.0  # between two steps
PRUNE_EVERY = 600.0  # seconds
#: Seconds without a sign of life after which a process that is gone from this machine counts as dead. A call that it
#: had in flight is over by then: a later one must not be overtaken by it.
SILENCE = 10.0


class HousekeepingLoop(Connected):
    """Signs of life, waits that are over, partitions of the log; whether the state and the mappings are still these."""

    _pruned_at = float("-inf")

    def open(self) -> None:
        self._state = self._store("housekeeping")

    def step(self) -> float:
        database.ensure_ready(self._state)  # nothing goes on by an older program than the state's
        workers.report(self._state, self.around.worker_id, self._facts())
        self.around.spending.write(self._state)
        if mappings.wake_waiting(self._state):
            self.around.wake_all()
        self._free_orphans()
        self._look_at_what_is_in_force()
        if time.monotonic() - self._pruned_at > PRUNE_EVERY:
            self._pruned_at = time.monotonic()
            self._prune()
        return SECONDS

    def _look_at_what_is_in_force(self) -> None:
        applied = mappings.read_all(self._state)
        if {name: mapping.digest for name, mapping in applied.items()} != dict(self.around.digests):
            log.info("other mappings are in force now; starting them")
            self.around.changed.set()
        elif any(applied[name].status is not MappingStatus.HALTED for name in self.around.broken):
            log.info("a mapping that did not fit its table was resumed; looking at it again")
            self.around.changed.set()

    def _prune(self) -> None:
        """Make partitions of the sync log for the days to come, and drop what is older than anybody asks for."""
        retention = self.around.project.settings.store.log_retention_days
        sync_log.keep_partitions(self._state, today=datetime.now(UTC).date(), retention_days=retention)
        guard_counts.prune(self._state)
        bounces.prune(self._state)
        departures.prune(self._state)
        self.around.spending.prune(self._state)

    def _free_orphans(self) -> None:
        """Free what processes of this machine that were killed held under lease.

        Process numbers alone prove nothing: containers may share a host name, each with numbers of its own.
        """
        host, silent_since = socket.gethostname(), timedelta(seconds=self.around.silence)
        for other in workers.silent(self._state, host=host, since=silent_since):
            if other.id != self.around.worker_id and (other.pid == os.getpid() or not _alive(other.pid)):
                freed = claims.end_leases(self._state, *workers.claim_range(other.id))
                workers.leave(self._state, other.id)
                log.info("worker %d ended without a word; %d of its claims are free again", other.id, freed)
                if freed:
                    self.around.wake_all()

    def _facts(self) -> dict[str, Any]:
        capture = self.around.capture()
        names = {mapping.destination for mapping in self.around.compiled.values()}
        figures = capture.figures() if capture is not None else None
        return {
            "capture": {k: _plain(v) for k, v in asdict(figures).items()} if figures is not None else None,
            "capture_stopped": self.around.capture_stopped(),
            "mappings": {self.around.compiled[id].name: asdict(counts) for id, counts in self.around.counts.items()},
            "destinations": {name: asdict(self.around.project.destination(name).limits()) for name in sorted(names)},
        }


def _plain(value: object) -> object:
    """For JSON: positions and times as text."""
    return value if value is None or isinstance(value, bool | float) or type(value) is int else str(value)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
