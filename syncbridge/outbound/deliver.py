"""Deliver: claim -> compose -> plan -> guard -> send -> settle, one batch of one mapping at a time.

Any number of lanes, in any number of processes, may deliver the same mapping; leases keep them apart.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import Delivered, Destination
from syncbridge.errors import RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Operation, Reason
from syncbridge.outbound.compose import Composer, Entities
from syncbridge.outbound.first_contact import FirstContact
from syncbridge.outbound.guard import Guard, Reservation
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.masking import Mask
from syncbridge.outbound.plan import Planned, plan
from syncbridge.outbound.send import Exchange, Sender
from syncbridge.outbound.settle import (
    Settlement,
    give_back,
    settle,
    take,
    take_held,
    take_nothing,
    take_postponed,
    take_refusal,
    take_waiting,
)
from syncbridge.outbound.stops import Stops
from syncbridge.outbound.waits import Ties
from syncbridge.store import claims, database, mappings
from syncbridge.store.claims import Claimed

#: Seconds of a lease that composing may take at least; the rest is for calls.
COMPOSE_SECONDS = 60.0
#: Seconds after which the destination is described anew before records are refused by an older description.
DESCRIBE_EVERY = 60.0
#: How many batches one claim may hold while nothing of them has to be sent.
COMPARE_AT_ONCE = 4


@dataclass(slots=True)
class Counts:
    """What one mapping did since the worker started."""

    claimed: int = 0
    delivered: int = 0
    same: int = 0
    retried: int = 0
    dead: int = 0

    def add(self, claimed: int, settlement: Settlement) -> None:
        self.claimed += claimed
        self.delivered += settlement.delivered
        self.same += settlement.same
        self.retried += settlement.retried
        self.dead += settlement.dead


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
    claim: Callable[..., tuple[int, list[Claimed]]] = claims.claim  # as claims.claim
    _composer: Composer = field(init=False)
    _guard: Guard = field(init=False)
    _sender: Sender = field(init=False)
    _lookups: Lookups = field(init=False)
    _mask: Mask = field(init=False)
    _stops: Stops = field(init=False)
    _described_at: float = float("-inf")
    _claim_size: int = field(init=False)

    def __post_init__(self) -> None:
        self._composer = Composer(self.mapping, self.destination, self.source)
        database.prefer_indexes(self.store)
        self._guard = Guard(self.mapping_id, self.mapping, self.store)
        contact = FirstContact(self.mapping_id, self.mapping, self.destination, self.store)
        self._sender = Sender(self.mapping, self.destination, contact, lambda: self.clock())
        self._lookups = Lookups(self.mapping_id, self.mapping.name, self.kin, self.store, self.clock)
        self._mask = Mask(self.mapping)
        self._stops = Stops(self.mapping_id, self.mapping.name, self.store, self.rng, self._mask, self._composer.forget)
        self._claim_size = self.limits.batch

    def step(self) -> int:
        """Deliver one batch of what is due; how many rows were claimed (0: nothing to do now).

        Errors that concern the whole batch set the mapping's status and give the rows back; none is raised but a
        lost state database (RetryLater).
        """
        try:
            try:
                return self._step()
            finally:
                self._sender.contact.release()
        except psycopg.OperationalError as error:  # rows that are claimed come back when their lease ends
            message = str(error).split("\n", 1)[0]
            raise RetryLater(f"the state database is not available: {message}") from error

    def _step(self) -> int:
        self._lookups.release()
        lease, calls = self._lease()
        deadline = self.clock() + lease - calls
        claim, claimed = self.claim(
            self.store,
            self.mapping_id,
            limit=self._claim_size,
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
            planned = self._plan(claimed)
            sending = self._sending(planned)[: self.limits.batch]  # what is left over is given back
            self._fit_claims(len(claimed), len(sending))
            self._mask.cover(sending)
            reserved = self._guard.reserve(sending)
            if reserved is not None:
                self._sender.send(sending, self._composer.converter, exchange, deadline)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            stopped = error
        self._settle(claim, claimed, planned, exchange, stopped)
        self._guard.release(reserved or {}, lambda key: isinstance(exchange.answers.get(key), Delivered))
        return len(claimed)

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
        calls = self.destination.call_seconds * (rounds + 2)  # deletes and upserts both round up; one look
        return max(self.limits.lease, COMPOSE_SECONDS + calls), calls

    def _plan(self, claimed: Sequence[Claimed]) -> list[Planned]:
        entities = self._compose(claimed)
        converter = self._composer.converter
        planned = plan(claimed, entities, gone=converter.gone, owned=converter.owned)
        self._lookups.postpone_deletes(planned, self.destination)
        return planned

    def _compose(self, claimed: Sequence[Claimed]) -> Entities:
        """Compose by what the destination says now, where an old description may be what stood in the way."""
        keys = [row.key for row in claimed]
        if self._stops.outdated or any(row.reason == Reason.REQUEUE for row in claimed):
            self._describe_anew()
        entities = self._composer.compose(keys)
        if entities.refused and self.clock() - self._described_at > DESCRIBE_EVERY:
            self._describe_anew()
            entities = self._composer.compose(keys)
        self._lookups.resolve(entities, self._composer.converter.lookups)
        return entities

    def _describe_anew(self) -> None:
        self._composer.forget(refresh=True)
        self._stops.outdated, self._described_at = False, self.clock()

    def _sending(self, planned: Sequence[Planned]) -> list[Planned]:
        return [p for p in planned if p.operation is not Operation.NOTHING and not self._ignored(p)]

    def _ignored(self, planned: Planned) -> bool:
        return planned.operation is Operation.DELETE and self.mapping.deletes.action == "ignore"

    def _settle(
        self,
        claim: int,
        claimed: Sequence[Claimed],
        planned: Sequence[Planned],
        exchange: Exchange,
        stopped: Exception | None,
    ) -> None:
        """Record what was answered and what needed no call; give back the rest, with the reason why it stopped."""
        settlement = self._settlement(planned, exchange)
        settlement.ties.rows = {row.key: row for row in claimed}
        decided = {*settlement.done, *(row.key for row in settlement.kept)}
        give_back(settlement, [row for row in claimed if row.key not in decided], exchange.attempted)
        try:
            settle(self.store, self.mapping_id, claim, settlement, matching=bool(self.mapping.match_on))
        except psycopg.OperationalError:
            raise
        except Exception as error:  # the rows come back when their lease ends
            self._stops.stop_for(error)
            return
        self.counts.add(len(decided), settlement)
        self._guard.judge(settlement.delivered, settlement.dead - settlement.dead_again)
        if settlement.last_error is not None:
            mappings.record_error(self.store, self.mapping_id, *settlement.last_error)
        if stopped is not None:
            self._stops.stop_for(stopped)
        elif settlement.worst is not None:
            self._stops.heed(settlement.worst, exchange.answers)
        self._stops.learn(exchange.answers, well=stopped is None and settlement.worst is None)

    def _settlement(self, planned: Sequence[Planned], exchange: Exchange) -> Settlement:
        settlement = Settlement(ties=Ties(self.kin))
        limit = self.limits.max_attempts
        for p in planned:
            answer = exchange.answers.get(p.key)
            if answer is not None:
                take(settlement, p, self._mask.result(answer), max_attempts=limit, rng=self.rng)
            elif p.key in exchange.held:
                take_held(settlement, p, exchange.held[p.key])
            elif p.refusal is not None:
                take_refusal(settlement, p, max_attempts=limit, rng=self.rng)
            elif p.waits:
                take_waiting(settlement, p)
            elif p.postponed:
                take_postponed(settlement, p)
            elif p.operation is Operation.NOTHING or self._ignored(p):
                take_nothing(settlement, p, ignored=self._ignored(p), absent=p.key in exchange.absent)
        return settlement
