"""The allowance of a day: free, spaced out, stopped, and resumed by itself."""

from __future__ import annotations

import pytest

from syncbridge.destinations.allowance import LOOK_DELAY, LOOK_SECONDS, RECHECK, WINDOW, Allowance
from syncbridge.errors import QuotaExhausted, RateLimited
from tests.destinations.fix_clock import Clock


@pytest.fixture
def allowance(clock: Clock) -> Allowance:
    return Allowance(slow_at=0.7, stop_at=0.8, clock=clock)


def test_calls_are_free_while_nothing_is_known(allowance: Allowance) -> None:
    assert allowance.reserve(60) == allowance.reserve(60) == 0
    assert allowance.limits().state == "ok"
    assert allowance.limits().used is None


def test_calls_are_free_below_the_slow_part(allowance: Allowance) -> None:
    allowance.note(69_999, 100_000)
    assert [allowance.reserve(60) for _ in range(3)] == [0, 0, 0]


def test_calls_are_spaced_out_up_to_the_rate_that_lasts(allowance: Allowance, clock: Clock) -> None:
    lasting = WINDOW / 80_000
    allowance.note(75_000, 100_000)
    assert [allowance.reserve(60) for _ in range(3)] == pytest.approx([0, lasting / 2, lasting])
    assert allowance.limits().state == "slow"
    clock.now += 100
    assert allowance.reserve(60) == 0


def test_a_wait_that_is_too_long_is_the_callers(allowance: Allowance) -> None:
    allowance.note(79_999, 100_000)
    allowance.reserve(0.5)
    for _ in range(2):  # refused waits do not add up
        with pytest.raises(RateLimited) as limited:
            allowance.reserve(0.5)
        assert limited.value.delay == pytest.approx(WINDOW / 80_000, rel=0.01)


def test_over_the_share_no_call_is_made_until_somebody_looks_again(allowance: Allowance, clock: Clock) -> None:
    allowance.note(80_000, 100_000)
    with pytest.raises(QuotaExhausted) as stopped:
        allowance.reserve(60)
    assert stopped.value.delay == RECHECK
    assert "80,000 of 100,000" in stopped.value.message
    assert allowance.limits().state == "stopped"
    assert not allowance.look_again()
    clock.now += RECHECK
    assert [allowance.look_again() for _ in range(3)] == [True, False, False]
    allowance.note(50_000, 100_000)
    assert allowance.reserve(60) == 0
    assert allowance.limits().state == "ok"


def test_a_refusal_stops_whatever_the_numbers_say(allowance: Allowance, clock: Clock) -> None:
    allowance.note(10, 100_000)
    assert allowance.refused("REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.") == RECHECK
    with pytest.raises(QuotaExhausted, match="TotalRequests"):
        allowance.reserve(60)
    clock.now += RECHECK
    assert allowance.look_again()
    allowance.note(10, 100_000)  # the answer to a call that began before
    with pytest.raises(QuotaExhausted):
        allowance.reserve(60)
    allowance.looked(10, 100_000)
    assert allowance.reserve(60) == 0


def test_who_asks_while_another_looks_comes_back_soon(allowance: Allowance, clock: Clock) -> None:
    allowance.note(80_000, 100_000)
    clock.now += RECHECK
    assert allowance.look_again()
    with pytest.raises(QuotaExhausted) as meanwhile:
        allowance.reserve(60)
    assert meanwhile.value.delay == LOOK_DELAY
    allowance.looked(80_000, 100_000)
    with pytest.raises(QuotaExhausted) as after:
        allowance.reserve(60)
    assert after.value.delay == RECHECK


def test_a_look_that_was_never_answered_is_made_again(allowance: Allowance, clock: Clock) -> None:
    allowance.note(80_000, 100_000)
    clock.now += RECHECK
    assert allowance.look_again()
    clock.now += LOOK_SECONDS
    with pytest.raises(QuotaExhausted) as stopped:
        allowance.reserve(60)
    assert stopped.value.delay == RECHECK - LOOK_SECONDS
    clock.now += RECHECK - LOOK_SECONDS
    assert allowance.look_again()


def test_calls_are_counted_by_mapping_and_kind(allowance: Allowance) -> None:
    for kind, lane in (("upsert", "people"), ("upsert", "people"), ("query", "parts"), ("login", "")):
        allowance.count(kind, lane)
    assert allowance.made() == {("people", "upsert"): 2, ("parts", "query"): 1, ("", "login"): 1}
    assert allowance.limits().calls == 3  # no allowance counts logins


def test_a_share_without_a_slow_part_stops_at_once() -> None:
    allowance = Allowance(slow_at=0.9, stop_at=0.5, clock=Clock())
    allowance.note(49, 100)
    assert allowance.reserve(60) == 0
    allowance.note(50, 100)
    with pytest.raises(QuotaExhausted):
        allowance.reserve(60)
