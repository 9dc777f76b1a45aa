"""Writing changes that passed all checks, in one transaction, and letting the org's rules act on them in it."""

from __future__ import annotations

from collections import defaultdict

from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.model import Org
from syncbridge.sandbox.salesforce.store.changes import Change, Shapes
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.rules import OrgRules, have_rules
from syncbridge.sandbox.salesforce.store.storage import USER_ID, Storage
from syncbridge.sandbox.salesforce.store.values import Stored


class _Refused(Exception):
    """A rule refuses records of a transaction, which is undone."""


class Save:
    """Writes changes; those that a rule refuses get their refusal, and the others are written without them."""

    def __init__(self, org: Org, storage: Storage, clock: Clock, shapes: Shapes) -> None:
        self._org = org
        self._storage = storage
        self._clock = clock
        self._shapes = shapes
        self._rules = OrgRules(org, storage, clock)

    def run(self, changes: list[Change], *, all_or_none: bool, allow_duplicates: bool) -> None:
        """Write the changes, or with `all_or_none` nothing as soon as one of them is refused."""
        stamp = self._clock.stamp()
        for change in changes:
            if change.created:
                self._fill_new(change, stamp)
        if not have_rules(changes):
            with self._storage.transaction():
                self._write(changes, stamp)
            return
        left = changes
        while left:
            try:
                self._write_by_rules(left, stamp, allow_duplicates=allow_duplicates)
                return
            except _Refused:
                left = [] if all_or_none else [each for each in left if each.refusal is None]

    def _write_by_rules(self, changes: list[Change], stamp: str, *, allow_duplicates: bool) -> None:
        with self._storage.transaction():
            before = self._rules.before(changes)
            self._write(changes, stamp)
            if not self._rules.run(changes, before, allow_duplicates=allow_duplicates):
                raise _Refused

    def _write(self, changes: list[Change], stamp: str) -> None:
        inserts: dict[tuple[str, ...], list[Change]] = defaultdict(list)
        merged: dict[str, tuple[str, dict[str, Stored]]] = {}
        for change in changes:
            if change.created:
                inserts[change.target.name, *change.values].append(change)
                continue
            _, earlier = merged.get(str(change.id), ("", {}))
            merged[str(change.id)] = (change.target.name, earlier | change.values)
        for (name, *columns), group in inserts.items():
            rows = [tuple(each.values.values()) for each in group]
            self._storage.insert(self._org.objects[name.lower()], tuple(columns), rows)
        moved: dict[str, Stored] = {"LastModifiedDate": stamp, "LastModifiedById": USER_ID, "SystemModstamp": stamp}
        updates: dict[tuple[str, ...], list[tuple[Stored, ...]]] = defaultdict(list)
        for record_id, (name, values) in merged.items():
            values |= moved
            updates[name, *values].append((*values.values(), record_id))
        for (name, *columns), update_rows in updates.items():
            self._storage.update(self._org.objects[name.lower()], tuple(columns), update_rows)

    def _fill_new(self, change: Change, stamp: str) -> None:
        number = self._storage.next_number(change.target)
        change.id = make_id(change.target.prefix, number)
        values = change.values
        for field in self._shapes.of(change.target).auto_numbers:
            values[field.name] = str(field.auto_number).format(number)
        if change.target.custom and values.get("Name") is None:
            values["Name"] = change.id
        values["seq"] = number
        values["Id"] = change.id
        values["CreatedDate"] = values["LastModifiedDate"] = values["SystemModstamp"] = stamp
