"""What is committed is captured: until then a difference may be a change that nobody has seen yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import Connection

from syncbridge.model import Lsn
from syncbridge.source import rows
from syncbridge.source.heartbeat import POSITION_WANTED
from syncbridge.store import checkpoints, workers

#: Seconds until capture must have come to a position.
PATIENCE = 20.0
INTERVAL = 0.05


@dataclass(slots=True)
class Fence:
    """Waits until capture has passed the source's position of now. `source` is a connection of `source_admin`."""

    store: Connection
    source: Connection
    slot: str
    pause: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def passed(self) -> bool:
        """Wait for it; False where nobody captures, or capture is far behind."""
        position = Lsn.parse(rows.position(self.source))
        self.source.execute("select pg_logical_emit_message(true, %s, '')", (POSITION_WANTED,))
        until = self.clock() + PATIENCE
        while True:
            checkpoint = checkpoints.read(self.store, self.slot)
            if checkpoint is not None and checkpoint.end_lsn >= position:
                return True
            if checkpoint is None or self.clock() >= until or not self._captures():
                return False
            self.pause(INTERVAL)

    def _captures(self) -> bool:
        present = workers.read_all(self.store)
        return any(w.alive and (w.facts.get("capture") or {}).get("streaming") for w in present)
