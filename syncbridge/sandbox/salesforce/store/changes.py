"""Records as a request gives them, read into changes: names found, values in normal form, problems noted per record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from syncbridge.sandbox.salesforce.errors import Refusal, no_such_column
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.values import Normaliser, Stored, normaliser

Record = dict[str, Any]


@dataclass(slots=True)
class ParentKey:
    """A lookup given as the parent's external id instead of its id."""

    field: Field
    parent: ObjectType
    key: Field
    value: Stored


@dataclass(slots=True)
class Change:
    """One record on its way through the checks. With a `refusal` it changes nothing."""

    target: ObjectType
    values: dict[str, Stored] = field(default_factory=dict)
    parents: list[ParentKey] = field(default_factory=list)
    not_createable: list[str] = field(default_factory=list)
    not_updateable: list[str] = field(default_factory=list)
    id: str | None = None
    created: bool = False
    refusal: Refusal | None = None


@dataclass(slots=True)
class Outcome:
    """What became of one record."""

    id: str | None
    created: bool
    refusal: Refusal | None


class Shape:
    """What is needed to read records of one object, worked out once."""

    def __init__(self, org: Org, target: ObjectType) -> None:
        self.target = target
        self._org = org
        self._fields: dict[str, tuple[Field, Normaliser]] = {
            each.name: (each, normaliser(each)) for each in target.fields
        }
        self._by_lower = {name.lower(): pair for name, pair in self._fields.items()}
        self.required = tuple(each for each in target.fields if each.required)
        self.unique = tuple(each for each in target.fields if each.unique)
        self.references = {each.name: each for each in target.fields if each.reference_to and each.createable}
        self.auto_numbers = tuple(each for each in target.fields if each.auto_number is not None)
        self.limited = frozenset(each.name for each in target.fields if not (each.createable and each.updateable))

    def read(self, record: Record) -> Change:
        """Return the change that a record asks for; `attributes` and the id are left to the caller."""
        change = Change(self.target)
        values = change.values
        try:
            for name, value in record.items():
                pair = self._fields.get(name) or self._by_lower.get(name.lower())
                if pair is None:
                    self._read_other(change, name, value)
                    continue
                known, normalise = pair
                if known.name in self.limited:
                    if known.type == "id":
                        continue
                    self._note_limits(change, known)
                if value is None and known.type == "boolean" and known.name not in values:
                    change.values[known.name] = None
                    continue
                values[known.name] = normalise(value)
        except Refusal as refusal:
            change.refusal = refusal
        return change

    def _note_limits(self, change: Change, known: Field) -> None:
        if not known.createable:
            change.not_createable.append(known.name)
        if not known.updateable:
            change.not_updateable.append(known.name)

    def _read_other(self, change: Change, name: str, value: Any) -> None:
        """A key that is no field: the type of the record, or a relationship with the parent's external id."""
        if name == "attributes":
            return
        known = self.target.by_relationship.get(name.lower())
        if known is None or known.name not in self.references:
            raise no_such_column(name, self.target.name)
        if value is None:
            change.values[known.name] = None
            return
        change.parents.append(self._parent_key(known, value))

    def _parent_key(self, known: Field, value: Any) -> ParentKey:
        keys = [each for each in value if each != "attributes"] if isinstance(value, dict) else []
        if len(keys) != 1:
            raise Refusal(
                "INVALID_FIELD",
                f"Relationship {known.relationship} needs an object with one external id field of the parent",
            )
        wanted = self._parent_name(known, value)
        parent = self._org.find(wanted)
        key = parent.find(keys[0]) if parent else None
        if parent is None or key is None or not (key.external_id or key.id_lookup):
            raise Refusal(
                "INVALID_FIELD", f"Field name provided, {keys[0]} is not an External ID or indexed field for {wanted}"
            )
        return ParentKey(known, parent, key, normaliser(key)(value[keys[0]]))

    def _parent_name(self, known: Field, value: Record) -> str:
        if len(known.reference_to) == 1:
            return known.reference_to[0]
        attributes = value.get("attributes")
        if not isinstance(attributes, dict) or "type" not in attributes:
            raise Refusal(
                "JSON_PARSER_ERROR",
                "Unable to find the type attribute of a polymorphic relationship; it must come first",
            )
        return str(attributes["type"])


class Shapes:
    """The shapes of an org's objects, kept until the org changes."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._version = -1
        self._shapes: dict[str, Shape] = {}

    def of(self, target: ObjectType) -> Shape:
        """Return the shape of an object."""
        if self._version != self._org.version:
            self._shapes.clear()
            self._version = self._org.version
        shape = self._shapes.get(target.name)
        if shape is None:
            shape = self._shapes[target.name] = Shape(self._org, target)
        return shape
