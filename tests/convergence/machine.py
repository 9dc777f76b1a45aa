"""Random steps of everybody, as a state machine: the next step may always be any other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from syncbridge.reconcile.repair import Side
from syncbridge.store.decisions import LOCAL, REMOTE
from tests.convergence.far_side import FarSide
from tests.convergence.judgement import judge
from tests.convergence.mappings import COLUMNS, MARK, NAMES, Variant
from tests.convergence.project import Project
from tests.convergence.rest import come_to_rest
from tests.convergence.story import Story
from tests.convergence.strategies import (
    AMID,
    CALL,
    COMPANY,
    DECISION,
    IN_DELIVERY,
    IN_POLL,
    KEYS,
    LANE,
    NAME,
    PERSON,
    PICK,
    SHAPE,
    TROUBLE,
    WHO,
)


def fields(name: str, pick: list[int]) -> list[str]:
    """Some of a mapping's fields, each once."""
    names = list(COLUMNS[name])
    return list(dict.fromkeys(names[each % len(names)] for each in pick))


class Machine(RuleBasedStateMachine):
    """One example: a story, then rest, then judgement."""

    project: Project
    calm = False  # nothing is deleted, and both sides' changes are held for a person

    def far_side(self) -> FarSide:
        """A destination as new."""
        raise NotImplementedError

    @initialize(
        conflict=st.sampled_from(("newest", "postgres", "destination", "hold")),
        to_postgres=st.sampled_from(("delete", "ignore", MARK)),
        rows_first=st.booleans(),
        added=st.sampled_from((True, True, False)),
    )
    def begin(self, conflict: str, to_postgres: str, rows_first: bool, added: bool) -> None:
        """Two companies and three people are on both sides."""
        self.far = self.far_side()
        conflict, added = ("hold", True) if self.calm else (conflict, added)
        self.project.begin(self.far, Variant(conflict, to_postgres, added, rows_first))
        self.story = Story(self.project)
        self.busy: set[str] = set()
        for name in NAMES:
            for key in KEYS[name]:
                self.story.insert(name, key)
        self.project.capture()
        for name in NAMES:
            self.project.deliver_all(name)
            self.project.poll(name)
        self.story.begin()

    # -- people -------------------------------------------------------------------------------------------------------

    @rule(who=WHO, pick=PICK, shape=SHAPE)
    def edit_here(self, who: tuple[str, int], pick: list[int], shape: int) -> None:
        self.story.edit_here(*who, fields(who[0], pick), shape)

    @rule(who=WHO, pick=PICK, shape=SHAPE)
    def edit_there(self, who: tuple[str, int], pick: list[int], shape: int) -> None:
        self.story.edit_there(*who, fields(who[0], pick), shape)

    @rule(who=WHO, pick=PICK, shape=SHAPE)
    def edit_both(self, who: tuple[str, int], pick: list[int], shape: int) -> None:
        self.story.edit_here(*who, fields(who[0], pick), shape)
        self.story.edit_there(*who, fields(who[0], pick[::-1]), shape)

    @rule(who=WHO, pick=PICK)
    def edit_alike(self, who: tuple[str, int], pick: list[int]) -> None:
        self.story.edit_alike(*who, fields(who[0], pick)[0])

    @precondition(lambda self: not self.calm)
    @rule(who=WHO)
    def delete_here(self, who: tuple[str, int]) -> None:
        self.story.delete_here(*who)

    @precondition(lambda self: not self.calm)
    @rule(who=WHO)
    def delete_there(self, who: tuple[str, int]) -> None:
        self.story.delete_there(*who)

    @rule(name=NAME, which=st.integers(0, 3))
    def undelete(self, name: str, which: int) -> None:
        self.story.undelete(name, which)

    @rule(who=WHO)
    def insert(self, who: tuple[str, int]) -> None:
        self.story.insert(*who)

    @rule(name=NAME, shape=SHAPE, company=COMPANY, key=st.sampled_from((None, None, 1, 2, 3, 7)))
    def create_there(self, name: str, shape: int, company: int | None, key: int | None) -> None:
        self.story.create_there(name, shape, company, key)

    @precondition(lambda self: not self.calm)
    @rule(name=NAME, key=st.sampled_from((1, 2, -1)), loser=st.sampled_from((1, 2, -1, -2)))
    def merge_there(self, name: str, key: int, loser: int) -> None:
        self.story.merge_there(name, key, loser)

    @rule(person=PERSON, company=COMPANY)
    def move_here(self, person: int, company: int | None) -> None:
        self.story.move_here(person, company)

    @rule(person=PERSON, company=COMPANY)
    def move_there(self, person: int, company: int | None) -> None:
        self.story.move_there(person, company)

    # -- syncbridge ---------------------------------------------------------------------------------------------------

    @rule(most=st.sampled_from((1, 2, 1000)))
    def capture(self, most: int) -> None:
        self.story.capture(most)
        self.story.observe()

    @rule(name=NAME, lane=LANE)
    def deliver(self, name: str, lane: int) -> None:
        self._work(f"{name} {lane}", lambda: self.story.deliver(name, lane))

    @rule(name=NAME)
    def capture_and_deliver(self, name: str) -> None:
        self.story.capture()
        self.deliver(name=name, lane=0)

    @rule(name=NAME, page=st.booleans())
    def poll(self, name: str, page: bool) -> None:
        self._work(f"poll {name}", lambda: self.story.poll(name, page=page))

    @rule(name=NAME)
    def load(self, name: str) -> None:
        self._work(f"load {name}", lambda: self.story.load(name))

    @rule(name=NAME)
    def usurp(self, name: str) -> None:
        self.story.usurp(name)
        self.story.observe()

    @rule(name=NAME, where=IN_DELIVERY)
    def die_delivering(self, name: str, where: tuple[Any, str]) -> None:
        self.story.capture()
        self._work(f"{name} 0", lambda: self.story.die(*where, name, polling=False))

    @rule(name=NAME, where=IN_POLL)
    def die_polling(self, name: str, where: tuple[Any, str]) -> None:
        self._work(f"poll {name}", lambda: self.story.die(*where, name, polling=True))

    @rule(call=CALL, after=st.booleans(), act=AMID)
    def plan(self, call: Any, after: bool, act: tuple[Any, ...]) -> None:
        self.story.plan(call, after, lambda: self._act(*act))

    @rule(trouble=TROUBLE)
    def trouble(self, trouble: Any) -> None:
        self.story.trouble(trouble)

    # -- operators ----------------------------------------------------------------------------------------------------

    @rule(name=NAME, which=st.integers(0, 3), side=st.sampled_from((LOCAL, REMOTE)), one=st.booleans())
    def take(self, name: str, which: int, side: str, one: bool) -> None:
        self.story.take(name, which, side, one=one)

    @rule(who=WHO, pick=PICK, shape=SHAPE, side=st.sampled_from((LOCAL, REMOTE)))
    def dispute(self, who: tuple[str, int], pick: list[int], shape: int, side: str) -> None:
        """Both sides change the same, and where that is held a person decides."""
        self.story.edit_here(*who, fields(who[0], pick), 0)
        self.story.edit_there(*who, fields(who[0], pick), shape)
        self.story.capture()
        self.poll(name=who[0], page=False)
        self.story.take(who[0], who[1], side, one=False)

    @precondition(lambda self: not self.calm)
    @rule(name=NAME, which=st.integers(0, 3), decision=DECISION, key=st.integers(1, 3))
    def take_new(self, name: str, which: int, decision: str, key: int) -> None:
        self.story.take_new(name, which, decision, key)

    @rule(name=NAME, resume=st.booleans(), ways=st.sampled_from(("both", "in", "out")))
    def pause(self, name: str, resume: bool, ways: str) -> None:
        self.story.pause(name, resume=resume, ways=ways)

    @precondition(lambda self: not self.calm)
    @rule(now=st.sampled_from((True, False, False)))
    def amend(self, now: bool) -> None:
        if now:
            self.story.amend()

    @rule(name=NAME)
    def resync(self, name: str) -> None:
        self.story.resync(name)

    @rule(name=NAME, where=st.sampled_from(("", "", "id < 3")))
    def ask_load(self, name: str, where: str) -> None:
        self.story.ask_load(name, where)

    @precondition(lambda self: not self.calm)
    @rule(name=NAME, side=st.sampled_from((Side.RULES, Side.RULES, Side.POSTGRES, Side.DESTINATION)))
    def repair(self, name: str, side: Side) -> None:
        self.story.capture()
        self.story.repair(name, side)
        self.story.observe()

    # -- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1, 5, 20, 60, 150, 700)))
    def pass_time(self, seconds: int) -> None:
        self.story.pass_time(seconds)

    @rule(seconds=st.sampled_from((0, 1, 3)))
    def be_late(self, seconds: int) -> None:
        self.story.be_late(seconds)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _act(self, what: str, *given: Any) -> None:
        if what == "deliver":
            self._work(f"{given[0]} 1", lambda: self.story.deliver(given[0], 1))
        elif what == "poll":
            self._work(f"poll {given[0]}", lambda: self.story.poll(given[0]))
        elif what == "load":
            self._work(f"load {given[0]}", lambda: self.story.load(given[0]))
        elif what == "usurp":
            self.story.usurp(given[0])
        elif what in ("capture", "amend"):
            getattr(self.story, what)()
        elif what.startswith("edit"):
            who, pick, shape = given
            getattr(self.story, what)(*who, fields(who[0], pick), shape)
        else:
            getattr(self.story, what)(*given[0])

    def _work(self, loop: str, work: Callable[[], None]) -> None:
        """A loop does one thing at a time."""
        if loop in self.busy:
            return
        self.busy.add(loop)
        try:
            work()
        finally:
            self.busy.discard(loop)
        self.story.observe()

    def teardown(self) -> None:
        if not hasattr(self, "story") or sys.exc_info()[0] is not None:
            return  # it came to no end
        try:
            come_to_rest(self.story)
            problems = judge(self.story)
        except Exception as error:
            raise AssertionError("\n".join([repr(error), "", *self.story.lines])) from error
        finally:
            self.far.close()
        if problems:
            raise AssertionError("\n".join([*problems, "", *self.story.lines]))
