"""Deliver: claim -> compose -> plan -> guard -> send -> settle, one batch of one mapping at a time.

Any number of lanes, in any number of processes, may deliver the same mapping; leases keep them apart.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import Delivered, Destination
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Operation
from syncbridge.outbound import held_rows
from syncbridge.outbound.comparing import Comparer
from syncbridge.outbound.first_contact import FirstContact
from syncbridge.outbound.guard import Guard, Reservation
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.masking import Mask
from syncbridge.outbound.parts import Parts, unavailable
from syncbridge.outbound.perhaps_made import leave_to_poller
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.recording import Counts, Recorder
from syncbridge.outbound.reread import Reread
from syncbridge.outbound.send import Exchange, Sender
from syncbridge.store import claims, unanswered
from syncbridge.store.claims import Claimed

#: Seconds of a lease that composing may take at least; the rest is for calls.
COMPOSE_SECONDS = 60.0
#: How many batches one claim may hold while nothing of them has to be sent.
COMPARE_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times of delivery; `lease` (seconds) is longer than any call of the destination."""

    batch: int = 1000
    lease: float = 120.0
    max_attempts: int = 12


@dataclass(slots=True)
class Deliverer:
    """One lane of one mapping. `store` and `source` are connections of its own; `step()` does one batch."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection
    source: Connection
    limits: Limits = field(default_factory=Limits)
    kin: Kin = field(default_factory=Kin)  # what lookups tie it to
    numbers: Iterator[int] | None = None  # of claims; None takes them from the database
    rng: random.Random = field(default_factory=random.Random)
    counts: Counts = field(default_factory=Counts)
    clock: Callable[[], float] = time.monotonic
    first: bool = True  # of the lanes of its mapping: it also does what one lane is enough for
    claim: Callable[..., tuple[int, list[Claimed]]] = claims.claim  # as claims.claim
    _guard: Guard = field(init=False)
    _sender: Sender = field(init=False)
    _lookups: Lookups = field(init=False)
    _mask: Mask = field(init=False)
    _comparer: Comparer = field(init=False)
    _recorder: Recorder = field(init=False)
    _reread: Reread = field(init=False)
    _claim_size: int = field(init=False)

    def __post_init__(self) -> None:
        parts = Parts.make(
            self.mapping_id,
            self.mapping,
            self.destination,
            self.store,
            self.source,
            kin=self.kin,
            max_attempts=self.limits.max_attempts,
            rng=self.rng,
            counts=self.counts,
        )
        self._guard, self._mask, self._recorder = parts.guard, parts.mask, parts.recorder
        contact = FirstContact(self.mapping_id, self.mapping, self.destination, self.store)
        self._sender = Sender(self.mapping, self.destination, contact, lambda: self.clock())
        self._lookups = Lookups(self.mapping_id, self.mapping.name, self.kin, self.store, self.clock, looks=self.first)
        self._comparer = Comparer(
            self.mapping, self.destination, parts.composer, self._lookups, parts.stops, lambda: self.clock()
        )
        self._reread = Reread(self.mapping_id, self.mapping, self.destination, self.store)
        self._claim_size = self.limits.batch

    def step(self, most: int | None = None) -> int:
        """Deliver one batch of what is due, `most` rows at most; how many were claimed (0: nothing to do now).

        Errors that concern the whole batch set the mapping's status and give the rows back; none is raised but a
        lost state database (RetryLater).
        """
        try:
            try:
                return self._step(most)
            finally:
                self._sender.contact.release()
        except psycopg.OperationalError as error:  # rows that are claimed come back when their lease ends
            raise unavailable(error) from error

    def _step(self, most: int | None) -> int:
        self._lookups.release()
        lease, calls = self._lease()
        deadline = self.clock() + lease - calls
        claim, claimed = self.claim(
            self.store,
            self.mapping_id,
            limit=self._claim_size if most is None or most >= self.limits.batch else most,
            lease=lease,
            number=next(self.numbers) if self.numbers is not None else None,
            digest=self.mapping.digest,
        )
        if not claimed:
            return 0
        planned: list[Planned] = []
        reserved: Reservation | None = {}
        exchange = Exchange()
        stopped: Exception | None = None
        try:
            planned = self._comparer.compare(claimed)
            sending = self._comparer.sending(planned)[: self.limits.batch]  # what is left over is given back
            if self.mapping.two_way is not None:
                held_rows.follow(self.store, self.mapping_id, planned)
                sending = self._leave_what_is_there(sending)
            sending = self._reread.look(sending)
            self._fit_claims(len(claimed), len(sending))
            self._mask.cover(sending)
            reserved = self._guard.reserve(sending)
            if reserved is not None:
                self._remember(claim, sending)
                self._sender.send(sending, self._comparer.composer.converter, exchange, deadline)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            stopped = error
        self._recorder.record(claim, claimed, planned, exchange, stopped)
        self._guard.release(reserved or {}, lambda key: isinstance(exchange.answers.get(key), Delivered))
        return len(claimed)

    def _leave_what_is_there(self, sending: list[Planned]) -> list[Planned]:
        converter = self._comparer.composer.converter
        return leave_to_poller(self.store, self.mapping_id, self.mapping, self.destination, converter, sending)

    def _remember(self, claim: int, sending: list[Planned]) -> None:
        """What comes back must be known as ours, also if no answer comes."""
        if self.mapping.two_way is not None:
            written = {p.key: p.fields for p in sending if p.operation is not Operation.DELETE}
            unanswered.remember(self.store, self.mapping_id, claim, written)

    def _fit_claims(self, claimed: int, sending: int) -> None:
        """Claim more at once while nothing has to be sent, as in a resync of equal records: then only SQL costs."""
        if sending or claimed < self._claim_size:
            self._claim_size = self.limits.batch
        else:
            self._claim_size = min(self._claim_size * 2, self.limits.batch * COMPARE_AT_ONCE)

    def _lease(self) -> tuple[float, float]:
        """Seconds of the lease, and how many of them the calls of one batch can take.

        A call must never end after its lease: another lane could have sent a newer state meanwhile, and be overtaken.
        So the calls begin only while enough of the lease is left for them.
        """
        rounds = -(-self.limits.batch // (self.destination.batch_size * self.destination.calls_in_flight))
        calls = self.destination.call_seconds * (rounds + 3)  # deletes and upserts both round up; two looks
        return max(self.limits.lease, COMPOSE_SECONDS + calls), calls
