"""Deliver: claim -> compose -> plan -> guard -> send -> settle, one batch of one mapping at a time.

Any number of lanes, in any number of processes, may deliver the same mapping; leases keep them apart.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.destinations.base import Destination, Rejected, Result
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, MappingStatus, Operation
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.plan import Planned, plan
from syncbridge.outbound.settle import Settlement, settle, take, take_nothing, take_refusal
from syncbridge.policy import directive
from syncbridge.store import mappings, outbox
from syncbridge.store.outbox import Claimed, Kept

log = logging.getLogger("syncbridge.deliver")


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
    numbers: Iterator[int] | None = None  # of claims; None takes them from the database
    rng: random.Random = field(default_factory=random.Random)
    counts: Counts = field(default_factory=Counts)
    _composer: Composer = field(init=False)
    _failures: int = 0

    def __post_init__(self) -> None:
        self._composer = Composer(self.mapping, self.destination, self.source)

    def step(self) -> int:
        """Deliver one batch of what is due; how many rows were claimed (0: nothing to do now).

        Errors that concern the whole batch set the mapping's status and give the rows back; none is raised but a
        lost state database (RetryLater).
        """
        claim, claimed = outbox.claim(
            self.store,
            self.mapping_id,
            limit=self.limits.batch,
            lease=max(self.limits.lease, self._least_lease()),
            number=next(self.numbers) if self.numbers is not None else None,
        )
        if not claimed:
            return 0
        sending: list[Planned] = []
        try:
            planned = self._plan(claimed)
            if self._guarded(planned):
                self._give_back(claim, claimed, ())
                return len(claimed)
            sending = [p for p in planned if p.operation is not Operation.NOTHING]
            results = self._send(sending)
        except Exception as error:
            self._give_back(claim, claimed, sending)
            self._stop_for(error)
            return len(claimed)
        self._settle(claim, planned, sending, results)
        return len(claimed)

    @property
    def _ignores_deletes(self) -> bool:
        return self.mapping.deletes.action == "ignore"

    def _least_lease(self) -> float:
        return self.destination.call_seconds * 2

    def _plan(self, claimed: Sequence[Claimed]) -> list[Planned]:
        entities = self._composer.compose([row.key for row in claimed])
        gone: Fields | None = None
        if self.mapping.deletes.action == "set":
            remote = self.destination.describe(self.mapping.object)
            gone = self._composer.converter.constants(self.mapping.deletes.fields, remote, self.destination)
        return plan(claimed, entities, gone=gone)

    def _guarded(self, planned: Sequence[Planned]) -> bool:
        """Whether the mass-change guard stops this batch, before the first call over the limit."""
        deletes = sum(1 for p in planned if p.operation is Operation.DELETE)
        if self._ignores_deletes:
            deletes = 0
        asked_for = ("first_sync", "resync")  # a person asked for these, so they are not counted as changes
        changes = sum(
            1
            for p in planned
            if p.operation in (Operation.CREATE, Operation.UPDATE) and p.claimed.reason not in asked_for
        )
        guard = self.mapping.guard
        for kind, count, limit in (("deletes", deletes, guard.deletes), ("changes", changes, guard.changes)):
            if limit is None or count == 0:
                continue
            used = mappings.reserve_guard(
                self.store, self.mapping_id, kind, count, limit=limit.count, seconds=limit.seconds
            )
            if used:
                self._pause_for_guard(kind, used, count, str(limit))
                return True
        return False

    def _pause_for_guard(self, kind: str, used: int, count: int, limit: str) -> None:
        reason = f"{count} more {kind} would pass the guard of {limit} ({used} done)"
        hint = (
            f"Look at what waits (`syncbridge status`, `syncbridge show {self.mapping.name} KEY`). If it is meant:"
            f" `syncbridge resume {self.mapping.name}` lets through all that waits now."
        )
        mappings.set_status(
            self.store,
            self.mapping_id,
            MappingStatus.GUARD,
            reason=reason,
            hint=hint,
            only_from=(MappingStatus.ACTIVE,),
        )
        log.warning("mapping %s paused: %s", self.mapping.name, reason)

    def _send(self, sending: Sequence[Planned]) -> list[Result]:
        """One result per planned record, in order."""
        upserts = [p for p in sending if p.operation is not Operation.DELETE]
        deletes = [p for p in sending if p.operation is Operation.DELETE and not self._ignores_deletes]
        results: dict[str, Result] = {}
        if upserts:
            external = self._composer.converter.external_field
            value = self._composer.converter.external_value
            records = [{external: value(p.key), **p.fields} for p in upserts]
            answers = self.destination.upsert(self.mapping.object, external, records, lane=self.mapping.name)
            results.update((p.key, answer) for p, answer in zip(upserts, answers, strict=True))
        if deletes:
            results.update(self._delete(deletes))
        return [results[p.key] for p in sending if p.key in results]

    def _delete(self, deletes: Sequence[Planned]) -> dict[str, Result]:
        """Delete by remote id; one that was perhaps created by a call whose answer was lost is looked up first."""
        ids = {p.key: p.claimed.remote_id for p in deletes}
        unknown = [key for key, remote_id in ids.items() if remote_id is None]
        if unknown:
            ids.update(self._look_up(unknown))
        known = {key: remote_id for key, remote_id in ids.items() if remote_id is not None}
        answers = self.destination.delete(self.mapping.object, list(known.values()), lane=self.mapping.name)
        results: dict[str, Result] = dict(zip(known, answers, strict=True))
        for p in deletes:
            if p.key not in results:  # no remote record: what was to be deleted is not there
                p.operation = Operation.NOTHING
        return results

    def _look_up(self, keys: Sequence[str]) -> dict[str, str | None]:
        converter = self._composer.converter
        values = {key: converter.external_value(key) for key in keys}
        found = self.destination.find(self.mapping.object, converter.external_field, list(values.values()))
        return {key: found[value][0].remote_id if found.get(value) else None for key, value in values.items()}

    def _settle(
        self, claim: int, planned: Sequence[Planned], sending: Sequence[Planned], results: Sequence[Result]
    ) -> None:
        settlement = Settlement()
        answered = [p for p in sending if p.operation is not Operation.NOTHING and not self._ignored(p)]
        for p, result in zip(answered, results, strict=True):
            take(settlement, p, result, max_attempts=self.limits.max_attempts, rng=self.rng)
        for p in planned:
            if p.refusal is not None:
                take_refusal(settlement, p, max_attempts=self.limits.max_attempts, rng=self.rng)
            elif p.operation is Operation.NOTHING or self._ignored(p):
                take_nothing(settlement, p, ignored=self._ignored(p))
        settle(self.store, self.mapping_id, claim, settlement)
        self.counts.add(len(planned), settlement)
        self._after(settlement)

    def _ignored(self, planned: Planned) -> bool:
        return planned.operation is Operation.DELETE and self._ignores_deletes

    def _after(self, settlement: Settlement) -> None:
        if settlement.last_error is not None:
            mappings.record_error(self.store, self.mapping_id, *settlement.last_error)
        worst = settlement.worst
        if worst is None:
            self._failures = 0
            return
        self._wait_or_halt(worst)

    def _wait_or_halt(self, worst: Rejected) -> None:
        if worst.remedy is Remedy.WAIT:
            self._stop_for(RetryLater(f"{worst.code}: {worst.message}", delay=worst.delay or 60.0))
            return
        self._failures += 1
        self._composer.forget(refresh=True)
        if self._failures > 1:  # described anew and refused again: it is the schema, not an old copy of it
            mappings.set_status(
                self.store,
                self.mapping_id,
                MappingStatus.HALTED,
                reason=f"{worst.code}: {worst.message}",
                hint=f"Run `syncbridge check`, mend it, then `syncbridge resume {self.mapping.name}`.",
                only_from=(MappingStatus.ACTIVE,),
            )

    def _give_back(self, claim: int, claimed: Sequence[Claimed], sending: Sequence[Planned]) -> None:
        """Return rows that were not settled; those that may have been sent are sent in full next time."""
        sent = {p.key for p in sending}
        rows = [Kept(row.key, row.version, tried=False, resend=row.key in sent) for row in claimed]
        outbox.keep(self.store, self.mapping_id, claim, rows)

    def _stop_for(self, error: Exception) -> None:
        """Set the mapping's status by the remedy of an error that concerned a whole batch."""
        self._failures += 1
        self._composer.forget(refresh=False)
        chosen = directive(error, self._failures, rng=self.rng)
        message = error.message if isinstance(error, SyncbridgeError) else f"unexpected {type(error).__name__}"
        if not isinstance(error, SyncbridgeError):
            log.error("mapping %s halted", self.mapping.name, exc_info=error)
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
