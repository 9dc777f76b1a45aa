"""The loop of capture: its heartbeats, a connection that is cut, a second worker, saving that fails."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from psycopg import Connection

from syncbridge.errors import RetryLater, SourceUnusable
from syncbridge.outbound.capture import Capture, save
from syncbridge.outbound.capture_session import Batch
from syncbridge.source.refusals import SlotInUse
from tests.fix_source import CapturedDatabase, insert, numbers, step_until


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
