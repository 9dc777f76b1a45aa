"""The loops of a worker. Each is a context manager that opens its connections, and a `step()` that does one bounded
piece of work and says how long to wait before the next.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from psycopg import Connection

from syncbridge import resync
from syncbridge.errors import RetryLater
from syncbridge.fan_out import FanOut, Progress
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import MappingStatus
from syncbridge.outbound.capture import Capture
from syncbridge.outbound.deliver import Deliverer, Limits
from syncbridge.outbound.linger import Linger
from syncbridge.outbound.recording import Counts
from syncbridge.project import Project, lost
from syncbridge.spending import Spending
from syncbridge.store import claims, database, fan_out, guard_counts, mappings, outbox, runs, sync_log, workers

log = logging.getLogger("syncbridge.worker")

#: Seconds between looks at what no notification tells of: retries that come due, runs, a changed status.
IDLE = 1.0
HOUSEKEEPING = 1.0
DAILY = 600.0  # partitions are looked after this often
#: Seconds without a sign of life after which a process that is gone from this machine counts as dead. A call that it
#: had in flight is over by then: a later one must not be overtaken by it.
SILENCE = 10.0
THROTTLED = 0.1  # seconds between looks at whether there is room again


@dataclass(slots=True)
class Signal:
    """Wakes the loops of one mapping; `busy` is set while batches are full, so that further lanes join in."""

    linger: Linger
    wake: threading.Event = field(default_factory=threading.Event)
    busy: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Surroundings:
    """What the loops of one worker share."""

    project: Project
    worker_id: int
    numbers: Iterator[int]  # of claims
    compiled: Mapping[int, CompiledMapping]  # by mapping id
    kin: Mapping[int, Kin]  # by mapping id
    broken: frozenset[str]  # names of mappings in force that no longer fit their table
    digests: Mapping[str, str]  # mapping name -> digest, as these loops know them
    signals: Mapping[int, Signal]
    fan_out: threading.Event  # join keys were enqueued
    counts: Mapping[int, Counts]
    spending: Spending
    changed: threading.Event  # set when other mappings are in force than these loops know
    capture: Callable[[], Capture | None]
    capture_stopped: Callable[[], str]
    silence: float
    ending: threading.Event = field(default_factory=threading.Event)  # set when these loops are to end

    def wake_all(self) -> None:
        """Let every delivery loop look at once."""
        for signal in self.signals.values():
            signal.wake.set()
            signal.busy.set()
            signal.linger.full.set()
        self.fan_out.set()


class Loop(Protocol):
    """One loop of a worker."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self) -> float:
        """Do one bounded piece of work; seconds to wait before the next (0: at once).

        Raises RetryLater when a connection is gone: the loop is then opened anew.
        """
        ...


class Connected:
    """Opens connections for a loop and closes them with it."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def open(self) -> None:
        """Make what the loop needs."""

    def _store(self, purpose: str) -> Connection:
        return self._open.enter_context(self.around.project.store(purpose))

    def _source(self, purpose: str) -> Connection:
        return self._open.enter_context(self.around.project.source(purpose))


class DeliveryLoop(Connected):
    """One lane of one mapping. The first lane answers every signal; the others only help while batches are full.

    A delivery right after idleness goes out at once. While changes keep coming, a batch waits for more as `linger`
    says, so that API calls carry more.
    """

    def __init__(self, around: Surroundings, mapping_id: int, lane: int) -> None:
        super().__init__(around)
        self._mapping_id = mapping_id
        self._lane = lane
        self._signal = around.signals[mapping_id]
        worker = around.project.settings.worker
        self._limits = Limits(batch=worker.batch, lease=worker.lease.total_seconds(), max_attempts=worker.max_attempts)

    def open(self) -> None:
        mapping = self.around.compiled[self._mapping_id]
        destination = self.around.project.destination(mapping.destination)
        self._signal.linger.call = destination.batch_size
        self._deliverer = Deliverer(
            self._mapping_id,
            mapping,
            destination,
            self._store(f"deliver {mapping.name}"),
            self._source(f"compose {mapping.name}"),
            self._limits,
            kin=self.around.kin[self._mapping_id],
            numbers=self.around.numbers,
            counts=self.around.counts[self._mapping_id],
            first=not self._lane,
        )

    def step(self) -> float:
        if self._lane and not self._signal.busy.wait(IDLE):
            return 0.0
        linger = self._signal.linger
        if wait := linger.left():
            if self._lane:  # what is left of a burst is the first lane's
                self._signal.busy.clear()
                return 0.0
            linger.full.wait(wait)
        self._signal.wake.clear()
        asked = linger.begin(self._limits.batch)
        claimed = self._deliverer.step(asked)
        linger.took(claimed, asked)
        if lost(self._deliverer.store) or lost(self._deliverer.source):
            raise RetryLater("the connection to Postgres is gone")
        if claimed >= self._limits.batch:
            self._signal.busy.set()
            return 0.0
        self._signal.busy.clear()
        if not claimed and not self._lane:
            due = outbox.next_due(self._deliverer.store, self._mapping_id)
            self._signal.wake.wait(IDLE if due is None or due <= 0 else min(IDLE, due))
        return 0.0


class ListenLoop(Connected):
    """Wakes the loops of a mapping when something was enqueued for it, by whatever process."""

    def open(self) -> None:
        self._listener = self._store("listen")
        for channel in (outbox.CHANNEL, fan_out.CHANNEL):
            self._listener.execute(f"listen {channel}")
        self.around.wake_all()  # for what came while nobody listened

    def step(self) -> float:
        for notice in self._listener.notifies(timeout=IDLE, stop_after=1):
            if notice.channel == fan_out.CHANNEL:
                self.around.fan_out.set()
                continue
            mapping_id, records = outbox.woken(notice.payload) or (0, 0)
            signal = self.around.signals.get(mapping_id)
            if signal is not None:
                signal.linger.came(records)
                signal.wake.set()
        return 0.0


class RunLoop(Connected):
    """Carries first syncs and resyncs on, a page at a time, while not too much of them waits."""

    def open(self) -> None:
        self._state = self._store("runs")
        self._rows = self._source("runs")

    def step(self) -> float:
        wait = IDLE
        for run in runs.pending(self._state):
            mapping = self.around.compiled.get(run.mapping_id)
            if mapping is None:
                continue
            if outbox.bulk_waiting(self._state, run.mapping_id, enough=outbox.ENOUGH_WAITING):
                wait = min(wait, THROTTLED)
                continue
            if run.phase == "rows" and run.after is None:
                resync.measure(self._state, self._rows, run.id, mapping)
            if resync.step(self._state, self._rows, run.id, mapping) is resync.Progress.WENT_ON:
                wait = 0.0
        if lost(self._rows):
            raise RetryLater("the connection to the source is gone")
        return wait


class FanOutLoop(Connected):
    """Passes join keys of related tables on to the entities that they concern; in turn, each relation a bit."""

    def open(self) -> None:
        self._state = self._store("fan-out")
        database.prefer_indexes(self._state)
        self._fan_out = FanOut(self._state, self._source("fan-out"))

    def step(self) -> float:
        self.around.fan_out.clear()
        wait = IDLE
        for work in fan_out.work(self._state):
            mapping = self.around.compiled.get(work.mapping_id)
            if mapping is None:
                continue
            progress = self._fan_out.step(work, mapping)
            if progress is Progress.WENT_ON:
                wait = 0.0
            elif progress in (Progress.WAITS, Progress.BUSY):
                wait = min(wait, THROTTLED)
        if lost(self._fan_out.source):
            raise RetryLater("the connection to the source is gone")
        if wait:
            self.around.fan_out.wait(wait)
        return 0.0


class HousekeepingLoop(Connected):
    """Signs of life, waits that are over, partitions of the log, and whether other mappings came in force."""

    _partitions_at = float("-inf")

    def open(self) -> None:
        self._state = self._store("housekeeping")

    def step(self) -> float:
        workers.report(self._state, self.around.worker_id, self._facts())
        self.around.spending.write(self._state)
        if mappings.wake_waiting(self._state):
            self.around.wake_all()
        self._free_orphans()
        applied = mappings.read_all(self._state)
        if {name: mapping.digest for name, mapping in applied.items()} != dict(self.around.digests):
            log.info("other mappings are in force now; starting them")
            self.around.changed.set()
        elif any(applied[name].status is not MappingStatus.HALTED for name in self.around.broken):
            log.info("a mapping that did not fit its table was resumed; looking at it again")
            self.around.changed.set()
        if time.monotonic() - self._partitions_at > DAILY:
            self._partitions_at = time.monotonic()
            retention = self.around.project.settings.store.log_retention_days
            sync_log.keep_partitions(self._state, today=datetime.now(UTC).date(), retention_days=retention)
            guard_counts.prune(self._state)
            self.around.spending.prune(self._state)
        return HOUSEKEEPING

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


def delivers(status: MappingStatus) -> bool:
    """Whether a mapping of this status delivers by itself, now or when its wait is over."""
    return status in (MappingStatus.ACTIVE, MappingStatus.WAITING)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
