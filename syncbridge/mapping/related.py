"""The relations of a mapping over their tables: how they are joined, which columns and roll-ups they offer. Pure.

A relation without `rollup` is a left join, which adds no row because its own columns are unique. A rolled-up one is a
lateral sub-select that gives exactly one row, whatever it finds. Nothing here is escaped for psycopg.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from syncbridge.errors import Finding
from syncbridge.mapping.key_sql import KEY_TYPES
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import qualified, quoted
from syncbridge.mapping.tree import Branch, grow
from syncbridge.schemas import Column, Table

#: Base types that compare with each other, though perhaps not by an index.
_COMPARABLE = ({"int2", "int4", "int8", "numeric"}, {"text", "varchar", "bpchar", "citext"})


@dataclass(frozen=True, slots=True)
class Joined:
    """The join of one relation to the entity's row."""

    name: str
    path: tuple[str, ...]  # relations that have to be joined for it, itself last
    words: frozenset[str]  # an expression with one of these names may speak of it
    sql: str  # begins with a blank


class Reference(NamedTuple):
    """What `column` of a field names."""

    sql: str
    table: Table
    column: Column | None  # None of a roll-up


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation and its table."""

    branch: Branch
    table: Table
    where: str | None
    rollup: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.branch.name


@dataclass(frozen=True, slots=True)
class Related:
    """All relations of one mapping, anchors first."""

    root: Table
    relations: Mapping[str, Relation]

    def table(self, alias: str) -> Table:
        """The table of a relation, or the root."""
        return self.relations[alias].table if alias in self.relations else self.root

    def path(self, name: str) -> tuple[str, ...]:
        """From the relation next to the root down to this one."""
        path = [name]
        while (anchor := self.relations[path[-1]].branch.on.anchor) in self.relations:
            path.append(anchor)
        return tuple(reversed(path))

    def joins(self) -> tuple[Joined, ...]:
        """Every join to the root, in an order that Postgres takes."""
        outer = [relation for relation in self.relations.values() if not relation.branch.inside]
        outer.sort(key=lambda relation: bool(relation.rollup))  # rows grow wide before they are rolled up, not after
        return tuple(
            Joined(relation.name, self.path(relation.name), self._words(relation), self._join(relation))
            for relation in outer
        )

    def alone(self, name: str, *, where: str | None = None, rollup: Mapping[str, str] | None = None) -> str:
        """The joins that lead to one relation, with this condition and these roll-ups, and with no others."""
        top = self.path(name)
        wanted = set(top) | {other for other, relation in self.relations.items() if relation.branch.inside in top}
        bare = {
            other: replace(relation, where=None, rollup={"n": "count(*)"} if relation.rollup else {})
            for other, relation in self.relations.items()
            if other in wanted
        }
        bare[name] = replace(bare[name], where=where, rollup=rollup or bare[name].rollup)
        return "".join(joined.sql for joined in Related(self.root, bare).joins())

    def refer(self, text: str) -> Reference | None:
        """What `column`, `relation.column` or `relation.rollup_name` means; None when there is no such thing."""
        if text in self.root.columns:
            return Reference(qualified(self.root.name, text), self.root, self.root.columns[text])
        name, _, wanted = text.partition(".")
        relation = self.relations.get(name)
        if relation is None or relation.branch.inside:
            return None
        if relation.rollup:
            return Reference(qualified(name, wanted), relation.table, None) if wanted in relation.rollup else None
        column = relation.table.columns.get(wanted)
        if column is None:
            return None
        # no row may be found, so that any column may be null
        return Reference(qualified(name, wanted), relation.table, replace(column, not_null=False))

    def unknown(self, text: str) -> str:
        """Why `refer` knows no such thing, with the nearest right name."""
        name, dot, wanted = text.partition(".")
        relation = self.relations.get(name)
        if relation is None or not dot:
            known = [*self.root.columns, *(known for other in self.relations for known in self._offers(other))]
            near = did_you_mean(text, known if dot or len(self.root.columns) > len(known) else self.root.columns)
            return f"{self.root.qualified} has no column {text!r}{near}"
        if inside := relation.branch.inside:
            return f"{name} is joined inside the roll-up {inside}, and can be used in {inside}.rollup only"
        if relation.rollup:
            return f"{name} has no roll-up {wanted!r}{did_you_mean(wanted, relation.rollup)}"
        near = did_you_mean(wanted, relation.table.columns)
        return f"{name} ({relation.table.qualified}) has no column {wanted!r}{near}"

    def _offers(self, name: str) -> list[str]:
        relation = self.relations[name]
        if relation.branch.inside:
            return []
        return [f"{name}.{offered}" for offered in relation.rollup or relation.table.columns]

    def _words(self, relation: Relation) -> frozenset[str]:
        """Its name, and what can be said without it because the root has no such column."""
        offered = relation.rollup or relation.table.columns
        return frozenset({relation.name, *(name for name in offered if name not in self.root.columns)})

    def _join(self, relation: Relation) -> str:
        if not relation.rollup:
            return self._left_join(relation)
        name = relation.name
        inner = [other for other in self.relations.values() if other.branch.inside == name]
        selected = ", ".join(f"({sql}\n) as {quoted(output)}" for output, sql in relation.rollup.items())
        return (
            f" left join lateral (select {selected} from {_source(relation)}"  # noqa: S608 - quoted names and the SQL of the mapping's author
            f"{''.join(self._left_join(other) for other in inner)}"
            # HAVING makes one row of it even where no roll-up is an aggregate
            f" where {_condition(relation)} having true) as {quoted(name)} on true"
        )

    @staticmethod
    def _left_join(relation: Relation) -> str:
        return f" left join {_source(relation)} on {_condition(relation)}"


def _source(relation: Relation) -> str:
    return f"{qualified(relation.table.schema, relation.table.name)} as {quoted(relation.name)}"


def _condition(relation: Relation) -> str:
    on = relation.branch.on
    equalities = [
        f"{qualified(relation.name, own)} = {qualified(on.anchor, anchored)}"
        for own, anchored in zip(on.own, on.anchored, strict=True)
    ]
    return " and ".join([*equalities, f"({relation.where}\n)"] if relation.where else equalities)


def related_queries(root: str, related: Related) -> Iterator[tuple[tuple[str, ...], str]]:
    """For each SQL fragment of a relation its place, and a query to be described on the server; `root` is the source.

    It stands where it will stand, so Postgres allows what will work there. CASE keeps out functions that return rows.
    """
    for name, relation in related.relations.items():
        if relation.where is not None:
            joins = related.alone(name, where=relation.where)
            yield ("entity", "related", name, "where"), f"select from {root}{joins}"
        for output, sql in relation.rollup.items():
            joins = related.alone(name, rollup={output: f"case when true then ({sql}\n) else ({sql}\n) end"})
            route = ("entity", "related", name, "rollup", output)
            yield route, f"select {qualified(name, output)} from {root}{joins}"  # noqa: S608 - described, not run


def relate(spec: MappingSpec, root: Table, tables: Mapping[str, Table]) -> Related:
    """The relations of a mapping whose tables (by relation) are known; what hangs on an unknown one is left out."""
    branches, _ = grow(root.name, {name: (one.on, bool(one.rollup)) for name, one in spec.entity.related.items()})
    relations: dict[str, Relation] = {}
    for branch in branches:
        if branch.name in tables and branch.on.anchor in (root.name, *relations):
            one = spec.entity.related[branch.name]
            relations[branch.name] = Relation(branch, tables[branch.name], one.where, one.rollup)
    return Related(root, relations)


def faults(spec: MappingSpec, related: Related) -> Iterator[Finding]:
    """Why relations cannot be joined, in the order of the tree: each is an error."""
    for relation in related.relations.values():
        where = spec.at("entity", "related", relation.name, "on")
        label = f"entity.related.{relation.name}.on"
        anchor = related.table(relation.branch.on.anchor)
        found = [*_absent(relation, anchor)] or [*_mistyped(relation, anchor)]
        for message, remedy in found:
            yield Finding("error", where, f"{label}: {message}", remedy)
        if not found and not relation.rollup and not relation.branch.inside and not is_unique(relation):
            yield _not_unique(spec, relation, where, label)


def is_unique(relation: Relation) -> bool:
    """Whether at most one row has given values in the columns that it is joined by."""
    keys = [relation.table.primary_key, *relation.table.unique_keys]
    return any(key and set(key) <= set(relation.branch.on.own) for key in keys)


def _absent(relation: Relation, anchor: Table) -> Iterator[tuple[str, str]]:
    on = relation.branch.on
    for table, names in ((relation.table, on.own), (anchor, on.anchored)):
        for name in dict.fromkeys(names):
            if name not in table.columns:
                yield f"{table.qualified} has no column {name!r}{did_you_mean(name, table.columns)}", ""


def _mistyped(relation: Relation, anchor: Table) -> Iterator[tuple[str, str]]:
    on = relation.branch.on
    for own, anchored in zip(on.own, on.anchored, strict=True):
        left, right = relation.table.columns[own], anchor.columns[anchored]
        sides = f"{relation.name}.{own} is {left.type}"
        if left.base_type not in KEY_TYPES:
            message = f"{sides}, which cannot be looked up: its text depends on settings"
            yield message, "Join by integers, text, uuid, numeric, date, boolean or an enum."
        elif not comparable(left, right):
            yield (
                f"{sides}, but {on.anchor}.{anchored} is {right.type}: they cannot be compared",
                ("Give both columns the same type."),
            )


def comparable(one: Column, other: Column) -> bool:
    """Whether Postgres compares them as they are."""
    if one.base_type == other.base_type:
        return one.base_type != "enum" or one.type == other.type
    return any({one.base_type, other.base_type} <= types for types in _COMPARABLE)


def _not_unique(spec: MappingSpec, relation: Relation, where: str, label: str) -> Finding:
    columns = ", ".join(relation.branch.on.own)
    message = (
        f"{label}: {columns} is not unique in {relation.table.qualified}, so one of {spec.mapping} could have several"
        f" {relation.name}"
    )
    return Finding("error", where, message, "Roll them up with `rollup:`, or join by a unique key.")
