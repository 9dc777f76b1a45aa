"""Creates, updates and upserts: every check first, for the whole request at once, and then the rows that passed.

The checks need a few statements per request, not per record. Nothing is written before all are done, so "all or none"
needs no undo. Order: read, find parents and targets, required and limited fields, references, uniqueness, write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from syncbridge.sandbox.salesforce.errors import Refusal, SeveralMatches, WrongType
from syncbridge.sandbox.salesforce.org.ids import make_id, to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Change, Outcome, Record, Shapes
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.storage import USER_ID, Storage
from syncbridge.sandbox.salesforce.store.values import Stored, normaliser

RowFault = Callable[[int, Record], Refusal | None]
ROLLED_BACK = Refusal(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)


def no_row_fault(index: int, record: Record) -> Refusal | None:
    """The row fault that never happens."""
    return None


def fold(value: Stored) -> Stored:
    """Return a value as uniqueness compares it: text without regard to case."""
    return value.lower() if isinstance(value, str) else value


class Writes:
    """Creates, updates and upserts records, each request as one transaction with one outcome per record, in order."""

    def __init__(self, org: Org, storage: Storage, clock: Clock) -> None:
        self._org = org
        self._storage = storage
        self._clock = clock
        self._shapes = Shapes(org)

    def create(
        self,
        records: list[tuple[ObjectType | Refusal, Record]],
        *,
        all_or_none: bool = False,
        fault: RowFault = no_row_fault,
    ) -> list[Outcome]:
        """Create records, possibly of several objects."""
        changes = self._read(records, fault)
        for change, (_, record) in zip(changes, records, strict=True):
            change.created = True
            if change.refusal is None and any(each.lower() == "id" and record[each] for each in record):
                change.refusal = Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call")
        return self._finish(changes, all_or_none=all_or_none)

    def update(
        self,
        records: list[tuple[ObjectType | Refusal, Record]],
        *,
        all_or_none: bool = False,
        fault: RowFault = no_row_fault,
    ) -> list[Outcome]:
        """Update records by the id that each carries under `id` or `Id`."""
        changes = self._read(records, fault)
        for change, (_, record) in zip(changes, records, strict=True):
            if change.refusal is None:
                _take_id(change, record)
        self._check_targets(changes)
        return self._finish(changes, all_or_none=all_or_none)

    def upsert(
        self,
        target: ObjectType,
        key: Field,
        records: list[Record],
        *,
        all_or_none: bool = False,
        fault: RowFault = no_row_fault,
        update_only: bool = False,
    ) -> list[Outcome]:
        """Update the record whose key field has the value that a record carries, or create it."""
        changes = self._read([(target, each) for each in records], fault)
        if key.type == "id":
            self._aim_by_id(changes, records)
        else:
            self._aim_by_key(target, key, changes)
        if update_only:
            for change in changes:
                if change.created and change.refusal is None:
                    change.refusal = Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        outcomes = self._finish(changes, all_or_none=all_or_none, known_unique=key.name)
        if all_or_none and any(each.refusal for each in outcomes):
            for each in outcomes:
                each.created = True
        return outcomes

    def _read(self, records: list[tuple[ObjectType | Refusal, Record]], fault: RowFault) -> list[Change]:
        self._storage.follow_org()
        changes = []
        for index, (target, record) in enumerate(records):
            if isinstance(target, Refusal):
                nothing = next(iter(self._org.objects.values()))
                changes.append(Change(nothing, refusal=target))
                continue
            change = self._shapes.of(target).read(record)
            change.refusal = change.refusal or fault(index, record)
            changes.append(change)
        return changes

    def _aim_by_id(self, changes: list[Change], records: list[Record]) -> None:
        for change, record in zip(changes, records, strict=True):
            if any(each.lower() == "id" and record[each] for each in record):
                _take_id(change, record)
            else:
                change.created = True
        self._check_targets(changes)

    def _aim_by_key(self, target: ObjectType, key: Field, changes: list[Change]) -> None:
        seen: set[Stored] = set()
        for change in _valid(changes):
            value = fold(change.values.get(key.name))
            if value is None:
                change.refusal = Refusal("MISSING_ARGUMENT", f"{key.name} not specified")
            elif value in seen:
                text = change.values[key.name]
                change.refusal = Refusal(
                    "DUPLICATE_VALUE", f"Duplicate external id specified: {text}", fields=[key.name]
                )
            seen.add(value)
        found = self._find(target, key, (each.values[key.name] for each in _valid(changes)))
        for change in _valid(changes):
            matches = found.get(fold(change.values[key.name]), ())
            if len(matches) > 1:
                change.refusal = SeveralMatches(key.name, [f"{target.name}/{each}" for each in matches], list(matches))
            change.id = matches[0] if matches else None
            change.created = not matches

    def _find(self, target: ObjectType, key: Field, values: Iterable[Stored]) -> dict[Stored, list[str]]:
        """Return the ids of the live records that have these values in the key field."""
        found: dict[Stored, list[str]] = defaultdict(list)
        for value, record_id in self._storage.rows_with(target, (key.name, "Id"), key.name, values):
            found[fold(value)].append(record_id)
        return found

    def _check_targets(self, changes: list[Change]) -> None:
        """Refuse updates of records that are not there."""
        wanted: dict[str, list[Change]] = defaultdict(list)
        for change in _valid(changes):
            if change.id is not None:
                wanted[change.target.name].append(change)
        for group in wanted.values():
            target = group[0].target
            rows = self._storage.rows_with(target, ("Id", "IsDeleted"), "Id", (each.id for each in group), deleted=True)
            deleted = dict(rows)
            for change in group:
                if change.id not in deleted:
                    change.refusal = Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
                elif deleted[change.id]:
                    change.refusal = Refusal("ENTITY_IS_DELETED", "entity is deleted")

    def _finish(self, changes: list[Change], *, all_or_none: bool, known_unique: str | None = None) -> list[Outcome]:
        self._find_parents(changes)
        for change in _valid(changes):
            change.refusal = self._field_problem(change)
        self._check_references(changes)
        self._check_unique(changes, known_unique)
        if all_or_none and any(each.refusal for each in changes):
            for change in _valid(changes):
                change.refusal = ROLLED_BACK
        else:
            self._apply(list(_valid(changes)))
        return [Outcome(None if each.refusal else each.id, each.created, each.refusal) for each in changes]

    def _find_parents(self, changes: list[Change]) -> None:
        """Turn parents given by external id into ids."""
        groups: dict[tuple[str, str], set[Stored]] = defaultdict(set)
        for change in _valid(changes):
            for each in change.parents:
                groups[each.parent.name, each.key.name].add(each.value)
        if not groups:
            return
        found = {}
        for (name, key_name), values in groups.items():
            parent = self._org.objects[name.lower()]
            found[name, key_name] = self._find(parent, parent.by_name[key_name.lower()], values)
        for change in _valid(changes):
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
        for change in _valid(changes):
            references = self._shapes.of(change.target).references
            for name, value in change.values.items():
                if value is not None and name in references and value != USER_ID:
                    lookups.append((change, references[name], str(value)))
        for change, field, value in lookups:
            parent = self._org.by_prefix(value[:3])
            if parent is None:
                change.refusal = Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
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
                text = "invalid cross reference id"
                change.refusal = Refusal("INVALID_CROSS_REFERENCE_KEY", text, fields=[field.name])

    def _check_unique(self, changes: list[Change], known: str | None) -> None:
        """Refuse values that another record has already, in the org or earlier in the request."""
        groups: dict[tuple[str, str], list[Change]] = defaultdict(list)
        for change in _valid(changes):
            for field in self._shapes.of(change.target).unique:
                if field.name != known and change.values.get(field.name) is not None:
                    groups[change.target.name, field.name].append(change)
        for (_, name), group in groups.items():
            target = group[0].target
            field = target.by_name[name.lower()]
            owners: dict[Stored, str | None] = {
                value: ids[0] for value, ids in self._find(target, field, (each.values[name] for each in group)).items()
            }
            for change in group:
                value = fold(change.values[name])
                if value in owners and (change.id is None or owners[value] != change.id):
                    change.refusal = _duplicate(field, owners[value])
                else:
                    owners[value] = change.id

    def _apply(self, changes: list[Change]) -> None:
        stamp = self._clock.stamp()
        inserts: dict[tuple[str, ...], list[Change]] = defaultdict(list)
        updates: dict[tuple[str, ...], dict[str, Change]] = defaultdict(dict)
        merged: dict[str, Change] = {}
        for change in changes:
            if change.created:
                self._fill_new(change, stamp)
                inserts[change.target.name, *change.values].append(change)
                continue
            assert change.id is not None
            earlier = merged.setdefault(change.id, change)
            if earlier is not change:
                earlier.values |= change.values
        for change in merged.values():
            change.values |= {"LastModifiedDate": stamp, "LastModifiedById": USER_ID, "SystemModstamp": stamp}
            updates[change.target.name, *change.values][str(change.id)] = change
        with self._storage.transaction():
            for (name, *columns), group in inserts.items():
                rows = [tuple(each.values.values()) for each in group]
                self._storage.insert(self._org.objects[name.lower()], tuple(columns), rows)
            for (name, *columns), named in updates.items():
                rows = [(*each.values.values(), record_id) for record_id, each in named.items()]
                self._storage.update(self._org.objects[name.lower()], tuple(columns), rows)

    def _fill_new(self, change: Change, stamp: str) -> None:
        number = self._storage.next_number(change.target)
        change.id = make_id(change.target.prefix, number)
        values = change.values
        for field in self._shapes.of(change.target).auto_numbers:
            values[field.name] = str(field.auto_number).format(number)
        values["seq"] = number
        values["Id"] = change.id
        values["CreatedDate"] = values["LastModifiedDate"] = values["SystemModstamp"] = stamp


def _valid(changes: list[Change]) -> Iterable[Change]:
    return (each for each in changes if each.refusal is None)


def _take_id(change: Change, record: Record) -> None:
    given = next((record[each] for each in record if each.lower() == "id"), None)
    if given is None:
        change.refusal = Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
        return
    field = change.target.by_name["id"]
    try:
        change.id = str(normaliser(field)(given))
    except Refusal as refusal:
        change.refusal = refusal
        return
    if change.id[:3] != change.target.prefix:
        text = f"{field.label}: id value of incorrect type: {given}"
        change.refusal = Refusal("INVALID_FIELD" if to_18(change.id) is None else "MALFORMED_ID", text)


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
