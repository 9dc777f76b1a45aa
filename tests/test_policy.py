"""What happens next, decided by values alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.errors import (
    LoginRefused,
    MappingError,
    PositionLost,
    QuotaExhausted,
    RateLimited,
    RecordRejected,
    Remedy,
    RetryLater,
    SchemaDrift,
)
from syncbridge.model import MappingStatus
from syncbridge.policy import MAX_ATTEMPTS, Retry, after_rejection, backoff, directive


def _fate(remedy: Remedy, attempts: int, *, uncertain: bool = False, delay: float | None = None) -> Retry:
    return after_rejection(
        remedy, attempts, uncertain=uncertain, delay=delay, max_attempts=12, rng=random.Random(attempts)
    )


@given(attempt=st.integers(1, 10_000), seed=st.integers())
def test_waits_double_up_to_the_longest_and_vary_by_half(attempt: int, seed: int) -> None:
    longest = min(900.0, 2.0 * 2 ** min(attempt - 1, 30))
    assert longest / 2 <= backoff(attempt, rng=random.Random(seed)) <= longest


@given(
    remedy=st.sampled_from(Remedy),
    attempts=st.integers(0, 1000),
    delay=st.none() | st.floats(0, 10_000),
    seed=st.integers(),
)
def test_a_lost_answer_is_never_given_up_and_always_sent_in_full(
    remedy: Remedy, attempts: int, delay: float | None, seed: int
) -> None:
    fate = after_rejection(remedy, attempts, uncertain=True, delay=delay, max_attempts=1, rng=random.Random(seed))
    assert fate.resend
    assert not fate.dead


@pytest.mark.parametrize("remedy", list(MAX_ATTEMPTS))
def test_a_record_is_given_up_after_as_many_attempts_as_its_remedy_allows(remedy: Remedy) -> None:
    allowed = MAX_ATTEMPTS[remedy]
    assert [_fate(remedy, attempts).dead for attempts in range(allowed)] == [False] * (allowed - 1) + [True]


def test_the_settings_can_lower_the_attempts() -> None:
    fate = after_rejection(Remedy.RETRY, 2, uncertain=False, delay=None, max_attempts=3, rng=random.Random(1))
    assert fate.dead


@pytest.mark.parametrize("remedy", [Remedy.WAIT, Remedy.SCHEMA])
def test_what_no_row_is_to_blame_for_uses_up_no_attempt(remedy: Remedy) -> None:
    fate = _fate(remedy, 1000)
    assert (fate.tried, fate.dead) == (False, False)


@pytest.mark.parametrize("remedy", [Remedy.ADOPT, Remedy.GONE])
def test_what_another_look_settles_is_tried_at_once_in_full(remedy: Remedy) -> None:
    assert _fate(remedy, 0) == Retry(resend=True)


def test_the_delay_that_was_asked_for_is_the_least() -> None:
    assert _fate(Remedy.RETRY, 0, delay=500.0).delay == 500.0
    assert _fate(Remedy.RETRY, 0, delay=0.1).delay >= 1.0
    assert _fate(Remedy.WAIT, 0, delay=77.0).delay == 77.0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RetryLater("x"), MappingStatus.WAITING),
        (RateLimited("x", delay=3.0), MappingStatus.WAITING),
        (QuotaExhausted("x"), MappingStatus.WAITING),
        (LoginRefused("x"), MappingStatus.HALTED),
        (SchemaDrift("x"), MappingStatus.HALTED),
        (PositionLost("x"), MappingStatus.HALTED),
        (MappingError("x"), MappingStatus.HALTED),
        (RecordRejected("x", code="X"), MappingStatus.HALTED),
        (KeyError("x"), MappingStatus.HALTED),
    ],
)
def test_the_class_of_an_error_decides(error: Exception, status: MappingStatus) -> None:
    assert directive(error, 1, rng=random.Random(1)).status is status


def test_an_outage_waits_longer_each_time_but_two_minutes_at_most() -> None:
    waits = [directive(RetryLater("x"), failures, rng=random.Random(1)).wait or 0 for failures in range(1, 12)]
    assert waits == sorted(waits)
    assert waits[-1] <= 120.0


def test_a_quota_waits_as_long_as_it_takes() -> None:
    assert directive(QuotaExhausted("x", delay=7200.0), 1, rng=random.Random(1)).wait == 7200.0
    assert directive(QuotaExhausted("x"), 1, rng=random.Random(1)).wait == 300.0


def test_what_is_unknown_comes_with_a_hint() -> None:
    assert "resume" in directive(ZeroDivisionError(), 1, rng=random.Random(1)).hint
