"""Send: one batch of planned entities to the destination, and what it answered to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syncbridge.destinations.base import Destination, Result
from syncbridge.errors import RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Operation
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.first_contact import FirstContact
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.vanished import find_vanished
from syncbridge.store.conflicts import Held


@dataclass(slots=True)
class Exchange:
    """What a batch and its destination told each other, as far as it came."""

    answers: dict[str, Result] = field(default_factory=dict)  # key -> result
    attempted: set[str] = field(default_factory=set)  # keys that were given to a call, answered or not
    absent: set[str] = field(default_factory=set)  # keys of entities that are gone, and have no remote record either
    held: dict[str, Held] = field(default_factory=dict)  # entities that could be one of several existing records
    decided: bool = False  # for some a person, or a repair, had decided which record they are


@dataclass(slots=True)
class Sender:
    """The calls of one lane."""

    mapping: CompiledMapping
    destination: Destination
    contact: FirstContact
    clock: Callable[[], float]

    def send(self, sending: Sequence[Planned], converter: Converter, exchange: Exchange, deadline: float) -> None:
        """Deletes first: they free unique values that new records may want.

        `exchange` is filled as answers come, so that it holds even when a call raises. RetryLater when `deadline` (by
        the clock) is over before the calls begin.
        """
        self._require_time(deadline)
        vanished = [p for p in sending if p.vanished]
        ids, exchange.absent = find_vanished(self.mapping, self.destination, converter, vanished)
        if deletes := [p for p in sending if p.operation is Operation.DELETE]:
            self._delete(deletes, ids, exchange)
        upserts = [p for p in sending if p.operation in (Operation.CREATE, Operation.UPDATE)]
        if any(p.operation is Operation.CREATE for p in upserts):
            upserts = self._meet(upserts, converter, exchange, deadline)
        if keyless := [p for p in upserts if p.keyless]:
            self._write_keys(keyless, converter, exchange)
            upserts = [p for p in upserts if not p.keyless]
        if upserts:
            self._upsert(upserts, converter, exchange)

    def _delete(self, deletes: Sequence[Planned], ids: dict[str, str], exchange: Exchange) -> None:
        exchange.attempted.update(p.key for p in deletes)
        answers = self.destination.delete(self.mapping.object, [ids[p.key] for p in deletes], lane=self.mapping.name)
        exchange.answers.update((p.key, answer) for p, answer in zip(deletes, answers, strict=True))

    def _upsert(self, upserts: Sequence[Planned], converter: Converter, exchange: Exchange) -> None:
        external, value = converter.external_field, converter.external_value
        records = [{external: value(p.key), **p.fields} for p in upserts]
        exchange.attempted.update(p.key for p in upserts)
        answers = self.destination.upsert(self.mapping.object, external, records, lane=self.mapping.name)
        exchange.answers.update((p.key, answer) for p, answer in zip(upserts, answers, strict=True))

    def _write_keys(self, keyless: Sequence[Planned], converter: Converter, exchange: Exchange) -> None:
        """Records that do not carry their key yet: an upsert by it would make them anew."""
        exchange.attempted.update(p.key for p in keyless)
        records = [(str(p.claimed.remote_id), p) for p in keyless]
        for p in keyless:
            p.matched = f"wrote its key into {converter.external_field}"
        exchange.answers.update(self.contact.link(records, converter))

    def _meet(
        self, upserts: Sequence[Planned], converter: Converter, exchange: Exchange, deadline: float
    ) -> list[Planned]:
        """Link entities to the existing records that they are; what is left for upserts."""
        met = self.contact.meet(upserts, converter, patience=deadline - self.clock())
        exchange.held, exchange.decided = met.held, met.decided
        self._require_time(deadline)
        exchange.attempted.update(p.key for _, p in met.taken)
        exchange.answers.update(self.contact.link(met.taken, converter))
        return met.rest

    def _require_time(self, deadline: float) -> None:
        if self.clock() > deadline:
            raise RetryLater(
                "composing took too long for the lease", hint="Look for a slow `sql` expression, or a smaller batch."
            )
