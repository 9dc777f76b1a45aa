"""Read before write: what the destination holds now of what an update or a delete is about, for two-way mappings.

Between the last poll and an update somebody may have changed the same field there; to write over that would lose it
without a word. So the batch is read first, in one call, and where the remote value of a field is not the base any more
nothing of the record is sent: the poller decides about it, by the mapping's rules, with the times of both changes. Its
row waits for that. What both sides hold alike already is not sent either.

It is the same where one side deletes: a record that somebody changed is not deleted, and one that somebody deleted is
not brought back by an update, before the poller has decided which of the two stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from psycopg import Connection

from syncbridge.destinations.base import Destination, RemoteRecord
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, Operation, agrees
from syncbridge.outbound.plan import Planned
from syncbridge.store import held_changes, parent_waits, rechecks
from syncbridge.store.held_changes import HeldChange


@dataclass(slots=True)
class Reread:
    """Looks at the records that one lane is about to update. Does nothing for a one-way mapping."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection
    _owned: frozenset[str] = field(init=False)  # fields that are Postgres's, in small letters

    def __post_init__(self) -> None:
        two_way, fields = self.mapping.two_way, self.mapping.fields
        owned = [each.remote for each in fields if two_way and two_way.is_postgres_owned(each.remote)]
        self._owned = frozenset(name.lower() for name in owned)

    def look(self, sending: list[Planned]) -> list[Planned]:
        """Take out of these what must not be sent; those of `sending` that still need a call."""
        known = self.known(sending)
        if not known:
            return sending
        ids = [str(p.claimed.remote_id) for p in known]
        found = self.destination.read(self.mapping.object, ids, self.names(known), lane=self.mapping.name)
        again = self.judge(known, found)
        if again:
            rechecks.add(self.store, self.mapping_id, again)
        return [p for p in sending if p.operation is not Operation.NOTHING]

    def known(self, planned: Sequence[Planned]) -> list[Planned]:
        """Those of these that are about a record that we know; none of a one-way mapping."""
        return [p for p in planned if _is_known(p)] if self.mapping.two_way is not None else []

    def judge(self, known: Sequence[Planned], found: Sequence[RemoteRecord | None]) -> list[str]:
        """Take out of what is `known` what must not be sent, by what its records hold of `names`.

        The remote ids of records that the poller has to decide about.
        """
        two_way = self.mapping.two_way
        ids = [str(p.claimed.remote_id) for p in known]
        held = held_changes.read(self.store, self.mapping_id, [p.key for p in known])
        waiting = parent_waits.fields(self.store, self.mapping_id, ids) if two_way and two_way.lookups else {}
        again = []
        for p, record in zip(known, found, strict=True):
            remote_id = str(p.claimed.remote_id)
            parked = self._untouched(p, waiting.get(remote_id, set()))
            if self._undecided(p, record, held.get(p.key), parked):
                again.append(remote_id)
        return again

    def _untouched(self, planned: Planned, waiting: set[str]) -> set[str]:
        """Lookups whose remote value waits for a parent's row, where our row still holds what was agreed."""
        base = self._base(planned)
        return {name for name in waiting if name in base and planned.fields.get(name) == base[name]}

    def names(self, known: Sequence[Planned]) -> list[str]:
        """What is written, and all that was agreed on of what is deleted."""
        mapped = {each.remote.lower() for each in self.mapping.fields}
        names = {name for p in known if not _is_delete(p) for name in p.fields}
        agreed = {name for p in known if _is_delete(p) for name in self._base(p) if name.lower() in mapped}
        return sorted(names | agreed)

    def _undecided(
        self, planned: Planned, record: RemoteRecord | None, hold: HeldChange | None, parked: set[str]
    ) -> bool:
        """Leave out what the poller, or a person, has to decide about first; whether it is the poller."""
        if hold is not None and hold.kind == "delete":
            return _leave_alone(planned)  # one side deleted it and a person decides
        if _is_delete(planned):
            return record is not None and self._changed_there(planned, record.fields)
        if record is None:  # deleted there: to write to it would bring it back
            return _leave_alone(planned, "the record")
        if hold is not None:
            parked = parked | parked_by(planned, hold)
        return self._leave_out(planned, record.fields, parked)

    def _changed_there(self, planned: Planned, remote: Fields) -> bool:
        """Whether somebody changed the record that would be deleted. Nobody changes what either side calculates."""
        base, owned = self._base(planned), self._owned
        changed = [n for n, value in base.items() if n.lower() not in owned and n in remote and remote[n] != value]
        if changed:
            fields = self.destination.describe(self.mapping.object).fields
            changed = [name for name in changed if name not in fields or not fields[name].read_only]
        return bool(changed) and _leave_alone(planned, *changed)

    def _leave_out(self, planned: Planned, remote: Fields, parked: set[str]) -> bool:
        """Whether the poller has to decide about a field of this update. Fields that a person decides on just stay."""
        base, owned = self._base(planned), self._owned
        sent, kept, undecided = {}, dict(planned.base), []
        for name, value in planned.fields.items():
            now = remote[name]
            if now == value:
                continue
            if name.lower() in owned or agrees(base, name, now):
                sent[name] = value
            else:
                _restore(kept, base, name)
                undecided.append(name)
        planned.undecided = tuple(name for name in undecided if name not in parked)
        if planned.undecided:  # our write would move the record's time of change, by which `newest` goes
            for name in sent:
                _restore(kept, base, name)
            sent, kept = {}, kept | {name: base[name] for name in base if name not in kept}
        planned.full = planned.full and len(sent) == len(planned.fields)
        planned.fields, planned.base = sent, kept
        if planned.keyless and not planned.undecided:
            return False  # its key is written in any case
        if not sent:
            planned.operation = Operation.NOTHING
            planned.rebased = kept != base
        return bool(planned.undecided)

    def _base(self, planned: Planned) -> Fields:
        fields: Fields = orjson.loads(planned.claimed.base or "{}")
        return fields


def _is_known(planned: Planned) -> bool:
    """Whether it concerns a record that we know: an update, or a delete of it."""
    operation, claimed = planned.operation, planned.claimed
    if claimed.remote_id is None or claimed.base is None:
        return False
    if operation is Operation.UPDATE:
        return bool(planned.fields) and not planned.vanished  # not to write the key alone
    return operation is Operation.DELETE


def _is_delete(planned: Planned) -> bool:
    return planned.operation is Operation.DELETE


def _leave_alone(planned: Planned, *undecided: str) -> bool:
    """Send nothing of it. Without a field that the poller decides about it is settled: a person decides."""
    base: Fields = orjson.loads(planned.claimed.base or "{}")
    planned.operation, planned.fields, planned.base = Operation.NOTHING, {}, base
    planned.undecided = undecided
    return bool(undecided)


def parked_by(planned: Planned, held: HeldChange) -> set[str]:
    """Fields that a person decides on, all where one side was deleted.

    One that bounces, or was refused, goes on by itself once the row holds something new.
    """
    if held.kind == "delete":
        return set(planned.fields)
    if held.kind == "conflict":
        return set(held.fields)
    return {name for name, sides in held.fields.items() if planned.fields.get(name) in sides.values()}


def _restore(kept: Fields, base: Fields, name: str) -> None:
    """The base of a field that is not sent stays as it is."""
    if name in base:
        kept[name] = base[name]
    else:
        kept.pop(name, None)
