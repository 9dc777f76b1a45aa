"""Seam 1: whatever ends before, inside or after it, nothing is lost and nothing moves back."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import Connection

from syncbridge.errors import RetryLater
from syncbridge.model import Lsn
from syncbridge.outbound.capture import save
from syncbridge.outbound.capture_session import Batch, Pace
from tests.fix_source import CRASHES, CapturedDatabase, Crash, after_it, insert, numbers, step_until


@pytest.mark.parametrize("crash", CRASHES)
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
