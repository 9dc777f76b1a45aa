"""Deletes: a record goes to the bin, its details go with it, lookups to it are cleared, and some details forbid it."""

from __future__ import annotations

from collections import defaultdict

from syncbridge.sandbox.salesforce.errors import Refusal, entity_deleted, invalid_reference
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Outcome
from syncbridge.sandbox.salesforce.store.locks import Locks
from syncbridge.sandbox.salesforce.store.storage import Storage
from syncbridge.sandbox.salesforce.store.values import Stored
from syncbridge.sandbox.salesforce.store.writes import ROLLED_BACK, RowFault, no_row_fault


class Deletes:
    """Moves records to the bin and back."""

    def __init__(self, org: Org, storage: Storage, locks: Locks) -> None:
        self._org = org
        self._locks = locks
        self._storage = storage

    def delete(self, ids: list[str], *, all_or_none: bool = False, fault: RowFault = no_row_fault) -> list[Outcome]:
        """Delete records of any objects by id; one outcome per id, in order."""
        self._storage.follow_org()
        outcomes = [self._check(index, each, fault) for index, each in enumerate(ids)]
        self._check_there(outcomes)
        self._locks.lock_deletes([each for each in outcomes if each.refusal is None])
        if all_or_none and any(each.refusal for each in outcomes):
            for outcome in outcomes:
                outcome.refusal = outcome.refusal or ROLLED_BACK
        with self._storage.transaction():
            for name, group in self._by_object(outcomes).items():
                self._bin(self._org.objects[name.lower()], [str(each.id) for each in group])
        for outcome in outcomes:
            outcome.id = outcome.id if outcome.refusal in (None, ROLLED_BACK) else None
        return outcomes

    def undelete(self, ids: list[str]) -> list[Outcome]:
        """Take records of any objects out of the bin, and the details deleted with them; one outcome per id."""
        self._storage.follow_org()
        outcomes = [self._check(index, each, no_row_fault) for index, each in enumerate(ids)]
        with self._storage.transaction():
            for name, group in self._by_object(outcomes).items():
                self._restore(self._org.objects[name.lower()], group)
        for outcome in outcomes:
            outcome.id = None if outcome.refusal else outcome.id
        return outcomes

    def _restore(self, target: ObjectType, outcomes: list[Outcome]) -> None:
        columns = ("Id", "IsDeleted", "SystemModstamp")
        rows = self._storage.rows_with(target, columns, "Id", (each.id for each in outcomes), deleted=True)
        binned = {row[0]: row[2] for row in rows if row[1]}
        there = {row[0] for row in rows}
        for outcome in outcomes:
            if outcome.id not in there:
                outcome.refusal = invalid_reference()
            elif outcome.id not in binned:
                outcome.refusal = Refusal("UNDELETE_FAILED", "Entity is not in the recycle bin")
        self._unbin(target, binned)

    def _unbin(self, target: ObjectType, stamps: dict[str, str]) -> None:
        """Restore records, given with the moment of their deletion, and the details deleted at the same moment."""
        self._set(target, ("IsDeleted",), (0,), list(stamps))
        for child, ref in self._org.children_of(target.name):
            if ref.on_delete != "cascade" or not ref.createable or not stamps:
                continue
            columns = ("Id", ref.name, "SystemModstamp", "IsDeleted")
            rows = self._storage.rows_with(child, columns, ref.name, stamps, deleted=True)
            details = {row[0]: row[2] for row in rows if row[3] and row[2] == stamps[row[1]]}
            if details:
                self._unbin(child, details)

    def _check(self, index: int, given: str, fault: RowFault) -> Outcome:
        full = to_18(given.strip())
        target = self._org.by_prefix(full[:3]) if full else None
        if full is None or target is None:
            return Outcome(None, False, Refusal("MALFORMED_ID", f"malformed id {given}"))
        refusal = fault(index, {"attributes": {"type": target.name}, "id": full})
        if refusal is None and not target.deletable:
            refusal = Refusal("INSUFFICIENT_ACCESS_OR_READONLY", f"entity type {target.name} cannot be deleted")
        return Outcome(full, False, refusal)

    def _check_there(self, outcomes: list[Outcome]) -> None:
        """Refuse ids that are not there, are deleted, are given twice or have details that forbid it."""
        for name, group in self._by_object(outcomes).items():
            target = self._org.objects[name.lower()]
            rows = self._storage.rows_with(target, ("Id", "IsDeleted"), "Id", (each.id for each in group), deleted=True)
            deleted = dict(rows)
            blocked = self._blocked(target, [each for each, gone in rows if not gone])
            for outcome in group:
                if outcome.id not in deleted:
                    outcome.refusal = invalid_reference()
                elif deleted[outcome.id]:
                    outcome.refusal = entity_deleted()
                elif outcome.id in blocked:
                    outcome.refusal = blocked[outcome.id]
                else:
                    deleted[outcome.id] = 1

    def _blocked(self, target: ObjectType, ids: list[str]) -> dict[str, Refusal]:
        blocked = {}
        for child, ref in self._org.children_of(target.name):
            if ref.on_delete != "restrict" or not ids:
                continue
            for parent_id, child_id in self._storage.rows_with(child, (ref.name, "Id"), ref.name, ids):
                blocked[parent_id] = Refusal(
                    "DELETE_FAILED",
                    f"Your attempt to delete {parent_id} could not be completed because it is associated with the "
                    f"following {child.plural.lower()}.: {child_id}",
                )
        return blocked

    def _by_object(self, outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
        groups: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            target = self._org.by_prefix(outcome.id[:3]) if outcome.id and outcome.refusal is None else None
            if target is not None:
                groups[target.name].append(outcome)
        return groups

    def _bin(self, target: ObjectType, ids: list[str]) -> None:
        if not ids:
            return
        self._set(target, ("IsDeleted",), (1,), ids)
        for child, ref in self._org.children_of(target.name):
            self._let_go(child, ref, ids)

    def _let_go(self, child: ObjectType, ref: Field, ids: list[str]) -> None:
        """Delete the details of deleted records, or clear their lookup, as the field says."""
        if not ref.createable:
            return
        details = [row[0] for row in self._storage.rows_with(child, ("Id",), ref.name, ids)]
        if ref.on_delete == "cascade":
            self._bin(child, details)
        elif details:
            self._set(child, (ref.name,), (None,), details)

    def _set(self, target: ObjectType, columns: tuple[str, ...], values: tuple[Stored, ...], ids: list[str]) -> None:
        self._storage.touch(target, columns, [(*values, each) for each in ids])
