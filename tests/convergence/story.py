"""A story: what people, operators, clocks, troubles and syncbridge do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

from syncbridge.errors import RetryLater
from tests.convergence.far_side import Amid, Call, Died, Trouble
from tests.convergence.operators import Operators
from tests.convergence.people import People


def _die(*_: Any, **__: Any) -> Any:
    raise Died


@dataclass
class Story(People, Operators):
    """Steps over a project; each tells what it did, and what syncbridge did because of it."""

    _late: int = 0

    # -- syncbridge ---------------------------------------------------------------------------------------------------

    def capture(self, most: int = 1000) -> None:
        if done := self.project.capture(most):
            self.tell(f"capture {done}")

    def deliver(self, name: str, lane: int) -> None:
        self.tell(f"deliver {name} (lane {lane})")
        self._alive(lambda: self.project.deliver(name, lane))

    def poll(self, name: str, *, page: bool = False) -> None:
        self.tell(f"poll {'a page of ' if page else ''}{name}")
        self._alive(lambda: self.project.poll_page(name) if page else self.project.poll(name))

    def load(self, name: str) -> None:
        self.tell(f"a step of the load of {name}")
        self._alive(lambda: self.project.load(name))

    def usurp(self, name: str) -> None:
        """Another worker polls, while the first one may be amid a call."""
        self.tell(f"another worker polls {name}")
        self.project.usurp(name)
        self._alive(lambda: self.project.poll(name))

    def die(self, module: Any, function: str, name: str, *, polling: bool) -> None:
        """A worker is killed when it comes to this function, which does nothing of its work."""
        self.tell(f"the worker dies before {module.__name__.rpartition('.')[2]}.{function}")
        with mock.patch.object(module, function, _die):
            if polling:
                self.poll(name)
            else:
                self.deliver(name, 0)

    def plan(self, call: Call, after: bool, act: Any) -> None:
        """Something happens amid the next call of a kind."""

        def happen() -> None:
            self.tell(f"  amid {call}, {'after it was answered' if after else 'before it is sent'}:")
            act()

        self.project.far.calls.amid.append(Amid(call, after, happen))

    def trouble(self, trouble: Trouble) -> None:
        self.tell(f"the next call meets: {trouble}")
        self.project.far.calls.troubles.append(trouble)

    def pass_time(self, seconds: int) -> None:
        self.tell(f"{seconds} s pass")
        self.project.pass_time(seconds)

    def be_late(self, seconds: int) -> None:
        if seconds != self._late:
            self.tell(f"queries show what is written {seconds} s late")
        self._late = seconds
        self.project.far.be_late(seconds)

    def _alive(self, work: Any) -> None:
        try:
            died = self.project.restart(work)
        except RetryLater as error:  # its connection is gone
            self.tell(f"    ({error.message})")
            return
        if died:
            self.tell("    (died)")
