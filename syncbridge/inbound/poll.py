"""Poll: one mapping's remote changes, a page at a time, and what has to be looked at again.

One poller at a time reads a mapping's changes; who else could waits until that one's connection is gone.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.destinations.feed import RemoteChange
from syncbridge.errors import RetryLater, SyncbridgeError
from syncbridge.inbound import formulas
from syncbridge.inbound.columns import Columns
from syncbridge.inbound.guard import GuardStopped
from syncbridge.inbound.recording import Page
from syncbridge.inbound.waiting import PATIENCE
from syncbridge.inbound.way import WayBack
from syncbridge.inbound.write import PageWriter
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.mapping.two_way import TwoWay
from syncbridge.model import MappingStatus
from syncbridge.policy import directive
from syncbridge.store import database, loads, mappings, parent_waits, rechecks, watermarks, way_back

log = logging.getLogger("syncbridge.poll")

#: Seconds after which changes are read by a new description of their object.
DESCRIBE_EVERY = 300.0
#: Records that are looked at again in one step.
RECHECKED = 2000
#: Looks for parents' rows rest so many times as long as the last one took.
REST = 20.0


@dataclass(slots=True)
class Poller:
    """Brings the remote changes of one two-way mapping into its table; `step()` reads one page.

    `source` is a connection that may write, the same as `store` where the state is in the source's database.
    """

    mapping_id: int
    mapping: CompiledMapping
    two_way: TwoWay
    destination: Destination
    store: Connection
    source: Connection
    rng: random.Random = field(default_factory=random.Random)
    clock: Callable[[], float] = time.monotonic
    kin: Kin = field(default_factory=Kin)  # what lookups tie it to
    failures: int = 0  # in a row
    _writer: PageWriter | None = None
    _leads: bool = False
    _next_poll: float = float("-inf")
    _described_at: float = float("-inf")
    _refreshing: bool = False  # what the destination calculates is just being read
    _parents_at: float = float("-inf")  # when to look next for parents that have come

    def step(self) -> float:
        """Read one page and write what it tells; seconds to wait before the next step (0: there is more).

        What a person must mend halts the mapping; what passes by itself makes it wait longer. Raises RetryLater when a
        connection to Postgres is gone.
        """
        started = self.clock()
        try:
            if not self._may_poll():
                return self.two_way.every
            if started >= self._next_poll or not self._refreshing:
                if self._poll():
                    return 0.0
                self._next_poll = started + self.two_way.every
            if self._refresh():
                return 0.0
        except psycopg.OperationalError as error:
            message = str(error).split("\n", 1)[0]
            raise RetryLater(f"Postgres is not available: {message}") from error
        except Exception as error:
            return self.stop_for(error)
        self.failures = 0
        return max(0.0, self._next_poll - self.clock())

    def _may_poll(self) -> bool:
        self._leads = self._leads or watermarks.lead(self.store, self.mapping_id)
        if not (self._leads and way_back.is_active(self.store, self.mapping_id)):
            return False
        loading = loads.first_pending(self.store, self.mapping_id)
        return not loading or watermarks.read(self.store, self.mapping_id) is None  # what changes meanwhile comes after

    def _poll(self) -> bool:
        """Whether there is more to read now."""
        self._look_for_parents()
        more = self._look_again()
        position = watermarks.read(self.store, self.mapping_id)
        asked = database.now(self.store)
        page = self.destination.changes(
            self.mapping.object, self.writer().columns.asked, position, lane=self.mapping.name
        )
        if page.changes and self._describes_anew():
            return True
        if self._write(page.changes, asked).postponed:
            more |= self._look_again()
        moved = watermarks.advance(
            self.store, self.mapping_id, page.position, after=position, caught_up=not page.more, asked=asked
        )
        return (page.more and moved) or more

    def _describes_anew(self) -> bool:
        """Describe the object anew now and then, so that another type of a field is noticed where there are changes.

        True where that was done, and the page has to be read by it. SchemaDrift where a field does not fit its column
        any more. One that is gone is told by the destination itself.
        """
        if self.clock() - self._described_at <= DESCRIBE_EVERY:
            return False
        self.destination.describe(self.mapping.object, refresh=True)
        self._writer = None
        return self.writer() is not None

    def _refresh(self) -> bool:
        """Look at a page of what the destination calculates, where that is due; whether there is more."""
        names = self.writer().columns.formulas
        if self.two_way.formulas is None or not names:
            return False
        look = formulas.look(
            self.store, self.mapping_id, self.mapping, self.destination, names, every=self.two_way.formulas
        )
        self._refreshing = look.more
        if look.differing:
            self._look_again()
        return look.more

    def _look_for_parents(self) -> None:
        """Ask for another look at records whose parents' rows have come; seldom where very many wait for theirs."""
        began = self.clock()
        if self.two_way.lookups and began >= self._parents_at:
            parent_waits.recheck(self.store, self.mapping_id, PATIENCE)
            self._parents_at = self.clock() + (self.clock() - began) * REST

    def _look_again(self) -> bool:
        """Look at records by their ids that a page did not tell enough of; those on their way out stay for later.

        Whether there may be more of them that can be looked at now.
        """
        due = database.transact(self.store, lambda: rechecks.due(self.store, self.mapping_id, RECHECKED))
        if not due:
            return False
        asked = database.now(self.store)
        names = self.writer().columns.asked
        found = self.destination.current(self.mapping.object, due, names, lane=self.mapping.name)
        page = self._write(found, asked, current=True)
        return len(due) == RECHECKED and len(page.postponed) < len(found)

    def _write(self, changes: Sequence[RemoteChange], asked: datetime, *, current: bool = False) -> Page:
        return self.writer().write(changes, asked, current=current) if changes else Page()

    def writer(self) -> PageWriter:
        """What writes its pages, made at the first call."""
        if self._writer is None:
            # a person may have mended what an older description says
            remote = self.destination.describe(self.mapping.object, refresh=self.failures > 0)
            self._described_at = self.clock()
            columns = Columns(self.mapping, self.two_way, remote, self.destination)
            way = WayBack(self.mapping_id, self.mapping, self.two_way, columns, self.store, self.source, self.kin)
            self._writer = PageWriter(way)
        return self._writer

    def stop_for(self, error: Exception) -> float:
        """Wait, or halt the mapping, by the remedy of the error; seconds until the next try."""
        self.failures += 1
        self._writer = None
        if isinstance(error, GuardStopped):
            return self._set_stopped(MappingStatus.GUARD, error.message, error.hint)
        chosen = directive(error, self.failures, rng=self.rng)
        message = error.message if isinstance(error, SyncbridgeError) else f"unexpected {type(error).__name__}"
        if not isinstance(error, SyncbridgeError):
            log.exception("mapping %s: polling met an unexpected error", self.mapping.name)
        mappings.record_error(self.store, self.mapping_id, message)
        if chosen.status is not MappingStatus.HALTED:
            log.warning("mapping %s: polling waits: %s", self.mapping.name, message)
            return max(chosen.wait or 0.0, self.two_way.every)
        return self._set_stopped(MappingStatus.HALTED, message, chosen.hint)

    def _set_stopped(self, status: MappingStatus, reason: str, hint: str) -> float:
        only_from = (MappingStatus.ACTIVE,)
        way_back.set_status(self.store, self.mapping_id, status, reason=reason, hint=hint, only_from=only_from)
        log.warning("mapping %s: its way back stopped (%s): %s", self.mapping.name, status.value, reason)
        return self.two_way.every
