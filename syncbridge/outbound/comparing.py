"""What has to be done for claimed rows: compose them, resolve their lookups, compare with their bases."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syncbridge.destinations.base import Destination
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Operation
from syncbridge.outbound import kept_rows
from syncbridge.outbound.compose import Composer, Entities
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.plan import Planned, plan
from syncbridge.outbound.stops import Stops
from syncbridge.store.claims import Claimed

#: Seconds after which the destination is described anew before records are refused by an older description.
DESCRIBE_EVERY = 60.0


@dataclass(slots=True)
class Comparer:
    """Compares what one lane of a mapping claimed, by what the destination says of its fields now."""

    mapping: CompiledMapping
    destination: Destination
    composer: Composer
    lookups: Lookups
    stops: Stops
    clock: Callable[[], float] = time.monotonic
    _described_at: float = float("-inf")
    _requeued: float = float("-inf")  # what was sent back until then is composed by a description that is newer

    def compare(self, claimed: Sequence[Claimed]) -> list[Planned]:
        """What each row comes to, in order. Raises what concerns all of them, by remedy."""
        entities = self._compose(claimed)
        converter = self.composer.converter
        planned = plan(
            claimed,
            entities,
            gone=converter.gone,
            owned=converter.owned,
            put_back=converter.put_back,
            external=converter.external_field,
        )
        if self.mapping.two_way is not None:
            kept_rows.leave(self.lookups.store, self.lookups.mapping_id, planned)
            kept_rows.forget_gone(self.lookups.store, self.lookups.mapping_id, planned)
        self.lookups.postpone_deletes(planned, self.destination)
        return planned

    def sending(self, planned: Sequence[Planned]) -> list[Planned]:
        """Those that need a call."""
        return [p for p in planned if p.operation is not Operation.NOTHING and not is_ignored(self.mapping, p)]

    def _compose(self, claimed: Sequence[Claimed]) -> Entities:
        """Compose by what the destination says now, where an old description may be what stood in the way."""
        keys = [row.key for row in claimed]
        requeued = max((row.requeued for row in claimed if row.requeued is not None), default=float("-inf"))
        if self.stops.outdated or requeued > self._requeued:
            self._describe_anew()
            self._requeued = max(self._requeued, requeued)
        entities = self.composer.compose(keys)
        if entities.refused and self.clock() - self._described_at > DESCRIBE_EVERY:
            self._describe_anew()
            entities = self.composer.compose(keys)
        self.lookups.resolve(entities, self.composer.converter.lookups)
        return entities

    def _describe_anew(self) -> None:
        self.composer.forget(refresh=True)
        self.stops.outdated, self._described_at = False, self.clock()


def is_ignored(mapping: CompiledMapping, planned: Planned) -> bool:
    """Whether a record stays although its entity is gone (`deletes: ignore`)."""
    return planned.operation is Operation.DELETE and mapping.deletes.action == "ignore"
