"""Lookups on the way back: a row holds the key of a parent, its record the parent's remote id, and links tie the two.

A parent that has no link yet says nothing in the other's terms. A key without a record has no normal form, so it agrees
with nothing; a remote id without a row cannot be written, so its field waits (`withhold`), and its base with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import Connection

from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.inbound.decide import Action, Decision
from syncbridge.mapping.keys import decode_key
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Fields, Normal, Normaliser
from syncbridge.schemas import Column
from syncbridge.store import links

_MAKES = (Action.CREATE, Action.INSERT)


@dataclass(frozen=True, slots=True)
class LookupWay:
    """One field whose columns hold the key of a parent."""

    name: str  # as the destination spells it
    parent: str  # the mapping that is looked up
    columns: tuple[Column, ...]
    normalise: Normaliser

    @property
    def required(self) -> bool:
        """A row cannot be made without it."""
        return any(column.not_null for column in self.columns)


@dataclass(frozen=True, slots=True)
class Parents:
    """What links say of the parents that one page speaks of, both ways, by mapping."""

    remote_ids: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (mapping, key) -> remote id
    keys: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (mapping, remote id) -> key

    def normal_form(self, way: LookupWay, key: str | None, untouched: Fields) -> Fields:
        """The field of a row that holds this key; nothing where its parent has no record.

        `untouched` is the base of a row that did not change since, as far as capture knows, else empty. What it refers
        to may have no entity any more, because the parent's record was deleted or merged into another: such a row then
        still says what its base says.
        """
        if key is None:
            return {way.name: None}
        remote_id = self.remote_ids.get((way.parent, key))
        if remote_id is not None:
            return {way.name: way.normalise(remote_id)}
        agreed = untouched.get(way.name)
        orphaned = agreed is not None and (way.parent, str(agreed)) not in self.keys
        return {way.name: agreed} if orphaned else {}

    def texts(self, way: LookupWay, remote_id: Normal) -> dict[str, str | None]:
        """Column -> text of the parent's key. Null clears what may be null. RecordRejected where nothing may."""
        if remote_id is not None:
            key = self.keys[way.parent, str(remote_id)]
            parts = decode_key(key, len(way.columns))
            return {column.name: part for column, part in zip(way.columns, parts, strict=True)}
        cleared: dict[str, str | None] = {column.name: None for column in way.columns if not column.not_null}
        if not cleared:
            names = ", ".join(column.name for column in way.columns)
            raise RecordRejected(f"{way.name}: {names} may not be null", code="NULL_NOT_ALLOWED", fields=(way.name,))
        return cleared

    def refers(self, way: LookupWay, key: str | None, remote_id: Normal) -> bool:
        """Whether a row that holds this key says that its parent is this record."""
        return key is None if remote_id is None else key == self.keys.get((way.parent, str(remote_id)))

    def unknown(self, way: LookupWay, remote_id: Normal) -> bool:
        """Whether no entity has this record."""
        return remote_id is not None and (way.parent, str(remote_id)) not in self.keys


def find(
    store: Connection,
    kin: Kin,
    ways: Sequence[LookupWay],
    *,
    keys: Iterable[Sequence[str | None]],
    records: Iterable[Fields],
) -> Parents:
    """Look up the parents of rows and records, two queries for each mapping that is looked up.

    `keys` are those of each row in the order of `ways`; `records` are remote values and bases. Raises SchemaDrift when
    a parent is no mapping in force.
    """
    if not ways:
        return Parents()
    wanted_keys: dict[str, set[str]] = {way.parent: set() for way in ways}
    wanted_ids: dict[str, set[str]] = {way.parent: set() for way in ways}
    for row in keys:
        for way, key in zip(ways, row, strict=True):
            if key is not None:
                wanted_keys[way.parent].add(key)
    for record in records:
        for way in ways:
            if record.get(way.name) is not None:
                wanted_ids[way.parent].add(str(record[way.name]))
    remote_ids: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], str] = {}
    for parent, of_parent in wanted_keys.items():
        parent_id = _id(kin, parent)
        for key, remote_id in links.remote_ids(store, parent_id, of_parent).items():
            remote_ids[parent, key] = remote_id
        for remote_id, key in links.holders(store, parent_id, sorted(wanted_ids[parent])).items():
            found[parent, remote_id] = key
    return Parents(remote_ids, found)


def _id(kin: Kin, parent: str) -> int:
    if parent not in kin.parents:
        raise SchemaDrift(
            f"a lookup goes to the mapping {parent}, which is not in force",
            code="UNKNOWN_MAPPING",
            hint="Bring its file back and run `syncbridge setup`, then `syncbridge resume` for this mapping.",
        )
    return kin.parents[parent]


def withhold(decision: Decision, ways: Mapping[str, LookupWay], parents: Parents) -> Decision:
    """Without the lookups whose parent has no row yet: they wait, and other fields are written.

    Their base stays, so that they come as a change of the record alone; a row that is made holds null there. One that
    cannot be made without them waits in whole.
    """
    missing = {
        name: str(value)
        for name, value in decision.write.items()
        if name in ways and parents.unknown(ways[name], value)
    }
    if not missing:
        return decision
    base = decision.pair.base
    if decision.action in _MAKES and any(ways[name].required for name in missing):
        return Decision(decision.pair, base=base, waiting=missing, new=decision.new)
    write = {name: value for name, value in decision.write.items() if name not in missing}
    known = dict.fromkeys(missing) if decision.action in _MAKES else {**(decision.pair.local or {}), **(base or {})}
    kept = {name: value for name, value in (decision.base or {}).items() if name not in missing}
    kept |= {name: known[name] for name in missing if name in known}
    return replace(
        decision,
        action=decision.action if write or decision.action in _MAKES else Action.NOTHING,
        write=write,
        base=kept,
        verdicts={name: verdict for name, verdict in decision.verdicts.items() if name not in missing},
        waiting=missing,
    )
