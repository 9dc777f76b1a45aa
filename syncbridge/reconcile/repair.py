"""Repair of drift: nothing is sent or written here. Keys go to the outbox, records to be looked at again; delivery and
the poller then do what they always do, with the guard, the log and a read before each update.

What tells them which side is right is the base, what both sides are said to have agreed on last: where it is what the
record holds, the row is what changed; where it is what the row holds, the record is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from syncbridge.model import Fields, Lsn, Priority, Reason
from syncbridge.reconcile.drift import Found, Kind, Record, Standing, Suspect
from syncbridge.reconcile.looking import Looker
from syncbridge.reconcile.sides import Sides
from syncbridge.source import rows
from syncbridge.store import conflicts, database, links, outbox, rechecks

PERSON = "a person decides which of the records stays"
EXTRA_STAYS = "the record stays unless --delete-extra is given"
ROW_STAYS = "the row stays: by the mapping's deletes.to_postgres, or for want of --delete-extra"
NOT_TAKEN = "fields that this side does not give away: see `owner` in the mapping"
NOTHING_SENT = "the mapping sends nothing"
NOT_OURS = "records without a key stay, and are nobody's"
KEY_LOST = "the record needs its key back: --repair postgres"
MOVED = "it changed meanwhile"


class Side(StrEnum):
    """Who is right."""

    POSTGRES = "postgres"
    DESTINATION = "destination"
    RULES = "rules"  # the mapping's own, as if both sides had changed


@dataclass(frozen=True, slots=True)
class Remedy:
    """What is done about one entity. `link` is the record that is its own from now on, with the base."""

    found: Found
    link: tuple[str, Fields] | None = None
    unlink: bool = False
    send: bool = False
    give_key: str | None = None  # a record without a key, which this entity takes
    look_again: str | None = None  # a record
    left: str = ""  # nothing is done, and why


@dataclass(slots=True)
class Repaired:
    """What was asked for."""

    sent: int = 0  # entities that were enqueued
    looked_at: int = 0  # records that the poller looks at again
    relinked: int = 0  # links that were mended and need nothing else
    left: Counter[str] = field(default_factory=Counter)  # why nothing is done -> how many

    @property
    def complete(self) -> bool:
        return not self.left


@dataclass(slots=True)
class Repairer:
    """Repairs what a comparison found, each after another look at it."""

    sides: Sides
    looker: Looker
    side: Side
    delete_extra: bool = False
    repaired: Repaired = field(default_factory=Repaired)

    def repair(self, pages: Iterable[Sequence[Suspect]]) -> Repaired:
        """Look at suspects again, a page at a time, and enqueue what still drifted. Each page is one transaction."""
        for page in pages:
            drifted = [each for each in self.looker.look(page) if each.standing is Standing.DRIFT]
            remedies = [self._possible(self.remedy(each)) for each in drifted]
            database.transact(self.sides.store, lambda remedies=remedies: self._apply(remedies))  # type: ignore[misc]
        return self.repaired

    # -- what to do ---------------------------------------------------------------------------------------------------

    def remedy(self, found: Found) -> Remedy:
        """What is to be done about one drifted entity, or record without an entity."""
        match found.kind:
            case Kind.TWO_RECORDS:
                return Remedy(found, left=PERSON)
            case Kind.EXTRA:
                return self._extra(found)
            case Kind.NO_ROW:
                if self.side is Side.POSTGRES:
                    return Remedy(found, left=NOT_OURS)
                return Remedy(found, look_again=found.remote_id)
            case Kind.MISSING:
                return self._missing(found)
            case Kind.TWO_ENTITIES:
                return Remedy(found, unlink=True, send=True) if self._keyless(found) else Remedy(found, left=PERSON)
            case Kind.KEY:
                return self._without_key(found)
            case Kind.LINK if found.record is None:
                return Remedy(found, unlink=True)
        assert found.record is not None  # both sides are there
        return self._pair(found, found.record)

    def _possible(self, remedy: Remedy) -> Remedy:
        """Without what a mapping that sends nothing cannot do."""
        if self.sides.rules.sends or not remedy.send:
            return remedy
        if remedy.look_again is None:
            return Remedy(remedy.found, left=NOTHING_SENT)
        return replace(remedy, send=False)

    def _pair(self, found: Found, record: Record) -> Remedy:
        """Both sides are there, under one key."""
        if not found.ours:
            return Remedy(found, link=(record.remote_id, self._base(record)))
        if self._one_way or self.side is Side.POSTGRES:
            if not self._one_way and all(name in self.sides.converter.owned for name in found.ours):
                return Remedy(found, left=NOT_TAKEN)
            return Remedy(found, link=(record.remote_id, self._base(record)), send=True)
        if self.side is Side.DESTINATION:
            if not self._written.intersection(name.lower() for name in found.ours):
                return Remedy(found, left=NOT_TAKEN)
            base = {**self._base(record), **found.ours}
            return Remedy(found, link=(record.remote_id, base), look_again=record.remote_id)
        agreed = {name: value for name, value in self._base(record).items() if name not in found.ours}
        link = (record.remote_id, agreed) if found.kind is Kind.LINK else None
        return Remedy(found, link=link, send=True, look_again=record.remote_id)

    def _missing(self, found: Found) -> Remedy:
        if self._one_way or self.side is Side.POSTGRES:
            return Remedy(found, unlink=True, send=True)
        two_way = self.sides.mapping.two_way
        assert two_way is not None  # else it is one-way
        if self.side is Side.DESTINATION:
            if found.linked is None or not self.delete_extra or two_way.deletes.action == "ignore":
                return Remedy(found, left=ROW_STAYS)
            base = {name: (found.entity or {})[name] for name in self.sides.rules.compared}
            return Remedy(found, link=(found.linked, base), look_again=found.linked)
        if found.linked is None:
            return Remedy(found, send=True)
        return Remedy(found, look_again=found.linked)

    def _extra(self, found: Found) -> Remedy:
        assert found.record is not None  # it is about a record
        comes = self.sides.makes_rows and (found.linked is None or not self.sides.rules.sends)
        if self.side is not Side.POSTGRES and comes:
            return Remedy(found, look_again=found.record.remote_id)  # it becomes a row
        if not self.delete_extra or self.side is Side.DESTINATION:
            return Remedy(found, left=EXTRA_STAYS)
        return Remedy(found, link=(found.record.remote_id, self._base(found.record)), send=True)

    def _without_key(self, found: Found) -> Remedy:
        """The linked record lost its key: it gets it back. One that has another key is left to that."""
        if not self._one_way and self.side is Side.DESTINATION:
            return Remedy(found, left=KEY_LOST)
        record = found.record
        empty = record is not None and record.fields.get(self.sides.external_field) in (None, "")
        return Remedy(found, unlink=True, send=True, give_key=found.remote_id if empty else None)

    def _keyless(self, found: Found) -> bool:
        """Whether the record that two entities share carries another key than this one's."""
        record = found.record
        value = record.fields.get(self.sides.external_field) if record is not None else None
        return value is None or self.sides.spelled(value) != self.sides.spelled_key(found.key)

    @property
    def _one_way(self) -> bool:
        return self.sides.mapping.two_way is None

    @property
    def _written(self) -> set[str]:
        """Fields, in small letters, that a remote change may write to the row."""
        two_way = self.sides.mapping.two_way
        assert two_way is not None  # else it is one-way
        names = [field.remote for field in self.sides.mapping.fields if two_way.returns(field.remote)]
        return {name.lower() for name in names if not two_way.is_postgres_owned(name)}

    def _base(self, record: Record) -> Fields:
        return {name: record.fields[name] for name in self.sides.rules.compared}

    # -- doing it -----------------------------------------------------------------------------------------------------

    def _apply(self, remedies: Sequence[Remedy]) -> None:
        """Enqueue; under the locks of the outbox, and only where the link is what the look saw."""
        store, mapping_id = self.sides.store, self.sides.mapping_id
        keys = [each.found.key for each in remedies]
        touched = outbox.lock(store, mapping_id, keys)
        linked = links.remote_ids(store, mapping_id, keys)
        done = []
        for each in remedies:
            if each.left:
                self.repaired.left[each.left] += 1
            elif each.found.key in touched or linked.get(each.found.key) != each.found.linked:
                self.repaired.left[MOVED] += 1
            else:
                done.append(each)
        links.remove(store, mapping_id, [each.found.key for each in done if each.unlink])
        links.upsert(store, mapping_id, {each.found.key: each.link for each in done if each.link is not None})
        taken = {each.found.key: each.give_key for each in done if each.give_key is not None}
        conflicts.decide_for(store, mapping_id, taken, "reconcile: its record had lost its key")
        self._enqueue([each.found.key for each in done if each.send and not each.give_key], Priority.BULK)
        self._enqueue(list(taken), Priority.LIVE_LEFT)  # what no bulk job takes
        again = [each.look_again for each in done if each.look_again is not None]
        rechecks.add(store, mapping_id, again)
        self.repaired.sent += sum(each.send for each in done)
        self.repaired.looked_at += len(again)
        self.repaired.relinked += sum(not each.send and each.look_again is None for each in done)

    def _enqueue(self, keys: Sequence[str], priority: Priority) -> None:
        if keys:
            store = self.sides.store
            lsn = Lsn.parse(rows.position(self.sides.source))
            moment = database.now(store)
            outbox.enqueue(
                store, self.sides.mapping_id, keys, reason=Reason.RESYNC, priority=priority, lsn=lsn, moment=moment
            )
