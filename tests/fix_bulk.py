"""A small project whose backlog goes out by bulk jobs of a destination in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg import Connection

from syncbridge.destinations.base import BulkLoading, Destination
from syncbridge.destinations.memory_bulk import MemoryBulk
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.outbound.bulk import BulkDelivery
from syncbridge.outbound.bulk_follow import Follower
from syncbridge.outbound.bulk_turn import LOOK_EVERY, Turn
from syncbridge.resync import FirstSync
from syncbridge.source import rows
from syncbridge.store import bulk_jobs, workers
from syncbridge.store.bulk_jobs import Job
from tests.fix_delivery import RecordingDestination, SmallProject, Start

#: Records from which a job is worth its time, here.
FROM = 10


@dataclass
class Carrier:
    """Who carries the jobs of a mapping, both halves in one thread."""

    follower: Follower
    delivery: BulkDelivery

    def step(self) -> float:
        if not self.delivery.take_turn():
            return LOOK_EVERY
        return min(self.follower.step(), self.delivery.step())

    def close(self) -> None:
        self.delivery.close()


def carrier(
    number: int,
    mapping: CompiledMapping,
    destination: Destination,
    bulk: BulkLoading,
    store: Connection,
    source: Connection,
    next_number: Callable[[], int],
    *,
    ending: Callable[[], bool] = lambda: False,
    **values: Any,
) -> Carrier:
    """Both halves, with one pair of connections. What is left of a first sync they take themselves, as in a worker."""
    shared = (number, mapping, destination, bulk, store, source, Turn())
    first_sync = FirstSync(number, mapping, store, source)
    delivery = BulkDelivery(*shared, next_number, ending=ending, unqueued=first_sync, **values)
    return Carrier(Follower(*shared, **values), delivery)


@dataclass
class BulkProject:
    """A project, and who carries its jobs. Time passes only as a test says."""

    small: SmallProject
    now: float = 0.0
    carriers: list[Carrier] = field(default_factory=list)

    @property
    def destination(self) -> RecordingDestination:
        return self.small.destination

    @property
    def jobs(self) -> MemoryBulk:
        assert isinstance(self.destination.bulk, MemoryBulk)
        return self.destination.bulk

    def open(self, **values: Any) -> Carrier:
        """One who carries jobs, with connections of its own, as a process has them."""
        numbers = workers.claim_numbers(50 + len(self.carriers))
        opened = carrier(
            self.small.mapping_id,
            self.small.mapping,
            self.destination,
            self.jobs,
            self.small.stores(),
            self.source(),
            numbers.__next__,
            clock=lambda: self.now,
            **values,
        )
        self.carriers.append(opened)
        return opened

    def source(self) -> Connection:
        """A connection to the source, as a loop has it."""
        source = self.small.stores()
        rows.prepare(source)
        return source

    def kill(self, carrier: Carrier) -> None:
        """Its process is gone, and its connections with it."""
        carrier.delivery.store.close()
        carrier.delivery.source.close()
        carrier.close()

    def carry(self, carrier: Carrier) -> None:
        """Let it work until it has nothing to do but to wait for jobs or the backlog."""
        for _ in range(200):
            self.now += 5.0
            if carrier.step() and not any(self.is_done(job) for job in self.unsettled()):
                return
        raise AssertionError("it does not come to an end")

    def is_done(self, job: Job) -> bool:
        return self.jobs._kept[job.remote_id or ""].state.value == "done"

    def unsettled(self) -> list[Job]:
        return bulk_jobs.read_all(self.small.store, self.small.mapping_id)

    def calls(self, operation: str) -> int:
        """How many calls of this kind were made."""
        return sum(1 for made, _, _ in self.destination.calls if made == operation)

    def uploaded(self) -> list[int]:
        """Records of each upload."""
        return [count for operation, _, count in self.destination.calls if operation == "bulk_upload"]

    def assert_equal(self) -> None:
        """Both sides agree, nothing waits, and each record was made once."""
        rows = self.small.writer.execute("select id::text, first_name, last_name from people where not is_test")
        here = {key: (first, last or "Unknown") for key, first, last in rows}
        there = {key: (fields["FirstName"], fields["LastName"]) for key, fields in self.small.remote().items()}
        assert there == here
        assert self.small.left() == []
        assert self.unsettled() == []


StartBulk = Callable[..., BulkProject]


@pytest.fixture
def start_bulk(start: Start) -> Iterator[StartBulk]:
    """Starts a project with replacements in its mapping, and jobs from `FROM` records."""
    made: list[BulkProject] = []

    def make(*replacements: tuple[str, str], bulk_from: int = FROM) -> BulkProject:
        made.append(BulkProject(start(*replacements, destination=RecordingDestination(bulk_from=bulk_from))))
        return made[-1]

    yield make
    for project in made:
        for each in project.carriers:
            project.kill(each)


@pytest.fixture
def bulk(start_bulk: StartBulk) -> BulkProject:
    """The project of MAPPING as it stands."""
    return start_bulk()
