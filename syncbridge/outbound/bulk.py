"""Bulk delivery: a backlog goes out by jobs of the destination. Gather -> begin -> upload; then `bulk_follow` settles.

One process at a time carries the jobs of a mapping. What it has done is in the state before it goes on, so another
one finds each job where it was left: rows of a job that was not begun, or not sent, come free; a job that was sent is
settled by its results, and nothing is sent twice.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import BulkJob, BulkLoading, BulkRefused, Destination
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Fields, Priority
from syncbridge.outbound.bulk_gather import Gathering, Shipment, Unqueued
from syncbridge.outbound.bulk_reserve import Reserve
from syncbridge.outbound.bulk_turn import LOOK_EVERY, REST, Turn
from syncbridge.outbound.comparing import Comparer
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.parts import Parts, unavailable
from syncbridge.outbound.recording import Counts, Recorder
from syncbridge.outbound.stops import Stops
from syncbridge.store import bulk_jobs, database, mappings, outbox

log = logging.getLogger("syncbridge.bulk")

#: Lanes leave a backlog to jobs when at least this share of the first page has to be sent: else they help to compare.
WORTH_SENDING = 0.25
#: Seconds that one gathering takes at most: what it holds waits for it.
LONGEST_GATHERING = 30.0


class Ending(Exception):
    """The process is to end while records are uploaded."""


@dataclass(slots=True)
class BulkDelivery:
    """Sends a mapping's backlog by jobs. `store` and `source` are its own connections; `step()` does a bounded piece.

    A `Follower` that shares its turn settles the jobs, on connections of its own when it is another thread.
    """

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    bulk: BulkLoading
    store: Connection
    source: Connection
    turn: Turn
    next_number: Callable[[], int]  # of claims
    max_attempts: int = 12
    kin: Kin = field(default_factory=Kin)
    rng: random.Random = field(default_factory=random.Random)
    counts: Counts = field(default_factory=Counts)
    clock: Callable[[], float] = time.monotonic
    ending: Callable[[], bool] = lambda: False
    unqueued: Unqueued | None = None
    _gathering: Gathering | None = None
    _gathering_since: float = 0.0
    _reserve: Reserve = field(init=False)
    _guard: Guard = field(init=False)
    _stops: Stops = field(init=False)
    _comparer: Comparer = field(init=False)
    _recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        number, name = self.mapping_id, self.mapping.name
        parts = Parts.make(
            number,
            self.mapping,
            self.destination,
            self.store,
            self.source,
            kin=self.kin,
            max_attempts=self.max_attempts,
            rng=self.rng,
            counts=self.counts,
        )
        self._guard, self._stops, self._recorder = parts.guard, parts.stops, parts.recorder
        lookups = Lookups(number, name, self.kin, self.store, lambda: self.clock())
        self._comparer = Comparer(
            self.mapping, self.destination, parts.composer, lookups, parts.stops, lambda: self.clock()
        )
        self._reserve = Reserve(number, name, self.store, lambda: self.clock(), self.turn)

    def step(self) -> float:
        """Gather a page, or begin to; after the last one send the job. Seconds until there is something to do again.

        Errors set the mapping's status; none is raised but a lost state database (RetryLater).
        """
        try:
            return self._step()
        except psycopg.OperationalError as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """End the turn and give back what was gathered and not sent. Jobs that were sent are left to who comes next."""
        self.turn.ours = False
        gathering, self._gathering = self._gathering, None
        if gathering is None:
            return
        gathering.close()
        if not self.store.closed:
            for shipment in gathering.shipments:
                self._give_back(shipment)
            self._reserve.end_all()

    def _step(self) -> float:
        if not self.take_turn():
            return LOOK_EVERY
        if self._gathering is None:
            self._gathering = self._begin_gathering()
        if (gathering := self._gathering) is not None:
            self._gather(gathering)
            if gathering.compared:
                return 0.0  # else somebody else has them, or other files are in force
        return LOOK_EVERY

    def take_turn(self) -> bool:
        """Whether this process has the turn at the mapping's jobs."""
        if self.turn.ours:
            return True
        if not bulk_jobs.take_turn(self.store, self.mapping_id):
            return False
        self.turn.begin()
        self.turn.left.update(job.id for job in bulk_jobs.read_all(self.store, self.mapping_id) if job.state != "sent")
        self._reserve.adopt()
        self.turn.ours = True
        return True

    # -- gather and send ----------------------------------------------------------------------------------------------

    def _begin_gathering(self) -> Gathering | None:
        """Where a backlog is worth a job, and there is room for one; live changes first."""
        if self._reserve.resting:
            self.turn.takes_pages = False
            return None
        if not mappings.is_active(self.store, self.mapping_id):
            return None
        room = bulk_jobs.in_flight(self.store, self.destination.name) < self.bulk.jobs_in_flight
        chosen: Priority | None = None
        for priority in (Priority.LIVE, Priority.BULK):
            if self.bulk.bulk_from and self._is_backlog(priority):
                chosen = priority if chosen is None else chosen
                if not room:
                    self._reserve.renew(priority)
            else:
                self._reserve.end(priority)
        if chosen is None or not room:
            return None
        self._gathering_since = self.clock()
        unqueued = self.unqueued if chosen is Priority.BULK else None
        self.turn.takes_pages |= unqueued is not None
        return Gathering(
            self.mapping_id,
            self.mapping,
            self.store,
            self._comparer,
            self._recorder,
            self._guard,
            self.next_number,
            chosen,
            database.now(self.store) if chosen is Priority.LIVE else None,
            self.bulk.most_records,
            unqueued,
        )

    def _is_backlog(self, priority: Priority) -> bool:
        enough = self.bulk.bulk_from
        if priority is Priority.BULK and self.turn.takes_pages and self.unqueued is not None and self.unqueued.waits():
            return True
        return bulk_jobs.due(self.store, self.mapping_id, priority, enough=enough) >= enough

    def _gather(self, gathering: Gathering) -> None:
        """One more page; after the last one everything is sent, or given back."""
        try:
            more = gathering.page()
        except OSError as error:
            more, gathering.failed = False, True
            self._rest(REST, _no_disk(error))
        if gathering.gathered >= max(1, WORTH_SENDING * gathering.compared) and not gathering.failed:
            self._reserve.hold(gathering.priority, gathering.until)
        else:
            self.turn.takes_pages = False
        if more and self.clock() - self._gathering_since < LONGEST_GATHERING:
            return
        self._gathering = None
        with closing(gathering):
            for shipment in gathering.shipments:
                if gathering.failed or self.ending() or not mappings.is_active(self.store, self.mapping_id):
                    self._give_back(shipment)
                elif shipment.count < self.bulk.bulk_from or self._reserve.resting:
                    self._give_back(shipment, left=True)
                else:
                    self._send(shipment)

    def _give_back(self, shipment: Shipment, *, left: bool = False) -> None:
        """Free the rows of a shipment of which nothing was sent; with `left` for the lanes alone."""
        self._guard.withdraw(shipment.reserved)
        if bulk_jobs.free(self.store, shipment.number, left=left):
            outbox.wake(self.store, self.mapping_id)

    def _send(self, shipment: Shipment) -> None:
        """Begin the destination's job, and give it the records once its id is durable."""
        key_field, columns = "", []
        try:
            if shipment.operation == "upsert":
                converter = self._comparer.composer.learn()
                key_field, columns = converter.external_field, [converter.external_field, *converter.names]
            job = self.bulk.begin(self.mapping.object, shipment.operation, key_field, lane=self.mapping.name)
        except BulkRefused as refused:
            self._rest(refused.delay or REST, refused.message)
            self._give_back(shipment, left=True)
        except Exception as error:
            self._stops.stop_for(error)
            self._give_back(shipment)
        else:
            self._upload(shipment, job, columns)

    def _upload(self, shipment: Shipment, job: BulkJob, columns: Sequence[str]) -> None:
        """Nothing is sent before the job's id is durable. When the upload fails, the follower asks what came of it."""
        number, counted = shipment.number, shipment.reserved
        if not bulk_jobs.opened(self.store, number, job.id, key_field=job.key_field, counted=counted):
            self.bulk.abort(job)  # the mapping's records were forgotten meanwhile
            return
        try:
            upload = self.bulk.upload(job, columns, self._records(shipment))
        except Ending:
            return
        except Exception as error:
            self.turn.left.add(number)
            if isinstance(error, BulkRefused):
                self._rest(error.delay or REST, error.message)
            elif isinstance(error, OSError):
                self._rest(REST, _no_disk(error))
            else:
                self._stops.stop_for(error)
            return
        out = shipment.left_out(upload)  # free before the job counts as sent: what it carries then is settled with it
        self._guard.withdraw(out.reserved)
        bulk_jobs.give_back(self.store, number, out.over)
        bulk_jobs.leave(self.store, number, out.unfit)
        self.turn.sent(number, self.clock())
        records = upload.taken - len(upload.unfit)
        if not bulk_jobs.sent(self.store, number, records, counted=counted - out.reserved):
            self.bulk.abort(job)
            return
        log.info("mapping %s: bulk job %s has %d records", self.mapping.name, job.id, upload.taken)
        outbox.wake(self.store, self.mapping_id)

    def _records(self, shipment: Shipment) -> Iterator[Fields | str]:
        for _, record in shipment.records():
            if self.ending():
                raise Ending
            yield record

    def _rest(self, seconds: float, reason: str) -> None:
        self._reserve.rest(seconds, self._stops.mask(reason))


def _no_disk(error: OSError) -> str:
    return f"the disk of temporary files: {error.strerror}"
