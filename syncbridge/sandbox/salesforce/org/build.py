"""From the entries of an org file to fields and objects: short forms, default lengths and labels, system fields."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic import Field as Key

from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field, ObjectType
from syncbridge.sandbox.salesforce.org.rules import RulesEntry, build_rules

FieldType = Literal[
    "string", "textarea", "picklist", "multipicklist", "combobox", "boolean", "int", "double", "currency",
    "percent", "date", "datetime", "time", "email", "phone", "url", "reference",
]  # fmt: skip
DEFAULT_LENGTHS = {
    "string": 255, "textarea": 255, "picklist": 255, "multipicklist": 4099, "combobox": 255, "email": 80,
    "phone": 40, "url": 255, "reference": 18,
}  # fmt: skip
STANDARD_PICKLIST_LENGTH = 40
DEFAULT_PRECISIONS = {"double": (18, 2), "currency": (18, 2), "percent": (18, 2)}
INT_DIGITS = 8
WORDS: dict[str, dict[str, Any]] = {
    "required": {"required": True},
    "unique": {"unique": True},
    "external_id": {"external_id": True},
    "read_only": {"access": "read_only"},
    "create_only": {"access": "create_only"},
    "update_only": {"access": "update_only"},
}
SHORT_FORM = re.compile(r"^\s*(\w+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?((?:\s+\w+)*)\s*$")
GEOCODE_ACCURACY = (
    "Address", "NearAddress", "Block", "Street", "ExtendedZip", "Zip", "Neighborhood", "City", "County", "State",
    "Unknown",
)  # fmt: skip


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _unfold(value: Any) -> Any:
    """Turn `string(40) unique`, alone or under the key `type`, into its separate keys."""
    entry = {"type": value} if isinstance(value, str) else value
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        return entry
    match = SHORT_FORM.match(entry["type"])
    if match is None:
        raise ValueError(f"cannot read the type {entry['type']!r}; write it like `string(40) unique`")
    kind, first, second, words = match.groups()
    unfolded: dict[str, Any] = {"type": kind}
    if kind in NUMBER_TYPES and first:
        unfolded |= {"precision": int(first), "scale": int(second or 0)}
    elif first:
        unfolded["length"] = int(first)
    for word in words.split():
        if word not in WORDS:
            raise ValueError(f"{word!r} is not one of the words after a type: {', '.join(WORDS)}")
        unfolded |= WORDS[word]
    return unfolded | {key: each for key, each in entry.items() if key != "type"}


class FieldEntry(BaseModel):
    """A field as an org file writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: FieldType
    label: str | None = None
    length: Annotated[int | None, Key(gt=0, le=131072)] = None
    precision: Annotated[int | None, Key(gt=0, le=18)] = None
    scale: Annotated[int | None, Key(ge=0, le=17)] = None
    digits: Annotated[int | None, Key(gt=0, le=18)] = None
    required: bool = False
    nillable: bool | None = None
    access: Literal["read_only", "create_only", "update_only"] | None = None
    defaulted: bool = False
    default: str | bool | int | float | None = None
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    id_lookup: bool = False
    restricted: bool = False
    values: list[str] = []
    inactive_values: list[str] = []
    to: Annotated[list[str], BeforeValidator(_as_list)] = []
    relationship: str | None = None
    children: str | None = None
    on_delete: Literal["clear", "cascade", "restrict"] = "clear"
    compound: str | None = None
    extra: str | None = None
    formula: str | None = None
    auto_number: str | None = None
    name_field: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return _unfold(value)

    @model_validator(mode="after")
    def _consistent(self) -> FieldEntry:
        if (self.type == "reference") != bool(self.to):
            raise ValueError("a reference, and nothing else, needs `to: Object`")
        if self.values and self.type not in ("picklist", "multipicklist", "combobox"):
            raise ValueError("only a picklist, multipicklist or combobox has `values`")
        if self.restricted and not self.values:
            raise ValueError("`restricted` needs `values`")
        if (self.external_id or self.unique) and self.type not in ("string", "email", "double", "int"):
            raise ValueError("only a string, email, double or int can be `external_id` or `unique`")
        return self


class ObjectEntry(RulesEntry):
    """An object as an org file writes it."""

    label: str | None = None
    plural: str | None = None
    prefix: Annotated[str | None, Key(pattern=r"^[0-9A-Za-z]{3}$")] = None
    createable: bool = True
    deletable: bool = True
    mergeable: bool = False
    owner: bool = True
    addresses: dict[str, str] = {}
    fields: dict[str, FieldEntry] = {}


def default_label(name: str) -> str:
    """Return the label that Salesforce's own naming habit gives: BillingCity is Billing City."""
    words = name.removesuffix("__c").replace("_", " ")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", words)
    return re.sub(r"\bId$", "ID", words)


def build_field(name: str, entry: FieldEntry) -> Field:
    """Return the field with every default filled in."""
    computed = entry.formula is not None or entry.auto_number is not None
    read_only = computed or entry.access == "read_only"
    precision, scale = DEFAULT_PRECISIONS.get(entry.type, (0, 0))
    is_boolean = entry.type == "boolean"
    nillable = entry.nillable if entry.nillable is not None else not (entry.required or is_boolean)
    if entry.name_field and entry.formula is not None:
        nillable = False
    return Field(
        name=name,
        label=entry.label or default_label(name),
        type=entry.type,
        length=entry.length or _default_length(name, entry.type),
        precision=entry.precision or precision,
        scale=entry.scale if entry.scale is not None else scale,
        digits=(entry.digits or INT_DIGITS) if entry.type == "int" else 0,
        nillable=nillable,
        createable=not read_only and entry.access != "update_only",
        updateable=not read_only and entry.access != "create_only",
        defaulted=entry.defaulted or entry.default is not None or is_boolean,
        default=(entry.default or False) if is_boolean else entry.default,
        unique=entry.unique,
        external_id=entry.external_id,
        id_lookup=entry.id_lookup or entry.external_id,
        case_sensitive=entry.case_sensitive,
        restricted=entry.restricted,
        values=tuple(entry.values),
        inactive_values=tuple(entry.inactive_values),
        reference_to=tuple(entry.to),
        relationship=_relationship(name, entry),
        children=entry.children,
        on_delete=entry.on_delete,
        compound=entry.compound,
        extra=entry.extra or ("plaintextarea" if entry.type == "textarea" else None),
        formula=entry.formula,
        auto_number=entry.auto_number,
        name_field=entry.name_field,
    )


def build_object(name: str, entry: ObjectEntry, prefix: str) -> ObjectType:
    """Return the object with its system fields around the ones that the entry lists."""
    fields = [_system("Id", "id", label=f"{entry.label or default_label(name)} ID", length=18, id_lookup=True)]
    if entry.deletable:
        fields.append(_system("IsDeleted", "boolean", label="Deleted", default=False))
    fields += [build_field(each, field) for each, field in entry.fields.items()]
    for compound, part in entry.addresses.items():
        fields += _address(compound, part)
    has = {each.name for each in fields}
    if name.endswith("__c") and "Name" not in has:
        fields.append(build_field("Name", FieldEntry.model_validate({"type": "string(80)", "name_field": True,
                                                                       "defaulted": True})))  # fmt: skip
    if entry.owner and "OwnerId" not in has:
        fields.append(_system("OwnerId", "reference", length=18, reference_to=("User",), relationship="Owner",
                              createable=True, updateable=True))  # fmt: skip
    fields += _audit_fields()
    return ObjectType(
        name=name,
        label=entry.label or default_label(name),
        plural=entry.plural or f"{entry.label or default_label(name)}s",
        prefix=prefix,
        fields=tuple(fields),
        createable=entry.createable,
        deletable=entry.deletable,
        mergeable=entry.mergeable,
        addresses=entry.addresses,
        rules=build_rules(entry),
    )


def _default_length(name: str, kind: str) -> int:
    if kind == "picklist" and not name.endswith("__c"):
        return STANDARD_PICKLIST_LENGTH
    return DEFAULT_LENGTHS.get(kind, 0)


def _relationship(name: str, entry: FieldEntry) -> str | None:
    if entry.type != "reference":
        return None
    if "relationship" in entry.model_fields_set:
        return entry.relationship
    return f"{name.removesuffix('__c')}__r" if name.endswith("__c") else name.removesuffix("Id")


def _system(name: str, kind: str, **settings: Any) -> Field:
    fixed = {"nillable": False, "createable": False, "updateable": False, "defaulted": True}
    return Field(name=name, type=kind, **(fixed | {"label": default_label(name)} | settings))


def _audit_fields() -> list[Field]:
    def user(name: str) -> Field:
        return _system(name, "reference", length=18, reference_to=("User",), relationship=name.removesuffix("Id"))

    viewed = {"nillable": True, "defaulted": False}
    return [
        _system("CreatedDate", "datetime"),
        user("CreatedById"),
        _system("LastModifiedDate", "datetime"),
        user("LastModifiedById"),
        _system("SystemModstamp", "datetime"),
        _system("LastViewedDate", "datetime", **viewed),
        _system("LastReferencedDate", "datetime", **viewed),
    ]


def _address(compound: str, part: str) -> list[Field]:
    spaced = f"{part} " if part else ""

    def piece(name: str, label: str, kind: str, **settings: Any) -> Field:
        return Field(name=part + name, label=spaced + label, type=kind, compound=compound, **settings)

    return [
        piece("Street", "Street", "textarea", length=255, extra="plaintextarea"),
        piece("City", "City", "string", length=40),
        piece("State", "State/Province", "string", length=80),
        piece("PostalCode", "Zip/Postal Code", "string", length=20),
        piece("Country", "Country", "string", length=80),
        piece("Latitude", "Latitude", "double", precision=18, scale=15),
        piece("Longitude", "Longitude", "double", precision=18, scale=15),
        piece("GeocodeAccuracy", "Geocode Accuracy", "picklist", length=40, restricted=True, values=GEOCODE_ACCURACY),
        Field(name=compound, label=default_label(compound), type="address", createable=False, updateable=False),
    ]
