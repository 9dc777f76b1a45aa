"""What a loop of a worker is, and what those of one worker share.

Each is a context manager that opens its connections, and a `step()` that does one bounded piece of work and says how
long to wait before the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from psycopg import Connection

from syncbridge.loops.spending import Spending
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.outbound.bulk_turn import Turn
from syncbridge.outbound.capture import Capture
from syncbridge.outbound.linger import Linger
from syncbridge.outbound.recording import Counts
from syncbridge.project import Project

#: Seconds between looks at what no notification tells of: retries that come due, runs, a changed status.
IDLE = 1.0
THROTTLED = 0.1  # seconds between looks at whether there is room again


@dataclass(slots=True)
class Signal:
    """Wakes the loops of one mapping; `busy` is set while batches are full, so that further lanes join in."""

    linger: Linger
    wake: threading.Event = field(default_factory=threading.Event)
    busy: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Surroundings:
    """What the loops of one worker share."""

    project: Project
    worker_id: int
    numbers: Iterator[int]  # of claims
    compiled: Mapping[int, CompiledMapping]  # by mapping id
    kin: Mapping[int, Kin]  # by mapping id
    broken: frozenset[str]  # names of mappings in force that no longer fit their table
    digests: Mapping[str, str]  # mapping name -> digest, as these loops know them
    signals: Mapping[int, Signal]
    fan_out: threading.Event  # join keys were enqueued
    polls: Mapping[int, threading.Event]  # by mapping id: somebody asked for a poll
    turns: Mapping[int, Turn]  # at the bulk jobs of a mapping
    counts: Mapping[int, Counts]
    spending: Spending
    changed: threading.Event  # set when other mappings are in force than these loops know
    capture: Callable[[], Capture | None]
    capture_stopped: Callable[[], str]
    silence: float
    ending: threading.Event = field(default_factory=threading.Event)  # set when these loops are to end

    def wake_all(self) -> None:
        """Let every delivery loop look at once."""
        for signal in self.signals.values():
            signal.wake.set()
            signal.busy.set()
            signal.linger.full.set()
        for turn in self.turns.values():
            turn.news.set()
        for asked in self.polls.values():
            asked.set()
        self.fan_out.set()


class Loop(Protocol):
    """One loop of a worker."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self) -> float:
        """Do one bounded piece of work; seconds to wait before the next (0: at once).

        Raises RetryLater when a connection is gone: the loop is then opened anew.
        """
        ...


class Connected:
    """Opens connections for a loop and closes them with it."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def open(self) -> None:
        """Make what the loop needs."""

    def _store(self, purpose: str) -> Connection:
        return self._open.enter_context(self.around.project.store(purpose))

    def _source(self, purpose: str) -> Connection:
        return self._open.enter_context(self.around.project.source(purpose))

    def _writing(self, store: Connection, purpose: str) -> Connection:
        """A connection that may write rows: `store` itself where the state is in the source's database."""
        settings = self.around.project.settings
        if settings.store_conninfo() == settings.source.conninfo():
            return store
        return self._open.enter_context(self.around.project.source_admin(purpose))
