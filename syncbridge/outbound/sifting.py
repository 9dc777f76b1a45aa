"""What of a resync delivery need not see: entities that are equal to their base, and of which nothing waits.

Most of a resync is equal. To find that out here costs two reads for a piece of keys; through the outbox each row would
be inserted, claimed and removed, and each of these written into the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Operation, Reason
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.plan import Planned, plan
from syncbridge.store import held_changes, links, mappings
from syncbridge.store.claims import Claimed

#: Keys that are compared at once.
PIECE = 1000
#: Where less than this share of a piece is equal, the rest of the page goes to delivery unseen: it compares too.
WORTH_SIFTING = 0.5


@dataclass(slots=True)
class Sifter:
    """Sifts the pages of one mapping's runs; `store` and `source` are connections of its own thread."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection
    source: Connection
    kin: Kin = field(default_factory=Kin)
    _composer: Composer = field(init=False)
    _lookups: Lookups = field(init=False)

    def __post_init__(self) -> None:
        self._composer = Composer(self.mapping, self.destination, self.source)
        self._lookups = Lookups(self.mapping_id, self.mapping.name, self.kin, self.store)

    def __call__(self, keys: Sequence[str]) -> list[str]:
        """Those of a page's keys that delivery has to look at, in order; all of them where that cannot be found out.

        What stands in the way (a destination that is away, a field that is gone) is met by delivery too, which says so.
        """
        left: list[str] = []
        for start in range(0, len(keys), PIECE):
            piece = keys[start : start + PIECE]
            equal = self._equal(piece)
            left += [key for key in piece if key not in equal]
            if len(equal) < WORTH_SIFTING * len(piece):
                return [*left, *keys[start + PIECE :]]
        return left

    def _equal(self, keys: Sequence[str]) -> set[str]:
        if not mappings.is_active(self.store, self.mapping_id):
            return set()
        try:
            return {p.key for p in self._planned(keys) if _is_equal(p)}
        except SyncbridgeError:
            self._composer.forget(refresh=False)
            return set()

    def _planned(self, keys: Sequence[str]) -> list[Planned]:
        """What delivery would do about those that are there, and linked.

        They are composed before it is read what waits: a state that is sent meanwhile is at least as new as the one
        that is compared, and one that was sent before is in the base by then, or its row is still in the outbox.
        """
        entities = self._composer.compose(keys)
        converter = self._composer.converter
        self._lookups.resolve(entities, converter.lookups)
        linked = links.at_rest(self.store, self.mapping_id, entities.records)
        held = held_changes.read(self.store, self.mapping_id, linked) if self.mapping.two_way is not None else {}
        rows = [Claimed.unclaimed(key, link, reason=Reason.RESYNC) for key, link in linked.items() if key not in held]
        return plan(
            rows,
            entities,
            gone=converter.gone,
            owned=converter.owned,
            put_back=converter.put_back,
            external=converter.external_field,
        )


def _is_equal(planned: Planned) -> bool:
    return planned.operation is Operation.NOTHING and not planned.missing and not planned.astray
