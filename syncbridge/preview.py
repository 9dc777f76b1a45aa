"""What delivery would send, record by record, compared with what the destination holds now. Nothing is written.

Entities are composed as delivery composes them, by the mapping files. A base tells what delivery would send; the remote
record tells what would differ afterwards. The two part where somebody changed a record over there: delivery leaves it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from psycopg import Connection

from syncbridge.destinations.base import Destination, RemoteRecord
from syncbridge.errors import RecordRejected
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Fields, Normal, Operation, Reason
from syncbridge.outbound import kept_rows
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.first_contact import FirstContact
from syncbridge.outbound.lookups import Lookups
from syncbridge.outbound.masking import covered
from syncbridge.outbound.plan import Planned, plan
from syncbridge.outbound.reread import Reread
from syncbridge.source import rows
from syncbridge.store import held_changes, links
from syncbridge.store.claims import Claimed
from syncbridge.store.held_changes import HeldChange

#: Records that are composed, read and compared at once.
PAGE = 2000


#: Of what a person decided about, and no worker carried out yet.
DECIDED = "it was decided, and a worker carries it out"


class Fate(StrEnum):
    """What delivery would come to for one entity."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SAME = "same"
    CHANGED_THERE = "changed there"  # it differs, but not since the last delivery: only `resync --force` sends it
    REFUSED = "refused"
    WAITS = "waits"  # for the record of another mapping's entity
    HELD = "held"  # a person decides which record it is, or which side has its way
    IGNORED = "ignored"  # one side is gone, and the mapping says to do nothing


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a remote record; `sent` is False where delivery leaves it as somebody made it over there."""

    field: str
    before: Normal
    after: Normal
    sent: bool = True
    held: bool = False  # a person decides about it


@dataclass(frozen=True, slots=True)
class Previewed:
    """One entity."""

    key: str
    fate: Fate
    remote_id: str | None = None
    differences: tuple[Difference, ...] = ()
    code: str = ""
    message: str = ""


@dataclass(slots=True)
class Counts:
    """What was seen so far."""

    fates: Counter[Fate] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # by code
    rows: int = 0  # of the table, that were looked at
    complete: bool = True  # no row was left out


@dataclass(slots=True)
class Preview:
    """Previews one mapping. `source` is prepared for reading rows; without `mapping_id` nothing is linked yet, and
    without a `store` there is no state at all.
    """

    mapping: CompiledMapping
    destination: Destination
    source: Connection
    store: Connection | None = None
    mapping_id: int | None = None
    parents: Mapping[str, int] = field(default_factory=dict)  # mappings in force by name, for lookups
    counts: Counts = field(default_factory=Counts)
    _composer: Composer = field(init=False)

    def __post_init__(self) -> None:
        self._composer = Composer(self.mapping, self.destination, self.source)

    def of_keys(self, keys: Sequence[str]) -> Iterator[Previewed]:
        """These entities."""
        unique = sorted(set(keys))
        self.counts.rows += len(unique)
        yield from self._page(unique)

    def of_all(self, limit: int | None) -> Iterator[Previewed]:
        """Every entity in key order, or those of the first `limit` rows; then linked ones that are gone, as many."""
        for page in self._keys(limit):
            self.counts.rows += len(page)
            yield from self._page(page, gone=False)
        if self.store is None or self.mapping_id is None:
            return
        after: str | None = None
        left = limit
        while (left is None or left > 0) and (page := links.keys_after(self.store, self.mapping_id, after, PAGE)):
            after = page[-1]
            present = rows.existing(self.source, self.mapping.compose_sql, page)
            vanished = [key for key in page if key not in present]
            if left is not None:
                vanished = vanished[:left]
                left -= len(vanished)
            yield from self._page(vanished, existing=False)

    def _keys(self, limit: int | None) -> Iterator[list[str]]:
        after: str | None = None
        while True:
            size = PAGE if limit is None else min(PAGE, limit - self.counts.rows)
            if size <= 0:
                self.counts.complete = False
                return
            sql, parameters = self.mapping.keys_page(after, size)
            keys = rows.keys_page(self.source, sql, parameters)
            if keys:
                yield keys
            if len(keys) < size:
                return
            after = keys[-1]

    def _page(self, keys: Sequence[str], *, existing: bool = True, gone: bool = True) -> Iterator[Previewed]:
        if not keys:
            return
        planned, records = self._planned(keys)
        chosen = [p for p in planned if (existing if p.refusal or p.waits or p.kept or p.key in records else gone)]
        for previewed in _Page(self, chosen, records).previewed():
            self.counts.fates[previewed.fate] += 1
            if previewed.fate is Fate.REFUSED:
                self.counts.refused[previewed.code] += 1
            yield self._masked(previewed)

    def _planned(self, keys: Sequence[str]) -> tuple[list[Planned], Mapping[str, Fields]]:
        """What delivery would do, and the records of the entities that are there."""
        linked: Mapping[str, tuple[str, str]] = {}
        if self.store is not None and self.mapping_id is not None:
            linked = links.read_many(self.store, self.mapping_id, keys)
        claimed = [Claimed.unclaimed(key, linked.get(key), reason=Reason.RESYNC) for key in keys]
        entities = self._composer.compose(keys)
        converter = self._composer.converter
        if self.store is not None and converter.lookups:
            kin = Kin(parents={each.mapping: self.parents.get(each.mapping, 0) for each in converter.lookups})
            Lookups(self.mapping_id or 0, self.mapping.name, kin, self.store).resolve(entities, converter.lookups)
        planned = plan(claimed, entities, gone=converter.gone, owned=converter.owned, external=converter.external_field)
        if self.store is not None and self.mapping_id is not None and self.mapping.two_way is not None:
            kept_rows.leave(self.store, self.mapping_id, planned)
        return planned, entities.records

    def _masked(self, previewed: Previewed) -> Previewed:
        if not self.mapping.sensitive:
            return previewed
        shown = tuple(
            replace(each, before=covered(each.before), after=covered(each.after))
            if each.field.lower() in self.mapping.sensitive
            else each
            for each in previewed.differences
        )
        return replace(previewed, differences=shown)


@dataclass(slots=True)
class _Page:
    """One page of planned entities, and the remote records that they are."""

    preview: Preview
    planned: Sequence[Planned]
    records: Mapping[str, Fields]
    _met: dict[str, str] = field(default_factory=dict)  # key -> remote id that first contact would take
    _held: dict[str, str] = field(default_factory=dict)  # key -> why
    _changes: Mapping[str, HeldChange] = field(default_factory=dict)  # remote changes that are held, by key

    def previewed(self) -> Iterator[Previewed]:
        self._first_contact()
        reread, known = self._known()
        found = self._remote(reread.names(known) if reread is not None else ())
        if reread is not None:
            reread.judge(known, [found.get(p.key) for p in known])
        for p in self.planned:
            previewed = self._one(p, found.get(p.key))
            if previewed is not None:
                yield previewed

    def _first_contact(self) -> None:
        preview = self.preview
        if not preview.mapping.match_on or preview.store is None:
            return
        contact = FirstContact(preview.mapping_id or 0, preview.mapping, preview.destination, preview.store)
        try:
            met = contact.meet(self.planned, preview._composer.converter, patience=30.0)
        finally:
            contact.release()
        self._met = {p.key: remote_id for remote_id, p in met.taken}
        self._held = {key: held.detail for key, held in met.held.items()}

    def _known(self) -> tuple[Reread | None, list[Planned]]:
        """Of a mapping with a way back: what looks at records before they are written, and what it looks at."""
        preview = self.preview
        if preview.store is None or preview.mapping_id is None or preview.mapping.two_way is None:
            return None, []
        reread = Reread(preview.mapping_id, preview.mapping, preview.destination, preview.store)
        self._changes = held_changes.read(preview.store, preview.mapping_id, [p.key for p in self.planned])
        return reread, reread.known(self.planned)

    def _remote(self, wanted: Sequence[str]) -> dict[str, RemoteRecord]:
        """The remote record of each key, with the fields that are `wanted` beside those that it would get.

        By its id where that is known, else by external id.
        """
        preview, converter = self.preview, self.preview._composer.converter
        sought = [p for p in self.planned if p.refusal is None and not p.waits and p.key not in self._held]
        ours = [self.records.get(p.key, p.fields) for p in sought]
        names = list(dict.fromkeys([*(name for fields in ours for name in fields), *wanted]))
        names = names or [converter.external_field]
        ids = {p.key: self._met.get(p.key) or p.claimed.remote_id for p in sought}
        known = {key: remote_id for key, remote_id in ids.items() if remote_id}
        lane, object = preview.mapping.name, preview.mapping.object
        read = preview.destination.read(object, list(known.values()), names, lane=lane) if known else []
        found = {key: record for key, record in zip(known, read, strict=True) if record is not None}
        values = {}
        for p in sought:
            if p.key not in found and (p.key in self.records or p.vanished):
                values[p.key] = converter.external_value(p.key)
        if values:
            external = converter.external_field
            several = preview.destination.find(object, external, list(values.values()), names, lane=lane)
            found |= {key: several[value][0] for key, value in values.items() if several.get(value)}
        return found

    def _one(self, p: Planned, remote: RemoteRecord | None) -> Previewed | None:
        if p.refusal is not None:
            return _refused(p.key, p.refusal)
        if p.waits:
            parents = ", ".join(f"{each.parent} {each.parent_key}" for each in p.missing if each.held)
            return Previewed(p.key, Fate.WAITS, p.claimed.remote_id, message=f"for {parents}")
        if p.key in self._held:
            return Previewed(p.key, Fate.HELD, message=self._held[p.key])
        if p.kept:
            return Previewed(p.key, Fate.IGNORED, message="somebody deleted its record, and its row stays")
        ours = self.records.get(p.key)
        change = self._changes.get(p.key)
        if change is not None and change.kind == "delete":
            return self._decided_by_a_person(p, change, ())
        if p.undecided:
            return self._decided_by_the_poll(p, remote, ours)
        if ours is None:
            return self._gone(p, remote)
        if remote is None and p.operation is Operation.NOTHING:
            return Previewed(p.key, Fate.CHANGED_THERE, p.claimed.remote_id, message="its remote record is gone")
        if remote is None:
            return Previewed(p.key, Fate.CREATE, None, _differences({}, ours, ours))
        owned = self.preview._composer.converter.owned  # the destination's own go into new records only
        compared = {name: value for name, value in ours.items() if name not in owned}
        differences = _differences(remote.fields, compared, p.fields, change.fields if change is not None else ())
        if change is not None and not any(each.sent for each in differences):
            return self._decided_by_a_person(p, change, differences)
        if any(each.sent for each in differences):
            return Previewed(p.key, Fate.UPDATE, remote.remote_id, differences, message=p.matched)
        return Previewed(p.key, Fate.CHANGED_THERE if differences else Fate.SAME, remote.remote_id, differences)

    def _decided_by_a_person(self, p: Planned, change: HeldChange, differences: tuple[Difference, ...]) -> Previewed:
        command = f"syncbridge conflicts show {self.preview.mapping.name} {shlex.quote(p.key)}"
        why = f"{change.message}; {DECIDED if change.taken else f'to decide: {command}'}"
        return Previewed(p.key, Fate.HELD, change.remote_id, differences, code=change.code or "", message=why)

    def _decided_by_the_poll(self, p: Planned, remote: RemoteRecord | None, ours: Fields | None) -> Previewed:
        told = "its remote record is gone: the next poll decides" if remote is None else "the next poll decides"
        differences = _differences(remote.fields, ours, ()) if remote is not None and ours is not None else ()
        return Previewed(p.key, Fate.CHANGED_THERE, p.claimed.remote_id, differences, message=told)

    def _gone(self, p: Planned, remote: RemoteRecord | None) -> Previewed | None:
        """Of an entity that is no more; None when it never had a record."""
        if p.claimed.remote_id is None:
            return None
        if remote is None or p.operation is Operation.NOTHING:
            return Previewed(p.key, Fate.SAME, p.claimed.remote_id)
        if p.operation is Operation.DELETE:
            fate = Fate.IGNORED if self.preview.mapping.deletes.action == "ignore" else Fate.DELETE
            return Previewed(p.key, fate, remote.remote_id)
        differences = _differences(remote.fields, p.fields, p.fields)
        return Previewed(p.key, Fate.UPDATE if differences else Fate.SAME, remote.remote_id, differences)


def _refused(key: str, refusal: RecordRejected) -> Previewed:
    return Previewed(key, Fate.REFUSED, code=refusal.code, message=refusal.message)


def _differences(
    remote: Fields, ours: Fields, sent: Collection[str], held: Collection[str] = ()
) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, remote.get(name), value, name in sent, name in held and name not in sent)
        for name, value in ours.items()
        if remote.get(name) != value
    )
