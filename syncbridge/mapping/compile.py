"""A mapping and its table become SQL and plain values: what capture, compose, deliver and resync work with. Pure.

The root table keeps its own name as alias, so that `people.email` and `email` both work in the SQL of a mapping file.
Values are selected as they are, never cast: Postgres writes each by its output function, so no strange value can break
a batch; `values.reader` reads them one by one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from syncbridge.errors import ConfigurationError, SchemaDrift
from syncbridge.mapping.keys import decode_key
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import FieldSpec, MappingSpec, Rate, Scalar, Share
from syncbridge.mapping.sql import enclosed, escaped, fragment_fault, literal, qualified, quoted
from syncbridge.schemas import Column, Table, Watch

#: Base types whose output text names a row in every session, so that it can be its key.
KEY_TYPES = frozenset(
    {"int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "citext", "uuid", "enum", "bool", "date"}
)
#: Of these, equal values always have equal texts.
_PLAIN_KEYS = frozenset({"int2", "int4", "int8", "uuid", "enum", "bool", "date"})
_BUILT_IN = KEY_TYPES - {"citext", "enum"}

_KEYS = quoted("_syncbridge")
_KEY_COLUMN = quoted("_syncbridge_key")  # no column of the table may be named like it
_KEY = f"{_KEYS}.{_KEY_COLUMN}"


@dataclass(frozen=True, slots=True)
class CompiledField:
    """How one remote field is filled."""

    remote: str
    source: str  # column | sql | constant
    position: int | None = None  # in a row of compose_sql; None for a constant
    column: str | None = None
    constant: Scalar | None = None
    default: Scalar | None = None  # where the value is null
    values: Mapping[str, Scalar | None] | None = None  # by the text Postgres writes
    sensitive: bool = False


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
    _keys: _KeyPages

    def watches(self, mapping_id: int) -> tuple[Watch, ...]:
        """Tables whose changes make keys of this mapping."""
        return (Watch(mapping_id, self.schema, self.table, self.key),)

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

    def count_sql(self, *, where: str | None = None, filtered: bool = False) -> str:
        """Counts what keys_page would visit. Run it with the parameters `()`: as in all SQL here, `%` is doubled."""
        return self._keys.count(where=where, filtered=filtered)


@dataclass(frozen=True, slots=True)
class _KeyPages:
    """Queries over the keys of one table."""

    source: str  # `"public"."people" as "people"`
    key_text: str
    columns: tuple[str, ...]
    casts: tuple[str, ...]
    filter: str | None

    def page(self, *, after: bool, where: str | None, filtered: bool) -> str:
        conditions = [enclosed(condition) for condition in self._conditions(where, filtered)]
        order = escaped(", ".join(self.columns))
        if after:
            # a row comparison over the key's columns is one range of its index
            behind = ", ".join(f"%s::{escaped(cast)}" for cast in self.casts)
            conditions.append(f"({order}) > ({behind})")
        filters = f" where {' and '.join(conditions)}" if conditions else ""
        return f"select {escaped(self.key_text)} from {escaped(self.source)}{filters} order by {order} limit %s"  # noqa: S608 - quoted names and the SQL of the mapping's author

    def count(self, *, where: str | None, filtered: bool) -> str:
        conditions = [enclosed(condition) for condition in self._conditions(where, filtered)]
        filters = f" where {' and '.join(conditions)}" if conditions else ""
        return f"select count(*) from {escaped(self.source)}{filters}"  # noqa: S608 - as above

    def _conditions(self, where: str | None, filtered: bool) -> Iterator[str]:
        if filtered and self.filter:
            yield self.filter
        if where:
            if fault := fragment_fault(where):
                raise ConfigurationError(f"where: this SQL {fault}")
            yield where


def compile_mapping(spec: MappingSpec, table: Table) -> CompiledMapping:
    """Compile a mapping over its table. Raises SchemaDrift when the table lacks a column or cannot give keys.

    SQL fragments are not looked into here: `check` describes `describe_sql` on the server.
    """
    _refuse_unavailable(spec)
    schema, name = spec.entity.table_name
    columns = tuple(_key_column(spec, table, column) for column in spec.entity.key)
    fields, expressions = _fields(spec, table)
    rules = None
    if spec.require:
        expressions.append(_broken_rules(spec.require))
        rules = len(expressions)
    source = f"{qualified(schema, name)} as {quoted(name)}"
    definition = spec.definition()
    return CompiledMapping(
        name=spec.mapping,
        destination=spec.destination,
        object=spec.object,
        external_id=spec.external_id,
        schema=schema,
        table=name,
        key=spec.entity.key,
        key_types=tuple(column.base_type for column in columns),
        fields=fields,
        deletes=_deletes(spec),
        guard=CompiledGuard(spec.guard.deletes, spec.guard.changes, spec.guard.refused),
        rules=rules,
        compose_sql=_compose_sql(source, name, columns, expressions, spec.entity.where),
        describe_sql=_describe_sql(source, expressions, spec.entity.where),
        definition=MappingProxyType(definition),
        digest=_digest(definition),
        payload_digest=_digest(_payload(definition)),
        _keys=_KeyPages(
            source=source,
            key_text=_key_text(name, columns),
            columns=tuple(qualified(name, column.name) for column in columns),
            casts=tuple(_cast(column) for column in columns),
            filter=spec.entity.where,
        ),
    )


def _refuse_unavailable(spec: MappingSpec) -> None:
    """Parts of the language that can be read, but not yet be run."""
    unavailable = [
        ("direction", spec.direction != "to_destination"),
        ("related", bool(spec.entity.related)),
        ("match_on", bool(spec.match_on)),
        ("lookup", any(field.lookup for field in spec.fields.values())),
        ("owner", any(field.owner for field in spec.fields.values())),
    ]
    for name, used in unavailable:
        if used:
            raise SchemaDrift(f"{spec.at(name)}: {name} is not available in this version yet", hint="Leave it out.")


def _column(spec: MappingSpec, table: Table, name: str, *route: str | int) -> Column:
    column = table.columns.get(name)
    if column is None:
        raise SchemaDrift(
            f"{spec.at(*route)}: {table.qualified} has no column {name!r}{did_you_mean(name, table.columns)}",
            hint=f"Mend the mapping or the table, then run `syncbridge check {spec.mapping}`.",
        )
    return column


def _key_column(spec: MappingSpec, table: Table, name: str) -> Column:
    column = _column(spec, table, name, "entity", "key")
    if column.base_type not in KEY_TYPES:
        raise SchemaDrift(
            f"{spec.at('entity', 'key')}: {name} is {column.type}, which cannot be a key: its text depends on settings",
            hint="Use a key of integers, text, uuid, numeric or date.",
        )
    return column


def _fields(spec: MappingSpec, table: Table) -> tuple[tuple[CompiledField, ...], list[str]]:
    """Fields, and the SQL expressions they read, in the order of the file."""
    fields: list[CompiledField] = []
    expressions: list[str] = []
    for remote, field in spec.fields.items():
        if field.constant is not None:
            fields.append(CompiledField(remote, "constant", constant=field.constant, sensitive=field.sensitive))
            continue
        column = None
        if field.column is not None:
            column = _column(spec, table, field.column, "fields", remote)
            expressions.append(qualified(table.name, field.column))
        else:
            expressions.append(f"({field.sql}\n)")
        fields.append(_read_field(remote, field, column, len(expressions)))
    return tuple(fields), expressions


def _read_field(remote: str, field: FieldSpec, column: Column | None, position: int) -> CompiledField:
    return CompiledField(
        remote=remote,
        source="column" if field.column is not None else "sql",
        position=position,
        column=field.column,
        default=field.default,
        values=_values(field.values, column),
        sensitive=field.sensitive,
    )


def _values(values: Mapping[str, Scalar | None] | None, column: Column | None) -> Mapping[str, Scalar | None] | None:
    """Postgres writes booleans as `t` and `f`; people write true and false."""
    if values is None:
        return None
    spelled = dict(values)
    if column is None or column.base_type == "bool":
        for written, output in (("true", "t"), ("false", "f")):
            if written in spelled:
                spelled.setdefault(output, spelled[written])
    return MappingProxyType(spelled)


def _broken_rules(rules: Mapping[str, str]) -> str:
    """SQL of the names of the rules that do not hold, null where all do; a null condition does not hold."""
    names = (f"case when ({rule}\n) then null else {literal(name)} end" for name, rule in rules.items())
    return f"nullif(pg_catalog.concat_ws(', ', {', '.join(names)}), '')"


def _deletes(spec: MappingSpec) -> CompiledDeletes:
    rule = spec.deletes.to_destination
    if isinstance(rule, dict):
        return CompiledDeletes("set", MappingProxyType(dict(rule["set"])))
    return CompiledDeletes(rule, MappingProxyType({}))


def _compose_sql(
    source: str, table: str, columns: Sequence[Column], expressions: Sequence[str], where: str | None
) -> str:
    selected = "".join(f", {escaped(expression)}" for expression in expressions)
    matches = [f"{qualified(table, column.name)} = {part}" for column, part in _key_parts(columns)]
    if any(column.base_type not in _PLAIN_KEYS for column in columns):
        # 1.0 = 1.00, and 'AB' = 'ab' in citext: equal, but other keys; the old one must find nothing
        matches.append(f"{_key_text(table, columns)} = {_KEY}")
    filters = f" where {enclosed(where)}" if where else ""
    return (
        f"select {_KEY}{selected} from unnest(%s::text[]) as {_KEYS}({_KEY_COLUMN})"  # noqa: S608 - quoted names and the SQL of the mapping's author
        f" join {escaped(source)} on {escaped(' and '.join(matches))}{filters}"
    )


def _describe_sql(source: str, expressions: Sequence[str], where: str | None) -> str:
    filters = f" where ({where}\n)" if where else ""
    return f"select {', '.join(expressions) or 'null'} from {source}{filters}"  # noqa: S608 - as above


def _key_parts(columns: Sequence[Column]) -> Iterator[tuple[Column, str]]:
    """Each key column with the SQL that takes its value out of a key's text."""
    if len(columns) == 1:
        yield columns[0], f"({_KEY})::{_cast(columns[0])}"
        return
    for index, column in enumerate(columns):
        yield column, f"({_KEY}::pg_catalog.jsonb ->> {index})::{_cast(column)}"


def _key_text(table: str, columns: Sequence[Column]) -> str:
    """The SQL of a row's key, equal to keys.encode_key of its column texts. Not escaped for psycopg."""
    texts = [f"pg_catalog.format('%s', {qualified(table, column.name)})" for column in columns]
    if len(texts) == 1:
        return texts[0]
    return f"pg_catalog.jsonb_build_array({', '.join(texts)})::text"


def _cast(column: Column) -> str:
    """A type to read a key's text with, never one with a length: a cast to varchar(3) would cut it silently."""
    if column.base_type == "varchar":
        return "pg_catalog.text"
    return f"pg_catalog.{column.base_type}" if column.base_type in _BUILT_IN else column.type


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
