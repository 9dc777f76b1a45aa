"""A close look at few keys: both sides, link, outbox and all that is held, each as it is now.

The order of reading makes it sure. What is in the outbox is not looked at: it is on its way. Then the records are read,
then the rows; then capture must have passed the position of that moment; and then outbox and links are read again. A
difference that is left was there while nothing of it was on its way: no change of either side explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncbridge.errors import RecordRejected
from syncbridge.model import Fields
from syncbridge.outbound.compose import Entities
from syncbridge.reconcile.drift import Found, Record, Seen, Standing, Suspect, judge
from syncbridge.reconcile.excuses import Excuses
from syncbridge.reconcile.newcomers import look_at_newcomers
from syncbridge.reconcile.sides import Sides
from syncbridge.store import database, kept_rows, links
from syncbridge.store.links import Link


@dataclass(slots=True)
class Looker:
    """Looks at suspects, a page of them at a time. `captured` waits for capture, and says whether it came."""

    sides: Sides
    captured: Callable[[], bool]
    excuses: Excuses = field(init=False)
    capture_behind: bool = field(default=False, init=False)  # some difference may be a change that nobody captured

    def __post_init__(self) -> None:
        self.excuses = Excuses(self.sides)

    def look(self, suspects: Sequence[Suspect]) -> list[Found]:
        """What each comes to, in order. Calls: one for each 500 records or so."""
        newcomers = [each.remote_ids[0] for each in suspects if each.is_newcomer]
        keyed = [each for each in suspects if not each.is_newcomer]
        waiting = self.excuses.waiting(keyed)
        sought = [each for each in keyed if each.key not in waiting]
        found = {each.key: each for each in self._look(sought)} if sought else {}
        new = look_at_newcomers(self.sides, newcomers) if newcomers else {}
        return [
            new[each.remote_ids[0]] if each.is_newcomer else found.get(each.key) or Found(each.key, waiting[each.key])
            for each in suspects
        ]

    def _look(self, sought: Sequence[Suspect]) -> list[Found]:
        sides = self.sides
        asked = database.now(sides.store)
        before = links.of_entities(sides.store, sides.mapping_id, [each.key for each in sought])
        seen = self._see(sought, before)
        found = [judge(each, sides.rules) for each in seen]
        if not any(each.standing is Standing.DRIFT for each in found):
            return found
        if not self.captured():
            self.capture_behind = True
        return self.excuses.excuse(found, {each.key: each for each in seen}, asked)

    # -- what is seen -------------------------------------------------------------------------------------------------

    def _see(self, sought: Sequence[Suspect], linked: Mapping[str, Link]) -> list[Seen]:
        sides = self.sides
        ids = {each.key: {*each.remote_ids, *_id_of(linked.get(each.key))} for each in sought}
        records, deleted = self._records({remote_id for several in ids.values() for remote_id in several})
        carriers = {
            key: [records[each] for each in sorted(several) if each in records and self._carries(records[each], key)]
            for key, several in ids.items()
        }
        if sides.rules.sends:
            self._search(carriers)
        entities = sides.entities([each.key for each in sought])
        shared = self._shared(linked, carriers, records)
        present = entities.records.keys() | entities.missing.keys()  # the latter wait for a parent
        missing = [key for key, several in carriers.items() if not several and key in present]
        dropped = kept_rows.among(sides.store, sides.mapping_id, missing) if sides.rules.keeps_rows else set()
        seen = []
        for each in sought:
            link = linked.get(each.key)
            record = records.get(link.remote_id) if link is not None else None
            there = bool(carriers[each.key]) or record is not None
            entity, refused = _entity_of(entities, each.key, there=there)
            seen.append(
                Seen(
                    each.key,
                    entity,
                    refused,
                    carriers[each.key],
                    link.remote_id if link is not None else None,
                    record,
                    shared.get(each.key),
                    dropped=each.key in dropped and link is None,
                    deleted_at=deleted.get(link.remote_id) if link is not None else None,
                    base=link.base if link is not None else None,
                )
            )
        return seen

    def _records(self, remote_ids: Iterable[str]) -> tuple[dict[str, Record], dict[str, datetime]]:
        """Those of these records that are there, and when the others were deleted."""
        ids = sorted(remote_ids)
        if not ids:
            return {}, {}
        sides = self.sides
        found = sides.destination.current(sides.mapping.object, ids, sides.names, lane=sides.lane)
        there = [each for each in found if not each.deleted]
        records = {each.remote_id: Record(each.remote_id, each.fields, each.modified) for each in there}
        return records, {each.remote_id: each.modified for each in found if each.deleted}

    def _carries(self, record: Record, key: str) -> bool:
        value = record.fields.get(self.sides.external_field)
        return value is not None and self.sides.spelled(value) == self.sides.spelled_key(key)

    def _search(self, carriers: dict[str, list[Record]]) -> None:
        """By external id, where no record is known that carries the key."""
        sides = self.sides
        values = {}
        for key in [key for key, several in carriers.items() if not several]:
            try:
                values[key] = sides.converter.external_value(key)
            except RecordRejected:
                continue  # no record can carry it
        if not values:
            return
        found = sides.destination.find(
            sides.mapping.object, sides.external_field, list(values.values()), sides.names, lane=sides.lane
        )
        for key, value in values.items():
            carriers[key] += [Record(each.remote_id, each.fields) for each in found.get(value, ())]

    def _shared(
        self, linked: Mapping[str, Link], carriers: Mapping[str, Sequence[Record]], records: Mapping[str, Record]
    ) -> dict[str, str]:
        """Key -> another entity that is linked to the same record, unless only this one's key is on it."""
        sides = self.sides
        holders: dict[str, list[str]] = {}
        for link in links.of_records(sides.store, sides.mapping_id, {each.remote_id for each in linked.values()}):
            holders.setdefault(link.remote_id, []).append(link.key)
        shared = {}
        for key, link in linked.items():
            rightful = any(each.remote_id == link.remote_id for each in carriers.get(key, ()))
            record = records.get(link.remote_id)
            for other in holders.get(link.remote_id, ()):
                if other != key and record is not None and (not rightful or self._carries(record, other)):
                    shared[key] = other
        return shared


def _id_of(link: Link | None) -> tuple[str, ...]:
    return () if link is None else (link.remote_id,)


def _entity_of(entities: Entities, key: str, *, there: bool) -> tuple[Fields | None, str]:
    """The entity, and why it cannot be composed. One that waits for a parent's record lacks its own, or is refused."""
    if key in entities.refused:
        return None, entities.refused[key].code
    if key in entities.records:
        return entities.records[key], ""
    if key not in entities.missing:
        return None, ""
    return (None, "WAITS") if there else ({}, "")
