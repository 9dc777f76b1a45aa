"""Deliver: claim -> compose -> plan -> guard -> send -> settle, one batch of one mapping at a time.

Any number of lanes, in any number of processes, may deliver the same mapping; leases keep them apart.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from traceback import format_exception

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import Delivered, Destination, Rejected, Result
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Fields, MappingStatus, Operation, Reason
from syncbridge.outbound.compose import Composer, Entities
from syncbridge.outbound.contact import FirstContact
from syncbridge.outbound.guard import Guard, Reservation
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.masking import Mask
from syncbridge.outbound.plan import Planned, plan
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
from syncbridge.outbound.vanished import find_vanished
from syncbridge.outbound.waits import Ties
from syncbridge.policy import directive
from syncbridge.store import database, mappings, outbox
from syncbridge.store.conflicts import Held
from syncbridge.store.outbox import Claimed

log = logging.getLogger("syncbridge.deliver")

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
class _Exchange:
    """What a batch and its destination told each other, as far as it came."""

    answers: dict[str, Result] = field(default_factory=dict)  # key -> result
    attempted: set[str] = field(default_factory=set)  # keys that were given to a call, answered or not
    absent: set[str] = field(default_factory=set)  # keys of entities that are gone, and have no remote record either
    held: dict[str, Held] = field(default_factory=dict)  # entities that could be one of several existing records


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
    claim: Callable[..., tuple[int, list[Claimed]]] = outbox.claim  # as outbox.claim
    _composer: Composer = field(init=False)
    _guard: Guard = field(init=False)
    _contact: FirstContact = field(init=False)
    _lookups: Lookups = field(init=False)
    _mask: Mask = field(init=False)
    _failures: int = 0
    _blamed: frozenset[str] = frozenset()  # keys refused for the schema, since it was described anew
    _outdated: bool = False  # a person may have mended what the description says
    _described_at: float = float("-inf")
    _claim_size: int = field(init=False)

    def __post_init__(self) -> None:
        self._composer = Composer(self.mapping, self.destination, self.source)
        database.prefer_indexes(self.store)
        self._guard = Guard(self.mapping_id, self.mapping, self.store)
        self._contact = FirstContact(self.mapping_id, self.mapping, self.destination, self.store)
        self._lookups = Lookups(self.mapping_id, self.mapping.name, self.kin, self.store, self.clock)
        self._mask = Mask(self.mapping)
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
                self._contact.release()
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
        exchange = _Exchange()
        stopped: Exception | None = None
        try:
            planned = self._plan(claimed)
            sending = self._sending(planned)[: self.limits.batch]  # what is left over is given back
            self._fit_claims(len(claimed), len(sending))
            self._mask.cover(sending)
            reserved = self._guard.reserve(sending)
            if reserved is not None:
                self._require_time(deadline)
                self._send(sending, exchange, deadline)
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
        calls = self.destination.call_seconds * (rounds + 2)  # deletes and upserts both round up; one look-up
        return max(self.limits.lease, COMPOSE_SECONDS + calls), calls

    def _require_time(self, deadline: float) -> None:
        if self.clock() > deadline:
            raise RetryLater(
                "composing took too long for the lease", hint="Look for a slow `sql` expression, or a smaller batch."
            )

    def _plan(self, claimed: Sequence[Claimed]) -> list[Planned]:
        entities = self._compose(claimed)
        gone: Fields | None = None
        if self.mapping.deletes.action == "set":
            remote = self.destination.describe(self.mapping.object)
            gone = self._composer.converter.constants(self.mapping.deletes.fields, remote, self.destination)
        planned = plan(claimed, entities, gone=gone, owned=self._composer.converter.owned)
        self._lookups.postpone_deletes(planned, self.destination)
        return planned

    def _compose(self, claimed: Sequence[Claimed]) -> Entities:
        """Compose by what the destination says now, where an old description may be what stood in the way."""
        keys = [row.key for row in claimed]
        if self._outdated or any(row.reason == Reason.REQUEUE for row in claimed):
            self._describe_anew()
        entities = self._composer.compose(keys)
        if entities.refused and self.clock() - self._described_at > DESCRIBE_EVERY:
            self._describe_anew()
            entities = self._composer.compose(keys)
        self._lookups.resolve(entities, self._composer.converter.lookups)
        return entities

    def _describe_anew(self) -> None:
        self._composer.forget(refresh=True)
        self._outdated, self._described_at = False, self.clock()

    def _sending(self, planned: Sequence[Planned]) -> list[Planned]:
        return [p for p in planned if p.operation is not Operation.NOTHING and not self._ignored(p)]

    def _ignored(self, planned: Planned) -> bool:
        return planned.operation is Operation.DELETE and self.mapping.deletes.action == "ignore"

    def _send(self, sending: Sequence[Planned], exchange: _Exchange, deadline: float) -> None:
        """Deletes first: they free unique values that new records may want."""
        vanished = [p for p in sending if p.vanished]
        ids, exchange.absent = find_vanished(self.mapping, self.destination, self._composer.converter, vanished)
        deletes = [p for p in sending if p.operation is Operation.DELETE]
        if deletes:
            exchange.attempted.update(p.key for p in deletes)
            answers = self.destination.delete(
                self.mapping.object, [ids[p.key] for p in deletes], lane=self.mapping.name
            )
            exchange.answers.update((p.key, answer) for p, answer in zip(deletes, answers, strict=True))
        upserts = [p for p in sending if p.operation in (Operation.CREATE, Operation.UPDATE)]
        if self.mapping.match_on:
            upserts = self._meet(upserts, exchange, deadline)
        if upserts:
            external = self._composer.converter.external_field
            value = self._composer.converter.external_value
            records = [{external: value(p.key), **p.fields} for p in upserts]
            exchange.attempted.update(p.key for p in upserts)
            answers = self.destination.upsert(self.mapping.object, external, records, lane=self.mapping.name)
            exchange.answers.update((p.key, answer) for p, answer in zip(upserts, answers, strict=True))

    def _meet(self, upserts: Sequence[Planned], exchange: _Exchange, deadline: float) -> list[Planned]:
        """Link entities to the existing records that they are; what is left for upserts."""
        converter = self._composer.converter
        met = self._contact.meet(upserts, converter, patience=deadline - self.clock())
        exchange.held = met.held
        self._require_time(deadline)
        exchange.attempted.update(p.key for _, p in met.taken)
        exchange.answers.update(self._contact.link(met.taken, converter))
        return met.rest

    def _settle(
        self,
        claim: int,
        claimed: Sequence[Claimed],
        planned: Sequence[Planned],
        exchange: _Exchange,
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
            self._stop_for(error)
            return
        self.counts.add(len(decided), settlement)
        self._guard.judge(settlement.delivered, settlement.dead)
        if settlement.last_error is not None:
            mappings.record_error(self.store, self.mapping_id, *settlement.last_error)
        if stopped is not None:
            self._stop_for(stopped)
        elif settlement.worst is not None:
            self._heed(settlement.worst, exchange)
        elif exchange.answers:
            self._failures = 0
        if any(isinstance(exchange.answers.get(key), Delivered) for key in self._blamed):
            self._blamed = frozenset()

    def _settlement(self, planned: Sequence[Planned], exchange: _Exchange) -> Settlement:
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

    def _heed(self, worst: Rejected, exchange: _Exchange) -> None:
        """Wait or halt because of what records were refused for."""
        if worst.remedy is Remedy.WAIT:
            self._stop_for(RetryLater(f"{worst.code}: {worst.message}", delay=worst.delay or 60.0))
            return
        blamed = frozenset(
            key
            for key, answer in exchange.answers.items()
            if isinstance(answer, Rejected) and answer.remedy is Remedy.SCHEMA
        )
        if not self._blamed:
            self._blamed = blamed
            try:
                self._composer.forget(refresh=True)
            except Exception as error:
                self._stop_for(error)
            return
        self._blamed = frozenset()  # described anew and refused again: it is the schema, not an old copy of it
        self._halt(
            f"{worst.code}: {worst.message}",
            f"Run `syncbridge check`, mend it, then `syncbridge resume {self.mapping.name}`.",
        )

    def _halt(self, reason: str, hint: str) -> None:
        self._outdated = True
        mappings.set_status(
            self.store,
            self.mapping_id,
            MappingStatus.HALTED,
            reason=reason,
            hint=hint,
            only_from=(MappingStatus.ACTIVE,),
        )
        log.warning("mapping %s halted: %s", self.mapping.name, reason)

    def _stop_for(self, error: Exception) -> None:
        """Set the mapping's status by the remedy of an error that concerned a whole batch."""
        self._failures += 1
        self._composer.forget(refresh=False)
        chosen = directive(error, self._failures, rng=self.rng)
        self._outdated |= chosen.status is MappingStatus.HALTED
        message = f"unexpected {type(error).__name__}"
        if isinstance(error, SyncbridgeError):
            message = self._mask(error.message)
        else:
            log.error("mapping %s halted\n%s", self.mapping.name, self._mask("".join(format_exception(error))))
        mappings.set_status(
            self.store,
            self.mapping_id,
            chosen.status,
            reason=message,
            hint=chosen.hint,
            wait_seconds=chosen.wait,
            only_from=(MappingStatus.ACTIVE,),
        )
        mappings.record_error(self.store, self.mapping_id, message)
        log.warning("mapping %s %s: %s", self.mapping.name, chosen.status.value, message)
