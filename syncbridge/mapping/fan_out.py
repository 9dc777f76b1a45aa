"""From a changed row of a related table to the entities that it belongs to: what is watched, how it is looked up. Pure.

Why no entity is left out. An entity's values read, for each relation, the rows whose own columns equal those of their
anchor; so they can only change when a row of a relation appears, goes or changes, when one moves to other own columns,
or when an anchor's row changes its side of the equality.

* A row that changes in place has its own columns in the stream, and a row that goes or moves its old ones too, as they
  are in the replica identity (`check` sees to it). These texts are the *join keys*. Whoever hangs on the row is found
  by them: the anchor's rows that equal them, the rows these hang on in turn, up to the root.
* The anchors are read as they are at the look, not as they were at the change. That is enough: an anchor's row that
  came to equal a join key, or ceased to, since the change was itself changed, and reports itself in the same way,
  with its own old and new join keys, up to the root, which reports the entity's key. A look comes after its commit can
  be seen, and an entity is composed after its look; so whichever of two changes comes last finds the other one done.
* Neither the entity's filter nor a relation's `where` is applied: a row that stops passing must be looked at too.

A relation that hangs on the root by exactly the columns of its key needs no look: its join keys are entity keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncbridge.mapping.key_sql import GIVEN, key_parts
from syncbridge.mapping.queries import entities_page
from syncbridge.mapping.related import Related, Relation
from syncbridge.mapping.sql import escaped, qualified, quoted
from syncbridge.schemas import Column, Watch

#: Types of which the equal values of any two have the same text.
_SAME_TEXTS = (frozenset({"int2", "int4", "int8"}), frozenset({"text", "varchar"}))
_OWN_TEXTS = frozenset({"uuid", "bool", "date", "enum"})


@dataclass(frozen=True, slots=True)
class FanOut:
    """What one relation's changes tell, and the look for the entities they concern."""

    relation: str
    watch: Watch  # with the mapping id 0
    first: str  # parameters: join keys, limit
    further: str  # parameters: join keys, column texts of the last key, limit


def fan_outs(related: Related, key: Sequence[Column]) -> tuple[FanOut, ...]:
    """One for each relation, anchors first."""
    return tuple(_fan_out(related, relation, key) for relation in related.relations.values())


def watches(fan_outs: Sequence[FanOut], root: Watch) -> tuple[Watch, ...]:
    """What has to be watched for a mapping: each way to its entities once."""
    ways: dict[object, Watch] = {(root.schema, root.table, root.columns): root}
    for fan_out in fan_outs:
        watch = fan_out.watch
        # relations over one table that hang on the same anchor by the same columns have the same look
        way = (watch.schema, watch.table, watch.columns, *([fan_out.first] if watch.relation else []))
        found = Watch(root.mapping_id, watch.schema, watch.table, watch.columns, watch.relation, watch.related)
        ways.setdefault(way, found)
    return tuple(ways.values())


def _fan_out(related: Related, relation: Relation, key: Sequence[Column]) -> FanOut:
    on, table = relation.branch.on, relation.table
    direct = _direct(related, relation, key)
    watch = Watch(0, table.schema, table.name, direct or on.own, "" if direct else relation.name, related=True)
    first, further = (_look_up(related, relation, key, after=after) for after in (False, True))
    return FanOut(relation.name, watch, first, further)


def _direct(related: Related, relation: Relation, key: Sequence[Column]) -> tuple[str, ...]:
    """The relation's columns in the order of the key, when their texts are the key's; else nothing."""
    on = relation.branch.on
    names = [column.name for column in key]
    if on.anchor in related.relations or sorted(on.anchored) != sorted(names):
        return ()
    own = tuple(on.own[on.anchored.index(name)] for name in names)
    same = all(_same_text(relation.table.columns[mine], column) for mine, column in zip(own, key, strict=True))
    return own if same else ()


def _same_text(one: Column, other: Column) -> bool:
    """Whether equal values surely have equal texts."""
    if not (one.deterministic and other.deterministic):
        return False
    if one.base_type == other.base_type and one.base_type in _OWN_TEXTS:
        return one.base_type != "enum" or one.type == other.type
    return any({one.base_type, other.base_type} <= types for types in _SAME_TEXTS)


def _look_up(related: Related, relation: Relation, key: Sequence[Column], *, after: bool) -> str:
    """Keys of the entities that join keys concern.

    Join keys are cast to what they came from, never a column, so that indexes of the columns serve.
    """
    root = related.root.name
    own = [relation.table.columns[name] for name in relation.branch.on.own]
    sources: list[str] = []
    matches = [
        f"{qualified(relation.branch.on.anchor, anchored)} = {part}"
        for anchored, (_, part) in zip(relation.branch.on.anchored, key_parts(own), strict=True)
    ]
    below = relation
    while (anchor := below.branch.on.anchor) in related.relations:
        below = related.relations[anchor]
        on = below.branch.on
        sources.append(_joined(below.table.schema, below.table.name, below.name, matches))
        matches = [
            f"{qualified(on.anchor, anchored)} = {qualified(below.name, mine)}"
            for mine, anchored in zip(on.own, on.anchored, strict=True)
        ]
    sources.append(_joined(related.root.schema, root, root, matches))
    return entities_page(root, key, GIVEN + escaped("".join(sources)), after=after)


def _joined(schema: str, table: str, alias: str, matches: Sequence[str]) -> str:
    return f" join {qualified(schema, table)} as {quoted(alias)} on {' and '.join(matches)}"
