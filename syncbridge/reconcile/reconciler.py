"""Reconciliation of one mapping, from its first call to the report.

Gather: keys of rows, links and a scan of all records, sorted by key on disk. Compare: entities are composed page by
page in that order, and each is compared with its record's digest. Look again: what did not agree is looked at by its
key and id, until nothing of it is on its way, or time is up.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import IO, Self

import orjson

from syncbridge.destinations.feed import ScanLost
from syncbridge.model import MappingStatus
from syncbridge.reconcile.comparing import Compared, Comparer
from syncbridge.reconcile.drift import Found, Standing, Suspect
from syncbridge.reconcile.gathering import Gathered, Gatherer, Stopped
from syncbridge.reconcile.lines import groups
from syncbridge.reconcile.looking import Looker
from syncbridge.reconcile.report import Report
from syncbridge.reconcile.sides import Sides
from syncbridge.reconcile.sorting import Sorter
from syncbridge.source import rows
from syncbridge.store import mappings, way_back, workers

#: Suspects that are looked at once.
PAGE = 1000
#: Seconds between two looks at what is on its way, and how long that may go on.
AGAIN = 1.0
SETTLE = 60.0
#: So many scans are begun, should the destination lose them.
SCANS = 3

CAPTURE_BEHIND = "capture does not follow: a change that it has not seen yet counts as drift"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    phase: str  # reading, comparing, looking again
    done: int
    total: int | None = None


@dataclass(slots=True)
class Suspects:
    """Suspects on disk, in a file without a name; read from the start once all of them are in it."""

    _file: IO[bytes]
    count: int = 0

    def add(self, suspects: Sequence[Suspect]) -> None:
        self.count += len(suspects)
        self._file.writelines(orjson.dumps([each.key, each.remote_ids]) + b"\n" for each in suspects)

    def pages(self, size: int = PAGE) -> Iterator[list[Suspect]]:
        self._file.seek(0)
        while lines := list(islice(self._file, size)):
            yield [Suspect(key, tuple(ids)) for key, ids in map(orjson.loads, lines)]


@dataclass(slots=True)
class Reconciler:
    """Compares the two sides of one mapping; a context manager. `captured` waits for capture, and says if it came."""

    sides: Sides
    captured: Callable[[], bool]
    settle: float = SETTLE
    stopped: Callable[[], bool] = lambda: False
    shown: Callable[[Progress], None] = lambda progress: None
    pause: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    drifted: Suspects = field(init=False)  # what a repair is about
    _open: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        self.drifted = self._suspects()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _suspects(self) -> Suspects:
        return Suspects(self._open.enter_context(tempfile.TemporaryFile()))

    def run(self) -> Report:
        """Compare everything. Raises Stopped, and errors of both sides by their remedy."""
        report, began, calls = self._report(None), self.clock(), self._calls()
        for attempt in range(1, SCANS + 1):
            try:
                suspects = self._compare(report)
                break
            except ScanLost:
                if attempt == SCANS:
                    raise
        self._look(report, suspects)
        report.seconds, report.calls = round(self.clock() - began, 3), self._calls() - calls
        return report

    def sample(self, size: int) -> Report:
        """Compare entities that are chosen at random: `size` of them, or all where there are fewer."""
        report, began, calls = self._report(size), self.clock(), self._calls()
        sql, parameters = self.sides.mapping.sample_page(size)
        keys = rows.keys_page(self.sides.source, sql, parameters)
        suspects = self._suspects()
        suspects.add([Suspect(key) for key in keys])
        report.sample = report.entities = len(keys)
        self._look(report, suspects)
        report.seconds, report.calls = round(self.clock() - began, 3), self._calls() - calls
        return report

    def _report(self, sample: int | None) -> Report:
        mapping = self.sides.mapping
        return Report(mapping.name, mapping.object, datetime.now(UTC), mapping.sensitive, sample)

    def _calls(self) -> int:
        return sum(self.sides.destination.calls_made().values())

    # -- everything ---------------------------------------------------------------------------------------------------

    def _compare(self, report: Report) -> Suspects:
        suspects = self._suspects()
        with Sorter() as sorter:
            gathered = self._gatherer(sorter, suspects).gather()
            comparer = Comparer(self.sides)
            for page in comparer.suspects(groups(sorter.sorted())):
                suspects.add(page)
                self._show("comparing", comparer.compared.groups, max(gathered.rows, gathered.records))
        _take(report, gathered, comparer.compared)
        return suspects

    def _gatherer(self, sorter: Sorter, suspects: Suspects) -> Gatherer:
        return Gatherer(self.sides, sorter, self.stopped, self._show_gathered, suspects.add, self.pause, self.clock)

    def _show_gathered(self, gathered: Gathered) -> None:
        self._show("reading", gathered.records, gathered.total)

    def _show(self, phase: str, done: int, total: int | None) -> None:
        self.shown(Progress(phase, done, total))
        if self.stopped():
            raise Stopped

    # -- what did not agree -------------------------------------------------------------------------------------------

    def _look(self, report: Report, suspects: Suspects) -> None:
        """Look until all is settled; what is still on its way when time is up is counted as that."""
        looker = Looker(self.sides, self.captured)
        until = self.clock() + self.settle
        while suspects.count:
            last = self.clock() >= until or not self._moves()
            again = self._suspects()
            done = 0
            for page in suspects.pages():
                unsettled = self._settle(report, page, looker.look(page), last=last)
                again.add(unsettled)
                done += len(page)
                self._show("looking again", done, suspects.count)
            suspects = again
            if suspects.count:
                self.pause(AGAIN)
        if looker.capture_behind and report.drift:
            report.warnings.append(CAPTURE_BEHIND)

    def _settle(self, report: Report, page: Sequence[Suspect], found: Sequence[Found], *, last: bool) -> list[Suspect]:
        unsettled = []
        for suspect, each in zip(page, found, strict=True):
            if each.standing is Standing.ON_ITS_WAY and not last:
                unsettled.append(suspect)
                continue
            report.add(each)
            if each.standing is Standing.DRIFT:
                ids = {*suspect.remote_ids, *filter(None, (each.remote_id,))}
                self.drifted.add([Suspect(each.key, tuple(sorted(ids)))])
        return unsettled

    def _moves(self) -> bool:
        """Whether anybody brings what is on its way to its end, in each direction that the mapping has."""
        applied = mappings.read(self.sides.store, self.sides.mapping.name)
        back = self.sides.mapping.two_way
        out = applied.status is MappingStatus.ACTIVE or (back is not None and not back.sends)
        comes = back is None or way_back.is_active(self.sides.store, self.sides.mapping_id)
        present = workers.read_all(self.sides.store)
        return out and comes and any(w.alive and "deliver" in w.roles for w in present)


def _take(report: Report, gathered: Gathered, compared: Compared) -> None:
    report.rows, report.links = gathered.rows, gathered.links
    report.records, report.not_ours = gathered.records, gathered.not_ours
    report.entities, report.agreeing, report.by_rule = compared.entities, compared.agreeing, compared.by_rule
