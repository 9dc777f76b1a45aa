"""Are related tables as a mapping needs them: readable, joined by fitting columns, told of, found by indexes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from syncbridge.errors import Finding
from syncbridge.mapping.checks.source import (
    GENERATED_PUBLISHED,
    NEW_PARTITIONS,
    check_partitions,
    check_state,
    missing_table,
    set_identity,
    sql_name,
)
from syncbridge.mapping.fan_out import fan_outs
from syncbridge.mapping.related import Related, Relation, faults
from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import quoted
from syncbridge.mapping.tree import grow
from syncbridge.schemas import Catalog, Column, Table

#: Table -> the columns that its old rows have to tell.
Identities = Mapping[tuple[str, str], tuple[str, ...]]

#: Within these, an index of one column finds a value of the other.
_FAMILIES = (frozenset({"int2", "int4", "int8"}), frozenset({"text", "varchar"}))
_LONGEST_NAME = 63


def old_columns(specs: Iterable[MappingSpec]) -> Identities:
    """What relations are joined by, over all mappings: one replica identity has to serve all of them."""
    needed: dict[tuple[str, str], dict[str, None]] = {}
    for spec in specs:
        related = spec.entity.related
        root = spec.entity.table_name[1]
        branches, _ = grow(root, {name: (one.on, bool(one.rollup)) for name, one in related.items()})
        for branch in branches:
            needed.setdefault(related[branch.name].table_name, {}).update(dict.fromkeys(branch.on.own))
    return {table: tuple(columns) for table, columns in needed.items()}


def check_related(
    spec: MappingSpec, related: Related, catalog: Catalog, *, identities: Identities
) -> Iterator[Finding]:
    """Every relation: its table, its `on`, what its old rows tell, and the indexes that finding its rows needs."""
    for name, one in spec.entity.related.items():
        if one.table_name not in catalog.tables:
            yield missing_table(spec.at("entity", "related", name, "table"), one.table_name, catalog)
    told: set[tuple[str, str]] = set()
    for finding in _findings(spec, related, catalog, identities):
        if (finding.message, finding.sql) not in told:  # several relations may be over one table
            told.add((finding.message, finding.sql))
            yield finding


def _findings(spec: MappingSpec, related: Related, catalog: Catalog, identities: Identities) -> Iterator[Finding]:
    for name, relation in related.relations.items():
        where = spec.at("entity", "related", name, "table")
        yield from check_state(where, relation.table, _columns_used(spec, related, name), catalog)
    broken = list(faults(spec, related))
    yield from broken
    if broken or not all(column in related.root.columns for column in spec.entity.key):
        return
    key = [related.root.columns[column] for column in spec.entity.key]
    direct = {each.relation for each in fan_outs(related, key) if not each.watch.relation}
    for name, relation in related.relations.items():
        where = spec.at("entity", "related", name, "on")
        if relation.table.kind in ("r", "p"):
            yield from _check_generated(where, relation, catalog.server_version)
            yield from _check_identity(where, relation, identities)
            yield from _check_indexes(where, related, relation, direct=name in direct)


def _columns_used(spec: MappingSpec, related: Related, name: str) -> list[str]:
    """Columns of a relation that are named outside of SQL."""
    used = list(related.relations[name].branch.on.own)
    for other in related.relations.values():
        if other.branch.on.anchor == name:
            used += other.branch.on.anchored
    for field in spec.fields.values():
        relation, dot, column = (field.column or "").partition(".")
        if dot and relation == name:
            used.append(column)
    return list(dict.fromkeys(used))


def _check_generated(where: str, relation: Relation, server_version: int) -> Iterator[Finding]:
    for name in relation.branch.on.own:
        if relation.table.columns[name].generated and server_version < GENERATED_PUBLISHED:
            message = f"{relation.name}.{name} is a generated column, which Postgres does not publish before version 18"
            yield Finding("error", where, message, "Join by stored columns.")


def _check_identity(where: str, relation: Relation, identities: Identities) -> Iterator[Finding]:
    """A row that is deleted, or moves to another parent, tells whom it leaves only by its replica identity."""
    table, own = relation.table, relation.branch.on.own
    if set(own) <= set(table.identity_columns):
        yield from check_partitions(where, table, own)
        return
    message = (
        f"a row of {table.qualified} that is deleted, or moves to another {relation.branch.on.anchor}, does not tell"
        f" its old {', '.join(dict.fromkeys(own))}: the replica identity does not hold it"
    )
    remedy, sql = _identity(table, (*identities.get((table.schema, table.name), ()), *own))
    yield Finding("error", where, message, remedy, sql)


def _identity(table: Table, needed: Sequence[str]) -> tuple[str, str]:
    """How a table comes to tell these columns of its old rows: words, SQL."""
    name = sql_name(table)
    held = table.identity_columns if table.replica_identity == "i" else ()
    columns = tuple(dict.fromkeys([*table.primary_key, *held, *needed]))
    for unique, index in table.index_names.items():
        if set(columns) <= set(unique) and all(table.columns[column].not_null for column in unique):
            sql = f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {index};"
            return "The statement locks the table for a moment.", sql
    nullable = [column for column in columns if not table.columns[column].not_null]
    if table.primary_key and not nullable and table.kind == "r":
        index = quoted(f"{table.name[: _LONGEST_NAME - 14]}_sync_identity")
        listed = ", ".join(map(quoted, columns))
        made = f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {name} ({listed});"
        used = f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {index};"
        return "Or REPLICA IDENTITY FULL, which writes whole old rows to the log.", f"{made}\n{used}"
    remedy = "Every update and delete then writes the whole old row to the log."
    if nullable and table.primary_key and table.kind == "r":
        remedy += f" If {', '.join(nullable)} can be NOT NULL, a unique index is enough: `check` then prints it."
    elif table.kind == "p":
        remedy += f" {NEW_PARTITIONS}"
    return remedy, set_identity(table, "FULL")


def _check_indexes(where: str, related: Related, relation: Relation, *, direct: bool) -> Iterator[Finding]:
    on = relation.branch.on
    anchor = related.table(on.anchor)
    pairs = [(relation.table.columns[own], anchor.columns[name]) for own, name in zip(on.own, on.anchored, strict=True)]
    for mine, other in pairs:
        if not _by_index(mine, other):
            message = (
                f"{relation.name}.{mine.name} is {mine.type} and {on.anchor}.{other.name} is {other.type}:"
                " no index can find one by the other"
            )
            yield Finding("warning", where, message, "Give both columns the same type.")
    if not _indexed(relation.table, on.own):
        message = f"no index finds the {relation.name} of an entity: composing reads all of {relation.table.qualified}"
        yield Finding("warning", where, message, "", _create_index(relation.table, on.own))
    if not direct and not _indexed(anchor, on.anchored):
        message = (
            f"no index finds the rows of {anchor.qualified} that a changed {relation.name} concerns: all of it is read"
        )
        yield Finding("warning", where, message, "", _create_index(anchor, on.anchored))


def _by_index(one: Column, other: Column) -> bool:
    return one.base_type == other.base_type or any({one.base_type, other.base_type} <= same for same in _FAMILIES)


def _indexed(table: Table, columns: Sequence[str]) -> bool:
    return any(index and index[0] in columns for index in table.indexed)


def _create_index(table: Table, columns: Sequence[str]) -> str:
    """Columns in the table's order: whatever asks for an index of the same columns then asks for the same one."""
    # Postgres makes no index of a partitioned table concurrently
    how = "INDEX" if table.kind == "p" else "INDEX CONCURRENTLY"
    listed = ", ".join(quoted(name) for name in table.columns if name in columns)
    return f"CREATE {how} ON {sql_name(table)} ({listed});"
