"""Creates, updates and upserts: every check first, for the whole request at once, and then the rows that passed.

Nothing is written before all checks are done, so "all or none" needs no undo.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

from syncbridge.sandbox.salesforce.errors import Refusal, SeveralMatches, entity_deleted, invalid_reference, not_found
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Change, Outcome, Record, Shapes
from syncbridge.sandbox.salesforce.store.checks import Checks, valid
from syncbridge.sandbox.salesforce.store.locks import Locks
from syncbridge.sandbox.salesforce.store.save import Save
from syncbridge.sandbox.salesforce.store.storage import Storage
from syncbridge.sandbox.salesforce.store.values import Stored, fold, normaliser

RowFault = Callable[[int, Record], Refusal | None]
ROLLED_BACK = Refusal(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
ID_GIVEN = Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", fields=["Id"])
NO_ID = Refusal("MISSING_ARGUMENT", "Id not specified in an update call")


def no_row_fault(index: int, record: Record) -> Refusal | None:
    """The row fault that never happens."""
    return None


class Writes:
    """Creates, updates and upserts records, each request as one transaction with one outcome per record, in order."""

    def __init__(self, org: Org, storage: Storage, locks: Locks) -> None:
        self._org = org
        self._locks = locks
        self._storage = storage
        self._shapes = Shapes(org)
        self._checks = Checks(org, storage, self._shapes)
        self._save = Save(org, storage, self._shapes)
        #: Whether the request in hand insists on records that a duplicate rule only warns of.
        self.allow_duplicates = False

    def create(
        self,
        records: list[tuple[ObjectType | Refusal, Record]],
        *,
        all_or_none: bool = False,
        fault: RowFault = no_row_fault,
    ) -> list[Outcome]:
        """Create records, possibly of several objects."""
        changes = self._read(records, fault)
        for change in changes:
            change.created = True
        _refuse_ids(changes, [record for _, record in records])
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
                _take_id_of(change, record)
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
            _refuse_ids(changes, records)
            self._aim_by_key(target, key, changes)
        if update_only:
            for change in changes:
                if change.created and change.refusal is None:
                    change.refusal = not_found()
        outcomes = self._finish(changes, all_or_none=all_or_none, known_unique=key.name)
        if all_or_none and any(each.refusal for each in outcomes):
            for each in outcomes:
                each.created = True
        return outcomes

    def write(
        self,
        operation: Literal["insert", "update", "upsert"],
        changes: list[Change],
        *,
        key: Field | None = None,
        seen: set[Stored] | None = None,
    ) -> list[Outcome]:
        """Write changes of one object that were read elsewhere; `change.id` is the id that the record carries.

        An upsert goes by `key`; values in `seen` were specified earlier, and those of these changes are added to it.
        """
        self._storage.follow_org()
        by_id = operation == "update" or (operation == "upsert" and (key is None or key.type == "id"))
        for change in valid(changes):
            change.created = operation == "insert" or (by_id and change.id is None)
            if change.id is not None and not by_id:
                change.refusal = ID_GIVEN
            elif operation == "update" and change.id is None:
                change.refusal = NO_ID
        if by_id:
            self._check_targets(changes)
        elif operation == "upsert" and key is not None:
            self._aim_by_key(changes[0].target, key, changes, seen)
        return self._finish(changes, all_or_none=False, known_unique=key.name if key else None)

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
            if _given_id(record):
                _take_id_of(change, record)
            else:
                change.created = True
        self._check_targets(changes)

    def _aim_by_key(
        self, target: ObjectType, key: Field, changes: list[Change], seen: set[Stored] | None = None
    ) -> None:
        seen = set() if seen is None else seen
        for change in valid(changes):
            value = fold(change.values.get(key.name))
            if value is None:
                change.refusal = Refusal("MISSING_ARGUMENT", f"{key.name} not specified")
            elif value in seen:
                text = change.values[key.name]
                change.refusal = Refusal(
                    "DUPLICATE_VALUE", f"Duplicate external id specified: {text}", fields=[key.name]
                )
            seen.add(value)
        found = self._checks.find(target, key, (each.values[key.name] for each in valid(changes)))
        for change in valid(changes):
            matches = found.get(fold(change.values[key.name]), ())
            if len(matches) > 1:
                change.refusal = SeveralMatches(key.name, [f"{target.name}/{each}" for each in matches], list(matches))
            change.created = not matches
            if matches:
                change.id = matches[0]
                del change.values[key.name]  # it says which record, and stays as it was first written

    def _check_targets(self, changes: list[Change]) -> None:
        """Refuse updates of records that are not there."""
        wanted: dict[str, list[Change]] = defaultdict(list)
        for change in valid(changes):
            if change.id is not None:
                wanted[change.target.name].append(change)
        for group in wanted.values():
            target = group[0].target
            rows = self._storage.rows_with(target, ("Id", "IsDeleted"), "Id", (each.id for each in group), deleted=True)
            deleted = dict(rows)
            for change in group:
                if change.id not in deleted:
                    change.refusal = invalid_reference()
                elif deleted[change.id]:
                    change.refusal = entity_deleted()

    def _finish(self, changes: list[Change], *, all_or_none: bool, known_unique: str | None = None) -> list[Outcome]:
        self._checks.run(changes, known_unique)
        self._check_storage(changes)
        self._locks.lock_changes(list(valid(changes)))
        passed = list(valid(changes))
        if not (all_or_none and len(passed) < len(changes)):
            self._save.run(passed, all_or_none=all_or_none, allow_duplicates=self.allow_duplicates)
        if all_or_none and any(each.refusal for each in changes):
            for change in valid(changes):
                change.refusal = ROLLED_BACK
        return [Outcome(_shown_id(each), each.created, each.refusal) for each in changes]

    def _check_storage(self, changes: list[Change]) -> None:
        """Refuse new records of objects that hold as many as their org file allows."""
        room: dict[str, int] = {}
        for change in valid(changes):
            most = change.target.rules.most_records
            if most is None or not change.created:
                continue
            left = room.get(change.target.name)
            left = most - self._storage.count(change.target) if left is None else left
            if left <= 0:
                change.refusal = Refusal("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", fields=[])
            room[change.target.name] = left - 1


def _shown_id(change: Change) -> str | None:
    """Return the id that a result shows: of what was written, and of updates that were undone for another record."""
    return change.id if change.refusal is None or (change.refusal is ROLLED_BACK and not change.created) else None


def _refuse_ids(changes: list[Change], records: list[Record]) -> None:
    """A new record's id is Salesforce's to give, and an upsert goes by its key alone."""
    for change, record in zip(changes, records, strict=True):
        if change.refusal is None and _given_id(record) is not None:
            change.refusal = ID_GIVEN


def _given_id(record: Record) -> Any:
    return next((record[each] for each in ("Id", "id", "ID") if record.get(each)), None)


def _take_id_of(change: Change, record: Record) -> None:
    given = _given_id(record)
    if given is None:
        change.refusal = NO_ID
        return
    take_id(change, given)


def take_id(change: Change, given: Any) -> None:
    """Let a change be about the record with this id, or refuse the id."""
    field = change.target.by_name["id"]
    try:
        change.id = str(normaliser(field)(given))
    except Refusal as refusal:
        change.refusal = refusal
        return
    if change.id[:3] != change.target.prefix:
        text = f"{field.label}: id value of incorrect type: {given}"
        change.refusal = Refusal("INVALID_FIELD" if to_18(change.id) is None else "MALFORMED_ID", text, fields=["Id"])
