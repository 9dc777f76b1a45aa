"""Load: all records of the destination through the merge, for a mapping's first load and `resync --from destination`.

The way is that of a poll: a page of the scan goes through the PageWriter in parts, each one transaction, and then the
run's position moves. A page that was written but not moved past is written again, and found equal. A record that was
linked after the scan began may be shown as it was before: then it is looked at by its id.

A resync also looks for what a scan cannot show. What it read is noted, and records that are linked but were not read
are asked for by their ids. With a filter there is no scan: the records of those rows are read by their ids.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from syncbridge.destinations.feed import ScanLost, ScanPage
from syncbridge.errors import RetryLater, SyncbridgeError
from syncbridge.inbound.poll import Poller
from syncbridge.model import Reason
from syncbridge.policy import backoff
from syncbridge.source import rows
from syncbridge.store import database, links, loads, outbox, runs, watermarks, way_back
from syncbridge.store.runs import Run

log = logging.getLogger("syncbridge.load")

#: Records of one transaction.
PART = 5_000
#: Records that are read by their ids at once.
BY_ID = 2_000
#: Seconds until another look while something else comes first.
LOOK_AGAIN = 1.0


@dataclass(slots=True)
class Loader:
    """Carries one load; `step()` writes one part of a page.

    `poller` gives the connections, what writes pages, and the remedy of errors; nobody steps it.
    """

    poller: Poller
    part: int = field(default_factory=lambda: PART)
    clock: Callable[[], float] = time.monotonic
    _page: ScanPage | None = None
    _written: int = 0  # records of that page
    _losses: int = 0  # scans that the destination lost
    _ask_at: float = field(default=float("-inf"))  # when the destination may have more

    @property
    def busy(self) -> bool:
        """Whether it holds a page that is not written yet."""
        return self._page is not None

    def step(self, run: Run) -> float:
        """Do the next bounded piece of this run; seconds to wait before the next one (0: it goes on at once).

        What a person must mend halts the mapping, as for a poll. Raises RetryLater when Postgres is gone.
        """
        try:
            if not way_back.is_active(self.poller.store, self.poller.mapping_id):
                self._page = None
                return LOOK_AGAIN
            wait = self._piece(run)
            self.poller.failures = 0
            return wait
        except psycopg.OperationalError as error:
            raise RetryLater(f"Postgres is not available: {str(error).split(chr(10), 1)[0]}") from error
        except ScanLost as lost:
            log.warning("mapping %s: %s Reading all records anew.", self.poller.mapping.name, lost.message)
            loads.begin_anew(self.poller.store, run)
            self._losses += 1
            return backoff(self._losses, base=LOOK_AGAIN, cap=300.0, rng=self.poller.rng)
        except Exception as error:
            self._page = None
            return self.poller.stop_for(error)

    def _piece(self, run: Run) -> float:
        match run.phase:
            case "scan":
                return self._scan(run)
            case "keys":
                return self._keys(run)
            case _:
                return self._missing(run)

    # -- all records --------------------------------------------------------------------------------------------------

    def _scan(self, run: Run) -> float:
        store, mapping_id = self.poller.store, self.poller.mapping_id
        if watermarks.read(store, mapping_id) is None:
            return LOOK_AGAIN  # the poller takes it first: what changes during the load is found afterwards
        if (early := self._ask_at - self.clock()) > 0:
            return early
        began = run.started_at or database.now(store)
        writer = self.poller.writer()
        if self._page is None:
            names = writer.columns.asked
            mapping = self.poller.mapping
            self._page = self.poller.destination.scan(mapping.object, names, run.position, lane=mapping.name)
            self._written = 0
        page = self._page
        part = page.records[self._written : self._written + self.part]
        if part:
            writer.write(part, began)
            if run.reason is Reason.RESYNC:
                loads.note(store, run.id, [each.remote_id for each in part])
        self._written += len(part)
        if self._written < len(page.records):
            return 0.0
        self._page = None
        if not loads.advance(store, run, page.position, began=began, done=len(page.records), total=page.total):
            return LOOK_AGAIN
        if not page.more:
            self._after_last_page(run)
        self._ask_at = self.clock() + page.delay
        return page.delay

    def _after_last_page(self, run: Run) -> None:
        if run.reason is Reason.RESYNC:
            loads.find_missing(self.poller.store, runs.read(self.poller.store, run.id))
        else:
            loads.finish(self.poller.store, run)
            outbox.wake(self.poller.store, run.mapping_id)
            log.info("mapping %s: first load is over", run.mapping)

    # -- records by their ids -----------------------------------------------------------------------------------------

    def _missing(self, run: Run) -> float:
        """Records that were linked, and that the scan did not show."""
        ids = loads.missing(self.poller.store, run.id, BY_ID)
        if not ids:
            loads.finish(self.poller.store, run)
            return 0.0
        self._look_at(ids)
        loads.looked_at(self.poller.store, run.id, ids)
        return 0.0

    def _keys(self, run: Run) -> float:
        """Records of the rows that pass the filter."""
        store, mapping = self.poller.store, self.poller.mapping
        try:
            keys = rows.keys_page(self.poller.source, *mapping.keys_page(run.after, BY_ID, where=run.filter))
        except SyncbridgeError as error:
            if isinstance(error, RetryLater):
                raise
            runs.fail(store, run.id, error.message)
            return 0.0
        ids = list(links.remote_ids(store, run.mapping_id, keys).values())
        self._look_at(ids)
        runs.advance(store, run.id, phase="keys", after=keys[-1] if keys else run.after, enqueued=len(ids))
        if len(keys) < BY_ID:
            loads.finish(store, run)
        return 0.0

    def _look_at(self, remote_ids: list[str]) -> None:
        if not remote_ids:
            return
        writer, mapping = self.poller.writer(), self.poller.mapping
        asked = database.now(self.poller.store)
        names = writer.columns.asked
        found = self.poller.destination.current(mapping.object, remote_ids, names, lane=mapping.name)
        for start in range(0, len(found), self.part):
            writer.write(found[start : start + self.part], asked, current=True)
