"""Capture from a real server into a real outbox; crashes at seam 1; a second worker; what must stop it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import Connection, conninfo

from syncbridge.errors import RetryLater, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.outbound.capture import Capture, save
from syncbridge.outbound.capture_session import Batch, Pace
from syncbridge.source import publication
from syncbridge.source.refusals import SlotInUse
from syncbridge.store import claims, database
from tests.fix_source import NEVER, CapturedDatabase, execute_all, step_until


def numbers(first: int, last: int) -> set[str]:
    return {str(number) for number in range(first, last + 1)}


def insert(database: CapturedDatabase, first: int, last: int) -> None:
    """One transaction of rows `first` to `last`."""
    database.admin.execute("insert into people select generate_series(%s::int, %s::int)", (first, last))


def test_committed_keys_and_the_checkpoint_become_durable_and_then_confirmed(people: CapturedDatabase) -> None:
    insert(people, 1, 3)
    people.admin.execute("update people set id = 4 where id = 3")
    people.admin.execute("delete from people where id = 1")
    capture = people.capture()
    people.catch_up(capture)
    assert people.outbox() == numbers(1, 4)
    assert capture.figures().confirmed == people.checkpoint()
    capture.close()
    people.released()
    assert people.confirmed() == people.checkpoint()


def test_a_row_of_the_outbox_carries_its_commit(people: CapturedDatabase) -> None:
    before = datetime.now(UTC)
    insert(people, 1, 1)
    capture = people.capture()
    people.catch_up(capture)
    row = people.admin.execute("select lsn::text, commit_time, reason from syncbridge.outbox").fetchone()
    assert row is not None
    assert Lsn.parse(row[0]) < people.checkpoint()
    assert before - timedelta(minutes=1) < row[1] < datetime.now(UTC) + timedelta(minutes=1)
    assert row[2] == "change"
    seen = capture.figures().last_commit_time
    assert seen is not None
    assert seen >= row[1]  # a heartbeat may have come after it


def test_many_changes_of_one_row_are_one_row_of_the_outbox(people: CapturedDatabase) -> None:
    batches: list[Batch] = []
    insert(people, 1, 1)
    with people.admin.transaction():
        for number in range(100):
            people.admin.execute("update people set name = %s", (str(number),))

    def counting(connection: Connection, slot: str, batch: Batch) -> None:
        batches.append(batch)
        save(connection, slot, batch)

    capture = people.capture(save=counting)
    people.catch_up(capture)
    assert sum(len(batch.touched) for batch in batches) <= len(batches)
    assert capture.figures().changes == 101


# --- seam 1: before, inside and after ---


class Crash(Exception):
    """Stands for a killed worker."""


def before_it(connection: Connection, slot: str, batch: Batch) -> None:
    raise Crash


def inside_it(connection: Connection, slot: str, batch: Batch) -> None:
    with connection.transaction():
        save(connection, slot, batch)
        raise Crash


def after_it(connection: Connection, slot: str, batch: Batch) -> None:
    save(connection, slot, batch)
    raise Crash


@pytest.mark.parametrize("crash", [before_it, inside_it, after_it])
def test_a_crash_at_the_seam_loses_nothing_and_moves_nothing_back(people: CapturedDatabase, crash: object) -> None:
    start = people.checkpoint()
    insert(people, 1, 5)
    doomed = people.capture(save=crash)
    with pytest.raises(Crash):
        step_until(doomed, lambda: False)
    assert (people.checkpoint() > start) is (crash is after_it)
    assert people.outbox() == (numbers(1, 5) if crash is after_it else set())
    assert people.confirmed() == start  # nothing is confirmed that the dead worker did not know to be durable
    reached = people.checkpoint()
    insert(people, 6, 6)
    people.catch_up(people.capture())
    assert people.outbox() == numbers(1, 6)
    assert people.checkpoint() > reached


def test_the_same_capture_goes_on_after_an_error(people: CapturedDatabase) -> None:
    failures = iter([RetryLater("the state database is away")])

    def flaky(connection: Connection, slot: str, batch: Batch) -> None:
        for failure in failures:
            raise failure
        save(connection, slot, batch)

    insert(people, 1, 2)
    capture = people.capture(save=flaky)
    with pytest.raises(RetryLater):
        step_until(capture, lambda: False)
    people.catch_up(capture)
    assert people.outbox() == numbers(1, 2)
    assert capture.figures().reconnects == 1


def test_a_lost_state_database_is_a_matter_of_trying_again(people: CapturedDatabase) -> None:
    capture = people.capture()
    capture.step(0.0)
    people.admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'syncbridge capture outbox'"
    )
    insert(people, 1, 1)
    with pytest.raises(RetryLater, match="outbox"):
        step_until(capture, lambda: False)
    people.catch_up(capture)
    assert people.outbox() == {"1"}


def test_transactions_that_are_in_the_outbox_already_are_not_enqueued_again(people: CapturedDatabase) -> None:
    insert(people, 1, 2)
    first = people.capture()
    people.catch_up(first)
    first.close(settle=False)
    people.admin.execute("delete from syncbridge.outbox")
    people.catch_up(people.capture())
    assert people.outbox() == set()


# --- large transactions ---


def test_a_large_transaction_is_saved_in_parts_and_the_checkpoint_moves_at_its_end(people: CapturedDatabase) -> None:
    parts: list[tuple[int, Lsn | None]] = []
    start = people.checkpoint()

    def watching(connection: Connection, slot: str, batch: Batch) -> None:
        save(connection, slot, batch)
        parts.append((len(batch.touched), batch.end_lsn))
        assert (people_checkpoint() > start) is (batch.end_lsn is not None)

    def people_checkpoint() -> Lsn:
        with psycopg.connect(people.dsn) as other:
            row = other.execute("select end_lsn::text from syncbridge.checkpoint").fetchone()
            assert row is not None
            return Lsn.parse(row[0])

    insert(people, 1, 30_000)
    people.catch_up(people.capture(people.settings(pace=Pace(batch_keys=1_000)), save=watching))
    assert [end for _, end in parts[:-1]] == [None] * (len(parts) - 1)
    assert parts[-1][1] == people.checkpoint()
    assert len(parts) >= 3
    assert max(size for size, _ in parts) <= 6_000  # batch_keys and the frames of one receive
    assert len(people.outbox()) == 30_000


def test_a_crash_in_the_middle_of_a_large_transaction_replays_it_whole(people: CapturedDatabase) -> None:
    saved: list[Batch] = []

    def second_fails(connection: Connection, slot: str, batch: Batch) -> None:
        if saved:
            raise Crash
        save(connection, slot, batch)
        saved.append(batch)

    start = people.checkpoint()
    insert(people, 1, 30_000)
    doomed = people.capture(people.settings(pace=Pace(batch_keys=1_000)), save=second_fails)
    with pytest.raises(Crash):
        step_until(doomed, lambda: False)
    assert people.checkpoint() == start
    assert 0 < len(people.outbox()) < 30_000
    people.catch_up(people.capture())
    assert len(people.outbox()) == 30_000


# --- truncate ---


def test_truncate_enqueues_every_linked_entity(people: CapturedDatabase) -> None:
    people.admin.execute(
        "insert into syncbridge.link (mapping_id, key, remote_id, base)"
        " values (1, '7', 'r7', '{}'), (1, '8', 'r8', '{}')"
    )
    people.admin.execute("truncate people")
    insert(people, 9, 9)
    people.catch_up(people.capture())
    reasons = people.admin.execute("select key, reason from syncbridge.outbox order by key").fetchall()
    assert reasons == [("7", "truncate"), ("8", "truncate"), ("9", "change")]


# --- positions without keys ---


def test_traffic_that_concerns_nobody_is_confirmed_when_idle(people: CapturedDatabase) -> None:
    capture = people.capture(people.settings(pace=Pace(idle_save=0.0)))
    people.admin.execute("create table elsewhere as select generate_series(1, 5000)")
    end = people.end_of_log()
    step_until(capture, lambda: capture.figures().confirmed >= end)
    assert people.checkpoint() >= end
    assert people.outbox() == set()


def test_a_position_far_ahead_is_saved_at_once(people: CapturedDatabase) -> None:
    capture = people.capture(people.settings(pace=Pace(idle_save=NEVER, idle_bytes=100_000)))
    people.admin.execute("create table elsewhere as select generate_series(1, 5000)")
    end = people.end_of_log()
    step_until(capture, lambda: capture.figures().confirmed >= end)


def test_our_own_writes_do_not_make_us_write(people: CapturedDatabase) -> None:
    """The checkpoint lies in the log that we follow: saving each of its own changes would never end."""
    saves: list[Batch] = []

    def counting(connection: Connection, slot: str, batch: Batch) -> None:
        saves.append(batch)
        save(connection, slot, batch)

    capture = people.capture(people.settings(pace=Pace(idle_save=NEVER, idle_bytes=10**9)), save=counting)
    insert(people, 1, 1)
    people.catch_up(capture)
    first = len(saves)
    people.catch_up(capture)
    people.catch_up(capture)
    assert len(saves) == first == 1


# --- heartbeats ---


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_heartbeat_that_comes_back_makes_capture_ready(people: CapturedDatabase) -> None:
    clock = Clock()
    capture = people.capture(people.settings(heartbeat=10.0), clock=clock)
    assert not capture.ready
    step_until(capture, lambda: capture.ready)
    clock.now += 10.0
    step_until(capture, lambda: capture.figures().heartbeat_age == 0.0)
    assert people.outbox() == set()


def test_heartbeats_that_do_not_come_back_end_readiness(people: CapturedDatabase) -> None:
    clock = Clock()
    capture = people.capture(people.settings(heartbeat=10.0), clock=clock)
    step_until(capture, lambda: capture.ready)
    clock.now += 31.0
    assert not capture.ready
    assert capture.figures().heartbeat_age == 31.0
    assert not capture.figures().ready


def test_a_lost_connection_for_heartbeats_is_made_again(people: CapturedDatabase) -> None:
    clock = Clock()
    capture = people.capture(people.settings(heartbeat=10.0), clock=clock)
    step_until(capture, lambda: capture.ready)
    clock.now += 10.0
    people.admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'syncbridge capture source'"
    )
    with pytest.raises(RetryLater):
        step_until(capture, lambda: False)
    assert not capture.ready
    people.released()
    step_until(capture, lambda: capture.ready)


# --- the loop, and a second worker ---


def run_in_thread(capture: Capture, stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=capture.run, args=(stop,))
    thread.start()
    return thread


class Signalled:
    """Save as ever, and tell whoever waits which keys are durable."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.changed = threading.Condition()

    def __call__(self, connection: Connection, slot: str, batch: Batch) -> None:
        save(connection, slot, batch)
        with self.changed:
            self.keys.update(batch.touched.keys.get(1, {}))
            self.changed.notify_all()

    def wait_for(self, key: bytes) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.keys, timeout=30.0)


def test_the_loop_comes_back_after_a_cut_connection(people: CapturedDatabase) -> None:
    saved, stop = Signalled(), threading.Event()
    capture = people.capture(save=saved)
    thread = run_in_thread(capture, stop)
    insert(people, 1, 1)
    saved.wait_for(b"1")
    people.admin.execute("select pg_terminate_backend(active_pid) from pg_replication_slots where active")
    insert(people, 2, 2)
    saved.wait_for(b"2")
    stop.set()
    thread.join()
    assert capture.figures().reconnects == 1
    assert not capture.figures().streaming
    people.released()
    assert people.confirmed() == people.checkpoint()


def test_a_second_worker_stands_by_and_takes_over(people: CapturedDatabase) -> None:
    first = people.capture()
    insert(people, 1, 1)
    people.catch_up(first)
    saved, stop = Signalled(), threading.Event()
    second = people.capture(people.settings(standby_wait=0.01), save=saved)
    with pytest.raises(SlotInUse):
        second.step(0.0)
    thread = run_in_thread(second, stop)
    insert(people, 2, 2)
    people.catch_up(first)
    first.close()
    insert(people, 3, 3)
    saved.wait_for(b"3")
    stop.set()
    thread.join()
    assert people.outbox() == numbers(1, 3)
    assert b"1" not in saved.keys


class Waits(threading.Event):
    """A stop event that notes every wait instead of waiting, and is set after some of them."""

    def __init__(self, most: int, between: Callable[[], None]) -> None:
        super().__init__()
        self.most = most
        self.between = between
        self.noted: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.between()
        self.noted.append(timeout)
        if len(self.noted) == self.most:
            self.set()
        return self.is_set()


class Longest(random.Random):
    """Backoff without its random part."""

    def random(self) -> float:
        return 1.0


def test_the_loop_waits_longer_while_saving_keeps_failing(people: CapturedDatabase) -> None:
    def away(connection: Connection, slot: str, batch: Batch) -> None:
        raise RetryLater("the state database is away")

    insert(people, 1, 1)
    stop = Waits(4, between=people.released)
    capture = people.capture(save=away, rng=Longest())
    capture.run(stop)
    assert stop.noted == [0.5, 1.0, 2.0, 4.0]
    assert capture.figures().error == "the state database is away"
    assert people.outbox() == set()


def test_the_loop_raises_what_a_person_must_mend(people: CapturedDatabase) -> None:
    people.admin.execute("delete from syncbridge.checkpoint")
    with pytest.raises(SourceUnusable) as caught:
        people.capture().run(threading.Event())
    assert "syncbridge setup" in caught.value.hint


# --- publications that do not fit the watches ---


def test_a_column_taken_out_of_the_publication_stops_capture(captured: CapturedDatabase) -> None:
    if captured.admin.info.server_version < 150000:
        pytest.skip("column lists came with Postgres 15")
    captured.admin.execute("create table orders (id int primary key, person int)")
    captured.watch("orders", "person")
    captured.provide()
    capture = captured.capture()
    capture.step(0.0)
    captured.admin.execute("alter publication syncbridge set table orders (id)")
    captured.admin.execute("insert into orders values (1, 2)")
    with pytest.raises(SourceUnusable, match=r"public\.orders\.person"):
        step_until(capture, lambda: False)


def test_rows_from_before_a_publication_was_widened_do_not_stop_capture(captured: CapturedDatabase) -> None:
    """A new mapping's first sync reads them; stopping for them would stop for ever."""
    captured.admin.execute("create table orders (id int primary key, person int)")
    captured.watch("orders", "id", mapping_id=1)
    captured.provide()
    captured.admin.execute("insert into orders values (1, 20)")
    captured.watch("orders", "person", mapping_id=2)
    captured.publish()
    captured.admin.execute("insert into orders values (2, 30)")
    captured.catch_up(captured.capture())
    assert captured.outbox(1) == {"1", "2"}
    assert captured.outbox(2) >= {"30"}


def test_new_watches_hold_from_their_announcement_on(captured: CapturedDatabase) -> None:
    execute_all(captured.admin, ["create table a (id int primary key)", "create table b (id int primary key)"])
    captured.watch("a", "id", mapping_id=1)
    captured.provide()
    capture = captured.capture()
    capture.step(0.0)
    captured.watch("b", "id", mapping_id=2)
    captured.publish()
    execute_all(captured.admin, ["insert into a values (1)", "insert into b values (1)"])
    publication.announce(captured.admin)
    execute_all(captured.admin, ["insert into a values (2)", "insert into b values (2)"])
    captured.catch_up(capture)
    assert captured.outbox(1) == {"1", "2"}
    assert captured.outbox(2) == {"2"}  # the first row is the first sync's


# --- state elsewhere ---


def test_the_state_may_lie_in_another_database(people: CapturedDatabase) -> None:
    name = f"{people.slot}_state"
    people.admin.execute(f"create database {name}".encode())
    elsewhere = conninfo.make_conninfo(people.dsn, dbname=name)
    try:
        with database.connect(elsewhere, purpose="test") as state:
            database.setup(state)
            state.execute(
                "insert into syncbridge.checkpoint (slot, end_lsn, system_id, timeline)"
                " select %s, %s::text::pg_lsn, system_identifier::text, 1 from pg_control_system()",
                (people.slot, str(people.checkpoint())),
            )
            insert(people, 1, 2)
            capture = people.capture(people.settings(state=elsewhere))
            people.catch_up(capture)
            capture.close()
            assert {row.key for row in outbox_rows(state)} == numbers(1, 2)
    finally:
        people.admin.execute(f"drop database {name} with (force)".encode())
    assert people.outbox() == set()


def outbox_rows(state: Connection) -> list[claims.Claimed]:
    state.execute(
        "insert into syncbridge.mapping (name, destination, object, definition, digest)"
        " values ('p', 'd', 'o', '{}', '')"
    )
    return claims.claim(state, 1, limit=10, lease=60.0)[1]
