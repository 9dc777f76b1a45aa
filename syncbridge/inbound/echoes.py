"""Echoes: a write of ours is a change of its row like any other, which outbound would compose, compare and find equal.

So the rows of a page are read once more, after all that was done to them and before the commit. Those that hold in
every mapped field just what both sides agreed on are named to capture, which leaves them out. Any other goes through
the outbox: one that a trigger changed, and one of which a field by `sql` says more.
"""

from __future__ import annotations

from syncbridge.inbound.decide import Action
from syncbridge.inbound.recording import Page
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.source import own_writes, row_writes
from syncbridge.store import mappings

_WRITES = (Action.CREATE, Action.UPDATE, Action.INSERT)


def settle(page: Page, way: WayBack) -> None:
    """Name those rows, as the last thing in the transaction that wrote them and their links.

    Where rows and links are in two databases, capture may see the one without the other: then nothing is settled. Nor
    where another version of the mapping came in force, which may compare more; one that is about to waits for the
    commit, and its run finds these rows.
    """
    if not (way.in_one_database and way.two_way.sends and way.columns.whole):
        return
    agreed = _agreed(page)
    if not agreed:
        return
    keys = sorted(agreed)
    rows = row_writes.read(way.source, way.two_way.read_sql, keys)
    there = way.entities(keys) if way.two_way.filtered else rows.keys()
    equal = [key for key, row in rows.items() if key in there and way.columns.holds(row, agreed[key], page.parents)]
    if equal and mappings.stays_in_force(way.store, way.mapping_id, way.mapping.digest):
        own_writes.settle(way.source, way.mapping_id, equal)


def _agreed(page: Page) -> dict[str, Fields]:
    """The new base of each row that was written, unless it is to go out for any reason."""
    return {
        each.key: each.base
        for each in page.decisions
        if each.action in _WRITES
        and each.base is not None
        and each.key not in page.refused
        and not (each.send or each.waiting or each.held or each.bouncing)
    }
