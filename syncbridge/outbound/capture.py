"""Capture: committed transactions -> keys in the outbox, and the checkpoint with them; only then the slot may forget.

Seam 1 is `save`: keys and checkpoint become durable in one transaction. Nothing is confirmed to the slot that the
checkpoint does not say, so a crash at any moment replays at most what is in the outbox already, which changes nothing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
from psycopg import Connection

from syncbridge.arrays import from_microseconds
from syncbridge.errors import RetryLater, SourceUnusable
from syncbridge.model import Lsn, Reason
from syncbridge.outbound.capture_session import Batch, CaptureSession, Counts, Pace, StepResult
from syncbridge.policy import backoff
from syncbridge.schemas import Watch
from syncbridge.source.heartbeat import Heartbeat
from syncbridge.source.refusals import SlotInUse, first_line
from syncbridge.source.replication import ReplicationStream, StreamSettings, SystemIdentity, connect, identify
from syncbridge.source.startup import Facts, Position, examine, judge
from syncbridge.source.visibility import await_visible
from syncbridge.store import checkpoints, database, fan_out, outbox, runs

log = logging.getLogger(__name__)


#: SQLSTATE classes after which the same save works later: connection, shutdown, resources, conflicts, read-only.
_PASSING = ("08", "57", "53", "40", "55", "25006")


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """Where to capture from and to; times in seconds."""

    source: str  # conninfo of the source database
    state: str  # conninfo of the database that holds the schema `syncbridge`
    slot: str = "syncbridge"
    publication: str = "syncbridge"
    heartbeat: float = 10.0
    standby_wait: float = 2.0
    pace: Pace = field(default_factory=Pace)
    stream: StreamSettings = field(default_factory=StreamSettings)


@dataclass(frozen=True, slots=True)
class CaptureFigures:
    """How capture is doing, for `status`."""

    streaming: bool
    standby: bool
    ready: bool
    heartbeat_age: float | None
    changes: int
    transactions: int
    keys_saved: int
    received: Lsn
    checkpoint: Lsn
    timeline: int  # that the checkpoint is on; 0: nothing was streamed yet
    confirmed: Lsn
    last_commit_time: datetime | None
    reconnects: int
    error: str


def save(connection: Connection, slot: str, batch: Batch) -> None:
    """Seam 1: keys into the outbox, join keys beside it, and the checkpoint forward, in one transaction.

    Rows are locked in the order of the fan-out step, join keys first. Mappings are locked last: whoever holds one waits
    for nothing else.
    """
    touched = batch.touched
    with connection.transaction():
        fan_out.enqueue(connection, touched.related, since=touched.since)
        for mapping_id, commit in sorted(touched.truncated.items()):
            outbox.enqueue_linked(connection, mapping_id, commit, since=touched.since)
        for mapping_id, changes in sorted(touched.keys.items()):
            outbox.enqueue_changes(connection, mapping_id, changes, since=touched.since)
        for mapping_id in sorted(touched.related_truncated):  # any entity may have lost something, linked or not
            runs.request(connection, mapping_id, Reason.TRUNCATE, fresh=True)
        if batch.end_lsn is not None:
            checkpoints.advance(connection, slot, batch.end_lsn, batch.commit_time_us)


Save = Callable[[Connection, str, Batch], None]


def position_of(checkpoint: checkpoints.Checkpoint) -> Position:
    """What a start is judged by."""
    return Position(
        checkpoint.end_lsn,
        checkpoint.system_id,
        checkpoint.timeline,
        checkpoint.database_oid,
        checkpoint.commit_time,
        checkpoint.copied,
    )


class Capture:
    """The capture loop. One slot streams to one worker; others stand by and take over when it goes.

    `watches`, when it can be called, is asked at every connection, and whenever `publication.announce` comes through
    the stream: changes after that position make keys by what it answers then.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        watches: Iterable[Watch] | Callable[[], Iterable[Watch]],
        *,
        save: Save = save,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        fixed = () if callable(watches) else tuple(watches)
        self._watches = watches if callable(watches) else lambda: fixed
        self._save = save
        self._clock = clock
        self._rng = rng or random.Random()
        self._session: CaptureSession | None = None
        self._connections = ExitStack()
        self._past = Counts()
        self._reconnects = 0
        self._standby = False
        self._error = ""

    def step(self, wait: float = 0.5) -> StepResult:
        """Receive what is there, or what comes within `wait` seconds; save, confirm.

        Connects first when there is no connection. After any error the connection is closed, and the next step starts
        again from the checkpoint. Raises RetryLater (SlotInUse: another worker streams), SourceUnusable, PositionLost.
        """
        if self._session is None:
            self._session = self._open()
            self._standby, self._error = False, ""
        try:
            return self._session.step(wait)
        except BaseException:
            self.close(settle=False)
            self._reconnects += 1
            raise

    def run(self, stop: threading.Event) -> None:
        """Step until `stop` is set; wait and reconnect after RetryLater. Raises what a person must mend."""
        failures, reached = 0, 0
        try:
            while not stop.is_set():
                try:
                    self.step()
                    if self._session is not None and self._session.checkpoint > reached:
                        failures, reached = 0, self._session.checkpoint  # only what became durable is success
                except SlotInUse as error:
                    if not self._standby:
                        log.info("%s; standing by", error.message)
                    self._standby = True
                    stop.wait(self._settings.standby_wait)
                except RetryLater as error:
                    failures += 1
                    self._error = error.message
                    log.warning("%s; trying again", error.message)
                    stop.wait(backoff(failures, base=0.5, cap=30.0, rng=self._rng))
        finally:
            self.close()

    def close(self, *, settle: bool = True) -> None:
        """End the stream; with `settle` what is being saved is still confirmed. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            self._past = self._past.plus(session.counts)
            with self._connections:
                session.close(settle=settle)

    @property
    def ready(self) -> bool:
        """True while heartbeats come back through the stream."""
        return self._session is not None and self._session.heartbeat.alive

    def figures(self) -> CaptureFigures:
        """A snapshot; may be called from any thread."""
        session = self._session
        counts = self._past if session is None else self._past.plus(session.counts)
        time_us = counts.commit_time_us
        return CaptureFigures(
            streaming=session is not None,
            standby=self._standby,
            ready=session is not None and session.heartbeat.alive,
            heartbeat_age=session.heartbeat.age if session else None,
            changes=counts.changes,
            transactions=counts.transactions,
            keys_saved=counts.keys_saved,
            received=counts.received,
            checkpoint=counts.checkpoint,
            timeline=counts.timeline,
            confirmed=counts.confirmed,
            last_commit_time=None if time_us is None else from_microseconds(time_us),
            reconnects=self._reconnects,
            error=self._error,
        )

    def _open(self) -> CaptureSession:
        """The verdict first, then the stream from our checkpoint."""
        settings = self._settings
        with ExitStack() as opened:
            source = opened.enter_context(database.connect(settings.source, purpose="capture source"))
            facts = self._examine(source)
            if facts.slot is not None and facts.slot.active_pid is not None:
                raise SlotInUse(f"the slot {settings.slot!r} is in use by process {facts.slot.active_pid}")
            state = opened.enter_context(database.connect(settings.state, purpose="capture outbox"))
            checkpoint = checkpoints.read(state, settings.slot)
            if checkpoint is None:
                raise SourceUnusable(f"the slot {settings.slot!r} has no checkpoint", hint="Run: syncbridge setup")
            replication = opened.enter_context(connect(settings.source, settings.stream))
            system = identify(replication, since=checkpoint.timeline)
            self._judge(facts, system, checkpoint, state)
            stream = ReplicationStream(
                replication,
                slot=settings.slot,
                publication=settings.publication,
                start=checkpoint.end_lsn,
                settings=settings.stream,
            )
            session = CaptureSession(
                stream,
                Heartbeat(source, interval=settings.heartbeat, clock=self._clock),
                watches=self._watches,
                checkpoint=checkpoint.end_lsn,
                timeline=system.timeline,
                save=lambda batch: self._save_batch(source, state, batch),
                check=lambda: self._examine(source).require_coverage(),
                settles=settings.state == settings.source,
                pace=settings.pace,
                clock=self._clock,
            )
            self._connections = opened.pop_all()
            return session

    def _examine(self, source: Connection) -> Facts:
        names = self._settings
        return examine(source, slot=names.slot, publication=names.publication, watches=self._watches())

    def _judge(
        self, facts: Facts, system: SystemIdentity, checkpoint: checkpoints.Checkpoint, state: Connection
    ) -> None:
        verdict = judge(facts, system, position_of(checkpoint))
        verdict.require()
        checkpoints.confirm_place(state, checkpoint.slot, facts.database_oid)
        log.info("streaming from %s, %d bytes past what the slot confirmed", checkpoint.end_lsn, verdict.bytes)
        if verdict.promoted:
            checkpoints.move_timeline(state, checkpoint.slot, system.timeline)

    def _save_batch(self, source: Connection, state: Connection, batch: Batch) -> None:
        """Runs in the saving thread. A key goes into the outbox only when whoever composes it sees its change."""
        await_visible(source, batch.touched.transactions)
        try:
            self._save(state, self._settings.slot, batch)
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate.startswith(_PASSING):
                raise RetryLater(
                    f"the outbox cannot be written: {first_line(error)}", code=error.sqlstate or ""
                ) from error
            raise
