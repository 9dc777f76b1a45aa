"""Between rows and remote values, both ways, for the fields of one two-way mapping. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.inbound.calculated import Calculated
from syncbridge.inbound.parents import LookupWay, Parents
from syncbridge.inbound.resolve import Rule
from syncbridge.mapping.compile import CompiledField, CompiledMapping
from syncbridge.mapping.two_way import TwoWay
from syncbridge.mapping.types.casts import selected_type
from syncbridge.mapping.types.reading import field_reader, unread
from syncbridge.mapping.types.writing import Writer, field_writer, input_sql
from syncbridge.model import Fields, Normal, Normaliser, Value
from syncbridge.schemas import Column, RemoteField, RemoteObject


@dataclass(frozen=True, slots=True)
class _Way:
    """One field that a column holds."""

    name: str  # as the destination spells it
    column: Column
    read: Callable[[str | None], Value]
    normalise: Normaliser
    write: Writer


class Matched(NamedTuple):
    """A field of `match_on`, and the column that holds it."""

    field: RemoteField
    way: _Way

    @property
    def name(self) -> str:
        return self.field.name

    def text(self, value: Normal) -> str | None:
        """What its column would hold; None where it would hold nothing, or not this."""
        try:
            return None if value is None or value == "" else self.way.write(value)
        except RecordRejected:
            return None

    def same(self, text: str, value: Normal) -> bool:
        """Whether the text of a column and a remote value are equal there."""
        try:
            local = self.way.normalise(self.way.read(text))
        except RecordRejected:
            return False
        return self.field.comparable(local) == self.field.comparable(value)


class Columns:
    """What is known of a mapping's fields on the way back. SchemaDrift where a field or its type does not fit."""

    def __init__(
        self, mapping: CompiledMapping, two_way: TwoWay, remote: RemoteObject, destination: Destination
    ) -> None:
        fields = [field for field in mapping.fields if two_way.returns(field.remote) or not field.owned]
        found = {field.remote: _field_of(remote, field.remote) for field in fields}
        external = _field_of(remote, mapping.external_id) if mapping.external_id else None
        self.external_id = external.name if external is not None else ""  # the field that carries the key, if any does
        self._external, self._external_form = external, destination.normaliser(external) if external else None
        self.sends_keys = external is not None and two_way.sends
        self._match_on = tuple(_field_of(remote, name) for name in mapping.match_on)
        self.names = tuple(field.name for field in found.values())  # of all that is mapped
        self.asked = (self.external_id, *self.names) if self.external_id else self.names  # what a poll asks for
        self.rules = {found[field.remote].name: _rule(two_way, field, found[field.remote]) for field in fields}
        self.unedited = frozenset(  # what the destination fills, and what is put back there
            name for name, rule in self.rules.items() if rule is Rule.POSTGRES_OWNS or remote.fields[name].read_only
        )
        self.sensitive = frozenset(found[f.remote].name for f in fields if f.sensitive)
        by_remote = {field.remote: field for field in fields}
        self._ways = tuple(
            _way(by_remote[name], column, found[name], destination) for name, column in two_way.columns.items()
        )
        self._by_name = {way.name: way for way in self._ways}
        self.lookups = {
            found[remote].name: LookupWay(
                found[remote].name, lookup.parent, lookup.columns, destination.normaliser(found[remote])
            )
            for remote, lookup in two_way.lookups.items()
        }
        self.calculated = Calculated(mapping, two_way.returns, found, destination)  # fields that no column holds
        self.written = frozenset((*self._by_name, *self.lookups))  # fields that columns hold
        self.whole = all(two_way.returns(field.remote) for field in fields)  # columns hold all that is compared
        self.formulas = tuple(
            each.name for remote, each in found.items() if remote in two_way.columns and each.calculated
        )
        self._columns = {way.column.name: way.column for way in self._ways}
        self._columns |= {column.name: column for way in self.lookups.values() for column in way.columns}

    def mapped(self, fields: Fields) -> Fields:
        """What was read of a record, without what is no mapped field."""
        return {name: value for name, value in fields.items() if name in self.rules}

    def seen(self, fields: Fields, external: Sequence[Normal]) -> Fields:
        """What was read of a record: its mapped fields, and what its external id field holds, if that was read."""
        return {**fields, self.external_id: external[0]} if external else fields

    def carries(self, value: Normal, key: str) -> bool:
        """Whether a record whose external id field holds `value` says that it is the one of this entity."""
        if self._external is None or self._external_form is None or value == key:
            return True
        try:
            return value is not None and self._external.comparable(value) == self._external.comparable(
                self._external_form(key)
            )
        except RecordRejected:
            return False

    @property
    def matched(self) -> tuple[Matched, ...]:
        """The fields of `match_on`; empty where there is none, or one that no column holds."""
        if any(field.name not in self._by_name for field in self._match_on):
            return ()
        ways = (self._by_name[field.name] for field in self._match_on)
        return tuple(Matched(field, way) for field, way in zip(self._match_on, ways, strict=True))

    def for_new(self, fields: Fields) -> Fields:
        """What a new row is made of: not a null where the column may hold none, and has a default."""
        ways = self._by_name
        return {
            name: value
            for name, value in fields.items()
            if name in self.lookups
            or (name in ways and not (value is None and ways[name].column.not_null and ways[name].column.has_default))
        }

    def parent_keys(self, texts: Sequence[str | None]) -> Sequence[str | None]:
        """Keys of the parents that a row of `TwoWay.lock_sql` looks up, in the order of `lookups`."""
        return texts[len(self._ways) :]

    def local(self, texts: Sequence[str | None], parents: Parents, untouched: Fields) -> Fields:
        """A row of `TwoWay.lock_sql` in normal form; what has none is left out. `untouched` as in `Parents`."""
        fields: Fields = {}
        for way, text in zip(self._ways, texts, strict=False):
            try:
                fields[way.name] = way.normalise(way.read(text))
            except RecordRejected:
                continue
        for lookup, key in zip(self.lookups.values(), self.parent_keys(texts), strict=True):
            fields |= parents.normal_form(lookup, key, untouched)
        return fields

    def holds(self, texts: Sequence[str | None], agreed: Fields, parents: Parents) -> bool:
        """Whether a row of `TwoWay.read_sql` says of every field what was agreed on."""
        for way, text in zip(self._ways, texts, strict=False):
            if way.name not in agreed:
                return False
            value = agreed[way.name]
            if way.read is unread and text == value:  # most are texts
                continue
            try:
                if way.normalise(way.read(text)) != value:
                    return False
            except RecordRejected:
                return False
        return all(
            lookup.name in agreed and parents.refers(lookup, key, agreed[lookup.name])
            for lookup, key in zip(self.lookups.values(), self.parent_keys(texts), strict=True)
        )

    def texts(self, write: Fields, parents: Parents) -> dict[str, str | None]:
        """Remote values as texts, by column. RecordRejected for what a column would not hold."""
        texts: dict[str, str | None] = {}
        for name, value in write.items():
            if name in self.lookups:
                texts |= parents.texts(self.lookups[name], value)
            else:
                texts[self._by_name[name].column.name] = self._by_name[name].write(value)
        return texts

    def assignments(self, names: Sequence[str]) -> list[tuple[Column, str]]:
        """Columns by their names with the SQL of their value, for `TwoWay.update_sql`."""
        return [(self._columns[name], input_sql(self._columns[name], "{}")) for name in names]

    def constants(self, two_way: TwoWay) -> tuple[list[tuple[Column, str]], list[str | None]]:
        """What `deletes: {to_postgres: {set: ...}}` writes: columns with the SQL of their value, and texts."""
        found = [(two_way.deletes.columns[name], value) for name, value in two_way.deletes.values.items()]
        texts = [None if value is None else str(value) for _, value in found]
        return [(column, input_sql(column, "{}")) for column, _ in found], texts


def _way(mapped: CompiledField, column: Column, field: RemoteField, destination: Destination) -> _Way:
    normalise = destination.normaliser(field)
    return _Way(
        field.name,
        column,
        field_reader(mapped, selected_type(column.base_type)),
        normalise,
        field_writer(mapped, column, field, normalise),
    )


def _rule(two_way: TwoWay, field: CompiledField, remote: RemoteField) -> Rule:
    """What no column of the table holds cannot be written, so Postgres owns it; what cannot be sent it does not own."""
    owner = "destination" if remote.read_only else two_way.owners.get(field.remote)
    if not two_way.returns(field.remote) or owner == "postgres":
        return Rule.POSTGRES_OWNS
    return Rule.DESTINATION_OWNS if owner == "destination" else Rule(two_way.conflict)


def _field_of(remote: RemoteObject, name: str) -> RemoteField:
    """By a name in whatever case."""
    by_name: Mapping[str, RemoteField] = {each.lower(): field for each, field in remote.fields.items()}
    field = by_name.get(name.lower())
    if field is None:
        raise SchemaDrift(
            f"{remote.name} has no field {name}",
            code="UNKNOWN_FIELD",
            hint="Run `syncbridge check`; mend the mapping or the object, then `syncbridge resume`.",
        )
    return field
