"""The way back of a mapping: which columns take remote values, by which rule, and the SQL that finds their rows. Pure.

Only columns of the entity's own table can be written: those that a field is filled from, and those that hold the key of
a lookup. What a mapping fills by `sql`, a constant or a related table belongs to Postgres, whatever the rule of
conflicts: a remote change of it is put back. With `owner: destination` it is only sent to new records, and nobody looks
at it afterwards. A column has one field that writes it (`returning`); others that are filled from it follow its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from syncbridge.errors import SchemaDrift
from syncbridge.mapping.key_forms import is_key
from syncbridge.mapping.key_sql import GIVEN, KEY, KEYS, PLAIN_KEYS, key_parts, key_text
from syncbridge.mapping.lookup_sql import LookupKey
from syncbridge.mapping.spec import FieldSpec, MappingSpec, Scalar
from syncbridge.mapping.sql import escaped, qualified, quoted
from syncbridge.mapping.types.casts import selected
from syncbridge.schemas import Column, Table

Conflict = Literal["newest", "postgres", "destination", "hold"]
Owner = Literal["postgres", "destination"]


@dataclass(frozen=True, slots=True)
class TwoWayDeletes:
    """What happens to the row when its remote record is gone."""

    action: Literal["delete", "ignore", "set"]
    values: Mapping[str, Scalar | None]  # column -> value, when `set`
    columns: Mapping[str, Column] = field(default_factory=dict)  # of these


@dataclass(frozen=True, slots=True)
class TwoWayLookup:
    """A field whose remote id comes back as the key of the entity that has this record."""

    parent: str  # the mapping that is looked up
    columns: tuple[Column, ...]  # of the table, in the order of that mapping's key
    sql: str  # the key's text, null where a part of it is; not escaped


@dataclass(frozen=True, slots=True)
class TwoWay:
    """How remote changes come into the table. SQL is escaped; its first parameter is an array of keys."""

    conflict: Conflict
    every: int  # seconds between polls
    formulas: int | None  # seconds between looks at what the destination calculates; None: none are taken
    columns: Mapping[str, Column]  # of the table, by the remote field that is filled from them
    lookups: Mapping[str, TwoWayLookup]  # by remote field
    owners: Mapping[str, Owner]  # by remote field, where one side owns it
    deletes: TwoWayDeletes
    creates: bool  # a new remote record becomes a row
    sends: bool  # changes of rows go out: false with `direction: to_postgres`
    filtered: bool  # rows may be there that are no entities
    _table: str
    _alias: str
    _match: str
    _key: tuple[Column, ...]

    def returns(self, remote: str) -> bool:
        """Whether columns of the table hold this field, so that a remote change of it can be written."""
        return remote in self.columns or remote in self.lookups

    def is_postgres_owned(self, remote: str) -> bool:
        """Whether a remote change of this field is put back: by its owner, or since no column holds it."""
        return self.owners.get(remote, "" if self.returns(remote) else "postgres") == "postgres"

    @property
    def lock_sql(self) -> str:
        """Rows as of `read_sql`, locked in the order of keys."""
        return f'{self.read_sql} order by {KEY} collate "C" for update of {escaped(quoted(self._alias))}'

    @property
    def read_sql(self) -> str:
        """Rows of (key, texts of `columns`, keys of `lookups`). Texts are as Postgres's output functions write them."""
        texts = [
            f"case when {name} is not null then pg_catalog.concat({name}) end"
            for name in (selected(qualified(self._alias, c.name), c.base_type) for c in self.columns.values())
        ]
        texts += [lookup.sql for lookup in self.lookups.values()]
        listed = "".join(f", {escaped(text)}" for text in texts)
        return f"select {KEY}{listed} from {GIVEN} join {escaped(self._source)} on {escaped(self._match)}"  # noqa: S608 - quoted names

    def update_sql(self, assignments: Sequence[tuple[Column, str]]) -> str:
        """Sets columns, each from the next parameter, an array of texts; `assignments` gives the SQL of its value.

        In that SQL `{}` stands for the text. Rows are the keys that were there.
        """
        names = [f"_value_{number}" for number in range(len(assignments))]
        given = ", ".join(["%s::text[]"] * (len(names) + 1))
        columns = ", ".join([KEY.partition(".")[2], *names])
        changes = ", ".join(
            f"{quoted(column.name)} = {sql.replace('{}', f'{KEYS}.{name}')}"
            for (column, sql), name in zip(assignments, names, strict=True)
        )
        return (
            f"update {escaped(self._source)} set {escaped(changes)} from unnest({given}) as {KEYS} ({columns})"  # noqa: S608 - quoted names
            f" where {escaped(self._match)} returning {KEY}"
        )

    def insert_sql(self, assignments: Sequence[tuple[Column, str]], *, new: bool = False) -> str:
        """Makes rows of these keys; parameters and `assignments` as of `update_sql`.

        A row that is there stays; where only `new` ones are expected it is a fault.
        """
        there = "" if new else " on conflict do nothing"
        names = [f"_value_{number}" for number in range(len(assignments))]
        given = ", ".join(["%s::text[]"] * (len(names) + 1))
        columns = ", ".join([KEY.partition(".")[2], *names])
        targets = ", ".join(quoted(column.name) for column in (*self._key, *(column for column, _ in assignments)))
        values = ", ".join(
            [part for _, part in key_parts(self._key)]
            + [sql.replace("{}", f"{KEYS}.{name}") for (_, sql), name in zip(assignments, names, strict=True)]
        )
        return (
            f"insert into {escaped(self._source)} ({escaped(targets)}) overriding system value"  # noqa: S608 - quoted names
            f" select {escaped(values)} from unnest({given}) as {KEYS} ({columns}){there}"
            f" returning {escaped(key_text(self._alias, self._key))}"
        )

    def move_sql(self, remote: str, survivor: Sequence[str] = ()) -> str:
        """Moves rows from one parent to another in the columns of a lookup, a limit of them, in the order of keys.

        Parameters are an array of parents' keys, one of the keys that stand in for them, and the limit; rows are (key,
        the parent's key). Where parents are rows of the same table, `survivor` names the columns of their key: the row
        that stands in for its parent does not become a parent of its own.
        """
        lookup = self.lookups[remote].columns
        mine = [qualified(self._alias, column.name) for column in lookup]
        old = [part for _, part in key_parts(lookup)]
        new = [part.replace(KEY, f"{KEYS}._survivor") for part in old]
        where = [f"{own} = {part}" for own, part in zip(mine, old, strict=True)]
        if survivor:
            itself = zip((qualified(self._alias, name) for name in survivor), new, strict=True)
            where.append(f"not ({' and '.join(f'{own} = {part}' for own, part in itself)})")
        found = ", ".join(
            [f"{qualified(self._alias, column.name)} as _key_{number}" for number, column in enumerate(self._key)]
            + [f"{part} as _new_{number}" for number, part in enumerate(new)]
        )
        same = [f"{qualified(self._alias, c.name)} = _moved._key_{number}" for number, c in enumerate(self._key)]
        changes = ", ".join(f"{quoted(column.name)} = _moved._new_{number}" for number, column in enumerate(lookup))
        key = key_text(self._alias, self._key)
        return (
            f"with _moved as (select {KEY} as _parent, {escaped(found)}"  # noqa: S608 - quoted names
            f" from unnest(%s::text[], %s::text[]) as {KEYS} ({KEY.partition('.')[2]}, _survivor)"
            f" join {escaped(self._source)} on {escaped(' and '.join(where))}"
            f' order by {escaped(key)} collate "C" limit %s for update of {escaped(quoted(self._alias))})'
            f" update {escaped(self._source)} set {escaped(changes)} from _moved where {escaped(' and '.join(same))}"
            f" returning {escaped(key)}, _moved._parent"
        )

    @property
    def delete_sql(self) -> str:
        """Deletes the rows of the keys; gives those that were there."""
        return f"delete from {escaped(self._source)} using {GIVEN} where {escaped(self._match)} returning {KEY}"  # noqa: S608 - quoted names

    def is_key(self, text: str) -> bool:
        """Whether a text from elsewhere is spelled as a key of this table."""
        return is_key(text, self._key)

    @property
    def makes_keys(self) -> bool:
        """Every column of the key has a default."""
        return all(column.has_default for column in self._key)

    @property
    def keys_by_default(self) -> KeysByDefault:
        """What the key's columns are by default."""
        return KeysByDefault(self._table, tuple(column.name for column in self._key))

    def match_sql(self, assignments: Sequence[tuple[Column, str]]) -> str:
        """Rows of (place of a record from 1, key, texts of these columns) that hold the same.

        `assignments` as of `update_sql`; parameters are an array of texts for each, in which every record has its
        place. Texts are found whatever their case.
        """
        names = [f"_value_{number}" for number in range(len(assignments))]
        given = ", ".join(["%s::text[]"] * len(names))
        mine = [qualified(self._alias, column.name) for column, _ in assignments]
        alike = [
            _alike(column, own, sql.replace("{}", f"{KEYS}.{name}"))
            for (column, sql), own, name in zip(assignments, mine, names, strict=True)
        ]
        texts = ", ".join(
            f"pg_catalog.concat({selected(own, column.base_type)})"
            for (column, _), own in zip(assignments, mine, strict=True)
        )
        return (
            f"select {KEYS}._place, {escaped(key_text(self._alias, self._key))}, {escaped(texts)}"  # noqa: S608 - quoted names
            f" from unnest({given}) with ordinality as {KEYS} ({', '.join(names)}, _place)"
            f" join {escaped(self._source)} on {escaped(' and '.join(alike))}"
        )

    @property
    def _source(self) -> str:
        return f"{self._table} as {quoted(self._alias)}"


class KeysByDefault(NamedTuple):
    """Whose defaults give a new row its key."""

    table: str  # as SQL names it
    columns: tuple[str, ...]


def _alike(column: Column, own: str, given: str) -> str:
    """The condition that a column holds what the SQL `given` says."""
    if column.base_type in ("text", "varchar", "bpchar", "citext"):
        return f"pg_catalog.lower({own}::pg_catalog.text) = pg_catalog.lower({given}::pg_catalog.text)"
    return f"{own} = {given}"


def two_way(spec: MappingSpec, table: Table, key: Sequence[Column]) -> TwoWay | None:
    """The way back of a mapping, None where it has none. Raises SchemaDrift for what cannot be written to."""
    if spec.direction == "to_destination":
        return None
    schema, name = spec.entity.table_name
    match = [f"{qualified(name, column.name)} = {part}" for column, part in key_parts(key)]
    if any(column.base_type not in PLAIN_KEYS for column in key):
        match.append(f"{key_text(name, key)} = {KEY}")
    columns = _columns(spec, table)
    written = returning(spec, table)
    owners: dict[str, Owner] = {each: mapped.owner for each, mapped in spec.fields.items() if mapped.owner is not None}
    if spec.direction == "to_postgres":
        owners = dict.fromkeys(spec.fields, "destination")
    return TwoWay(
        conflict=spec.conflict if spec.direction == "both" else "destination",
        every=spec.poll.every,
        formulas=spec.poll.formulas,
        columns=columns,
        lookups={
            remote: _lookup(remote, spec.fields[remote], table, name)
            for remote in spec.fields
            if remote in written and remote not in columns
        },
        owners=owners | {remote: "postgres" for remote in columns if remote not in written},
        deletes=_deletes(spec, table),
        creates=spec.creates.to_postgres == "insert",
        sends=spec.direction == "both",
        filtered=spec.entity.where is not None,
        _table=qualified(schema, name),
        _alias=name,
        _match=" and ".join(match),
        _key=tuple(key),
    )


def returning(spec: MappingSpec, table: Table) -> dict[str, tuple[str, ...]]:
    """The columns that each field writes when it changes there.

    A column is written by one field: by one that the destination owns before others, by a lookup before a plain copy of
    its key, else by the first of the file. A lookup writes its whole key or nothing. Key columns of the entity are
    never written.
    """
    found: dict[str, tuple[str, ...]] = {}
    taken = set(spec.entity.key)
    ranked = sorted(spec.fields.items(), key=lambda each: (each[1].owner != "destination", each[1].lookup is None))
    for remote, mapped in ranked:
        names = _own_columns(mapped, table)
        if names and mapped.owner != "postgres" and taken.isdisjoint(names):
            found[remote] = names
            taken.update(names)
    return found


def _own_columns(mapped: FieldSpec, table: Table) -> tuple[str, ...]:
    """Columns of the table that hold the whole field; none where one is elsewhere or cannot be written."""
    names = (mapped.column,) if mapped.column is not None else mapped.key or ()
    own = tuple(name for name in names if name in table.columns and not table.columns[name].generated)
    return own if len(own) == len(names) else ()


def _columns(spec: MappingSpec, table: Table) -> dict[str, Column]:
    return {
        remote: table.columns[name]
        for remote, mapped in spec.fields.items()
        if mapped.column is not None
        for name in _own_columns(mapped, table)
        if name not in spec.entity.key
    }


def _lookup(remote: str, mapped: FieldSpec, table: Table, alias: str) -> TwoWayLookup:
    columns = tuple(table.columns[name] for name in mapped.key or ())
    key = LookupKey(remote, tuple((qualified(alias, column.name), column) for column in columns))
    return TwoWayLookup(str(mapped.lookup), columns, key.sql)


def _deletes(spec: MappingSpec, table: Table) -> TwoWayDeletes:
    rule = spec.deletes.to_postgres
    if not isinstance(rule, dict):
        return TwoWayDeletes(rule, {})
    for name in rule["set"]:
        if name not in table.columns:
            where = spec.at("deletes", "to_postgres", "set", name)
            raise SchemaDrift(f"{where}: {table.qualified} has no column {name!r}")
    return TwoWayDeletes("set", dict(rule["set"]), {name: table.columns[name] for name in rule["set"]})
