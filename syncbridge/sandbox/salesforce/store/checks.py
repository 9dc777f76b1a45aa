"""What is checked about changes before any is written: fields, lookups, uniqueness, for a whole request at once.

A few statements per request, not per record. A change that fails gets its refusal and is left alone from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from syncbridge.sandbox.salesforce.errors import Refusal, WrongType, invalid_reference
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Change, Shapes
from syncbridge.sandbox.salesforce.store.storage import USER_ID, Storage
from syncbridge.sandbox.salesforce.store.values import Stored, fold


def valid(changes: list[Change]) -> Iterable[Change]:
    """Return the changes that are not refused."""
    return (each for each in changes if each.refusal is None)


class Checks:
    """The checks of one org."""

    def __init__(self, org: Org, storage: Storage, shapes: Shapes) -> None:
        self._org = org
        self._storage = storage
        self._shapes = shapes

    def run(self, changes: list[Change], known_unique: str | None) -> None:
        """Refuse what cannot be written; values of `known_unique` have been looked up already."""
        self._find_parents(changes)
        for change in valid(changes):
            change.refusal = self._field_problem(change)
        self._check_references(changes)
        self._check_unique(changes, known_unique)

    def find(self, target: ObjectType, key: Field, values: Iterable[Stored]) -> dict[Stored, list[str]]:
        """Return the ids of the live records that have these values in the key field."""
        found: dict[Stored, list[str]] = defaultdict(list)
        for value, record_id in self._storage.rows_with(target, (key.name, "Id"), key.name, values):
            found[fold(value)].append(record_id)
        return found

    def _find_parents(self, changes: list[Change]) -> None:
        """Turn parents given by external id into ids."""
        groups: dict[tuple[str, str], set[Stored]] = defaultdict(set)
        for change in valid(changes):
            for each in change.parents:
                groups[each.parent.name, each.key.name].add(each.value)
        if not groups:
            return
        found = {}
        for (name, key_name), values in groups.items():
            parent = self._org.objects[name.lower()]
            found[name, key_name] = self.find(parent, parent.by_name[key_name.lower()], values)
        for change in valid(changes):
            for each in change.parents:
                matches = found[each.parent.name, each.key.name].get(fold(each.value), ())
                if len(matches) == 1:
                    change.values[each.field.name] = matches[0]
                    continue
                problem = "not found" if not matches else "is not unique"
                change.refusal = Refusal(
                    "INVALID_FIELD",
                    f"Foreign key external ID: {each.value} {problem} for field {each.key.name} in entity "
                    f"{each.parent.name}",
                )

    def _field_problem(self, change: Change) -> Refusal | None:
        """Return the refusal for fields that are missing, null or not to be written, or None."""
        shape = self._shapes.of(change.target)
        closed = change.not_createable if change.created else change.not_updateable
        if change.created and not change.target.createable:
            return Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {change.target.name} is read only")
        if closed:
            names = ", ".join(closed)
            text = f"Unable to create/update fields: {names}. Please check the security settings of this field and "
            text += "verify that it is read/write for your profile or permission set."
            return Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", text, fields=closed)
        values = change.values
        if change.created:
            missing = [each.name for each in shape.required if values.get(each.name) is None]
        else:
            missing = [each.name for each in shape.required if each.name in values and values[each.name] is None]
        if missing:
            text = f"Required fields are missing: [{', '.join(missing)}]"
            return Refusal("REQUIRED_FIELD_MISSING", text, fields=missing)
        return _settle_nulls(change)

    def _check_references(self, changes: list[Change]) -> None:
        """Refuse lookups to records that do not exist, or to records of another object."""
        wanted: dict[str, set[Stored]] = defaultdict(set)
        lookups: list[tuple[Change, Field, str]] = []
        for change in valid(changes):
            references = self._shapes.of(change.target).references
            for name, value in change.values.items():
                if value is None or name not in references:
                    continue
                if value != USER_ID or "User" not in references[name].reference_to:
                    lookups.append((change, references[name], str(value)))
        for change, field, value in lookups:
            parent = self._org.by_prefix(value[:3])
            if parent is None:
                change.refusal = invalid_reference()
            elif parent.name not in field.reference_to:
                text = f"{field.label}: id value of incorrect type: {value}"
                change.refusal = Refusal("FIELD_INTEGRITY_EXCEPTION", text, fields=[field.name])
            else:
                wanted[parent.name].add(value)
        present = {
            row[0]
            for name, ids in wanted.items()
            for row in self._storage.rows_with(self._org.objects[name.lower()], ("Id",), "Id", ids)
        }
        for change, field, value in lookups:
            if change.refusal is None and value not in present:
                change.refusal = invalid_reference([field.name])

    def _check_unique(self, changes: list[Change], known: str | None) -> None:
        """Refuse values that another record has already, in the org or earlier in the request."""
        groups: dict[tuple[str, str], list[Change]] = defaultdict(list)
        for change in valid(changes):
            for field in self._shapes.of(change.target).unique:
                if field.name != known and change.values.get(field.name) is not None:
                    groups[change.target.name, field.name].append(change)
        for (_, name), group in groups.items():
            target = group[0].target
            field = target.by_name[name.lower()]
            owners: dict[Stored, str | None] = {
                value: ids[0] for value, ids in self.find(target, field, (each.values[name] for each in group)).items()
            }
            for change in group:
                value = fold(change.values[name])
                if value in owners and (change.id is None or owners[value] != change.id):
                    change.refusal = _duplicate(field, owners[value])
                else:
                    owners[value] = change.id


def _settle_nulls(change: Change) -> Refusal | None:
    """A null for a field that cannot be empty gives the default in a create, and is refused in an update."""
    empty = [name for name, value in change.values.items() if value is None]
    for name in empty:
        field = change.target.by_name[name.lower()]
        if field.nillable and not (field.defaulted and change.created):
            continue
        if change.created:
            del change.values[name]
        elif field.type == "boolean":
            return WrongType(field.name, "boolean", None)
        else:
            return Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", fields=[name])
    return None


def _duplicate(field: Field, owner: str | None) -> Refusal:
    shown = owner[:15] if owner else "<unknown>"
    return Refusal(
        "DUPLICATE_VALUE", f"duplicate value found: {field.name} duplicates value on record with id: {shown}"
    )
