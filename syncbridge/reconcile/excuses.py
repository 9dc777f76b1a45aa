"""What excuses a difference: something of it waits, moved while it was looked at, was not polled yet, or is held.

What was deleted there is on its way, too, unless the guard keeps it out until a person says what is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from syncbridge.destinations.feed import LATE
from syncbridge.model import agrees
from syncbridge.reconcile.drift import Found, Kind, Seen, Standing, Suspect
from syncbridge.reconcile.sides import Sides
from syncbridge.store import (
    fan_out,
    held_changes,
    held_records,
    links,
    outbox,
    parent_waits,
    rechecks,
    runs,
    watermarks,
    way_back,
)
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link


@dataclass(frozen=True, slots=True)
class Excuses:
    """Knows by the state what is on its way, and what a person decides."""

    sides: Sides

    def waiting(self, suspects: Sequence[Suspect]) -> dict[str, Standing]:
        """Those that are on their way, or given up, without asking the destination."""
        guarded = way_back.awaits_word(self.sides.store, self.sides.mapping_id)
        return self._waiting(suspects, () if guarded else suspects)

    def _waiting(self, suspects: Sequence[Suspect], looked_at: Sequence[Suspect]) -> dict[str, Standing]:
        """Those that wait to be delivered, and of `looked_at` those that the poller has to look at again."""
        sides = self.sides
        statuses = outbox.statuses(sides.store, sides.mapping_id, [each.key for each in suspects])
        again = rechecks.among(sides.store, sides.mapping_id, [id for each in looked_at for id in each.remote_ids])
        waiting = {
            key: Standing.HELD if status in ("dead", "held") else Standing.ON_ITS_WAY
            for key, status in statuses.items()
        }
        for each in looked_at:
            if again.intersection(each.remote_ids):
                waiting.setdefault(each.key, Standing.ON_ITS_WAY)
        return waiting

    def excuse(self, found: Sequence[Found], seen: Mapping[str, Seen], asked: datetime) -> list[Found]:
        """The same, with drift only where nothing explains it. What was seen was asked for at this time."""
        sides = self.sides
        drifted = [each for each in found if each.standing is Standing.DRIFT]
        keys = [each.key for each in drifted]
        ids = {each.key: tuple(filter(None, (each.remote_id, each.linked))) for each in drifted}
        guarded = way_back.awaits_word(sides.store, sides.mapping_id)
        suspects = [Suspect(key, ids[key]) for key in keys]
        waiting = self._waiting(suspects, [s for s in suspects if not (guarded and seen[s.key].deleted_at)])
        linked = links.of_entities(sides.store, sides.mapping_id, keys)
        held = held_changes.read(sides.store, sides.mapping_id, keys)
        extra = [str(each.remote_id) for each in drifted if each.kind is Kind.EXTRA]
        refused = held_records.read(sides.store, sides.mapping_id, extra) if extra and sides.makes_rows else {}
        parents = parent_waits.fields(sides.store, sides.mapping_id, [id for several in ids.values() for id in several])
        polled = watermarks.polled_at(sides.store, sides.mapping_id) if sides.mapping.two_way is not None else None
        spreading = fan_out.is_pending(sides.store, sides.mapping_id)
        enqueuing = runs.is_pending(sides.store, sides.mapping_id)
        told = []
        for each in found:
            if each.standing is not Standing.DRIFT:
                told.append(each)
            elif each.key in waiting:
                told.append(replace(each, standing=waiting[each.key]))
            elif (
                spreading
                or _moved(seen[each.key], linked.get(each.key), asked)
                or (enqueuing and each.kind is Kind.MISSING)
                or (each.ours and parents.get(each.remote_id or "", set()).issuperset(each.ours))
                or (sides.mapping.two_way is not None and self._unpolled(seen[each.key], polled, guarded))
            ):
                told.append(replace(each, standing=Standing.ON_ITS_WAY))
            elif each.remote_id in refused:
                told.append(replace(each, standing=Standing.HELD))
            else:
                told.append(_without_held(each, held.get(each.key)))
        return told

    def _unpolled(self, seen: Seen, polled: datetime | None, guarded: bool) -> bool:
        """Whether a record changed so lately that no poll may have seen it. What the guard keeps out was seen."""
        base = seen.base or {}
        times = [seen.deleted_at] if seen.deleted_at is not None and not guarded else []
        for record in {each.remote_id: each for each in (*seen.carriers, seen.linked_record) if each}.values():
            known = record.remote_id == seen.linked and all(
                agrees(base, name, record.fields.get(name)) for name in self.sides.rules.compared
            )
            if record.modified is not None and not known:
                times.append(record.modified)
        return bool(times) and (polled is None or max(times) > polled - LATE)


def _moved(seen: Seen, link: Link | None, asked: datetime) -> bool:
    """Whether it was delivered, or its link written, since the look began."""
    if link is None:
        return seen.linked is not None
    return link.remote_id != seen.linked or link.delivered_at >= asked


def _without_held(found: Found, held: HeldChange | None) -> Found:
    """What a person decides about is no drift; other fields of the same pair are."""
    if held is None:
        return found
    left = [name for name in found.ours if name not in held.fields]
    if held.kind == "delete" or not left:
        return replace(found, standing=Standing.HELD)
    return replace(found, ours={n: found.ours[n] for n in left}, theirs={n: found.theirs[n] for n in left})
