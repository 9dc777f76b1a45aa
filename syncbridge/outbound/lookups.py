"""Lookups of one mapping while a batch is worked out: keys of parents become the ids of their records.

What is not there yet is awaited: the entity rests, or goes out without the field and once more later. `waits` records
that at seam 2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import SchemaDrift
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Lsn, Operation
from syncbridge.outbound.compose import Entities, Missing
from syncbridge.outbound.convert import LookupField
from syncbridge.outbound.plan import Planned
from syncbridge.store import awaited, links

#: Seconds between looks for records that were linked without a word.
LOOK_EVERY = 60.0
#: Seconds until a delete is tried again that lets others go first.
POSTPONED = 1.0
#: ... but so many times as long as it took to find out: that takes seconds where a million others wait.
REST = 10.0


@dataclass(slots=True)
class Lookups:
    """What one lane of a mapping asks of its parents' links, and of its children before it deletes."""

    mapping_id: int
    name: str
    kin: Kin
    store: Connection
    clock: Callable[[], float] = time.monotonic
    looks: bool = True  # for records that were linked without a word: one lane of a worker does
    _looked_at: float = field(default=float("-inf"))

    def release(self) -> None:
        """Make entities pending again whose parents' records have come."""
        if not self.kin.parents:
            return
        if self.looks and self.clock() - self._looked_at > LOOK_EVERY:
            self._looked_at = self.clock()
            awaited.look_again(self.store, self.mapping_id)
        awaited.release(self.store, self.mapping_id)

    def resolve(self, entities: Entities, fields: Sequence[LookupField]) -> None:
        """Put remote ids where composed records hold keys of parents. Raises SchemaDrift when a parent is no mapping.

        An entity that waits is no longer among the records; what it waits for stands in `entities.missing`, as does
        what others are sent without.
        """
        by_parent: dict[str, list[LookupField]] = {}
        for each in fields:
            by_parent.setdefault(each.mapping, []).append(each)
        for parent, of_parent in by_parent.items():
            self._resolve_parent(entities, parent, of_parent)
        held = [key for key, missing in entities.missing.items() if any(each.held for each in missing)]
        if held and self.kin.circle:
            self._send_alone(entities, held)
        for key, missing in entities.missing.items():
            if any(each.held for each in missing):
                del entities.records[key]

    def _resolve_parent(self, entities: Entities, parent: str, fields: Sequence[LookupField]) -> None:
        parent_id = self.kin.parents.get(parent)
        if parent_id is None:
            raise SchemaDrift(
                f"{self.name} looks up the mapping {parent}, which is not in force",
                code="UNKNOWN_MAPPING",
                hint=f"Bring its file back and run `syncbridge setup`, then `syncbridge resume {self.name}`.",
            )
        records = entities.records
        wanted = {str(record[f.name]) for f in fields for record in records.values() if record[f.name] is not None}
        found = links.remote_ids(self.store, parent_id, wanted) if wanted else {}
        for each in fields:
            for key, record in records.items():
                parent_key = record[each.name]
                if parent_key is None:
                    continue
                remote_id = found.get(str(parent_key))
                record[each.name] = None if remote_id is None else each.normalise(remote_id)
                if remote_id is None:
                    missing = Missing(parent, parent_id, str(parent_key), held=each.waits)
                    entities.missing.setdefault(key, []).append(missing)

    def _send_alone(self, entities: Entities, held: Iterable[str]) -> None:
        """What stands in a circle, and was chosen to break it, does not wait."""
        chosen = awaited.alone(self.store, self.mapping_id, held)
        for key in {key for key, _, _ in chosen}:
            entities.missing[key] = [
                each._replace(held=each.held and (key, each.parent_id, each.parent_key) not in chosen)
                for each in entities.missing[key]
            ]

    def postpone_deletes(self, planned: Sequence[Planned], destination: Destination) -> None:
        """A record is deleted after those that look it up, where these are about to be changed.

        Otherwise the destination may delete them along, or refuse. Mappings that look each other up do not wait for one
        another: they could wait for ever.
        """
        deletes = {p.claimed.remote_id: p for p in planned if p.operation is Operation.DELETE and p.claimed.remote_id}
        if not deletes:
            return
        together = {p.key for p in deletes.values()}
        for child in self.kin.children:
            itself = child.mapping_id == self.mapping_id
            if child.mapping_id in self.kin.circle and not itself:
                continue
            described = destination.describe(child.object)
            name = next((n for n in described.fields if n.lower() == child.field.lower()), child.field)
            until = max(Lsn.parse(p.claimed.lsn) for p in deletes.values())
            began = self.clock()
            referring = links.changing(self.store, child.mapping_id, name, deletes, until)
            delay = max(POSTPONED, REST * (self.clock() - began))
            for remote_id, key in referring:
                if not (itself and key in together):
                    p = deletes[remote_id]
                    p.operation = Operation.NOTHING
                    p.postponed = f"waits for {child.mapping} {key}, which refers to it and is changed first"
                    p.postponed_for = delay
