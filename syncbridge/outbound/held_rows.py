"""Rows of which a remote change is held, and that are not as they were then: the poller looks at these again.

What a person decides about is then what both sides hold, and a row that was mended is tried again by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection

from syncbridge.outbound.plan import Planned
from syncbridge.store import held_changes, rechecks
from syncbridge.store.held_changes import HeldChange


def follow(store: Connection, mapping_id: int, planned: Sequence[Planned]) -> None:
    """Ask for another look at those of these entities whose row is another one by now than when it was held."""
    held = held_changes.read(store, mapping_id, [p.key for p in planned])
    if held:
        compared = [p for p in planned if p.key in held and p.refusal is None and not p.waits]
        rechecks.add(store, mapping_id, [held[p.key].remote_id for p in compared if _moved(p, held[p.key])])


def _moved(planned: Planned, held: HeldChange) -> bool:
    there = held.kind != "delete" or any("local" in sides for sides in held.fields.values())
    if planned.vanished or not there:
        return planned.vanished is there
    row = planned.base  # what it would be when all of the row is sent
    return any("local" in sides and name in row and row[name] != sides["local"] for name, sides in held.fields.items())
