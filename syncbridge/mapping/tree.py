"""Which relation of a mapping hangs on which: what `on` says, and the tree that all of them make. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncbridge.mapping.names import did_you_mean

_IDENTIFIER = r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")'
_COLUMN = rf"({_IDENTIFIER})\s*\.\s*({_IDENTIFIER})"
_EQUALITY = re.compile(rf"\s*{_COLUMN}\s*=\s*{_COLUMN}\s*")
_AND = re.compile(r"and\b", re.IGNORECASE)
_RIGHT = "several joined by `and`; other conditions belong into where:"


@dataclass(frozen=True, slots=True)
class On:
    """What joins a relation: its columns `own` equal the columns `anchored` of its anchor, in this order."""

    anchor: str
    own: tuple[str, ...]
    anchored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One relation's place: it hangs on `on.anchor`, and is joined inside the roll-up `inside` unless that is empty."""

    name: str
    on: On
    inside: str
    rolled_up: bool


@dataclass(frozen=True, slots=True)
class TreeFault:
    """Why a relation has no place in the tree; `part` is the key of the relation that says so."""

    name: str
    part: str
    message: str
    remedy: str = ""


def parse_on(text: str, name: str) -> On:
    """Read the `on` of the relation `name`. Raises ValueError with how it should read."""
    example = f"write `{name}.id = other.{name}_id`, {_RIGHT}"
    anchors: list[str] = []
    own: list[str] = []
    anchored: list[str] = []
    place = 0
    while True:
        match = _EQUALITY.match(text, place)
        if match is None:
            raise ValueError(example)
        first, first_column, second, second_column = (_folded(part) for part in match.groups())
        if (first == name) == (second == name):
            raise ValueError(f"one side of every equality is {name}, the other is what it hangs on: {example}")
        if second == name:
            first, first_column, second, second_column = second, second_column, first, first_column
        own.append(first_column)
        anchors.append(second)
        anchored.append(second_column)
        place = match.end()
        if place == len(text):
            break
        joint = _AND.match(text, place)
        if joint is None:
            raise ValueError(example)
        place = joint.end()
    if len(set(anchors)) > 1:
        raise ValueError(f"{name} hangs on one table or relation, not on {' and '.join(dict.fromkeys(anchors))}")
    return On(anchors[0], tuple(own), tuple(anchored))


def _folded(identifier: str) -> str:
    """An identifier as Postgres stores it: what is not quoted is lower case."""
    if identifier.startswith('"'):
        return identifier[1:-1].replace('""', '"')
    return "".join(letter.lower() if letter.isascii() else letter for letter in identifier)


def grow(root: str, related: Mapping[str, tuple[str, bool]]) -> tuple[tuple[Branch, ...], tuple[TreeFault, ...]]:
    """The tree of these relations (name -> its `on`, whether it is rolled up), anchors first; and what has no place."""
    read: dict[str, On] = {}
    faults: list[TreeFault] = []
    for name, (on, _) in related.items():
        try:
            read[name] = parse_on(on, name)
        except ValueError as error:
            faults.append(TreeFault(name, "on", str(error)))
            continue
        anchor = read[name].anchor
        if anchor != root and anchor not in related:
            near = did_you_mean(anchor, [root, *(other for other in related if other != name)])
            faults.append(TreeFault(name, "on", f"there is no table or relation {anchor!r} here{near}"))
    branches: dict[str, Branch] = {}
    while ready := [name for name in read if name not in branches and read[name].anchor in (root, *branches)]:
        for name in ready:
            rolled_up = related[name][1]
            inside = _inside(branches.get(read[name].anchor))
            branches[name] = Branch(name, read[name], inside, rolled_up)
            if inside and rolled_up:
                message = f"{name} hangs on {read[name].anchor}, which is rolled up already"
                faults.append(TreeFault(name, "rollup", message, f"Join it there, and use it in {inside}.rollup."))
    faults += _circles({name: on.anchor for name, on in read.items() if name not in branches})
    return tuple(branches.values()), tuple(faults)


def _inside(anchor: Branch | None) -> str:
    if anchor is None:
        return ""
    return anchor.name if anchor.rolled_up else anchor.inside


def _circles(anchors: Mapping[str, str]) -> Iterator[TreeFault]:
    """Of the relations that never reach the root, those that hang on each other in a circle."""
    told: set[str] = set()
    for name in anchors:
        walk = [name]
        while (after := anchors.get(walk[-1])) is not None and after not in walk:
            walk.append(after)
        if after is None:
            continue  # it ends at one whose own fault is told
        circle = walk[walk.index(after) :]
        if not told & set(circle):
            listed = " -> ".join([*circle, circle[0]])
            yield TreeFault(circle[0], "on", f"these relations hang on each other in a circle: {listed}")
        told.update(circle)
