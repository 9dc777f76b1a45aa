"""Changes that wait for the row of a parent: what is written down of them, held and told.

A parent that has no row after `PATIENCE` may never have one: its record is of no entity, left out by a rule, or held
itself. Its children are held then, with a message, and are still written by themselves when it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Action, Decision
from syncbridge.inbound.way import WayBack
from syncbridge.model import Operation, Outcome
from syncbridge.store import parent_waits
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.held_records import HeldRecord
from syncbridge.store.parent_waits import ParentWait
from syncbridge.store.sync_log import Incoming

#: Seconds that a lookup waits for its parent's row before it is held.
PATIENCE = 600.0
#: Code of a lookup whose parent has no row, in the log and of what is held.
NO_PARENT = "PARENT_WITHOUT_ROW"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of one page: what is held for it, and what the log is told."""

    held: Sequence[HeldChange] = ()
    told: Sequence[Incoming] = field(default=())
    records: Sequence[HeldRecord] = ()  # of held ones, those that have no row yet


def write(way: WayBack, decisions: Sequence[Decision], looked_at: Iterable[str]) -> Waiting:
    """Record what waits of the records that were looked at, by their remote ids, and that nothing else of them does."""
    columns = way.columns
    if not columns.lookups:
        return Waiting()
    waits = [
        ParentWait(decision.pair.change.remote_id, name, way.kin.parents[columns.lookups[name].parent], parent)
        for decision in decisions
        for name, parent in decision.waiting.items()
    ]
    newly = parent_waits.record(way.store, way.mapping_id, looked_at, waits)
    late = parent_waits.late(way.store, way.mapping_id, [wait.remote_id for wait in waits]) if waits else set()
    told, held, records = [], [], []
    for decision in decisions:
        remote_id = decision.pair.change.remote_id
        if names := [name for name in decision.waiting if (remote_id, name) in newly]:
            told.append(_told(decision, names, columns))
        if names := [name for name in decision.waiting if (remote_id, name) in late]:
            if not_made(decision):
                records.append(held_record(decision, columns, NO_PARENT, _message(decision, names, columns)))
            else:
                held.append(_held(decision, names, columns))
    return Waiting(held, told, records)


def not_made(decision: Decision) -> bool:
    """Whether it is a new record that waits in whole: its key says nothing yet."""
    return decision.new and decision.action is not Action.CREATE


def _told(decision: Decision, names: list[str], columns: Columns) -> Incoming:
    return Incoming(
        "" if not_made(decision) else decision.key,
        Operation.NOTHING,
        Outcome.WAITING,
        decision.pair.change.remote_id,
        fields=", ".join(names),
        code=NO_PARENT,
        message=_message(decision, names, columns),
    )


def _held(decision: Decision, names: list[str], columns: Columns) -> HeldChange:
    change = decision.pair.change
    fields = {name: decision.pair.sides(name) for name in names}
    message = _message(decision, names, columns)
    return HeldChange(decision.key, change.remote_id, "refused", change.modified, fields, NO_PARENT, message)


def held_record(decision: Decision, columns: Columns, code: str, message: str) -> HeldRecord:
    """A new record that did not become a row, as it was read."""
    change = decision.pair.change
    seen = columns.seen(change.fields, decision.pair.external)
    return HeldRecord(change.remote_id, seen, code, message, change.modified)


def _message(decision: Decision, names: list[str], columns: Columns) -> str:
    return "; ".join(
        f"{name} refers to {'a record' if name in columns.sensitive else decision.waiting[name]},"
        f" which no row of the mapping {columns.lookups[name].parent} has yet"
        for name in names
    )
