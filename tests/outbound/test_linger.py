"""How long batches wait for more: by a clock that the tests move, with changes that come at a steady rate."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.outbound.linger import LOOK, Linger

CALL = 200
LONGEST = 0.2


@dataclass
class Day:
    """One lane: it waits as `Linger` says, takes what is there, and each batch's calls take `call_time` seconds."""

    arrivals: list[float]
    call_time: float
    longest: float = LONGEST
    now: float = 1000.0
    queue: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)  # of each change, from its arrival to the answer

    def __post_init__(self) -> None:
        self.arrivals = [self.now + at for at in self.arrivals]
        self.linger = Linger(self.longest, CALL, clock=lambda: self.now)

    def run(self, most: int = 1000) -> Day:
        while self.arrivals or self.queue:
            self._linger(self.linger.left())
            asked = self.linger.begin(most)
            taken, self.queue = self.queue[:asked], self.queue[asked:]
            self.linger.took(len(taken), asked)
            if taken:
                self._pass(self.now + self.call_time)
                self.batches.append(len(taken))
                self.waited += [self.now - at for at in taken]
            elif self.arrivals:
                self._pass(self.arrivals[0])
        return self

    @property
    def calls_per_thousand(self) -> float:
        return 1000 * sum(-(-each // CALL) for each in self.batches) / sum(self.batches)

    @property
    def median(self) -> float:
        return sorted(self.waited)[len(self.waited) // 2]

    def _linger(self, wait: float) -> None:
        until = self.now + wait
        while wait and not self.linger.full.is_set() and self.arrivals and self.arrivals[0] <= until:
            self._pass(self.arrivals[0])
        if not self.linger.full.is_set():
            self._pass(until)

    def _pass(self, until: float) -> None:
        while self.arrivals and self.arrivals[0] <= until:
            self.now = max(self.now, self.arrivals.pop(0))
            self.queue.append(self.now)
            self.linger.came(1)
        self.now = max(self.now, until)


def steady(rate: int, *, call_time: float = 0.008, longest: float = LONGEST) -> Day:
    """Ten seconds of so many changes a second."""
    return Day([n / rate for n in range(rate * 10)], call_time, longest).run()


@pytest.mark.parametrize("rate", [1, 5, 20])
def test_changes_that_come_now_and_then_wait_for_nothing(rate: int) -> None:
    assert max(steady(rate).waited) == pytest.approx(0.008)


@pytest.mark.parametrize(("rate", "calls"), [(20, 1000), (50, 500), (200, 115), (400, 40), (1000, 10), (2000, 6)])
def test_the_faster_changes_come_the_fewer_calls_they_cost(rate: int, calls: float) -> None:
    assert steady(rate).calls_per_thousand <= calls


def test_at_200_changes_a_second_the_median_waits_less_than_40_ms() -> None:
    assert steady(200).median < 0.040
    assert steady(200).calls_per_thousand < steady(200, longest=0).calls_per_thousand / 5


@pytest.mark.parametrize("rate", [20, 200])
def test_calls_that_take_longer_than_the_wait_fill_by_themselves_and_wait_for_nothing_more(rate: int) -> None:
    assert steady(rate, call_time=0.3).median <= steady(rate, call_time=0.3, longest=0).median + 0.001


def test_a_full_call_goes_at_once() -> None:
    linger = Linger(LONGEST, CALL, clock=lambda: 0.0)
    linger.begin(1000)
    linger.took(1, 1000)
    linger.came(CALL - 1)
    assert linger.left() > 0
    assert not linger.full.is_set()
    linger.came(1)
    assert linger.left() == 0
    assert linger.full.is_set()


def test_while_changes_keep_coming_fast_a_batch_takes_whole_calls_and_the_rest_goes_with_the_next() -> None:
    burst = [n / 100_000 for n in range(10_150)]  # in a tenth of a second
    day = Day(burst, call_time=0.02).run()
    assert [each % CALL for each in day.batches[1:-1]] == [0] * (len(day.batches) - 2)
    assert sum(day.batches) == 10_150
    assert sum(-(-each // CALL) for each in day.batches) == 52  # the first change went at once
    assert max(day.waited) < LONGEST + 0.25


def test_without_a_longest_wait_nothing_waits_and_everything_is_taken() -> None:
    linger = Linger(0.0, CALL, clock=lambda: 0.0)
    linger.came(CALL + 1)
    assert linger.begin(1000) == 1000
    linger.took(CALL + 1, 1000)
    linger.came(1)
    assert linger.left() == 0


def test_the_first_change_after_a_busy_time_goes_at_once_when_that_is_over() -> None:
    day = Day([*(n / 500 for n in range(500)), 11.0], call_time=0.008).run()
    assert day.waited[-1] == pytest.approx(0.008)


def test_rows_that_nobody_told_of_are_found_within_seconds_and_taken_without_waiting() -> None:
    now = 0.0
    linger = Linger(LONGEST, CALL, clock=lambda: now)
    linger.took(0, linger.begin(1000))
    linger.came(CALL + 50)
    assert linger.begin(1000) == CALL
    linger.took(CALL, CALL)
    now = LOOK
    linger.came(CALL)
    assert linger.begin(1000) == 1000
    linger.took(1000, 1000)  # more than was told of
    linger.came(CALL)
    assert linger.begin(1000) == 1000
    linger.took(300, 1000)
    linger.came(CALL)
    assert linger.begin(1000) == CALL


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=300),
    st.sampled_from([0.001, 0.05, 0.5]),
    st.sampled_from([0.0, 0.05, 0.25, 1.0]),
)
def test_whenever_changes_come_none_waits_longer_than_its_batch_before_and_the_longest_wait(
    arrivals: list[float], call_time: float, longest: float
) -> None:
    day = Day(sorted(arrivals), call_time, longest).run()
    assert len(day.waited) == len(arrivals)
    assert max(day.waited) <= longest + 2 * call_time + 1e-6


@given(st.lists(st.integers(0, 700), max_size=40))
def test_what_came_and_was_taken_by_others_blocks_nothing(counts: list[int]) -> None:
    """Another worker takes the rows: ours finds none, whatever it was told."""
    linger = Linger(LONGEST, CALL, clock=lambda: 0.0)
    for count in counts:
        linger.came(count)
        asked = linger.begin(1000)
        assert 0 < asked <= 1000
        linger.took(0, asked)
        assert not linger.full.is_set()
