"""What is found about one entity, or one remote record without any: that both sides agree, or how they do not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from syncbridge.model import Fields, Normal


class Kind(StrEnum):
    """How two sides differ. Each entity, or record, is counted under one of them."""

    FIELDS = "fields"  # both are there, and values differ
    MISSING = "missing"  # the entity has no record
    EXTRA = "extra"  # a record carries a key, or is linked to one, that no entity has
    LINK = "link"  # the record that carries the key is not the one that is linked
    KEY = "key"  # the record that is linked does not carry the key
    NO_ROW = "no row"  # a record without a key, which the mapping would make a row of
    TWO_RECORDS = "two records"  # several records carry the key
    TWO_ENTITIES = "two entities"  # the record that is linked is another entity's


class Standing(StrEnum):
    """What a look comes to."""

    AGREES = "agrees"
    DRIFT = "drift"
    ON_ITS_WAY = "on its way"  # something of it waits to be delivered or polled: looked at again
    HELD = "held"  # a person decides, or the record is refused
    BY_RULE = "by rule"  # one side is gone, and the mapping says to leave the other


@dataclass(frozen=True, slots=True)
class Suspect:
    """A key that both sides did not agree about, and records that it may concern; or a record that has no key."""

    key: str
    remote_ids: tuple[str, ...] = ()

    @property
    def is_newcomer(self) -> bool:
        """A record that nobody knows, and of which the mapping makes a row."""
        return not self.key and bool(self.remote_ids)


@dataclass(frozen=True, slots=True)
class Record:
    """A remote record as it is now; `modified` is None where that is not known."""

    remote_id: str
    fields: Fields
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a mapping decides whether a difference is drift."""

    compared: tuple[str, ...]  # remote fields that both sides should hold alike
    deletes: str  # delete | ignore | set: what happens to a record whose entity is gone
    gone: Fields  # what `set` writes to such a record
    keeps_rows: bool  # a row stays when its record is deleted
    sends: bool = True  # rows go out, so that records carry keys; else a link alone tells which row a record is


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that is known of one key, all of it read after the first comparison."""

    key: str
    entity: Fields | None  # None: there is none
    refused: str = ""  # the code, where the entity cannot be composed
    carriers: Sequence[Record] = ()  # records that carry the key
    linked: str | None = None  # remote id
    linked_record: Record | None = None  # None: it is gone, or nothing is linked
    shared_with: str | None = None  # another entity whose record the linked one is
    dropped: bool = False  # its record was deleted there, and the row stayed by rule
    deleted_at: datetime | None = None  # of the linked record, when it is gone
    base: Fields | None = None  # of the link


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at one key came to; `ours` and `theirs` hold the values of differing fields."""

    key: str
    standing: Standing
    kind: Kind | None = None
    remote_id: str | None = None  # of the record that it is about
    ours: Mapping[str, Normal] = field(default_factory=dict)
    theirs: Mapping[str, Normal] = field(default_factory=dict)
    others: tuple[str, ...] = ()  # more records, or an entity, that it is about
    entity: Fields | None = None
    record: Record | None = None
    linked: str | None = None  # remote id


def judge(seen: Seen, rules: Rules) -> Found:
    """Whether both sides agree about this key. What is on its way, or held, is for the caller to know."""
    if seen.refused:
        return Found(seen.key, Standing.HELD)
    found = _absent(seen, rules) if seen.entity is None else _present(seen, seen.entity, rules)
    return replace(found, entity=seen.entity, record=_about(seen, found.remote_id), linked=seen.linked)


def _about(seen: Seen, remote_id: str | None) -> Record | None:
    known = (*seen.carriers, *((seen.linked_record,) if seen.linked_record is not None else ()))
    return next((record for record in known if record.remote_id == remote_id), None)


def _present(seen: Seen, entity: Fields, rules: Rules) -> Found:
    if len(seen.carriers) > 1:
        ids = tuple(record.remote_id for record in seen.carriers)
        return Found(seen.key, Standing.DRIFT, Kind.TWO_RECORDS, seen.linked or ids[0], others=ids)
    record = seen.carriers[0] if seen.carriers else seen.linked_record
    if seen.shared_with is not None and (not seen.carriers or seen.carriers[0].remote_id == seen.linked):
        other = (seen.shared_with,)
        return Found(seen.key, Standing.DRIFT, Kind.TWO_ENTITIES, seen.linked, others=other)
    if record is None:
        if seen.dropped or (not rules.sends and seen.linked is None):
            return Found(seen.key, Standing.BY_RULE)
        return Found(seen.key, Standing.DRIFT, Kind.MISSING, seen.linked)
    differing = [name for name in rules.compared if entity.get(name) != record.fields.get(name)]
    ours = {name: entity.get(name) for name in differing}
    theirs = {name: record.fields.get(name) for name in differing}
    if not seen.carriers and rules.sends:
        return Found(seen.key, Standing.DRIFT, Kind.KEY, record.remote_id, ours, theirs)
    if seen.linked != record.remote_id:
        others = (seen.linked,) if seen.linked else ()
        return Found(seen.key, Standing.DRIFT, Kind.LINK, record.remote_id, ours, theirs, others)
    if differing:
        return Found(seen.key, Standing.DRIFT, Kind.FIELDS, record.remote_id, ours, theirs)
    return Found(seen.key, Standing.AGREES, remote_id=record.remote_id)


def _absent(seen: Seen, rules: Rules) -> Found:
    record = seen.carriers[0] if seen.carriers else seen.linked_record
    if record is None:
        if seen.linked is None:
            return Found(seen.key, Standing.AGREES)
        return Found(seen.key, Standing.DRIFT, Kind.LINK, None, others=(seen.linked,))
    if rules.deletes == "ignore":
        return Found(seen.key, Standing.BY_RULE, remote_id=record.remote_id)
    marked = rules.deletes == "set" and all(record.fields.get(name) == value for name, value in rules.gone.items())
    if marked and len(seen.carriers) < 2:
        return Found(seen.key, Standing.BY_RULE, remote_id=record.remote_id)
    if seen.shared_with is not None and not seen.carriers:
        return Found(seen.key, Standing.DRIFT, Kind.TWO_ENTITIES, record.remote_id, others=(seen.shared_with,))
    others = tuple(each.remote_id for each in seen.carriers[1:])
    return Found(seen.key, Standing.DRIFT, Kind.EXTRA, record.remote_id, others=others)
