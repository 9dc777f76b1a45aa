"""A session against a scripted server: whatever is received, saved, or fails in whatever order, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.model import Lsn
from syncbridge.outbound.capture_session import Batch, CaptureSession, Pace
from syncbridge.schemas import Watch
from syncbridge.source.heartbeat import Heartbeat
from syncbridge.source.pgoutput import ProtocolViolation
from syncbridge.source.replication import ReplicationStream

RELATION = b"R" + pack(">I", 7) + b"public\0t\0d" + pack(">H", 1) + b"\1id\0" + pack(">Ii", 20, -1)


def data(message: bytes) -> bytes:
    return b"w" + pack(">QQq", 0, 0, 5_000) + message


def keepalive(lsn: int, *, reply: bool = False) -> bytes:
    return b"k" + pack(">Qqb", lsn, 5_000, reply)


def frames_of(end: int, keys: list[int]) -> list[bytes]:
    """One transaction, ending at `end`; its commit record begins 8 bytes before."""
    texts = [str(key).encode() for key in keys]
    rows = [b"I" + pack(">I", 7) + b"N" + pack(">H", 1) + b"t" + pack(">I", len(text)) + text for text in texts]
    begin = b"B" + pack(">QqI", end - 8, 5_000, 1)
    return [data(m) for m in [begin, RELATION, *rows, b"C" + pack(">BQQq", 0, end - 8, end, 5_000)]]


class Crash(Exception):
    """The worker is killed."""


@dataclass
class World:
    """A server with transactions and a slot, and a durable outbox with its checkpoint."""

    transactions: dict[int, list[int]]  # end LSN -> keys
    slot: int = 0
    checkpoint: int = 0
    outbox: set[bytes] = field(default_factory=set)
    crashes: list[str] = field(default_factory=list)  # at the next saves: "before", "after", or nothing

    def save(self, batch: Batch) -> None:
        crash = self.crashes.pop(0) if self.crashes else ""
        if crash == "before":
            raise Crash
        self.outbox.update(batch.touched.keys.get(1, {}))
        self.checkpoint = max(self.checkpoint, batch.end_lsn or 0)
        if crash == "after":
            raise Crash

    def session(self, chunks: list[int]) -> CaptureSession:
        stream = cast(ReplicationStream, Stream(self, chunks))
        return CaptureSession(
            stream,
            cast(Heartbeat, NoHeartbeat()),
            watches=lambda: [Watch(1, "public", "t", ("id",))],
            checkpoint=Lsn(self.checkpoint),
            timeline=1,
            save=self.save,
            check=lambda: None,
            settles=True,
            pace=Pace(batch_keys=3, idle_save=0.0, linger=0.0),
            clock=lambda: 0.0,
        )

    def check(self) -> None:
        assert self.slot <= max(self.checkpoint, 0)
        for end, keys in self.transactions.items():
            if end <= max(self.slot, self.checkpoint):
                assert {str(key).encode() for key in keys} <= self.outbox


class Stream:
    """Sends again whatever the slot has not confirmed, in pieces of the sizes asked for, keepalives in between."""

    def __init__(self, world: World, chunks: list[int]) -> None:
        self.world = world
        self.confirmed = Lsn(world.checkpoint)
        self.chunks = chunks
        self.frames: list[bytes] = []
        for end, keys in world.transactions.items():
            if end > world.slot:
                self.frames += [*frames_of(end, keys), keepalive(end + 2)]

    def receive(self, timeout: float) -> list[bytes]:
        size = self.chunks.pop(0) if self.chunks else len(self.frames)
        taken, self.frames = self.frames[:size], self.frames[size:]
        return taken

    def confirm(self, lsn: Lsn) -> None:
        assert lsn <= self.world.checkpoint
        if lsn > self.confirmed:
            self.confirmed = lsn
            self.world.slot = max(self.world.slot, lsn)

    def close(self) -> None:
        """The last status says what is durable, even when that was so from the start."""
        self.world.slot = max(self.world.slot, self.confirmed)


class NoHeartbeat:
    due_in = 1e9


@given(
    transactions=st.lists(st.lists(st.integers(0, 20), max_size=8), min_size=1, max_size=6),
    crashes=st.lists(st.sampled_from(["before", "after", ""]), max_size=5),
    chunks=st.lists(st.integers(0, 7), max_size=30),
    steps=st.integers(1, 12),
)
def test_no_order_of_receiving_saving_and_crashing_loses_a_key(
    transactions: list[list[int]], crashes: list[str], chunks: list[int], steps: int
) -> None:
    world = World({20 * (n + 1): keys for n, keys in enumerate(transactions)}, crashes=crashes)
    before = (0, 0)
    while world.crashes or chunks:
        session = world.session(chunks)
        try:
            for _ in range(steps):
                session.step(0.0)
                world.check()
        except Crash:
            pass
        session.close(settle=False)
        world.check()
        assert (world.slot, world.checkpoint) >= before
        before = (world.slot, world.checkpoint)
        if not chunks:
            world.crashes = world.crashes[1:]
    last = world.session([])
    while not last.step(0.0).caught_up or world.checkpoint < 20 * len(transactions):
        world.check()
    last.close(settle=True)
    assert world.outbox == {str(key).encode() for keys in transactions for key in keys}
    assert world.slot == world.checkpoint >= 20 * len(transactions)


def test_a_replayed_transaction_is_passed_over_by_its_end_and_no_other() -> None:
    """Right at the checkpoint: the next transaction's first row carries the very position where the last one ended."""
    world = World({20: [1], 40: [2]}, checkpoint=20)
    session = world.session([])
    while not session.step(0.0).caught_up:
        pass
    session.close(settle=True)
    assert world.outbox == {b"2"}


def test_an_answer_that_the_server_asks_for_moves_the_checkpoint_first() -> None:
    world = World({20: [1]})
    session = world.session([])
    session._pace = Pace(idle_save=1e9)
    while not session.step(0.0).caught_up:
        pass
    assert world.checkpoint == 20
    stream = cast(Stream, session._stream)
    stream.frames = [keepalive(77, reply=True)]
    while world.slot < 77:
        session.step(0.0)
    assert world.checkpoint == 77
    session.close(settle=True)


def test_a_broken_message_ends_the_session_before_anything_is_confirmed() -> None:
    world = World({20: [1]})
    session = world.session([])
    cast(Stream, session._stream).frames.insert(2, data(b"?"))
    with pytest.raises(ProtocolViolation):
        session.step(0.0)
    session.close(settle=False)
    assert (world.slot, world.checkpoint, world.outbox) == (0, 0, set())
