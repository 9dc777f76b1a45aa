"""From a composed row (Postgres text) to a record in the destination's normal form. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.types.reading import field_reader, unread
from syncbridge.model import Fields, Normal, Normaliser, Value
from syncbridge.schemas import RemoteField, RemoteObject


class LookupField(NamedTuple):
    """A field whose composed value is the key of a parent."""

    name: str  # as the destination spells it
    mapping: str  # that is looked up
    waits: bool
    normalise: Normaliser


_Step = tuple[str, int, Callable[[str | None], Value] | None, Normaliser]  # no function: the text is the value


class Converter:
    """Everything that is known of a mapping's fields, worked out once; then called per row.

    `column_types` are the base types of the composed columns, the key's first. Raises SchemaDrift when the destination
    has no field that the mapping names.
    """

    def __init__(
        self,
        mapping: CompiledMapping,
        remote: RemoteObject,
        destination: Destination,
        column_types: Sequence[str],
    ) -> None:
        fields = _CaseBlind(remote)
        external = fields.get(mapping.external_id)
        self.external_field = external.name
        self.match_fields = tuple(fields.get(name) for name in mapping.match_on)
        self._comparable = external.comparable
        self._external = destination.normaliser(external)
        self.gone = _gone(mapping, fields, destination)
        self._constants: Fields = {}
        self._steps: list[_Step] = []
        self.lookups: list[LookupField] = []
        self.owned = frozenset(fields.get(f.remote).name for f in mapping.fields if f.owned)
        self.put_back = frozenset(
            fields.get(f.remote).name
            for f in mapping.fields
            if f.owned and mapping.two_way is not None and mapping.two_way.returns(f.remote)
        )
        self._computed: list[_Step] = []
        for field in mapping.fields:
            target = fields.get(field.remote)
            normalise = destination.normaliser(target)
            if field.position is None:
                self._constants[target.name] = normalise(field.constant)
            elif field.lookup is not None:
                self.lookups.append(LookupField(target.name, field.lookup, field.waits, normalise))
                self._steps.append((target.name, field.position, None, _as_it_is))
            else:
                read = field_reader(field, column_types[field.position])
                comes_back = mapping.two_way is not None and field.remote in mapping.two_way.columns
                steps = self._computed if target.read_only and comes_back else self._steps
                steps.append((target.name, field.position, None if read is unread else read, normalise))

    @property
    def names(self) -> tuple[str, ...]:
        """Fields of a record, in its order, without the external id."""
        return (*self._constants, *(step[0] for step in self._steps))

    def external_value(self, key: str) -> Normal:
        """The entity key as the external id field will hold it."""
        return self._external(key)

    def comparable_key(self, value: Normal) -> object:
        """A value of the external id field as the destination compares it."""
        return self._comparable(value)

    def same_key(self, value: Normal, key: str) -> bool:
        """Whether a record whose external id field holds `value` is the one of this entity key."""
        return value is not None and self._comparable(value) == self._comparable(self._external(key))

    def __call__(self, row: Sequence[str | None]) -> Fields:
        """The record without its external id, with keys of parents in its `lookups`.

        Raises RecordRejected for a value that can never be stored.
        """
        record = dict(self._constants)
        for name, position, read, normalise in self._steps:
            record[name] = normalise(row[position] if read is None else read(row[position]))
        return record

    def computed(self, row: Sequence[str | None]) -> Fields:
        """What the row holds of fields that only the destination fills, as far as that has a normal form."""
        fields: Fields = {}
        for name, position, read, normalise in self._computed:
            with suppress(RecordRejected):
                fields[name] = normalise(row[position] if read is None else read(row[position]))
        return fields


def _gone(mapping: CompiledMapping, fields: _CaseBlind, destination: Destination) -> Fields | None:
    """What is written of an entity that is no more (`deletes: {set: ...}`); None where its record is deleted."""
    if mapping.deletes.action != "set":
        return None
    targets = [(fields.get(name), value) for name, value in mapping.deletes.fields.items()]
    return {target.name: destination.normaliser(target)(value) for target, value in targets}


def _as_it_is(value: Value) -> Normal:
    """The key of a parent is a text."""
    return None if value is None else str(value)


class _CaseBlind:
    """Remote fields by name, as destinations compare names: without regard to case."""

    def __init__(self, remote: RemoteObject) -> None:
        self._object = remote.name
        self._fields = {name.lower(): field for name, field in remote.fields.items()}

    def get(self, name: str) -> RemoteField:
        field = self._fields.get(name.lower())
        if field is None:
            raise SchemaDrift(
                f"{self._object} has no field {name}",
                code="UNKNOWN_FIELD",
                hint="Run `syncbridge check`; mend the mapping or the object, then `syncbridge resume`.",
            )
        return field
