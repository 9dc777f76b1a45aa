"""Calls in flight: fewer after a refusal, one more at a time afterwards. Time passes only where a test lets it."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from syncbridge.destinations.pace import RISE_AFTER, Pace
from syncbridge.errors import RateLimited, RetryLater
from tests.destinations.fix_clock import Clock

BUSY = "REQUEST_LIMIT_EXCEEDED: ConcurrentRequests Limit exceeded."


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(8, clock=clock)


def room(pace: Pace) -> int:
    """How many calls may be in flight now."""
    with ExitStack() as turns:
        for taken in range(100):
            try:
                turns.enter_context(pace.turn(0))
            except RetryLater:
                return taken
    raise AssertionError("no limit")


def refuse(pace: Pace, clock: Clock) -> None:
    clock.now += 1
    pace.refused(BUSY, began=clock.now)


def test_as_many_calls_are_in_flight_as_the_settings_allow(pace: Pace) -> None:
    assert room(pace) == 8
    assert pace.lowered() is None


def test_each_refusal_halves_the_calls_in_flight_down_to_one(pace: Pace, clock: Clock) -> None:
    seen = []
    for _ in range(5):
        refuse(pace, clock)
        seen.append(room(pace))
    assert seen == [4, 2, 1, 1, 1]
    assert str(pace.lowered()) == f"1 of 8 calls in flight, after {BUSY}"


def test_refusals_of_calls_that_were_in_flight_together_count_once(pace: Pace, clock: Clock) -> None:
    began = clock.now
    clock.now += 1
    for _ in range(8):
        pace.refused(BUSY, began=began)
    assert room(pace) == 4


def test_calls_that_get_through_raise_the_number_one_at_a_time(pace: Pace, clock: Clock) -> None:
    refuse(pace, clock)
    refuse(pace, clock)
    seen = []
    for _ in range(7):
        clock.now += RISE_AFTER
        pace.got_through()
        pace.got_through()  # at the same moment: no further one
        seen.append(room(pace))
    assert seen == [3, 4, 5, 6, 7, 8, 8]
    assert pace.lowered() is None


def test_time_alone_raises_nothing(pace: Pace, clock: Clock) -> None:
    refuse(pace, clock)
    clock.now += 100 * RISE_AFTER
    assert room(pace) == 4


def test_a_wait_that_was_asked_for_is_kept_by_all_calls(pace: Pace, clock: Clock) -> None:
    pace.refused(BUSY, began=clock.now, delay=30.0)
    assert pace.reserve(60) == 30.0
    with pytest.raises(RateLimited) as limited:
        pace.reserve(10)
    assert limited.value.delay == 30.0
    clock.now += 30
    assert pace.reserve(0) == 0


def test_a_call_waits_for_its_turn(clock: Clock) -> None:
    pace = Pace(1, clock=clock)
    began = threading.Event()

    def second() -> None:
        with pace.turn(60):
            began.set()

    with pace.turn(0):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not began.is_set()
    waiting.join(10)
    assert began.is_set()


def test_a_call_that_failed_gives_its_turn_back(clock: Clock) -> None:
    pace = Pace(1, clock=clock)
    with pytest.raises(ValueError, match="lost"), pace.turn(0):
        raise ValueError("lost")
    assert room(pace) == 1
