"""Who wrote which value, and who saw it: what a story's end is judged by. Every value that people write is unique."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from tests.convergence.mappings import PLAIN

Side = Literal["here", "there"]
Place = tuple[str, str, str]  # mapping, key, remote field


@dataclass(frozen=True)
class Edit:
    """One value that somebody wrote."""

    number: int
    side: Side
    place: Place
    value: Any


@dataclass
class Ledger:
    """All edits of a story."""

    edits: dict[int, Edit] = field(default_factory=dict)
    last: dict[tuple[Place, Side], Edit] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)  # edits that somebody replaced or deleted who had them before him
    alike: set[int] = field(default_factory=set)  # edits that both sides made
    renewed: set[tuple[str, str]] = field(default_factory=set)  # entities that somebody made anew or undeleted
    shaken: set[tuple[str, str]] = field(default_factory=set)  # entities that were deleted, undeleted or made anew
    decided: dict[Place, tuple[int, dict[str, Any], str]] = field(
        default_factory=dict
    )  # edits until then, values, side
    _same: dict[tuple[str, str], str] = field(default_factory=dict)

    def join(self, name: str, one: str, other: str) -> None:
        """Both are names of one entity from now on: its key, or the remote id of a record that has no key yet."""
        one, other = self.root(name, one), self.root(name, other)
        if one == other:
            return
        self._same[name, one] = other
        for (place, side), edit in list(self.last.items()):
            if place[:2] == (name, one):
                del self.last[place, side]
                known = self.last.get((self.place(place), side))
                if known is None or known.number < edit.number:
                    self.last[self.place(place), side] = edit
        for several in (self.shaken, self.renewed):
            if (name, one) in several:
                several.add((name, other))

    def root(self, name: str, entity: str) -> str:
        """One name for all that an entity has."""
        while (name, entity) in self._same:
            entity = self._same[name, entity]
        return entity

    def place(self, place: Place) -> Place:
        return place[0], self.root(*place[:2]), place[2]

    def shake(self, name: str, entity: str, *, renew: bool = False) -> None:
        """An entity was deleted; with `renew` it was made anew or undeleted."""
        self.shaken.add((name, self.root(name, entity)))
        if renew:
            self.renewed.add((name, self.root(name, entity)))

    def is_shaken(self, name: str, entity: str) -> bool:
        return (name, self.root(name, entity)) in self.shaken

    def write(self, side: Side, place: Place, shape: int, before: Any) -> Any:
        """A new value for a field in which its writer saw `before`."""
        self.see([before])
        place, number = self.place(place), len(self.edits) + 1
        self.edits[number] = edit = Edit(number, side, place, made(place[2], number, shape, side))
        self.last[place, side] = edit
        return edit.value

    def write_alike(self, place: Place, value: Any, before: Any) -> None:
        """The other side writes the same value."""
        self.see([before])
        place, number = self.place(place), number_of(value)
        assert number is not None
        self.alike.add(number)
        self.last[place, "there"] = Edit(number, "there", place, value)

    def see(self, values: Iterable[Any]) -> None:
        """Somebody who saw these puts something else in their place, or deletes them."""
        self.seen.update(number for number in map(number_of, values) if number is not None)

    def side(self, value: Any) -> Side | None:
        """Who wrote a value; None where nobody did, or it is empty."""
        edit = self.edits.get(number_of(value) or 0)
        return None if edit is None else edit.side

    def older(self, new: Any, old: Any, side: Side) -> bool:
        """Whether both were written on this side, and `new` before `old`."""
        a, b = number_of(new), number_of(old)
        if a is None or b is None or a in self.alike:
            return False
        return a < b and self.side(new) == self.side(old) == side


def made(name: str, number: int, shape: int, side: Side) -> Any:
    """A value for a field, in one of the spellings that people use; shape 3 empties it where it can be empty, and what
    the other side refuses is shape 4."""
    if shape == 4 and name in PLAIN:
        return f"v{number}?" if side == "here" else f"v{number}!"
    if shape == 3 and name not in ("LastName", "Name"):
        return None
    if name == "Score__c":
        return Decimal(number) + Decimal("0.128") * (shape == 1)
    if name == "Email":
        return f"V{number}@Example.org" if shape == 1 else f"v{number}@example.org"
    return f"  v{number} " if shape == 1 else f"v{number}"


def number_of(value: Any) -> int | None:
    """The number of the edit that made a value."""
    if isinstance(value, int | float | Decimal):
        return int(value)
    found = re.search(r"v(\d+)", str(value), re.IGNORECASE)
    return int(found[1]) if found else None


def numbers_in(decision: Mapping[str, Any]) -> dict[str, set[int]]:
    """The edits that a decision of the log, or a held change, tells of: by remote field."""
    return {
        name: {n for value in told.values() if not isinstance(value, dict) and (n := number_of(value)) is not None}
        for name, told in decision.items()
    }
