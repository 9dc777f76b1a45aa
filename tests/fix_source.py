"""A database that is captured from: tables, publication, slot, state schema; and what pgoutput says, as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest

from syncbridge.model import Lsn
from syncbridge.outbound.capture import Capture, CaptureSettings, save
from syncbridge.outbound.capture_session import Batch
from syncbridge.schemas import Watch
from syncbridge.source import publication, slot
from syncbridge.source.catalog import read_catalog
from syncbridge.source.pgoutput import Committed, Decoder, LogicalMessage, Touched
from syncbridge.source.replication import ReplicationStream, StreamSettings, connect
from syncbridge.source.slot import NewSlot
from syncbridge.store import checkpoints, database

#: No test waits for the clock: what happens "every so often" is either at once or never.
NEVER = 1e6

PUBLICATION = "syncbridge"


@dataclass
class CapturedDatabase:
    """A database under test; its slot is named after it, because slots are known to the whole server."""

    dsn: str
    admin: psycopg.Connection
    opened: ExitStack
    watches: list[Watch] = field(default_factory=list)

    @property
    def slot(self) -> str:
        return self.admin.info.dbname

    def watch(self, table: str, *columns: str, mapping_id: int = 1, relation: str = "", related: bool = False) -> Watch:
        """Watch `table` or `schema.table`, from the next `provide` on."""
        schema, _, name = table.rpartition(".")
        self.watches.append(Watch(mapping_id, schema or "public", name, columns, relation, related))
        return self.watches[-1]

    def publish(self) -> list[str]:
        """Make the publication equal to the watches; the statements that it took."""
        catalog = read_catalog(self.admin, {(watch.schema, watch.table) for watch in self.watches})
        wanted = publication.wanted_tables(self.watches, catalog.tables, server_version=catalog.server_version)
        statements = publication.plan(PUBLICATION, wanted, publication.inspect(self.admin, PUBLICATION))
        publication.apply(self.admin, statements)
        return statements

    def provide(self) -> NewSlot:
        """Publication, slot, state schema, checkpoint: what `syncbridge setup` leaves behind."""
        database.setup(self.admin)
        self.publish()
        new = slot.create(self.dsn, self.slot)
        identity = new.system
        checkpoints.create(
            self.admin,
            checkpoints.Checkpoint(self.slot, new.consistent_point, identity.system_id, identity.timeline),
        )
        return new

    def checkpoint(self) -> Lsn:
        stored = checkpoints.read(self.admin, self.slot)
        assert stored is not None
        return stored.end_lsn

    def confirmed(self) -> Lsn:
        facts = slot.inspect(self.admin, self.slot)
        assert facts is not None
        return facts.confirmed_lsn

    def released(self) -> None:
        """Wait until nobody streams from the slot: the server notices the end of a connection a moment later."""
        for _ in range(500):
            facts = slot.inspect(self.admin, self.slot)
            if facts is None or facts.active_pid is None:
                return
            self.admin.execute("select pg_sleep(0.01)")
        pytest.fail("the slot stays in use")

    def end_of_log(self) -> Lsn:
        row = self.admin.execute("select pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return Lsn.parse(row[0])

    def outbox(self, mapping_id: int = 1) -> set[str]:
        rows = self.admin.execute("select key from syncbridge.outbox where mapping_id = %s", (mapping_id,))
        return {key for (key,) in rows}

    def join_keys(self, mapping_id: int = 1) -> dict[str, set[str]]:
        """Join keys that wait, by relation."""
        found: dict[str, set[str]] = {}
        rows = self.admin.execute("select relation, key from syncbridge.fan_out where mapping_id = %s", (mapping_id,))
        for relation, key in rows:
            found.setdefault(relation, set()).add(key)
        return found

    def settings(self, **changes: Any) -> CaptureSettings:
        plain = CaptureSettings(
            source=self.dsn, state=self.dsn, slot=self.slot, publication=PUBLICATION, heartbeat=NEVER
        )
        return replace(plain, **changes)

    def capture(self, settings: CaptureSettings | None = None, **options: Any) -> Capture:
        """A capture loop, closed at the end of the test."""
        capture = Capture(settings or self.settings(), lambda: self.watches, **options)
        self.opened.callback(capture.close, settle=False)
        return capture

    def catch_up(self, capture: Capture) -> None:
        """Step until everything that is committed now has been received and is durable."""
        if not capture.figures().streaming:
            self.released()
            capture.step(0.0)
        end = self.end_of_log()
        step_until(capture, lambda: capture.figures().received >= end, wait=0.05)
        while not capture.step(0.0).caught_up:
            pass

    def stream(self, start: Lsn | None = None, **changes: Any) -> ReplicationStream:
        """A bare stream from the slot, closed at the end of the test."""
        settings = replace(StreamSettings(), **changes)
        stream = ReplicationStream(
            connect(self.dsn, settings),
            slot=self.slot,
            publication=PUBLICATION,
            start=start or self.confirmed(),
            settings=settings,
        )
        self.opened.callback(stream.close)
        return stream

    def messages(self) -> list[bytes]:
        """Everything that pgoutput says since the last call, without a stream."""
        rows = self.admin.execute(
            "select data from pg_logical_slot_get_binary_changes(%s, null, null,"
            " 'proto_version', '1', 'publication_names', %s, 'messages', 'true')",
            (self.slot, PUBLICATION),
        )
        return [bytes(data) for (data,) in rows]

    def decoded(self) -> tuple[Touched, list[Committed | LogicalMessage]]:
        """What a new decoder makes of `messages()`."""
        decoder = Decoder(self.watches)
        events = [decoder.decode(message) for message in self.messages()]
        return decoder.take(), [event for event in events if event is not None]

    def touched(self, mapping_id: int = 1) -> set[str]:
        """The keys that the transactions since the last call touch."""
        return texts(self.decoded()[0], mapping_id)


def texts(touched: Touched, mapping_id: int = 1) -> set[str]:
    """Keys as text."""
    return {key.decode() for key in touched.keys.get(mapping_id, {})}


def step_until(capture: Capture, done: Callable[[], bool], *, wait: float = 0.05, steps: int = 2000) -> None:
    """Step until `done`; a failure, not a hang, when it never is."""
    for _ in range(steps):
        if done():
            return
        capture.step(wait)
    pytest.fail("capture never got there")


def receive_until(stream: ReplicationStream, done: Callable[[list[bytes]], bool], *, calls: int = 400) -> list[bytes]:
    """Receive until the frames so far satisfy `done`."""
    frames: list[bytes] = []
    for _ in range(calls):
        if done(frames):
            return frames
        frames += stream.receive(0.05)
    pytest.fail("the stream never said so")


@pytest.fixture
def captured(state: None, dsn: str, connection: psycopg.Connection) -> Iterator[CapturedDatabase]:
    """A database to capture from; nothing is published yet."""
    with ExitStack() as opened:
        yield CapturedDatabase(dsn, connection, opened)


@pytest.fixture
def people(captured: CapturedDatabase) -> CapturedDatabase:
    """One table `people (id, name)`, watched by mapping 1, with everything in place."""
    captured.admin.execute("create table people (id bigint primary key, name text)")
    captured.watch("people", "id")
    captured.provide()
    return captured


def execute_all(connection: psycopg.Connection, statements: Sequence[str]) -> None:
    """Several statements, each in its own transaction."""
    for statement in statements:
        connection.execute(statement.encode())


def numbers(first: int, last: int) -> set[str]:
    return {str(number) for number in range(first, last + 1)}


def insert(database: CapturedDatabase, first: int, last: int) -> None:
    """One transaction of rows `first` to `last`."""
    database.admin.execute("insert into people select generate_series(%s::int, %s::int)", (first, last))


class Crash(Exception):
    """Stands for a killed worker."""


def before_it(connection: psycopg.Connection, slot: str, batch: Batch) -> None:
    raise Crash


def inside_it(connection: psycopg.Connection, slot: str, batch: Batch) -> None:
    with connection.transaction():
        save(connection, slot, batch)
        raise Crash


def after_it(connection: psycopg.Connection, slot: str, batch: Batch) -> None:
    save(connection, slot, batch)
    raise Crash


#: What to save with, so that a worker ends around seam 1.
CRASHES = (before_it, inside_it, after_it)
