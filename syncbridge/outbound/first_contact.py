"""First contact: which existing remote record an entity is that has none yet. Nothing is guessed.

A record is taken for an entity only where it is the only one that agrees in all fields of `match_on`, and no other
entity wants it. What remains doubtful is held for a person. Two lanes must not take one record for two entities: from
finding records to settling what they came to, a batch that takes or holds any is alone in its mapping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.destinations.base import Destination, RemoteRecord, Result
from syncbridge.errors import RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, Normal, Operation
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.plan import Planned
from syncbridge.store import conflicts, links
from syncbridge.store.conflicts import Held

#: Of the records that one entity could be, so many are remembered.
MOST_CANDIDATES = 100


@dataclass(slots=True)
class Met:
    """What first contact comes to for one batch."""

    rest: list[Planned]  # to be upserted: they have a record, or need a new one
    taken: list[tuple[str, Planned]] = field(default_factory=list)  # existing records to be linked, by remote id
    held: dict[str, Held] = field(default_factory=dict)
    decided: bool = False  # somebody had decided about some of them


@dataclass(slots=True)
class FirstContact:
    """First contact of one mapping in one lane. `store` is the lane's connection: the lock is its session's."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection
    _locked: bool = False

    def meet(self, planned: Sequence[Planned], converter: Converter, *, patience: float) -> Met:
        """Look for the records of those that have none. Waits up to `patience` seconds for other lanes.

        When it takes or holds any, the mapping stays locked until `release`. RetryLater when another lane takes too
        long; errors of the destination as they are.
        """
        new = [p for p in planned if p.operation is Operation.CREATE]
        if not new:
            return Met(list(planned))
        decisions = conflicts.decisions(self.store, self.mapping_id, [p.key for p in new])
        matching = bool(self.mapping.match_on)
        sought = [p for p in new if matching and p.key not in decisions and _matchable(p, converter)]
        chosen = {p.key: (decisions[p.key], p) for p in new if decisions.get(p.key)}
        if not (sought or chosen):
            return Met(list(planned))
        self._lock(patience)
        met = _Meeting(self, converter).meet(sought, chosen)
        met.decided = bool(chosen)
        elsewhere = {p.key for _, p in met.taken} | met.held.keys()
        met.rest = [p for p in planned if p.key not in elsewhere]
        if not elsewhere:
            self.release()
        return met

    def link(self, taken: Sequence[tuple[str, Planned]], converter: Converter) -> dict[str, Result]:
        """Write entities over the records that they are, with the key that makes these theirs; key -> result."""
        if not taken:
            return {}
        external, value = converter.external_field, converter.external_value
        records = [(remote_id, {external: value(p.key), **p.fields}) for remote_id, p in taken]
        answers = self.destination.update(self.mapping.object, records, lane=self.mapping.name)
        return {p.key: answer for (_, p), answer in zip(taken, answers, strict=True)}

    def release(self) -> None:
        """Let other lanes meet records: what this one took and held is settled. Harmless when nothing is locked."""
        if self._locked and not self.store.closed:
            conflicts.part(self.store, self.mapping_id)
        self._locked = False

    def _lock(self, patience: float) -> None:
        if not conflicts.meet(self.store, self.mapping_id, patience=patience):
            raise RetryLater("another lane is still at first contact with existing records")
        self._locked = True


@dataclass(slots=True)
class _Meeting:
    """One look at the destination, under the lock."""

    contact: FirstContact
    converter: Converter

    def meet(self, sought: Sequence[Planned], chosen: dict[str, tuple[str, Planned]]) -> Met:
        met = Met([])
        free = self._free(sought)
        own = self._look_up([p.key for p in sought if free.get(p.key)] + [*chosen])
        free = {key: ids for key, ids in free.items() if ids and key not in own}
        ids = {remote_id for several in free.values() for remote_id in several} | {each for each, _ in chosen.values()}
        if not ids:
            return met
        keys = [*free, *chosen]
        holders = links.holders(self.contact.store, self.contact.mapping_id, sorted(ids))
        wanted = conflicts.wanted_by_others(self.contact.store, self.contact.mapping_id, sorted(ids), besides=keys)
        gone = {*holders, *(remote_id for remote_id, given in wanted.items() if given)}
        given = self._follow(chosen, own, gone, met)
        left = {key: [each for each in several if each not in gone | given] for key, several in free.items()}
        self._judge([p for p in sought if left.get(p.key)], left, wanted, met)
        return met

    def _free(self, sought: Sequence[Planned]) -> dict[str, list[str]]:
        """Key -> records that agree and carry no key. A record with the entity's own key settles it: no others."""
        if not sought:
            return {}
        first, *others = self.converter.match_fields
        external = self.converter.external_field
        found = self.contact.destination.find(
            self.contact.mapping.object,
            first.name,
            list(dict.fromkeys(p.fields[first.name] for p in sought)),
            [*(other.name for other in others), external],
            lane=self.contact.mapping.name,
        )
        free: dict[str, list[str]] = {}
        for p in sought:
            agreeing = [each for each in found.get(p.fields[first.name], ()) if self._agrees(each.fields, p.fields)]
            if not any(self._is_own(each, p.key) for each in agreeing):
                free[p.key] = [each.remote_id for each in agreeing if _empty(each.fields.get(external))]
        return free

    def _agrees(self, remote: Fields, ours: Fields) -> bool:
        return all(
            each.comparable(remote.get(each.name)) == each.comparable(ours[each.name])
            for each in self.converter.match_fields
        )

    def _is_own(self, record: RemoteRecord, key: str) -> bool:
        return self.converter.same_key(record.fields.get(self.converter.external_field), key)

    def _look_up(self, keys: Sequence[str]) -> dict[str, str]:
        """Key -> the record that carries it already: after a lost answer, or when the state was set up anew."""
        values = {key: self.converter.external_value(key) for key in keys}
        found = self.contact.destination.find(
            self.contact.mapping.object,
            self.converter.external_field,
            list(values.values()),
            lane=self.contact.mapping.name,
        )
        return {key: found[value][0].remote_id for key, value in values.items() if found.get(value)}

    def _follow(
        self, chosen: dict[str, tuple[str, Planned]], own: dict[str, str], gone: set[str], met: Met
    ) -> set[str]:
        """Take the records that persons chose, unless that can no longer be done; the records that were taken."""
        if not chosen:
            return set()
        external = self.converter.external_field
        ids = list(dict.fromkeys(remote_id for remote_id, _ in chosen.values()))
        read = self.contact.destination.read(
            self.contact.mapping.object, ids, [external], lane=self.contact.mapping.name
        )
        records = dict(zip(ids, read, strict=True))
        given: set[str] = set()
        for key, (remote_id, p) in chosen.items():
            record = records[remote_id]
            if own.get(key) == remote_id:
                continue  # it was written already, and only the answer was lost
            if key in own:
                met.held[key] = Held((remote_id, own[key]), f"{own[key]} carries the key already")
            elif record is None:
                met.held[key] = Held((remote_id,), f"{remote_id}, which was chosen, is gone")
            elif remote_id in gone | given or not _empty(record.fields.get(external)):
                met.held[key] = Held((remote_id,), f"{remote_id}, which was chosen, belongs to another entity now")
            else:
                self._take(remote_id, p, "chosen by a person", met)
                given.add(remote_id)
        return given

    def _judge(self, sought: Sequence[Planned], left: dict[str, list[str]], wanted: dict[str, bool], met: Met) -> None:
        """Take what is beyond doubt, hold the rest."""
        names = ", ".join(each.name for each in self.converter.match_fields)
        claims = Counter(remote_id for several in left.values() for remote_id in several)
        for p in sought:
            ids = left[p.key]
            if len(ids) > 1:
                met.held[p.key] = Held(
                    tuple(sorted(ids)[:MOST_CANDIDATES]), f"{len(ids)} existing records agree in {names}"
                )
            elif claims[ids[0]] > 1 or ids[0] in wanted:
                detail = f"the record that agrees in {names} may be another entity's"
                met.held[p.key] = Held((ids[0],), detail)
            else:
                self._take(ids[0], p, f"found by {names}", met)

    @staticmethod
    def _take(remote_id: str, p: Planned, how: str, met: Met) -> None:
        p.matched = f"linked an existing record, {how}"
        p.fields = p.base  # the destination's own fields are left to it
        met.taken.append((remote_id, p))


def _matchable(planned: Planned, converter: Converter) -> bool:
    """Nothing agrees with an empty value."""
    return not any(_empty(planned.fields.get(each.name)) for each in converter.match_fields)


def _empty(value: Normal) -> bool:
    return value is None or value == ""
