"""Read before write: what the destination holds now of the fields that an update would write, for two-way mappings.

Between the last poll and an update somebody may have changed the same field there; to write over that would lose it
without a word. So the batch is read first, in one call, and a field whose remote value is not the base any more is not
sent: the poller decides about it, by the mapping's rules, with the times of both changes. Its row waits for that. What
both sides hold alike already is not sent either.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, Operation
from syncbridge.outbound.plan import Planned
from syncbridge.store import held_changes, parent_waits, rechecks


@dataclass(slots=True)
class Reread:
    """Looks at the records that one lane is about to update. Does nothing for a one-way mapping."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection

    def look(self, sending: list[Planned]) -> list[Planned]:
        """Take out of these updates what must not be sent; those of `sending` that still need a call."""
        two_way = self.mapping.two_way
        updates = [p for p in sending if _is_update(p)] if two_way is not None else []
        if not updates:
            return sending
        names = sorted({name for p in updates for name in p.fields})
        ids = [str(p.claimed.remote_id) for p in updates]
        found = self.destination.read(self.mapping.object, ids, names, lane=self.mapping.name)
        held = held_changes.read(self.store, self.mapping_id, [p.key for p in updates])
        waiting = (
            parent_waits.fields(self.store, self.mapping_id, ids) if two_way is not None and two_way.lookups else {}
        )
        again = []
        for p, record in zip(updates, found, strict=True):
            if record is None:
                continue  # deleted there: the upsert makes it anew, or the poller says otherwise
            known = held.get(p.key)
            parked = set(known.fields) if known is not None and known.kind == "conflict" else set()
            parked |= self._untouched(p, waiting.get(record.remote_id, set()))
            if self._leave_out(p, record.fields, parked):
                again.append(record.remote_id)
        if again:
            rechecks.add(self.store, self.mapping_id, again)
        return [p for p in sending if p.operation is not Operation.NOTHING]

    def _untouched(self, planned: Planned, waiting: set[str]) -> set[str]:
        """Lookups whose remote value waits for a parent's row, where our row still holds what was agreed."""
        base: Fields = orjson.loads(planned.claimed.base or "{}")
        return {name for name in waiting if name in base and planned.fields.get(name) == base[name]}

    def _leave_out(self, planned: Planned, remote: Fields, parked: set[str]) -> bool:
        """Whether the poller has to decide about a field of this update. Fields that a person decides on just stay."""
        base: Fields = orjson.loads(planned.claimed.base or "{}")
        owned = {name.lower() for name, owner in self._owners() if owner == "postgres"}
        sent, kept, undecided = {}, dict(planned.base), []
        for name, value in planned.fields.items():
            now = remote[name]
            if now == value:
                continue
            if name.lower() in owned or (name in base and base[name] == now):
                sent[name] = value
            else:
                _restore(kept, base, name)
                undecided.append(name)
        planned.full = planned.full and len(sent) == len(planned.fields)
        planned.fields, planned.base = sent, kept
        planned.undecided = tuple(name for name in undecided if name not in parked)
        if not sent:
            planned.operation = Operation.NOTHING
            planned.rebased = kept != base
        return bool(planned.undecided)

    def _owners(self) -> list[tuple[str, str]]:
        """Who owns which field: what no column holds is Postgres's."""
        two_way = self.mapping.two_way
        assert two_way is not None  # the caller looked
        return [
            (field.remote, two_way.owners.get(field.remote, "" if two_way.returns(field.remote) else "postgres"))
            for field in self.mapping.fields
        ]


def _is_update(planned: Planned) -> bool:
    claimed = planned.claimed
    return planned.operation is Operation.UPDATE and not planned.vanished and claimed.remote_id is not None


def _restore(kept: Fields, base: Fields, name: str) -> None:
    """The base of a field that is not sent stays as it is."""
    if name in base:
        kept[name] = base[name]
    else:
        kept.pop(name, None)
