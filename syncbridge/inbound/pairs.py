"""Pairs: each change of a page beside its row, which is locked, and beside what is known of its entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound import parents
from syncbridge.inbound.decide import Pair
from syncbridge.inbound.known import Known
from syncbridge.inbound.parents import Parents
from syncbridge.inbound.taking import taken
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.source import row_writes
from syncbridge.source.row_writes import Row


@dataclass(frozen=True, slots=True)
class Paired:
    """The pairs of a page."""

    pairs: list[Pair]  # of entities that exist, or may, in key order
    fresh: list[Pair]  # of new records, of which rows are to be made
    locked: frozenset[str]  # keys of rows that are there, also of those that are no entity
    parents: Parents


def pair(way: WayBack, ready: Mapping[str, RemoteChange], fresh: Mapping[str, RemoteChange], known: Known) -> Paired:
    """Lock the rows of changes by their keys, and read what they hold; in the transaction that writes them."""
    locked = row_writes.lock(way.source, way.two_way.lock_sql, list(ready)) if ready else {}
    rows = _entities(way, locked)
    family = _parents(way, rows, {**ready, **fresh}, known)
    nothing = Known()
    locals = _locals(way, rows, ready, known, family)
    return Paired(
        [_pair(way, key, change, known, locals.get(key)) for key, change in ready.items()],
        [_pair(way, key, change, nothing) for key, change in fresh.items()],
        frozenset(locked),
        family,
    )


def _entities(way: WayBack, locked: Mapping[str, Row]) -> Mapping[str, Row]:
    """The rows that pass the mapping's filter."""
    if not way.two_way.filtered or not locked:
        return locked
    there = way.entities(locked)
    return {key: row for key, row in locked.items() if key in there}


def _parents(way: WayBack, rows: Mapping[str, Row], changes: Mapping[str, RemoteChange], known: Known) -> Parents:
    """What links say of all that these rows and changes refer to."""
    columns = way.columns
    records = [change.fields for change in changes.values()]
    records += [known.links[key].base for key in changes if key in known.links]
    keys = map(columns.parent_keys, rows.values())
    return parents.find(way.store, way.kin, list(columns.lookups.values()), keys=keys, records=records)


def _locals(
    way: WayBack, rows: Mapping[str, Row], ready: Mapping[str, RemoteChange], known: Known, family: Parents
) -> dict[str, Fields]:
    """Rows in normal form, with what their own columns do not hold where nothing else says what that is."""
    bases = {key: known.base(key, ready[key]) for key in rows}
    asked = {key: base for key, base in bases.items() if not ready[key].deleted}
    calculated = way.columns.calculated.beyond(asked, way.store, way.source, way.kin)
    found = {}
    for key, row in rows.items():
        untouched = (bases[key] or {}) if key not in known.touched else {}
        found[key] = way.columns.local(row, family, untouched) | calculated.get(key, {})
    return found


def _pair(way: WayBack, key: str, change: RemoteChange, known: Known, local: Fields | None = None) -> Pair:
    columns = way.columns
    base = known.base(key, change, there=local is not None)
    carried = (change.fields[columns.external_id],) if columns.external_id in change.fields else ()
    made = base is None and any(columns.carries(value, key) for value in carried)
    mapped = columns.mapped(change.fields)
    change = RemoteChange(change.remote_id, change.modified, mapped, change.deleted, change.merged_into)
    return Pair(
        key,
        change,
        base,
        local,
        committed=known.touched[key].changed_at if key in known.touched else None,
        taken=taken(known.held.get(key), base, local, change),
        stored=known.stored(key, change.fields, made=made),
        external=carried,
        survivor=known.survivors.get(change.remote_id),
    )
