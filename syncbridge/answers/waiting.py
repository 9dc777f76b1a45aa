"""Wait until all that was committed before now is delivered: for `syncbridge wait`, scripts and the quickstart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection

from syncbridge.answers.status import capture_stopped, in_words, streams
from syncbridge.model import Lsn, MappingStatus, Reason
from syncbridge.source import rows
from syncbridge.source.heartbeat import POSITION_WANTED
from syncbridge.store import (
    backlog,
    checkpoints,
    database,
    mappings,
    parents,
    polls,
    runs,
    way_back,
    workers,
)
from syncbridge.store.mappings import AppliedMapping
from syncbridge.store.way_back import WayBack

#: Seconds between looks.
INTERVAL = 0.2
#: Seconds without any worker that could carry on, after which waiting has no sense.
PATIENCE = 15.0

#: Seconds after which a poll is asked for again while something of the way back is left.
ASK_AGAIN = 5.0

_NOWHERE = Lsn(0)

#: A mapping of this status delivers nothing more until a person acts.
STOPPED = (MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.GUARD)


class Verdict(StrEnum):
    """How waiting ended."""

    DELIVERED = "delivered"
    UNSOUND = "unsound"  # delivered, but for dead letters, what is held or waits for parents, or a run that failed
    TIMEOUT = "timeout"
    STUCK = "stuck"  # it can never finish unless a person acts


@dataclass(frozen=True, slots=True)
class Remainder:
    """What one mapping still has of that which is waited for."""

    mapping: str
    status: MappingStatus
    pending: int
    dead: int
    runs: int = 0  # first syncs and resyncs that have not enqueued all of their keys
    failed: str = ""  # why a run that was waited for could not go on
    reason: str = ""  # why the mapping does not deliver
    hint: str = ""
    held: int = 0  # entities that could be one of several existing records
    waiting: int = 0  # for records of other mappings that are not on their way
    unread: bool = False  # not all that had changed at the destination was read
    rechecks: int = 0  # remote records that the next poll reads again, and decides about
    held_changes: int = 0  # remote changes that a person has to decide about
    in_status: MappingStatus = MappingStatus.ACTIVE  # of the way back
    in_reason: str = ""
    in_hint: str = ""

    @property
    def unfinished(self) -> bool:
        """Something may still be delivered or written, now or when a person lets it."""
        return bool(self.pending or self.runs or self.unread)

    @property
    def stopped(self) -> bool:
        """What is unfinished goes on when a person lets it, and not before."""
        out = not (self.pending or self.runs) or self.status in STOPPED
        return out and (not self.unread or self.in_status in STOPPED)

    def __bool__(self) -> bool:
        return bool(self.unfinished or self.dead or self.held or self.failed or self.waiting or self.held_changes)


@dataclass(frozen=True, slots=True)
class Waited:
    """How waiting stands, or ended: `verdict` is None while it goes on."""

    position: Lsn  # the end of the write-ahead log when waiting began
    behind: int  # bytes that capture lacks to that position; 0 when it is past it
    left: tuple[Remainder, ...]  # mappings that have something left
    seconds: float
    verdict: Verdict | None = None
    why: str = ""  # of STUCK: what stands in the way
    remedy: str = ""

    @property
    def pending(self) -> int:
        """Deliveries that are left, over all mappings."""
        return sum(each.pending for each in self.left)

    @property
    def waiting(self) -> int:
        """Records that wait for others which are not on their way, over all mappings."""
        return sum(each.waiting for each in self.left)

    @property
    def dead(self) -> int:
        """Dead letters that are left, over all mappings."""
        return sum(each.dead for each in self.left)


def wait_until_delivered(
    store: Connection,
    source: Connection,
    *,
    slot: str,
    mapping: str | None = None,
    timeout: float = 300.0,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    look: Callable[[Waited], None] | None = None,
) -> Waited:
    """Return when all that was committed before the call is delivered, or can not be, or `timeout` seconds are over.

    First syncs and resyncs that were asked for before the call are waited for too. `source` is a connection of
    `Project.source_admin`; `look` is shown how it stands now and then. SettingsError when there is no such mapping.
    """
    wait = _Wait(store, source, slot=slot, mapping=mapping, timeout=timeout, clock=clock)
    wait.begin()
    while True:
        waited = wait.look()
        if look is not None:
            look(waited)
        if waited.verdict is not None:
            return waited
        pause(INTERVAL)


@dataclass(slots=True)
class _Wait:
    store: Connection
    source: Connection
    slot: str
    mapping: str | None
    timeout: float
    clock: Callable[[], float]
    _began: float = 0.0
    _deserted: float | None = None  # since when no worker could carry on
    _position: Lsn = _NOWHERE
    _moment: datetime = field(default_factory=lambda: datetime.now(UTC))  # when waiting began, by the state's clock
    _asked: float = 0.0  # when polls were asked for
    _backs: dict[int, WayBack] = field(default_factory=dict)  # mapping id -> how remote changes come back
    _until: dict[int, Lsn] = field(default_factory=dict)  # mapping id -> position, where runs move it
    _runs: dict[int, set[int]] = field(default_factory=dict)  # mapping id -> runs that are waited for
    _failed: dict[int, str] = field(default_factory=dict)
    _newest_run: int = 0  # of those that were asked for before the call
    _set_up: bool = True  # capture has a checkpoint
    _captured: bool = False  # capture has passed the position

    def begin(self) -> None:
        """Fix what is waited for. Runs are read first: one that ends meanwhile is then still asked about."""
        self._began = self.clock()
        self._chosen()
        self._newest_run = runs.newest(self.store)
        for run in runs.pending(self.store):
            self._runs.setdefault(run.mapping_id, set()).add(run.id)
        self._moment = database.now(self.store)
        self._ask_for_polls([mapping for mapping in self._chosen() if mapping.two_way])
        self._position = Lsn.parse(rows.position(self.source))
        self.source.execute("select pg_logical_emit_message(true, %s, '')", (POSITION_WANTED,))

    def look(self) -> Waited:
        """How it stands."""
        behind = self._behind()
        if not self._captured:
            self._captured = self._set_up and not behind
            self._add_truncations()
        with self.store.transaction():  # one snapshot: a parent that is settled meanwhile leaves its children pending
            self.store.execute("set transaction isolation level repeatable read")
            self._backs = way_back.read_all(self.store)
            left = tuple(each for each in map(self._remainder, self._chosen()) if each)
            if self.mapping is not None and any(each.waiting for each in left):
                left += tuple(each for each in map(self._remainder, self._ancestors()) if each.unfinished)
        self._ask_again(left)
        verdict, why, remedy = self._judge(behind, left)
        return Waited(self._position, behind, left, self.clock() - self._began, verdict, why, remedy)

    def _ask_for_polls(self, chosen: list[AppliedMapping]) -> None:
        for mapping in chosen:
            polls.wake(self.store, mapping.id)
        self._asked = self.clock()

    def _ask_again(self, left: tuple[Remainder, ...]) -> None:
        """Where a poll, or a delivery, left records to be read again, the next poll need not wait for its time."""
        names = {each.mapping for each in left if each.unread or (each.pending and each.rechecks)}
        if names and self.clock() - self._asked >= ASK_AGAIN:
            self._ask_for_polls([mapping for mapping in self._chosen() if mapping.name in names])

    def _chosen(self) -> list[AppliedMapping]:
        if self.mapping is not None:
            return [mappings.read(self.store, self.mapping)]
        return list(mappings.read_all(self.store).values())

    def _ancestors(self) -> list[AppliedMapping]:
        """The mappings whose records the chosen one looks up, and those that these look up in turn."""
        known = mappings.read_all(self.store)
        found: dict[str, AppliedMapping] = {}
        ahead = [self.mapping]
        while ahead:
            fields = known[ahead.pop() or ""].definition.get("fields", {}).values()
            names = {each.get("lookup") for each in fields} & known.keys() - found.keys() - {self.mapping}
            found |= {name: known[name] for name in names}
            ahead += sorted(names)
        return list(found.values())

    def _behind(self) -> int:
        """Bytes; without a checkpoint nobody can say, and `_judge` tells why."""
        checkpoint = checkpoints.read(self.store, self.slot)
        self._set_up = checkpoint is not None
        return max(0, self._position - checkpoint.end_lsn) if checkpoint else 0

    def _add_truncations(self) -> None:
        """Capture asks for a run when it comes to a truncated related table, with the checkpoint behind that."""
        for run in runs.requested_after(self.store, self._newest_run, Reason.TRUNCATE):
            self._runs.setdefault(run.mapping_id, set()).add(run.id)
            self._newest_run = max(self._newest_run, run.id)

    def _remainder(self, mapping: AppliedMapping) -> Remainder:
        unfinished = self._unfinished_runs(mapping.id)
        until = self._until.get(mapping.id, self._position)
        pending, dead = backlog.undelivered(self.store, until, mapping.id)
        going_on, resting = parents.resting(self.store, until, mapping.id)
        return Remainder(
            mapping.name,
            mapping.status,
            pending + going_on,
            dead,
            unfinished,
            self._failed.get(mapping.id, ""),
            mapping.reason,
            mapping.hint,
            backlog.held(self.store, until, mapping.id),
            resting,
            **self._way_back(mapping),
        )

    def _way_back(self, mapping: AppliedMapping) -> dict[str, Any]:
        """What a mapping whose remote changes come back has left of these."""
        back = self._backs.get(mapping.id)
        if back is None:
            return {}
        return {
            "unread": not way_back.read_until(self.store, mapping.id, self._moment),
            "rechecks": back.rechecks,
            "held_changes": back.held,
            "in_status": back.status,
            "in_reason": back.reason,
            "in_hint": back.hint,
        }

    def _unfinished_runs(self, mapping_id: int) -> int:
        """How many still enqueue. What they enqueue stands at later positions: when one ends, all until then counts."""
        waited_for = self._runs.get(mapping_id, set())
        for run_id in sorted(waited_for):
            run = runs.find(self.store, run_id)
            if run is not None and run.status in ("asked", "pending"):
                continue
            waited_for.discard(run_id)
            if run is None:  # its mapping was removed
                continue
            if run.status == "cancelled":  # another one has taken its place
                waited_for.update(later.id for later in runs.pending(self.store) if later.mapping_id == mapping_id)
            self._until[mapping_id] = Lsn.parse(rows.position(self.source))
            if run.status == "failed":
                self._failed[mapping_id] = run.error or "it failed"
        return len(waited_for)

    def _judge(self, behind: int, left: tuple[Remainder, ...]) -> tuple[Verdict | None, str, str]:
        if not self._set_up:
            return Verdict.STUCK, "capture was never set up", "Run: syncbridge setup"
        unfinished = [each for each in left if each.unfinished]
        if not behind and not unfinished:
            return (Verdict.UNSOUND if left else Verdict.DELIVERED), "", ""
        if not behind and all(each.stopped for each in unfinished):
            return Verdict.STUCK, *_stopped(unfinished)
        if hindrance := self._hindrance(capture=bool(behind)):
            return Verdict.STUCK, *hindrance
        if self.clock() - self._began >= self.timeout:
            return Verdict.TIMEOUT, "", ""
        return None, "", ""

    def _hindrance(self, *, capture: bool) -> tuple[str, str] | None:
        """Why no worker carries on, and what to do; None while one does, or may soon."""
        role = "capture" if capture else "deliver"
        fit = [worker for worker in workers.read_all(self.store) if worker.alive and role in worker.roles]
        stopped = next((reason for worker in fit if (reason := capture_stopped(worker))), "")
        if capture and stopped and not any(streams(worker) for worker in fit):
            return f"capture has stopped: {stopped}", "Run: syncbridge status"
        if fit:
            self._deserted = None
            return None
        now = self.clock()
        self._deserted = now if self._deserted is None else self._deserted
        if now - self._deserted < min(PATIENCE, self.timeout):
            return None
        return "no worker runs that could " + ("capture" if capture else "deliver"), "Run: syncbridge run"


def _stopped(left: list[Remainder]) -> tuple[str, str]:
    """All that is left belongs to mappings that do not deliver."""
    stops = [stop for each in left for stop in _stops(each)]
    told = [f"{who} {in_words(status)}" + f": {reason}" * bool(reason) for _, who, status, reason, _ in stops]
    names = " ".join(dict.fromkeys(name for name, *_ in stops))
    if all(status is MappingStatus.PAUSED for _, _, status, _, _ in stops):
        return "; ".join(told), f"Run: syncbridge resume {names}"
    hints = [hint or f"Run: syncbridge resume {name}" for name, _, _, _, hint in stops]
    return "; ".join(told), "\n".join(dict.fromkeys(hints))


def _stops(each: Remainder) -> Iterator[tuple[str, str, MappingStatus, str, str]]:
    """Mapping, who stands still, how, why, and what to do, for each direction in which something is left."""
    if each.pending or each.runs:
        yield each.mapping, f"{each.mapping} is", each.status, each.reason, each.hint
    if each.unread:
        yield each.mapping, f"the way back of {each.mapping} is", each.in_status, each.in_reason, each.in_hint
