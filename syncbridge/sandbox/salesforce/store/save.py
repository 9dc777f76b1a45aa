"""Writing changes that passed all checks, in one transaction, and letting the org's rules act on them in it."""

from __future__ import annotations

from collections import defaultdict

from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.model import Org
from syncbridge.sandbox.salesforce.store.changes import Change, Shapes
from syncbridge.sandbox.salesforce.store.rules import OrgRules, have_rules
from syncbridge.sandbox.salesforce.store.storage import Storage
from syncbridge.sandbox.salesforce.store.values import Stored

#: What a new record gets of the moment in which it is written.
STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")


class _Refused(Exception):
    """A rule refuses records of a transaction, which is undone."""


class Save:
    """Writes changes; those that a rule refuses get their refusal, and the others are written without them."""

    def __init__(self, org: Org, storage: Storage, shapes: Shapes) -> None:
        self._org = org
        self._storage = storage
        self._shapes = shapes
        self._rules = OrgRules(org, storage)

    def run(self, changes: list[Change], *, all_or_none: bool, allow_duplicates: bool) -> None:
        """Write the changes, or with `all_or_none` nothing as soon as one of them is refused."""
        for change in changes:
            if change.created:
                self._fill_new(change)
        if not have_rules(changes):
            with self._storage.transaction():
                self._write(changes)
            return
        left = changes
        while left:
            try:
                self._write_by_rules(left, allow_duplicates=allow_duplicates)
                return
            except _Refused:
                left = [] if all_or_none else [each for each in left if each.refusal is None]

    def _write_by_rules(self, changes: list[Change], *, allow_duplicates: bool) -> None:
        with self._storage.transaction():
            before = self._rules.before(changes)
            self._write(changes)
            if not self._rules.run(changes, before, allow_duplicates=allow_duplicates):
                raise _Refused

    def _write(self, changes: list[Change]) -> None:
        inserts: dict[tuple[str, ...], list[Change]] = defaultdict(list)
        merged: dict[str, tuple[str, dict[str, Stored]]] = {}
        stamps = dict.fromkeys(STAMPS, self._storage.stamp)
        for change in changes:
            if change.created:
                change.values |= stamps
                inserts[change.target.name, *change.values].append(change)
                continue
            _, earlier = merged.get(str(change.id), ("", {}))
            merged[str(change.id)] = (change.target.name, earlier | change.values)
        for (name, *columns), group in inserts.items():
            rows = [tuple(each.values.values()) for each in group]
            self._storage.insert(self._org.objects[name.lower()], tuple(columns), rows)
        updates: dict[tuple[str, ...], list[tuple[Stored, ...]]] = defaultdict(list)
        for record_id, (name, values) in merged.items():
            updates[name, *values].append((*values.values(), record_id))
        for (name, *columns), update_rows in updates.items():
            self._storage.touch(self._org.objects[name.lower()], tuple(columns), update_rows)

    def _fill_new(self, change: Change) -> None:
        number = self._storage.next_number(change.target)
        change.id = make_id(change.target.prefix, number)
        values = change.values
        for field in self._shapes.of(change.target).auto_numbers:
            values[field.name] = str(field.auto_number).format(number)
        if change.target.custom and values.get("Name") is None:
            values["Name"] = change.id
        values["seq"] = number
        values["Id"] = change.id
