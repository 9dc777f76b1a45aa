"""Moves: what refers to the row of a merged record refers to that of the survivor before the row is deleted.

As the destination does with records. Else the tables' foreign keys would clear what refers to it, delete that, or
refuse; and what they did would go out as if somebody here had wanted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from syncbridge.inbound.decide import Decision
from syncbridge.inbound.way import WayBack
from syncbridge.mapping.kinship import Child
from syncbridge.model import Fields, Operation, Outcome
from syncbridge.source import row_writes
from syncbridge.source.row_writes import Refusal
from syncbridge.store import links, sync_log
from syncbridge.store.sync_log import Incoming

#: Rows that one statement moves to another parent.
AT_ONCE = 5_000


class _Merged(NamedTuple):
    """A record that was merged, and what stands in for it and its row."""

    remote_id: str
    survivor: str  # its remote id
    survivor_key: str


def move_children(way: WayBack, deletes: Sequence[Decision]) -> dict[str, Refusal]:
    """Move what refers to rows of merged records that are about to be deleted, in that transaction.

    In columns that the way back of any mapping writes. Keys of rows that have to stay, because Postgres does not let a
    row that refers to them be moved, with what it says.
    """
    merged = {
        decision.key: _Merged(decision.pair.change.remote_id, survivor.remote_id, survivor.key)
        for decision in deletes
        if (survivor := decision.pair.survivor) is not None and survivor.replaces and survivor.key is not None
    }
    refused: dict[str, Refusal] = {}
    for child in way.kin.children:
        left = {key: each for key, each in merged.items() if key not in refused}
        if left and child.move_sql:
            refused |= _move(way, child, left)
    return refused


def _move(way: WayBack, child: Child, merged: Mapping[str, _Merged]) -> dict[str, Refusal]:
    refused: dict[str, Refusal] = {}
    while parents := {key: each.survivor_key for key, each in merged.items() if key not in refused}:
        moved, found = row_writes.move(way.source, child.move_sql, parents, AT_ONCE)
        refused |= found
        _record(way, child, {key: merged[parent] for key, parent in moved})
        if len(moved) < AT_ONCE:
            break
    why = f"{child.mapping}: a row that refers to this one cannot be moved to the row of the survivor of a merge"
    return {key: Refusal(refusal.code, f"{why}: {refusal.message}") for key, refusal in refused.items()}


def _record(way: WayBack, child: Child, moved: Mapping[str, _Merged]) -> None:
    """Of rows that were moved, by their keys: what both sides agreed on goes along, and the log tells why.

    So it is no edit of the row, and what becomes of its record there is decided as if nothing had happened here.
    """
    bases: dict[str, tuple[str, Fields]] = {}
    told: list[Incoming] = []
    for key, link in links.lock(way.store, child.mapping_id, moved).items():
        merged = moved[key]
        name = next((name for name in link.base if name.lower() == child.field.lower()), child.field)
        if link.base.get(name) == merged.remote_id:
            bases[key] = (link.remote_id, {**link.base, name: merged.survivor})
        what = "what it refers to was" if child.sensitive else f"{merged.remote_id} was"
        where = "another record" if child.sensitive else merged.survivor
        message = f"{what} merged into {where}"
        told.append(Incoming(key, Operation.UPDATE, Outcome.WRITTEN, link.remote_id, name, message=message))
    links.upsert(way.store, child.mapping_id, bases)
    sync_log.append_incoming(way.store, child.mapping_id, told)
