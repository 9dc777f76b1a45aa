"""Remote changes that are held, for who decides: base, row and record of each field, what can be decided, and how.

Values of fields that a mapping calls sensitive never leave this module: they are masked.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from psycopg import Connection

from syncbridge.model import Fields, Normal
from syncbridge.outbound.masking import covered
from syncbridge.store import decisions, held_changes, mappings
from syncbridge.store.decisions import CHOICES, LOCAL, REMOTE, RETRY
from syncbridge.store.held_changes import ROW_DELETED, HeldChange
from syncbridge.store.mappings import AppliedMapping


@dataclass(frozen=True, slots=True)
class HeldRemote:
    """One of them. `fields` has base, local and remote value of each field, as they were when it was held."""

    kind: str
    mapping: str
    key: str
    remote_id: str
    since: datetime | None
    modified: datetime  # the record, by the destination's clock
    committed: datetime | None  # the row; None: capture had seen no change of it
    code: str | None
    message: str | None
    fields: Mapping[str, Mapping[str, Normal]]
    revision: int  # of what is held: who decides names it
    decision: Mapping[str, str]  # field (`*`: the whole) -> local, remote or retry; empty while nobody decided
    decided_at: datetime | None
    commands: tuple[str, ...]  # that decide
    effects: tuple[str, ...]  # what each of them does
    now: Mapping[str, Mapping[str, Normal]] = field(default_factory=dict)  # local and remote value where it is another

    @property
    def said(self) -> str:
        """Why it is held: `both sides changed LastName`, `23514: new row ... violates check constraint "short"`"""
        return ": ".join(part for part in (self.code, self.message) if part)


def view(applied: AppliedMapping, change: HeldChange) -> HeldRemote:
    """A held change as it may be shown."""
    return HeldRemote(
        kind=change.kind,
        mapping=applied.name,
        key=change.key,
        remote_id=change.remote_id,
        since=change.since,
        modified=change.modified,
        committed=change.committed,
        code=change.code,
        message=change.message,
        fields={name: _covered(applied, name, sides) for name, sides in change.fields.items()},
        revision=change.revision,
        decision=change.taken,
        decided_at=change.decided_at,
        commands=tuple(_command(applied.name, change, choice) for choice in choices(change)),
        effects=tuple(_effect(applied, change, choice) for choice in choices(change)),
    )


def listed(store: Connection, *, mapping: str | None, limit: int) -> list[HeldRemote]:
    """What is held, the oldest first."""
    applied = mappings.read_all(store)
    found = decisions.listed(store, mapping=mapping, limit=limit)
    return [view(applied[each.mapping], each.change) for each in found]


def read(store: Connection, applied: AppliedMapping, key: str) -> HeldRemote | None:
    """What is held of one entity."""
    change = held_changes.read(store, applied.id, [key]).get(key)
    return None if change is None else view(applied, change)


def choices(change: HeldChange) -> tuple[str, ...]:
    """What can be decided: LOCAL, REMOTE, RETRY."""
    return CHOICES.get(change.kind, (RETRY,))


def compared(held: HeldRemote, row: Fields | None, record: Fields | None) -> HeldRemote:
    """With what a side holds now where that is another value than the one that is held; None: not there, or not known.

    Of fields that are masked it is not told.
    """
    now: dict[str, dict[str, Normal]] = {}
    for side, fields in (("local", row), ("remote", record)):
        for name, sides in held.fields.items():
            value = (fields or {}).get(name, sides.get(side))
            if value != sides.get(side):
                now.setdefault(name, {})[side] = value
    return replace(held, now=now)


def _command(name: str, change: HeldChange, choice: str) -> str:
    what = f"retry {name}" if choice == RETRY else f"take {choice} {name}"
    seen = "" if choice == RETRY else f" --seen {change.revision}"
    return f"syncbridge conflicts {what} {shlex.quote(change.key)}{seen}"


def _covered(applied: AppliedMapping, name: str, sides: Mapping[str, Normal]) -> dict[str, Normal]:
    if name.lower() not in applied.sensitive:
        return dict(sides)
    return {side: covered(value) for side, value in sides.items()}


def _effect(applied: AppliedMapping, change: HeldChange, choice: str) -> str:
    """What a decision does, in words."""
    if choice == RETRY:
        return "it is tried again"
    if change.kind != "delete":
        return {LOCAL: "the row's value goes to the record", REMOTE: "the record's value is written to the row"}[choice]
    if change.message == ROW_DELETED:
        return {LOCAL: f"the record {_gone(applied, 'to_destination')}", REMOTE: "the row is made anew"}[choice]
    return {LOCAL: "the record is made anew", REMOTE: f"the row {_gone(applied, 'to_postgres')}"}[choice]


def _gone(applied: AppliedMapping, side: str) -> str:
    """What the mapping's `deletes` does to the side that is left when the delete of the other one stands."""
    rule = applied.definition.get("deletes", {}).get(side, "ignore")
    return {"delete": "is deleted too", "ignore": "stays as it is"}.get(str(rule), "is marked as `deletes` says")
