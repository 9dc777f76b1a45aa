"""Row locks: a write holds its records and their parents until its request is answered, so that others must wait.

Each request is carried out in one go, so without further ado no two ever overlap. `row_seconds` lets a write take
time, and `hold` lets writes stay under way until a test releases them; both happen after the records are written, and
the answer comes when the time has passed. Parents are those of the lookups that a write sets, and of a record's
master-detail fields whatever it sets.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from syncbridge.sandbox.salesforce.errors import LOCK_MESSAGE, Refusal
from syncbridge.sandbox.salesforce.org.model import ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Change, Outcome
from syncbridge.sandbox.salesforce.store.storage import USER_ID, Storage

#: So long Salesforce waits for a lock before it gives up a record.
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.005


class LocksHeld(Exception):
    """Records are locked by another request, for which this one is ready to wait; nothing has been written."""


class RowLocked(Refusal):
    """The refusal of a record whose lock could not be had."""

    def __init__(self, record_id: str) -> None:
        super().__init__("UNABLE_TO_LOCK_ROW", f"{LOCK_MESSAGE}: {record_id}", fields=[])


@dataclass(slots=True, eq=False)
class Holder:
    """Who holds locks: a request until it is answered, or a slice of a Bulk job."""

    may_wait: bool = False
    rows: int = 0
    ids: set[str] = field(default_factory=set)


class Locks:
    """The locks of one org. Only `lock_changes` and `lock_deletes` are for those who hold the sandbox's own lock."""

    def __init__(self, org: Org, storage: Storage) -> None:
        self._org = org
        self._storage = storage
        self._owners: dict[str, Holder] = {}
        self._changed = threading.Condition()
        self._held: set[Holder] = set()
        self._waiting: set[Holder] = set()
        self._holding = False
        self._left: int | None = None
        self.row_seconds = 0.0
        self.wait_seconds = WAIT_SECONDS
        #: The request or slice that is being carried out.
        self.holder = Holder()

    @property
    def any_held(self) -> bool:
        """True while somebody holds a lock."""
        return bool(self._owners)

    @property
    def on(self) -> bool:
        """True when writes can overlap."""
        return self._holding or self.row_seconds > 0 or bool(self._owners)

    def reset(self) -> None:
        """Let writes take no time, and let go those that are held, with all they lock."""
        self._owners.clear()
        self.row_seconds, self.wait_seconds = 0.0, WAIT_SECONDS
        self.release_held()

    def lock_changes(self, changes: list[Change]) -> None:
        """Lock what the changes touch, or refuse those that cannot have their locks. LocksHeld when it pays to wait."""
        if not self.on:
            return
        masters = self._masters((each.target, each.id) for each in changes if each.id is not None)
        wanted = []
        for change in changes:
            lookups = [each for each in change.target.fields if each.reference_to and each.createable]
            ids = {str(change.values[each.name]) for each in lookups if change.values.get(each.name) is not None}
            ids |= masters[change.id] | {change.id} if change.id is not None else set()
            wanted.append(ids - {USER_ID})
        for change, blocking in zip(changes, self._take(wanted), strict=True):
            if blocking is not None:
                change.refusal = RowLocked(blocking)

    def lock_deletes(self, outcomes: list[Outcome]) -> None:
        """Do the same for records that are to be deleted."""
        if not self.on:
            return
        targets = [(self._org.by_prefix(str(each.id)[:3]), str(each.id)) for each in outcomes]
        masters = self._masters((target, each) for target, each in targets if target is not None)
        wanted = [masters[each] | {each} for _, each in targets]
        for outcome, blocking in zip(outcomes, self._take(wanted), strict=True):
            if blocking is not None:
                outcome.refusal = RowLocked(blocking)

    def release(self, holder: Holder) -> None:
        """Let go all locks of a holder."""
        with self._storage.lock:
            for each in holder.ids:
                if self._owners.get(each) is holder:
                    del self._owners[each]
            holder.ids.clear()
        with self._changed:
            self._held.discard(holder)
            self._waiting.discard(holder)

    def hold(self, number: int | None) -> None:
        """Keep the next writes under way, so many or all of them, until they are released."""
        with self._changed:
            self._holding, self._left = True, number

    def release_held(self) -> None:
        """Let all writes go on."""
        with self._changed:
            self._holding, self._left = False, None
            self._changed.notify_all()

    def holds(self, holder: Holder) -> bool:
        """Say whether a write that is carried out has to stay under way; the one who waits asks again and again."""
        with self._changed:
            if not self._holding:
                self._held.discard(holder)
            elif holder.rows and holder not in self._held and (self._left is None or self._left > len(self._held)):
                self._held.add(holder)
            self._changed.notify_all()
            return holder in self._held

    def wait_for_held(self, number: int, seconds: float) -> bool:
        """Wait until so many writes are held; False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._held) >= number, seconds)

    def wait_for_waiting(self, number: int, seconds: float) -> bool:
        """Wait until so many writes have asked in vain for locks and wait for them; False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._waiting) >= number, seconds)

    def _note_waiting(self, holder: Holder) -> None:
        with self._changed:
            self._waiting.add(holder)
            self._changed.notify_all()

    def _take(self, wanted: list[set[str]]) -> list[str | None]:
        """Lock the ids of each record, or return the id that is in the way of it."""
        blocking = [next((each for each in sorted(ids) if self._is_foreign(each)), None) for ids in wanted]
        if any(blocking) and self.holder.may_wait and not self.holder.rows:
            self._note_waiting(self.holder)
            raise LocksHeld
        for ids, other in zip(wanted, blocking, strict=True):
            if other is None:
                self.holder.rows += 1
                self.holder.ids |= ids
                self._owners.update(dict.fromkeys(ids, self.holder))
        return blocking

    def _is_foreign(self, record_id: str) -> bool:
        return self._owners.get(record_id, self.holder) is not self.holder

    def _masters(self, records: Iterable[tuple[ObjectType, str]]) -> dict[str, set[str]]:
        """Return the ids of the records' masters as they are now, by the record's id."""
        groups: dict[str, list[str]] = defaultdict(list)
        for target, record_id in records:
            groups[target.name].append(record_id)
        found: dict[str, set[str]] = defaultdict(set)
        for name, ids in groups.items():
            target = self._org.objects[name.lower()]
            names = [each.name for each in target.fields if each.on_delete == "cascade"]
            for record_id, *masters in self._storage.rows_with(target, ("Id", *names), "Id", ids) if names else ():
                found[record_id] |= {each for each in masters if each is not None}
        return found
