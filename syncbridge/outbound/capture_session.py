"""One connection's worth of capturing: frames -> keys -> batches that a thread saves -> positions confirmed.

Reading and saving overlap: while one batch is being saved, the next collects, coalesced by key. A batch goes out when
the stream falls silent for a millisecond, or after a moment's linger, which is longer while catching up: large batches
cost half as much per key. At `batch_keys` reading waits, so memory stays flat whatever the size of a transaction. Parts
of a large one may be saved before its end (it is committed, so its keys are true); the checkpoint moves only at a
commit's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from typing import NamedTuple

from syncbridge.mapping.keys import encode_key
from syncbridge.model import Lsn
from syncbridge.schemas import Watch
from syncbridge.source.heartbeat import POSITION_WANTED, Heartbeat
from syncbridge.source.own_writes import MARK, SETTLED, settled
from syncbridge.source.pgoutput import Committed, Decoder, Touched
from syncbridge.source.publication import WATCHES_CHANGED
from syncbridge.source.replication import (
    DATA,
    KEEPALIVE,
    PAYLOAD,
    Keepalive,
    ReplicationStream,
    parse_keepalive,
    position_to_confirm,
    sent_at,
)

_NOWHERE = Lsn(0)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction makes durable: touched keys, and the position that they complete (None: not yet any)."""

    touched: Touched
    end_lsn: Lsn | None = None
    commit_time_us: int | None = None


class StepResult(NamedTuple):
    """What one step did. `caught_up`: all that was received is durable, and nothing more was there to read."""

    frames: int
    changes: int
    caught_up: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is saved at once, and how often; times in seconds."""

    batch_keys: int = 20_000
    linger: float = 0.01  # the longest that a key waits for others while we keep up
    linger_behind: float = 1.0  # ... while we are more than this behind
    silence: float = 0.001  # nothing came for so long: do not wait for more
    silence_behind: float = 0.005
    idle_save: float = 10.0  # a position that no key came with is saved so often: saving it writes WAL itself
    idle_bytes: int = 16_000_000  # ... or when it is so far ahead


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals and positions."""

    changes: int = 0
    transactions: int = 0
    keys_saved: int = 0
    received: Lsn = _NOWHERE
    checkpoint: Lsn = _NOWHERE
    timeline: int = 0
    confirmed: Lsn = _NOWHERE
    commit_time_us: int | None = None

    def plus(self, later: Counts) -> Counts:
        """Totals of both, positions of the later one."""
        return replace(
            later,
            changes=self.changes + later.changes,
            transactions=self.transactions + later.transactions,
            keys_saved=self.keys_saved + later.keys_saved,
            commit_time_us=later.commit_time_us or self.commit_time_us,
        )


class CaptureSession:
    """Owns the stream from one checkpoint on. After any exception it is good for nothing but `close`.

    `settles` says that what our own writes settled is ours indeed: the state is in this database, and so its only one.
    """

    def __init__(
        self,
        stream: ReplicationStream,
        heartbeat: Heartbeat,
        *,
        watches: Callable[[], Iterable[Watch]],
        checkpoint: Lsn,
        timeline: int,
        save: Callable[[Batch], None],
        check: Callable[[], None],
        settles: bool,
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self.heartbeat = heartbeat
        self._stream = stream
        self._watches = watches
        self._decoder = Decoder(watches(), encode=encode_key)
        self._save = save
        self._settles = settles
        self._check = check  # raises when the publication no longer carries what is watched
        self._pace = pace
        self._clock = clock
        self._checkpoint = checkpoint
        self._timeline = timeline
        self._received = checkpoint  # highest end LSN of a commit, or keepalive, seen on this connection
        self._committed: Committed | None = None  # the last one seen that the checkpoint does not cover
        self._collecting_since = float("inf")
        self._behind = False  # catching up
        self._wanted_now = False  # the server, or somebody who waits, wants the position to move
        self._wanted_at_commit = False
        self._ours = False  # the open transaction is one of the way back
        self._saved_at = clock()
        self._transactions = 0
        self._keys_saved = 0
        self._commit_time_us: int | None = None
        self._saver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="capture outbox")
        self._saving: tuple[Future[None], Batch] | None = None

    @property
    def checkpoint(self) -> Lsn:
        """Up to where everything is durable."""
        return self._checkpoint

    @property
    def counts(self) -> Counts:
        """Totals of this session."""
        return Counts(
            self._decoder.changes,
            self._transactions,
            self._keys_saved,
            self._received,
            self._checkpoint,
            self._timeline,
            self._stream.confirmed,
            self._commit_time_us,
        )

    def step(self, wait: float) -> StepResult:
        """Receive, decode, save, confirm; waits `wait` seconds at most for something to do."""
        before = self._decoder.changes
        full = len(self._decoder) >= self._pace.batch_keys
        self._settle(wait if full else 0.0)
        if full:
            self._submit()
        full = len(self._decoder) >= self._pace.batch_keys  # still: reading waits for the outbox
        frames = [] if full else self._stream.receive(self._patience(wait))
        self._decode(frames)
        if not frames:
            self._settle(wait)
        if not frames or self._ripe(frames[-1]):
            self._submit()
        self._advance()
        if self.heartbeat.due_in == 0.0:
            self.heartbeat.emit()
            self._check()
        return StepResult(len(frames), self._decoder.changes - before, caught_up=not frames and self._idle)

    @property
    def _idle(self) -> bool:
        """No transaction open, nothing queued, nothing unsaved."""
        return not self._decoder.open and not len(self._decoder) and self._saving is None

    def _patience(self, wait: float) -> float:
        """How long to wait for frames: not beyond what else there is to do."""
        if self._saving or len(self._decoder):
            return self._pace.silence_behind if self._behind else self._pace.silence
        return min(wait, self.heartbeat.due_in)

    def _ripe(self, newest: bytes) -> bool:
        """True when the collected keys should wait no longer for others."""
        now = self._clock()
        self._collecting_since = min(self._collecting_since, now)
        # both times are by the server's clock
        self._behind = (sent_at(newest) - self._decoder.time_us) / 1e6 > self._pace.linger_behind
        linger = self._pace.linger_behind if self._behind else self._pace.linger
        return len(self._decoder) >= self._pace.batch_keys or now - self._collecting_since >= linger

    def _decode(self, frames: Sequence[bytes]) -> None:
        """The hot loop: one dispatch per frame."""
        decode = self._decoder.decode
        for frame in frames:
            if frame[0] == DATA:
                event = decode(frame, PAYLOAD)
                if event is None:
                    continue
                if isinstance(event, Committed):
                    self._on_commit(event)
                elif event.prefix == WATCHES_CHANGED:
                    self._decoder.watch(self._watches())
                elif event.prefix == POSITION_WANTED:
                    self._wanted_at_commit = True
                elif event.prefix == MARK:
                    self._ours = True
                elif event.prefix == SETTLED:
                    if self._settles:
                        self._decoder.leave_out(*settled(event.content))
                else:
                    self.heartbeat.receive(event)
            elif frame[0] == KEEPALIVE:
                self._on_keepalive(parse_keepalive(frame))
        if self._decoder.absent:
            self._check()  # else: rows from before the publication was widened; the mapping's first sync has them
            self._decoder.absent.clear()

    def _on_commit(self, commit: Committed) -> None:
        self._transactions += 1
        self._ours = False
        self._received = max(self._received, commit.end_lsn)
        if commit.end_lsn <= self._checkpoint:  # a replay: everything collected so far is in the outbox already
            self._decoder.take()
            return
        self._committed = commit
        self._commit_time_us = commit.time_us
        self._wanted_now, self._wanted_at_commit = self._wanted_now or self._wanted_at_commit, False

    def _on_keepalive(self, keepalive: Keepalive) -> None:
        self._received = max(self._received, keepalive.lsn)
        self._wanted_now = self._wanted_now or keepalive.reply

    def _submit(self) -> None:
        """Hand what is collected to the saving thread; not in the midst of a write of ours, which ends with an answer.

        Unless that has more keys than memory is for: then some go out that need not.
        """
        if self._saving or not len(self._decoder) or (self._ours and len(self._decoder) < self._pace.batch_keys):
            return
        self._collecting_since = float("inf")
        commit, self._committed = self._committed, None
        self._start(Batch(self._decoder.take(), commit and commit.end_lsn, commit and commit.time_us))

    def _advance(self) -> None:
        """Confirm what the law allows, but nothing that the checkpoint does not say.

        A position that came without keys moves the checkpoint only now and then, or when the server asks for it.
        """
        position = position_to_confirm(
            confirmed=self._stream.confirmed, saved=self._checkpoint, received=self._received, idle=self._idle
        )
        self._stream.confirm(min(position, self._checkpoint))
        ahead = position - self._checkpoint
        waited = self._clock() - self._saved_at
        if ahead > 0 and (self._wanted_now or waited >= self._pace.idle_save or ahead >= self._pace.idle_bytes):
            commit, self._committed = self._committed, None
            self._start(Batch(Touched(), position, commit and commit.time_us))

    def _start(self, batch: Batch) -> None:
        self._wanted_now = False
        self._saved_at = self._clock()
        self._saving = (self._saver.submit(self._save, batch), batch)

    def _settle(self, timeout: float) -> None:
        """Take the result of what is being saved, if it comes within `timeout` seconds; raises what saving raised."""
        if self._saving is None:
            return
        future, batch = self._saving
        if not future.done() and not wait_for([future], timeout).done:
            return
        self._saving = None
        future.result()
        self._keys_saved += len(batch.touched)
        if batch.end_lsn is not None:
            self._checkpoint = max(self._checkpoint, batch.end_lsn)

    def close(self, *, settle: bool) -> None:
        """End the saving thread, confirm what it saved when `settle`, end the stream."""
        self._saver.shutdown(wait=True)
        try:
            if settle:
                self._settle(0.0)
                self._stream.confirm(self._checkpoint)
        finally:
            self._stream.close()
