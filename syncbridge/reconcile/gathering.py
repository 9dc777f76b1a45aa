"""Gathering: every key of the table, every link and every record of the object, into one sorter."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from syncbridge.destinations.feed import RemoteChange, ScanLost, ScanPage
from syncbridge.errors import QuotaExhausted, RetryLater
from syncbridge.policy import backoff
from syncbridge.reconcile.drift import Suspect
from syncbridge.reconcile.lines import key_line, link_line, record_line
from syncbridge.reconcile.sides import Sides
from syncbridge.reconcile.sorting import Sorter
from syncbridge.source import rows
from syncbridge.store import links

log = logging.getLogger("syncbridge.reconcile")

#: Keys of rows, and links, that are read at once.
PAGE = 10_000
#: A page of the scan is asked for so often.
TRIES = 6


class Stopped(Exception):
    """Nobody wants the comparison any more."""


@dataclass(slots=True)
class Gathered:
    """How much there was."""

    rows: int = 0
    links: int = 0
    records: int = 0
    total: int | None = None  # records of the whole scan, once that is known
    not_ours: int = 0  # records without a key that no link names


@dataclass(slots=True)
class Gatherer:
    """Fills a sorter. While the destination prepares its records, keys are read."""

    sides: Sides
    sorter: Sorter
    stopped: Callable[[], bool]
    shown: Callable[[Gathered], None]
    newcomers: Callable[[list[Suspect]], None]  # takes records that should be rows
    pause: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    gathered: Gathered = field(default_factory=Gathered)

    def gather(self) -> Gathered:
        """Read everything once. Raises ScanLost when the scan has to begin anew, Stopped, and errors of the sides."""
        local = self._local()
        position: str | None = None
        more = True
        try:
            while more:
                page = self._page(position)
                self._take(page)
                position, more = page.position, page.more
                if more and page.delay > 0:
                    self._meanwhile(local, page.delay)
            position = None
        finally:
            if position is not None:
                self.sides.destination.stop_scan(self.sides.mapping.object, position, lane=self.sides.lane)
        for _ in local:
            self._look_up()
        return self.gathered

    def _meanwhile(self, local: Iterator[bool], seconds: float) -> None:
        """Read keys for so long; when there are no more, wait."""
        until = self.clock() + seconds
        while (left := until - self.clock()) > 0:
            if not next(local, False):
                self.pause(left)
                return

    def _look_up(self) -> None:
        self.shown(self.gathered)
        if self.stopped():
            raise Stopped

    # -- records ------------------------------------------------------------------------------------------------------

    def _page(self, position: str | None) -> ScanPage:
        sides = self.sides
        for attempt in range(1, TRIES + 1):
            self._look_up()
            try:
                return sides.destination.scan(sides.mapping.object, sides.names, position, lane=sides.lane)
            except RetryLater as error:
                if attempt == TRIES or isinstance(error, QuotaExhausted | ScanLost):
                    raise
                log.warning("mapping %s: reconcile waits: %s", sides.mapping.name, error.message)
                self.pause(max(error.delay or 0.0, backoff(attempt, cap=30.0, rng=self.rng)))
        raise AssertionError("the last attempt returns or raises")

    def _take(self, page: ScanPage) -> None:
        external = self.sides.external_field
        ours = [record for record in page.records if record.fields[external] not in (None, "")]
        self.sorter.add(map(self._line, ours))
        self.gathered.records += len(page.records)
        self.gathered.total = page.total
        keyless = [record.remote_id for record in page.records if record.fields[external] in (None, "")]
        if keyless:
            known = links.holders(self.sides.store, self.sides.mapping_id, keyless)
            if not self.sides.rules.sends:  # it is known by its link alone
                self.sorter.add(
                    self._line(each, known[each.remote_id]) for each in page.records if each.remote_id in known
                )
            unknown = [remote_id for remote_id in keyless if remote_id not in known]
            if self.sides.makes_rows:
                self.newcomers([Suspect("", (remote_id,)) for remote_id in unknown])
            else:
                self.gathered.not_ours += len(unknown)

    def _line(self, record: RemoteChange, key: str | None = None) -> bytes:
        """A record under the key that it carries, or under this one."""
        sides, fields = self.sides, record.fields
        value = fields[sides.external_field] if key is None else key
        spelled = sides.spelled(value) if key is None else sides.spelled_key(key)
        digest, marked = sides.digest(fields), sides.is_marked(fields)
        return record_line(spelled, str(value), record.remote_id, digest, marked=marked)

    # -- rows and links -----------------------------------------------------------------------------------------------

    def _local(self) -> Iterator[bool]:
        """Keys of rows, then links, a page at a time."""
        sides = self.sides
        after: str | None = None
        while True:
            sql, parameters = sides.mapping.keys_page(after, PAGE)
            keys = rows.keys_page(sides.source, sql, parameters)
            self.sorter.add(key_line(sides.spelled_key(key), key) for key in keys)
            self.gathered.rows += len(keys)
            if len(keys) < PAGE:
                break
            after = keys[-1]
            yield True
        after = None
        while True:
            page = links.page(sides.store, sides.mapping_id, after, PAGE)
            self.sorter.add(link_line(sides.spelled_key(key), key, remote_id) for key, remote_id in page)
            self.gathered.links += len(page)
            yield True
            if len(page) < PAGE:
                return
            after = page[-1][0]
