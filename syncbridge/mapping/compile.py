"""A mapping and its table become SQL and plain values: what capture, compose, deliver and resync work with. Pure.

The root table keeps its own name as alias, so that `people.email` and `email` both work in the SQL of a mapping file.
Values are selected as they are: Postgres writes each by its output function, so no strange value can break a batch;
`types.reading` reads them one by one. Only types whose text depends on a setting are cast (`types.casts.selected`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from syncbridge.errors import SchemaDrift
from syncbridge.mapping.fan_out import FanOut, fan_outs, watches
from syncbridge.mapping.key_sql import KEY_TYPES
from syncbridge.mapping.keys import decode_key
from syncbridge.mapping.lookup_sql import LookupPages, lookup_key, lookup_pages
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.queries import KeyPages, broken_rules, compose_sql, describe_sql, key_pages
from syncbridge.mapping.related import Related, faults, relate
from syncbridge.mapping.schedule import Schedule
from syncbridge.mapping.spec import FieldSpec, MappingSpec, Rate, Scalar, Share
from syncbridge.mapping.sql import qualified, quoted
from syncbridge.mapping.two_way import TwoWay, returning, two_way
from syncbridge.mapping.types.casts import by_text, selected
from syncbridge.schemas import Column, Table, Watch

_NONE: Mapping[str, Table] = MappingProxyType({})
_CHECK = "Mend the mapping or the table, then run `syncbridge check {}`."


@dataclass(frozen=True, slots=True)
class CompiledField:
    """How one remote field is filled."""

    remote: str
    source: str  # column | sql | constant | lookup
    position: int | None = None  # in a row of compose_sql; None for a constant
    column: str | None = None
    constant: Scalar | None = None
    default: Scalar | None = None  # where the value is null
    values: Mapping[str, Scalar | None] | None = None  # by the text Postgres writes
    sensitive: bool = False
    owned: bool = False  # by the destination: sent when the record is created, never compared
    lookup: str | None = None  # the mapping whose record is the value; the row gives that mapping's key
    waits: bool = True  # of a lookup: for that record, else it is sent without


@dataclass(frozen=True, slots=True)
class CompiledDeletes:
    """What happens to the remote record when its entity is gone."""

    action: str  # delete | ignore | set
    fields: Mapping[str, Scalar | None]  # to write, when `set`


@dataclass(frozen=True, slots=True)
class CompiledGuard:
    """Above these rates the mapping stops and asks; None is no limit."""

    deletes: Rate | None
    changes: Rate | None
    refused: Share | None = None  # of the records that were delivered or refused


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """One mapping, ready to run. Equal definitions over equal tables compile to equal values."""

    name: str
    destination: str
    object: str
    external_id: str
    match_on: tuple[str, ...]  # fields by which existing records are found before a new one is created
    schema: str
    table: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]  # base types
    fields: tuple[CompiledField, ...]
    deletes: CompiledDeletes
    guard: CompiledGuard
    rules: int | None  # position in a row of the names of the rules that do not hold, null where all do
    compose_sql: str  # one parameter, an array of keys; rows of (key, value, value, ...)
    describe_sql: str  # the same values without parameters, to be described; the only SQL with plain `%`
    definition: Mapping[str, Any]
    digest: str  # of the whole definition
    payload_digest: str  # of what decides which values are sent: when it differs, everything has to be looked at again
    _keys: KeyPages
    schedule: Schedule | None = None  # of reconciliations
    two_way: TwoWay | None = None  # how remote changes come back; None: they do not
    _fan_outs: tuple[FanOut, ...] = ()
    _lookups: tuple[LookupPages, ...] = ()

    @property
    def sensitive(self) -> frozenset[str]:
        """Remote fields whose values nobody is shown, in small letters."""
        return frozenset(each.remote.lower() for each in self.fields if each.sensitive)

    @property
    def sends(self) -> bool:
        """Changes of rows go out."""
        return self.two_way is None or self.two_way.sends

    def watches(self, mapping_id: int) -> tuple[Watch, ...]:
        """Tables whose changes make keys of this mapping, or join keys of its relations: the root's first.

        None where nothing is sent.
        """
        if not self.sends:
            return ()
        return watches(self._fan_outs, Watch(mapping_id, self.schema, self.table, self.key))

    def fan_out_page(self, relation: str, after: str | None, limit: int) -> tuple[str, list[str | int]]:
        """The query of the next `limit` keys of entities that join keys of a relation concern, behind the key `after`.

        The join keys, a text array, are its first parameter; those given here follow. Rows are (key), distinct and in
        key order. The mapping's filter is left out, as in keys_page. The relation `lookup FIELD` goes by keys that a
        field looks up. KeyError when there is no such relation.
        """
        every: tuple[FanOut | LookupPages, ...] = (*self._fan_outs, *self._lookups)
        fan_out = next((each for each in every if each.relation == relation), None)
        if fan_out is None:
            raise KeyError(relation)
        if after is None:
            return fan_out.first, [limit]
        return fan_out.further, [*decode_key(after, len(self.key)), limit]

    def keys_page(
        self, after: str | None, limit: int, *, where: str | None = None, filtered: bool = False
    ) -> tuple[str, list[str | int]]:
        """The query of the next `limit` keys in key order behind the key `after`, with its parameters.

        Its rows are (key). `where` narrows by SQL of a person; ConfigurationError when it is no expression. The
        mapping's own filter is left out unless `filtered`: a row that stopped passing it must be looked at too, since
        it may have to be deleted from the destination.
        """
        sql = self.keys_sql(after=after is not None, where=where, filtered=filtered)
        cursor: Sequence[str] = () if after is None else decode_key(after, len(self.key))
        return sql, [*cursor, limit]

    def keys_sql(self, *, after: bool, where: str | None = None, filtered: bool = False) -> str:
        """The query of keys_page. Its parameters are the column texts of the last key (if `after`), then the limit."""
        return self._keys.page(after=after, where=where, filtered=filtered)

    def sample_page(self, size: int) -> tuple[str, list[str | int]]:
        """The query of `size` keys of entities, chosen at random, with its parameters. It looks at every row once."""
        return self._keys.sample(), [size]

    def beside_page(self, column: str, after: str | None, limit: int) -> tuple[str, list[str | int]]:
        """The query of the next `limit` (key, text of a column) of entities whose column is not null, in key order.

        Rows that do not pass the mapping's filter are left out: they are no entities.
        """
        sql = self._keys.beside(qualified(self.table, column), after=after is not None)
        cursor: Sequence[str] = () if after is None else decode_key(after, len(self.key))
        return sql, [*cursor, limit]

    def count_sql(self, *, where: str | None = None, filtered: bool = False) -> str:
        """Counts what keys_page would visit. Run it with the parameters `()`: as in all SQL here, `%` is doubled."""
        return self._keys.count(where=where, filtered=filtered)


def compile_mapping(spec: MappingSpec, table: Table, related: Mapping[str, Table] = _NONE) -> CompiledMapping:
    """Compile a mapping over its table and those of its relations (by relation).

    Raises SchemaDrift when a table lacks a column, cannot give keys or cannot be joined. SQL fragments are not looked
    into here: `check` describes them on the server.
    """
    _require_columns(spec, table)
    schema, name = spec.entity.table_name
    columns = tuple(_key_column(spec, table, column) for column in spec.entity.key)
    relations = _related(spec, table, related)
    joins = relations.joins()
    fields, expressions = _fields(spec, relations)
    rules = None
    if spec.require:
        expressions.append(broken_rules(spec.require))
        rules = len(expressions)
    source = f"{qualified(schema, name)} as {quoted(name)}"
    definition = spec.definition()
    return CompiledMapping(
        name=spec.mapping,
        destination=spec.destination,
        object=spec.object,
        external_id=spec.external_id,
        match_on=spec.match_on,
        schema=schema,
        table=name,
        key=spec.entity.key,
        key_types=tuple(column.base_type for column in columns),
        fields=fields,
        deletes=_deletes(spec),
        guard=CompiledGuard(spec.guard.deletes, spec.guard.changes, spec.guard.refused),
        rules=rules,
        compose_sql=compose_sql(source, name, columns, joins, expressions, spec.entity.where),
        describe_sql=describe_sql(source, joins, expressions, spec.entity.where),
        definition=MappingProxyType(definition),
        digest=_digest(definition),
        payload_digest=payload_digest(definition),
        _keys=key_pages(source, name, columns, joins, spec.entity.where),
        schedule=Schedule(spec.reconcile.every, spec.reconcile.at) if spec.reconcile is not None else None,
        two_way=two_way(spec, table, columns),
        _fan_outs=fan_outs(relations, columns),
        _lookups=tuple(
            lookup_pages(relations, lookup_key(spec, remote, field, relations), columns)
            for remote, field in spec.fields.items()
            if field.lookup is not None
        ),
    )


def _related(spec: MappingSpec, table: Table, tables: Mapping[str, Table]) -> Related:
    for name, relation in spec.entity.related.items():
        if name not in tables:
            where = spec.at("entity", "related", name, "table")
            raise SchemaDrift(f"{where}: there is no table {relation.table}", hint=_CHECK.format(spec.mapping))
    related = relate(spec, table, tables)
    for fault in faults(spec, related):
        raise SchemaDrift(f"{fault.where}: {fault.message}", hint=fault.remedy or _CHECK.format(spec.mapping))
    return related


def _require_columns(spec: MappingSpec, table: Table) -> None:
    """With `direction: to_postgres` there is nothing to a field but the column that it comes into."""
    if spec.direction != "to_postgres":
        return
    written = returning(spec, table)
    for remote in spec.fields:
        if remote not in written:
            where = spec.at("fields", remote)
            message = f"{where}: with direction to_postgres a field needs a column of {table.qualified} of its own"
            raise SchemaDrift(message, hint="Give it one that no other field writes, or leave the field out.")


def _key_column(spec: MappingSpec, table: Table, name: str) -> Column:
    column = table.columns.get(name)
    if column is None:
        message = f"{table.qualified} has no column {name!r}{did_you_mean(name, table.columns)}"
        raise SchemaDrift(f"{spec.at('entity', 'key')}: {message}", hint=_CHECK.format(spec.mapping))
    if column.base_type not in KEY_TYPES:
        raise SchemaDrift(
            f"{spec.at('entity', 'key')}: {name} is {column.type}, which cannot be a key: its text depends on settings",
            hint="Use a key of integers, text, uuid, numeric or date.",
        )
    return column


def _fields(spec: MappingSpec, related: Related) -> tuple[tuple[CompiledField, ...], list[str]]:
    """Fields, and the SQL expressions they read, in the order of the file."""
    fields: list[CompiledField] = []
    expressions: list[str] = []
    for remote, field in spec.fields.items():
        if field.constant is not None:
            owned = field.owner == "destination"
            fields.append(
                CompiledField(remote, "constant", constant=field.constant, sensitive=field.sensitive, owned=owned)
            )
            continue
        column = None
        if field.lookup is not None:
            expressions.append(lookup_key(spec, remote, field, related).sql)
        elif field.column is not None:
            reference = related.refer(field.column)
            if reference is None:
                where = spec.at("fields", remote)
                raise SchemaDrift(f"{where}: {related.unknown(field.column)}", hint=_CHECK.format(spec.mapping))
            column = reference.column
            expressions.append(selected(reference.sql, column.base_type if column is not None else ""))
        else:
            expressions.append(f"({field.sql}\n)")
        fields.append(_read_field(remote, field, column, len(expressions)))
    return tuple(fields), expressions


def _read_field(remote: str, field: FieldSpec, column: Column | None, position: int) -> CompiledField:
    return CompiledField(
        remote=remote,
        source="lookup" if field.lookup is not None else "column" if field.column is not None else "sql",
        position=position,
        column=field.column,
        default=field.default,
        values=by_text(field.values, column),
        sensitive=field.sensitive,
        owned=field.owner == "destination",
        lookup=field.lookup,
        waits=field.missing == "wait",
    )


def _deletes(spec: MappingSpec) -> CompiledDeletes:
    rule = spec.deletes.to_destination
    if isinstance(rule, dict):
        return CompiledDeletes("set", MappingProxyType(dict(rule["set"])))
    return CompiledDeletes(rule, MappingProxyType({}))


def payload_digest(definition: Mapping[str, Any]) -> str:
    """Of what decides which values are sent, and where; equal for definitions that send the same."""
    return _digest(_payload(definition))


def _payload(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which values are sent, and where."""
    kept = {name: definition[name] for name in ("destination", "object", "entity", "external_id")}
    fields = {
        remote: {name: value for name, value in field.items() if name != "sensitive"}
        for remote, field in definition["fields"].items()
    }
    if "require" in definition:
        kept["require"] = definition["require"]
    return {**kept, "fields": fields}


def _digest(definition: Mapping[str, Any]) -> str:
    text = json.dumps(definition, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
