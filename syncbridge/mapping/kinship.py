"""Which mappings look up the records of which: parents and children, and circles among them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncbridge.mapping.compile import CompiledField, CompiledMapping
from syncbridge.mapping.lookup_sql import lookup_relation


@dataclass(frozen=True, slots=True)
class Child:
    """One field of a mapping that looks up the records of another."""

    mapping_id: int
    mapping: str
    object: str
    field: str
    sensitive: bool = False
    move_sql: str = ""  # `TwoWay.move_sql` of this field; empty where no remote change of it is written

    @property
    def relation(self) -> str:
        """How its entities are found by the parent's key: a relation of `CompiledMapping.fan_out_page`."""
        return lookup_relation(self.field)


@dataclass(frozen=True, slots=True)
class Kin:
    """What the lookups of all mappings mean for one of them."""

    parents: Mapping[str, int] = field(default_factory=dict)  # mappings that it looks up: name -> id
    children: tuple[Child, ...] = ()  # fields that look it up
    circle: frozenset[int] = frozenset()  # mappings that look each other up, this one among them; empty: there is none
    locks: Mapping[int, int] = field(default_factory=dict)  # mapping id -> number of its circle, or its own


def kinship(ids: Mapping[str, int], compiled: Mapping[int, CompiledMapping]) -> dict[int, Kin]:
    """The kin of each compiled mapping by its id. `ids` are those of all mappings in force, even of broken ones."""
    parents = {
        id: {f.lookup: ids[f.lookup] for f in m.fields if f.lookup is not None and f.lookup in ids}
        for id, m in compiled.items()
    }
    circles = _circles({id: sorted(of.values()) for id, of in parents.items()})
    locks = {id: min(circles.get(id, {id})) for id in {*ids.values(), *compiled}}
    return {
        id: Kin(
            parents=parents[id],
            children=tuple(
                _child(child, other, f, mapping)
                for child, other in sorted(compiled.items())
                for f in other.fields
                if f.lookup == mapping.name
            ),
            circle=circles.get(id, frozenset()),
            locks=locks,
        )
        for id, mapping in compiled.items()
    }


def _child(id: int, child: CompiledMapping, field: CompiledField, parent: CompiledMapping) -> Child:
    move_sql = ""
    if child.two_way is not None and field.remote in child.two_way.lookups:
        one_table = (child.schema, child.table) == (parent.schema, parent.table)
        move_sql = child.two_way.move_sql(field.remote, parent.key if one_table else ())
    return Child(id, child.name, child.object, field.remote, field.sensitive, move_sql)


def _circles(parents: Mapping[int, Sequence[int]]) -> dict[int, frozenset[int]]:
    """Node -> the nodes that it reaches and that reach it; nodes in no circle are left out."""
    reached = {node: _reached(node, parents) for node in parents}
    return {
        node: frozenset(other for other in found if node in reached.get(other, ()))
        for node, found in reached.items()
        if node in found
    }


def _reached(start: int, parents: Mapping[int, Sequence[int]]) -> set[int]:
    found: set[int] = set()
    ahead = list(parents[start])
    while ahead:
        node = ahead.pop()
        if node not in found:
            found.add(node)
            ahead.extend(parents.get(node, ()))
    return found
