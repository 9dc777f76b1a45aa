"""What a worker's deliveries cost: its API calls and the records they delivered, written down as time goes by."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import Connection

from syncbridge.mapping.compile import CompiledMapping
from syncbridge.outbound.recording import Counts
from syncbridge.project import Project
from syncbridge.store import call_counts
from syncbridge.store.call_counts import Counted


class Spending:
    """Counts since the worker started; `write` adds what is new to the counts of all workers.

    A worker that is killed takes along what it did since the last `write`.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._counts: dict[tuple[str, str], Counts] = {}  # by destination and mapping
        self._written: dict[Counted, int] = {}

    def counts(self, mapping: CompiledMapping) -> Counts:
        """What the lanes of a mapping add to, the same also after other mappings came in force."""
        return self._counts.setdefault((mapping.destination, mapping.name), Counts())

    def write(self, store: Connection) -> None:
        """Write down what came since the last time; when that fails it is done with the next."""
        now = dict(self._now())
        call_counts.add(store, {each: now[each] - self._written.get(each, 0) for each in self._changed(now)})
        self._written = now

    def prune(self, store: Connection) -> None:
        """Forget what is older than anybody asks for."""
        call_counts.prune(store)

    def _changed(self, now: dict[Counted, int]) -> Iterator[Counted]:
        return (each for each, count in now.items() if count != self._written.get(each, 0))

    def _now(self) -> Iterator[tuple[Counted, int]]:
        for destination in {destination for destination, _ in self._counts}:
            for (lane, kind), calls in self._project.destination(destination).calls_made().items():
                yield Counted(destination, lane, kind), calls
        for (destination, mapping), counts in self._counts.items():
            yield Counted(destination, mapping, call_counts.DELIVERED), counts.delivered
