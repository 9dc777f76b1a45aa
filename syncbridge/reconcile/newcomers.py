"""A close look at records that carry no key, of a mapping whose new remote records become rows."""

from __future__ import annotations

from collections.abc import Sequence

from syncbridge.destinations.feed import LATE
from syncbridge.reconcile.drift import Found, Kind, Record, Standing
from syncbridge.reconcile.sides import Sides
from syncbridge.store import held_records, links, rechecks, watermarks


def look_at_newcomers(sides: Sides, remote_ids: Sequence[str]) -> dict[str, Found]:
    """What each of these records comes to, by its id: a row, held, on its way, or nothing, which is drift."""
    read = sides.destination.current(sides.mapping.object, remote_ids, sides.names, lane=sides.lane)
    linked = links.holders(sides.store, sides.mapping_id, list(remote_ids))
    held = held_records.read(sides.store, sides.mapping_id, remote_ids)
    waiting = rechecks.among(sides.store, sides.mapping_id, remote_ids)
    polled = watermarks.polled_at(sides.store, sides.mapping_id)
    found: dict[str, Found] = {}
    for each in read:
        keyless = each.fields.get(sides.external_field) in (None, "")
        if each.deleted or each.remote_id in linked or not keyless:
            standing = Standing.AGREES
        elif each.remote_id in held:
            standing = Standing.HELD
        elif each.remote_id in waiting or polled is None or each.modified > polled - LATE:
            standing = Standing.ON_ITS_WAY
        else:
            standing = Standing.DRIFT
        kind = Kind.NO_ROW if standing is Standing.DRIFT else None
        record = Record(each.remote_id, each.fields, each.modified)
        found[each.remote_id] = Found("", standing, kind, each.remote_id, record=record)
    return found
