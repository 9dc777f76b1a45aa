"""What foreign keys suggest for a draft: lookups of other mappings' records, related tables, and questions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import lightly_quoted
from syncbridge.mapping.suggesting.suggest import reference_for
from syncbridge.mapping.suggesting.text import lawful, scalar, scalars, table_text
from syncbridge.mapping.suggesting.words import words_of
from syncbridge.schemas import ForeignKey, RemoteObject, Table

TableName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Relations:
    """YAML of the entries of `related`, and of fields with their remarks; and questions."""

    entries: tuple[str, ...] = ()
    lookups: tuple[tuple[str, str], ...] = ()
    questions: tuple[str, ...] = ()


def relations(
    table: Table,
    remote: RemoteObject,
    destination: str,
    mapping: str,
    foreign_keys: Sequence[ForeignKey],
    others: Sequence[MappingSpec],
) -> Relations:
    """What the foreign keys from and to this table suggest."""
    here = (table.schema, table.name)
    lookups: list[tuple[str, str]] = []
    questions: list[str] = []
    for foreign_key in (each for each in foreign_keys if each.table == here):
        holding = _holding(foreign_key.to_table, destination, others)
        if foreign_key.to_table == here:
            holding.setdefault(remote.name.lower(), mapping)
        found = _lookup(foreign_key, remote, destination, holding)
        if found is None:
            names = f"{', '.join(foreign_key.columns)} names a row of {'.'.join(foreign_key.to_table)}"
            questions.append(f"{names}. Which reference field of {remote.name} is it, if any? None has such a name.")
        else:
            lookups.append(found)
    return Relations(tuple(_entries(table, foreign_keys)), tuple(lookups), tuple(questions))


def _holding(table: TableName, destination: str, others: Sequence[MappingSpec]) -> dict[str, str]:
    """The object in small letters -> the mapping that writes it from this table."""
    held: dict[str, str] = {}
    for spec in others:
        if spec.entity.table_name == table and spec.destination == destination:
            held.setdefault(spec.object.lower(), spec.mapping)
    return held


def _lookup(
    foreign_key: ForeignKey, remote: RemoteObject, destination: str, holding: Mapping[str, str]
) -> tuple[str, str] | None:
    key = scalars(foreign_key.columns)
    target = ".".join(foreign_key.to_table)
    names = f"{', '.join(foreign_key.columns)} names a row of {target}"
    if holding and (field := reference_for(foreign_key, remote, holding)) is not None:
        mapping = next(holding[name.lower()] for name in field.refers_to if name.lower() in holding)
        return f"{scalar(field.name)}: {{lookup: {mapping}, key: {key}}}", names
    field = reference_for(foreign_key, remote)
    if field is None:
        return None
    mapping = lawful(foreign_key.to_table[1], dashes=True)
    objects = " or ".join(field.refers_to)
    remark = f"{names}, which needs a mapping to {objects} first: syncbridge suggest {target} --to {destination}:..."
    return f"{scalar(field.name)}: {{lookup: {mapping}, key: {key}}}", remark


def _entries(table: Table, foreign_keys: Sequence[ForeignKey]) -> Iterator[str]:
    here = (table.schema, table.name)
    taken = {table.name}
    for foreign_key in foreign_keys:
        if foreign_key.table == here:
            alias = _alias(_parent(foreign_key), taken)
            on = _on(alias, foreign_key.to_columns, table.name, foreign_key.columns)
            yield f"{alias}: {{table: {table_text(*foreign_key.to_table)}, on: {scalar(on)}}}"
        if foreign_key.to_table == here:
            alias = _alias(foreign_key.table[1], taken)
            on = _on(alias, foreign_key.columns, table.name, foreign_key.to_columns)
            count = lawful("_".join([*words_of(foreign_key.table[1]), "count"]))
            rollup = f"rollup: {{{count}: count(*)}}"
            yield f"{alias}: {{table: {table_text(*foreign_key.table)}, on: {scalar(on)}, {rollup}}}"


def _parent(foreign_key: ForeignKey) -> str:
    """`company` of company_id; where the column says no such thing, of the table companies."""
    column = foreign_key.columns[-1]
    plain = re.sub(r"_(id|key|no|uuid)$", "", column)
    return plain if plain != column else "_".join(words_of(foreign_key.to_table[1]))


def _on(alias: str, columns: Sequence[str], root: str, root_columns: Sequence[str]) -> str:
    one, other = lightly_quoted(alias), lightly_quoted(root)
    pairs = zip(columns, root_columns, strict=True)
    return " and ".join(f"{one}.{lightly_quoted(mine)} = {other}.{lightly_quoted(its)}" for mine, its in pairs)


def _alias(name: str, taken: set[str]) -> str:
    """A name that no other relation has, nor the table itself."""
    base = alias = lawful(name)
    number = 2
    while alias in taken:
        alias = f"{base}_{number}"
        number += 1
    taken.add(alias)
    return alias
