"""What a person decided about a held change, compared with what both sides hold now. Pure.

A decision holds for the values that were held when it was made, and for no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.resolve import Rule, Side
from syncbridge.model import Fields, Normal, agrees
from syncbridge.store.held_changes import WHOLE, HeldChange

_SIDES = {"local": Side.POSTGRES, "remote": Side.DESTINATION}


@dataclass(frozen=True, slots=True)
class Taken:
    """A decision as far as it holds; `void` says that some of it was about other values."""

    sides: Mapping[str, Side] = field(default_factory=dict)  # by field; WHOLE where one side is gone
    decided_at: datetime | None = None
    void: bool = False

    def rules(self, rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
        """The rules of fields, with the decision before them."""
        own = {Side.POSTGRES: Rule.POSTGRES_OWNS, Side.DESTINATION: Rule.DESTINATION_OWNS}
        return {**rules, **{name: own[side] for name, side in self.sides.items() if name in rules}}

    def conflict(self, conflict: Rule) -> Rule:
        """The rule of a pair of which one side is gone."""
        return Rule(self.sides[WHOLE]) if WHOLE in self.sides else conflict


NOTHING_TAKEN = Taken()


def taken(held: HeldChange | None, base: Fields | None, local: Fields | None, change: RemoteChange) -> Taken:
    """What of a decision about `held` holds for these sides."""
    if held is None or not held.taken:
        return NOTHING_TAKEN
    wanted = {name: _SIDES[said] for name, said in held.taken.items() if said in _SIDES}
    if held.kind == "delete":
        now = {name: values(base, local, change, name) for name in differing(base, local, change)}
        valid = wanted if dict(held.fields) == now and change.deleted == (local is not None) else {}
    else:
        valid = {
            name: side
            for name, side in wanted.items()
            if not change.deleted and local is not None and held.fields.get(name) == values(base, local, change, name)
        }
    return Taken(valid, held.decided_at, void=len(valid) < len(wanted))


def values(base: Fields | None, local: Fields | None, change: RemoteChange, name: str) -> dict[str, Normal]:
    """Base, local and remote value of a field, as far as there are any."""
    sides = {"base": base, "local": local, "remote": change.fields}
    return {side: fields[name] for side, fields in sides.items() if fields is not None and name in fields}


def differing(base: Fields | None, local: Fields | None, change: RemoteChange) -> list[str]:
    """Fields in which the side that is there differs from the base, where the other side is gone."""
    there = (local or {}) if change.deleted else change.fields
    known = base or {}
    return [name for name, value in there.items() if not agrees(known, name, value)]
