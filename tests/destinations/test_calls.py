"""Calls in flight are shared fairly. Time passes only where a test lets it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from syncbridge.destinations.calls import Calls, NotBegun


class Work:
    """Calls that stay in flight until they are let go; `began` tells in which order they began."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.began: list[str] = []
        self._changed = threading.Condition()
        self._free: dict[str, int] = {}
        self._threads: list[threading.Thread] = []
        self.answers: dict[str, list[object]] = {}

    def start(self, lane: str, count: int, *, lock: str = "", limit: float | None = None) -> None:
        """Ask for `count` calls in this lane from a thread of its own; returns when they are in the queue."""

        def ask() -> None:
            locks = [frozenset({lock} if lock else ())] * count
            self.answers[lane] = self.calls.run(lane, [lambda: self._one(lane)] * count, locks=locks, limit=limit)

        thread = threading.Thread(target=ask)
        self._threads.append(thread)
        before = self._asked(lane)
        thread.start()
        while self._asked(lane) < before + count:
            pass

    def _asked(self, lane: str) -> int:
        """Calls of this lane that wait or have begun; one on its way from the one to the other is counted late."""
        return self.calls.waiting(lane) + self.began.count(lane)

    def _one(self, lane: str) -> str:
        with self._changed:
            self.began.append(lane)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._free.get(lane, 0) > 0, 10)
            self._free[lane] -= 1
        return lane

    def let_go(self, lane: str, count: int = 1) -> None:
        with self._changed:
            self._free[lane] = self._free.get(lane, 0) + count
            self._changed.notify_all()

    def wait_until_began(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.began) >= count, 10), self.began
            return list(self.began)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def work() -> Iterator[Work]:
    calls = Calls(4)
    work = Work(calls)
    yield work
    for lane in ("a", "b", "c", "z"):
        work.let_go(lane, 1000)
    work.join()
    calls.close()


def test_answers_come_in_the_order_of_the_calls() -> None:
    calls = Calls(3)
    assert calls.run("a", [partial(int, number) for number in range(20)]) == list(range(20))
    calls.close()


def test_a_call_that_raises_answers_with_its_exception_and_the_others_go_on() -> None:
    def fail() -> None:
        raise ValueError("broken")

    calls = Calls(2)
    first, second = calls.run("a", [fail, lambda: "fine"])
    assert (str(first), second) == ("broken", "fine")
    calls.close()


def test_a_lane_alone_may_use_all_places(work: Work) -> None:
    work.start("a", 6)
    assert work.wait_until_began(4) == ["a"] * 4


def test_calls_of_no_mapping_do_not_take_a_place_from_the_only_lane(work: Work) -> None:
    assert work.calls.run("", [lambda: "described"]) == ["described"]
    work.start("a", 6)
    assert work.wait_until_began(4) == ["a"] * 4


def test_a_lane_that_hangs_never_takes_the_last_place_from_another_known_lane(work: Work) -> None:
    work.let_go("b")
    assert work.calls.run("b", [lambda: "known"]) == ["known"]
    work.start("a", 50)
    assert work.wait_until_began(3) == ["a"] * 3
    assert work.calls.run("b", [lambda: "still served"] * 5) == ["still served"] * 5
    assert work.began == ["a"] * 3


def test_waiting_lanes_get_equal_shares(work: Work) -> None:
    work.start("a", 50)
    work.wait_until_began(4)
    work.start("b", 50)
    work.let_go("a", 2)
    assert sorted(work.wait_until_began(6)) == ["a"] * 4 + ["b"] * 2
    work.let_go("a")
    assert work.wait_until_began(7)[-1] == "a"
    work.let_go("b")
    assert work.wait_until_began(8)[-1] == "b"


def test_lanes_take_turns(work: Work) -> None:
    work.start("z", 4)
    work.wait_until_began(4)
    for lane in ("a", "b", "c"):
        work.start(lane, 2)
    work.let_go("z", 3)
    began = work.wait_until_began(7)[4:]
    assert sorted(began) == ["a", "b", "c"]


def test_calls_that_lock_the_same_are_made_one_after_another_whatever_their_lanes(work: Work) -> None:
    work.start("a", 2, lock="parent")
    work.start("b", 1, lock="parent")
    work.start("c", 1, lock="other")
    assert sorted(work.wait_until_began(2)) == ["a", "c"]
    assert (work.calls.waiting("a"), work.calls.waiting("b")) == (1, 1)
    work.let_go("b")  # it may end as soon as it begins
    work.let_go("a")
    work.let_go("a")
    assert sorted(work.wait_until_began(4)[2:]) == ["a", "b"]
    assert work.calls.waiting("a") == work.calls.waiting("b") == 0


def test_a_call_that_waits_for_a_lock_lets_others_go_first(work: Work) -> None:
    calls = [lambda: work._one("a")] * 3
    locks = [frozenset({"parent"}), frozenset({"parent"}), frozenset({"other"})]
    asking = threading.Thread(target=work.calls.run, args=("a", calls), kwargs={"locks": locks})
    asking.start()
    work.wait_until_began(2)
    assert work.calls.waiting("a") == 1
    work.let_go("a", 3)
    asking.join(10)
    assert not asking.is_alive()


def test_a_call_that_waits_for_a_lock_is_not_overtaken_by_one_that_wants_it_too(work: Work) -> None:
    begun: list[str] = []
    first = frozenset({"p"})
    work.start("z", 1, lock="p")
    work.wait_until_began(1)
    calls = [lambda name=name: begun.append(name) for name in ("both", "single")]
    locks = [first | {"q"}, frozenset({"q"})]
    asking = threading.Thread(target=work.calls.run, args=("a", calls), kwargs={"locks": locks})
    asking.start()
    while work.calls.waiting("a") < 2:
        pass
    assert begun == []
    work.let_go("z")
    asking.join(10)
    assert begun == ["both", "single"]


def test_a_call_that_does_not_begin_in_time_is_not_made(work: Work) -> None:
    work.start("a", 4)
    work.wait_until_began(4)
    (answer,) = work.calls.run("b", [lambda: "made"], limit=0.0)
    assert isinstance(answer, NotBegun)


def test_close_refuses_what_waits_and_ends_the_threads(work: Work) -> None:
    work.start("a", 6)
    work.wait_until_began(4)
    closer = threading.Thread(target=work.calls.close)
    closer.start()
    work.let_go("a", 10)
    closer.join(10)
    work.join()
    assert work.answers["a"][:4] == ["a"] * 4
    assert all(isinstance(answer, NotBegun) for answer in work.answers["a"][4:])
    assert isinstance(work.calls.run("a", [lambda: "late"])[0], NotBegun)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("calls")]


def test_threads_are_started_only_when_needed() -> None:
    calls = Calls(8, name="few")
    calls.run("a", [lambda: None])
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("few")]) == 1
    calls.close()
