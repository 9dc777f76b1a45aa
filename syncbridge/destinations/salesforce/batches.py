"""Which records go into one call: up to 200, never two of one key, and those of one parent together.

A write of a child locks its parent for as long as the call runs, so that two calls with children of one parent wait
for each other and one may be refused (UNABLE_TO_LOCK_ROW). Children of one parent therefore share a call where they
fit, and `held_by` says what each call locks, so that calls which would meet are made one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from syncbridge.model import Fields
from syncbridge.schemas import FieldKind, RemoteObject

BATCH = 200
#: Objects to which nearly every record refers; a write does not lock them.
_NOT_LOCKED = frozenset(("User", "Group", "Queue", "Profile", "RecordType", "BusinessHours", "Organization"))

#: The parents that one record refers to, in the order of `parent_fields`.
Parents = tuple[str, ...]


def parent_fields(described: RemoteObject | None) -> frozenset[str]:
    """Names of the fields whose parents a write locks; none of an object that is not described yet."""
    if described is None:
        return frozenset()
    return frozenset(
        name
        for name, field in described.fields.items()
        if field.kind is FieldKind.REFERENCE and not _NOT_LOCKED.issuperset(field.refers_to)
    )


def parents_of(records: Sequence[Fields], fields: frozenset[str]) -> list[Parents]:
    """What each record refers to: the field first whose parents are shared by the most records."""
    written = sorted({name for record in records for name in record if name in fields})
    if not written:
        return [()] * len(records)
    columns = {name: [record.get(name) for record in records] for name in written}
    order = sorted(written, key=lambda name: crowding(columns[name]), reverse=True)
    rows = zip(*(columns[name] for name in order), strict=True)
    return [tuple(value for value in row if isinstance(value, str)) for row in rows]


def crowding(values: Sequence[Any]) -> float:
    """Records for each parent, those without one left out."""
    given = [value for value in values if value]
    return len(given) / len(set(given)) if given else 0.0


def calls_for(keys: Sequence[str], parents: Sequence[Parents] = (), size: int = BATCH) -> Iterator[list[list[int]]]:
    """Waves of calls, each call the positions it holds.

    Equal keys come in later waves, so that they are never in flight together and the last one wins.
    """
    if len(set(keys)) == len(keys):
        yield _together(range(len(keys)), parents, size)
        return
    waves: list[list[int]] = []
    seen: dict[str, int] = {}
    for position, key in enumerate(keys):
        wave = seen[key] = seen.get(key, -1) + 1
        if wave == len(waves):
            waves.append([])
        waves[wave].append(position)
    for positions in waves:
        yield _together(positions, parents, size)


def held_by(call: Sequence[int], parents: Sequence[Parents]) -> frozenset[str]:
    """Ids of the parents that a call locks."""
    return frozenset(parent for position in call for parent in parents[position])


def _together(positions: Sequence[int], parents: Sequence[Parents], size: int) -> list[list[int]]:
    """As few calls as can be, children of one parent in one of them, or in as few as can be."""
    if len(positions) <= size or not any(parents):
        return [list(positions[start : start + size]) for start in range(0, len(positions), size)]
    families: dict[str, list[int]] = {}
    for position in positions:
        families.setdefault(parents[position][0] if parents[position] else "", []).append(position)
    alone = families.pop("", [])
    calls: list[list[int]] = [[] for _ in range(-(-len(positions) // size))]
    split: list[list[int]] = []
    full = 0  # so many calls, from the first
    for family in sorted(families.values(), key=len, reverse=True):
        while full < len(calls) and len(calls[full]) == size:
            full += 1
        fits = next((at for at in range(full, len(calls)) if len(calls[at]) + len(family) <= size), None)
        if fits is not None:
            calls[fits].extend(family)
        elif len(family) > size:
            _fill(calls, family, size)
        else:
            split.append(family)
    for family in (*split, alone):
        _fill(calls, family, size)
    return [call for call in calls if call]


def _fill(calls: Sequence[list[int]], family: Sequence[int], size: int) -> None:
    """Put records wherever there is room."""
    at = 0
    for call in calls:
        free = size - len(call)
        call.extend(family[at : at + free])
        at += free
