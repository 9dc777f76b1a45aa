"""Does the remote object take what a mapping sends: the object, the external id, required fields, deletes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from syncbridge.errors import Finding
from syncbridge.mapping.checks.fields import NormaliserOf, check_fixed
from syncbridge.mapping.names import did_you_mean, near
from syncbridge.mapping.related import Related
from syncbridge.mapping.spec import MappingSpec
from syncbridge.schemas import Column, FieldKind, RemoteField, RemoteObject, Table

#: Characters that the text of a key can take, by base type.
_LONGEST = {"int2": 6, "int4": 11, "int8": 20, "uuid": 36, "date": 13, "bool": 1}
_WHOLE = ("int2", "int4", "int8")
#: Kinds that no record is found by.
_NOT_SEARCHED = (FieldKind.MULTIPICKLIST, FieldKind.OTHER)
_KINDS = dict.fromkeys(FieldKind, "a field it does not search") | {
    FieldKind.TEXT: "long text",
    FieldKind.MULTIPICKLIST: "a list of values",
}
_CASED = ("text", "varchar", "bpchar", "enum")


class RemoteFields:
    """The fields of a remote object by name, whatever its case, as destinations compare names."""

    def __init__(self, remote: RemoteObject) -> None:
        self.names = tuple(remote.fields)
        self._by_small = {name.lower(): field for name, field in remote.fields.items()}

    def get(self, name: str) -> RemoteField | None:
        """The field, or None."""
        return self._by_small.get(name.lower())


def check_object(spec: MappingSpec, remote: RemoteObject) -> Iterator[Finding]:
    """The login may create, update and, where asked, delete."""
    where = spec.at("object")
    for allowed, verb in ((remote.createable, "create"), (remote.updateable, "update")):
        if not allowed:
            message = f"{remote.name} records cannot be {verb}d by this login"
            yield Finding("error", where, message, f"Give it the right to {verb} them, or map another object.")
    if spec.deletes.to_destination == "delete" and not remote.deletable:
        message = f"{remote.name} records cannot be deleted by this login"
        remedy = "Give it the right, or write `to_destination: ignore` or `{set: {...}}`."
        yield Finding("error", spec.at("deletes", "to_destination"), message, remedy)


def check_external_id(spec: MappingSpec, remote: RemoteObject, table: Table | None) -> Iterator[Finding]:
    """The field that carries the key: there, an external id, unique, long enough, and as exact as the key."""
    where = spec.at("external_id")
    field = RemoteFields(remote).get(spec.external_id)
    if field is None:
        candidates = [name for name, each in remote.fields.items() if each.external_id]
        hint = did_you_mean(spec.external_id, candidates or remote.fields)
        remedy = f"Create it on {remote.name}: text, external id, unique, case-sensitive."
        yield Finding("error", where, f"{remote.name} has no field {spec.external_id!r}{hint}", remedy)
        return
    if field.kind is FieldKind.IDENTIFIER and spec.direction == "to_postgres":
        return  # rows that only come from there may well be known by the record's own id
    if not field.external_id or field.kind is FieldKind.IDENTIFIER:
        remedy = f"Mark {field.name} as external id and unique, or use another field."
        yield Finding("error", where, f"{remote.name}.{field.name} is not an external id", remedy)
        return
    if not (field.createable and field.updateable):
        yield Finding("error", where, f"{remote.name}.{field.name} cannot be written by this login")
    if not field.unique:
        message = f"{remote.name}.{field.name} is not unique: two records may hold one key, and then neither is updated"
        yield Finding("warning", where, message, "Mark the field as unique.")
    columns = [table.columns[name] for name in spec.entity.key if name in table.columns] if table else []
    if table is not None and len(columns) == len(spec.entity.key):
        yield from _check_key_fits(where, field, columns)


def _check_key_fits(where: str, field: RemoteField, columns: list[Column]) -> Iterator[Finding]:
    if field.kind in (FieldKind.NUMBER, FieldKind.INTEGER):
        if len(columns) > 1 or columns[0].base_type not in _WHOLE:
            message = f"{field.name} is a number, which the key {_names(columns)} is not"
            yield Finding("error", where, message, "Use a text field as external id.")
        return
    if not field.case_sensitive and any(column.base_type in _CASED for column in columns):
        message = f"{field.name} does not tell case apart: keys like 'AB' and 'ab' would be one record"
        yield Finding("warning", where, message, "Make the field case-sensitive, or be sure that no such keys exist.")
    longest = longest_key(columns)
    if field.length is not None and longest is not None and longest > field.length:
        message = f"a key can have {longest} characters, {field.name} holds {field.length}"
        yield Finding("warning", where, message, "Make the field longer: a longer key is refused.")


def longest_key(columns: list[Column]) -> int | None:
    """The longest key text, None when only the data can tell."""
    lengths = [column.length or _LONGEST.get(column.base_type) for column in columns]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return None
    return known[0] if len(known) == 1 else sum(known) + 4 * len(known)


def _names(columns: list[Column]) -> str:
    return ", ".join(column.name for column in columns)


def check_match_on(spec: MappingSpec, remote: RemoteObject) -> Iterator[Finding]:
    """The fields by which existing records are found: the destination searches by them, and they tell records apart."""
    fields = RemoteFields(remote)
    filled = {name.lower(): field for name, field in spec.fields.items()}
    where = spec.at("match_on")
    for name in spec.match_on:
        field, source = fields.get(name), filled.get(name.lower())
        if field is None or source is None:  # told where the fields are
            continue
        if not field.filterable or field.kind in _NOT_SEARCHED:
            message = f"match_on: {remote.name} records cannot be found by {field.name}, which is {_KINDS[field.kind]}"
            yield Finding("error", where, message, "Match on a field of short text, an email, a phone or a number.")
        elif field.read_only:
            message = f"match_on: {name} is filled by the destination, so that no row can be told by it"
            yield Finding("error", where, message, "Match on a field that is filled from the row.")
        elif source.constant is not None:
            message = f"match_on: {name} is a constant: it agrees with every record of ours, and tells none apart"
            yield Finding("error", where, message, "Match on a field that is filled from the row.")
        elif source.default is not None and len(spec.match_on) == 1:
            message = f"match_on: {name} has a default: all rows without a value would match the same record"
            yield Finding("error", where, message, "Leave the default out: empty values never match.")


def check_required(spec: MappingSpec, remote: RemoteObject, related: Related | None) -> Iterator[Finding]:
    """Every field that a new record must have is filled, with something that is never null."""
    filled = {name.lower(): (name, field) for name, field in spec.fields.items()}
    for name, field in remote.fields.items():
        if not field.required or name.lower() == spec.external_id.lower():
            continue
        if name.lower() not in filled:
            message = f"{remote.name}.{name} is required, and no field of this mapping fills it"
            yield Finding("error", spec.at("fields"), message, f"Add `{name}:` with a column, sql or constant.")
            continue
        written, source = filled[name.lower()]
        reference = related.refer(source.column or "") if related else None
        column = reference.column if reference else None
        if column is not None and not column.not_null and source.default is None:
            message = f"fields.{written}: {source.column} may be null, but {name} is required"
            remedy = f"Write {{column: {source.column}, default: ...}}; a row without it is refused."
            yield Finding("warning", spec.at("fields", written), message, remedy)


def check_deletes(spec: MappingSpec, remote: RemoteObject, normaliser: NormaliserOf | None) -> Iterator[Finding]:
    """The fields that are set when an entity is gone."""
    rule = spec.deletes.to_destination
    values: Mapping[str, str | int | float | bool | None] = rule["set"] if isinstance(rule, dict) else {}
    fields = RemoteFields(remote)
    for name, value in values.items():
        where = spec.at("deletes", "to_destination", "set", name)
        label = f"deletes.to_destination.set.{name}"
        field = fields.get(name)
        if field is None:
            yield Finding("error", where, f"{label}: {remote.name} has no such field{_meant(name, fields)}")
        elif not field.updateable:
            yield Finding("error", where, f"{label}: the field cannot be written")
        else:
            yield from check_fixed(where, label, value, field, normaliser)


def _meant(name: str, fields: RemoteFields) -> str:
    meant = near(name, fields.names)
    return f"; did you mean {meant!r}?" if meant else ""
