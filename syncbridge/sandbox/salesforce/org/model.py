"""Objects and fields of a sandbox org, as plain values that the rest of the sandbox compiles from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from syncbridge.sandbox.salesforce.org.rules import Rules

TEXT_TYPES = frozenset(
    {"string", "textarea", "picklist", "multipicklist", "combobox", "email", "phone", "url", "id", "reference"}
)
NUMBER_TYPES = frozenset({"double", "currency", "percent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field, as far as the sandbox acts on it; describe.py expands it to the API's 57 keys."""

    name: str
    label: str
    type: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    digits: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    defaulted: bool = False
    default: str | bool | float | None = None
    unique: bool = False
    external_id: bool = False
    id_lookup: bool = False
    case_sensitive: bool = False
    restricted: bool = False
    values: tuple[str, ...] = ()
    inactive_values: tuple[str, ...] = ()
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None
    on_delete: str = "clear"
    compound: str | None = None
    extra: str | None = None
    formula: str | None = None
    auto_number: str | None = None
    name_field: bool = False

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def child_relationship(self) -> str | None:
        """The name of a reference's children in child subqueries: Contacts, and Contacts__r for a custom field."""
        if self.children is None or not self.custom:
            return self.children
        return f"{self.children.removesuffix('__r')}__r"

    @property
    def upsert_key(self) -> bool:
        """True for a field that an upsert may go by."""
        return self.external_id or self.type == "id"

    @property
    def is_long_text(self) -> bool:
        """True for text that cannot be filtered, sorted or grouped by."""
        return self.type == "textarea" and self.length > 255

    @property
    def required(self) -> bool:
        """True when a create without a value for this field is refused."""
        return self.createable and not self.nillable and not self.defaulted and self.type != "boolean"


@dataclass(frozen=True, kw_only=True)
class ObjectType:
    """One object with its fields in describe order."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: tuple[Field, ...]
    createable: bool = True
    deletable: bool = True
    mergeable: bool = False
    addresses: dict[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by lower-case name."""
        return {each.name.lower(): each for each in self.fields}

    @cached_property
    def by_relationship(self) -> dict[str, Field]:
        """Reference fields by lower-case relationship name."""
        return {each.relationship.lower(): each for each in self.fields if each.relationship}

    def find(self, name: str) -> Field | None:
        """Return the field of this name in any case, or None."""
        return self.by_name.get(name.lower())


class Org:
    """The objects of one org; it may change while the server runs, and `version` moves whenever it does."""

    def __init__(self, objects: list[ObjectType]) -> None:
        self._original = tuple(objects)
        self.version = 0
        self.objects: dict[str, ObjectType] = {}
        self.restore()

    def restore(self) -> None:
        """Undo all changes made since the start."""
        self.objects = {each.name.lower(): each for each in self._original}
        self.version += 1

    def original(self, name: str) -> ObjectType:
        """Return an object as it was at the start."""
        return next(each for each in self._original if each.name == name)

    def find(self, name: str) -> ObjectType | None:
        """Return the object of this name in any case, or None."""
        return self.objects.get(name.lower())

    def by_prefix(self, prefix: str) -> ObjectType | None:
        """Return the object whose ids start with these three characters, or None."""
        return next((each for each in self.objects.values() if each.prefix == prefix), None)

    def put(self, changed: ObjectType) -> None:
        """Add an object or replace the one of the same name."""
        self.objects[changed.name.lower()] = changed
        self.version += 1

    def remove_object(self, name: str) -> None:
        """Make an object unknown to the API; unknown names are a KeyError."""
        del self.objects[name.lower()]
        self.version += 1

    def remove_field(self, object_name: str, field_name: str) -> None:
        """Make a field unknown to the API; unknown names are a KeyError."""
        target = self.objects[object_name.lower()]
        gone = target.by_name[field_name.lower()]
        self.put(replace(target, fields=tuple(each for each in target.fields if each is not gone)))

    def put_field(self, object_name: str, changed: Field) -> None:
        """Add a field to an object or replace the one of the same name."""
        target = self.objects[object_name.lower()]
        kept = [each for each in target.fields if each.name.lower() != changed.name.lower()]
        self.put(replace(target, fields=(*kept, changed)))

    def children_named(self, name: str, relationship: str) -> list[tuple[ObjectType, Field]]:
        """Return those of the children of an object that a child relationship leads to, named in any case."""
        wanted = relationship.lower()
        return [pair for pair in self.children_of(name) if (pair[1].child_relationship or "").lower() == wanted]

    def children_of(self, name: str) -> list[tuple[ObjectType, Field]]:
        """Return every (object, reference field) that points at this object."""
        return [(each, ref) for each in self.objects.values() for ref in each.fields if name in ref.reference_to]
