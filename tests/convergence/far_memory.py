"""The destination in memory as an org: normal forms, an automation, a bin, and queries that see things late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from syncbridge.destinations.base import Rejected, RemoteRecord, Result
from syncbridge.destinations.feed import ChangesPage, RemoteChange, ScanPage
from syncbridge.destinations.memory import MemoryDestination
from syncbridge.destinations.memory_feed import MemoryFeed
from syncbridge.errors import QuotaExhausted, Remedy, RetryLater
from syncbridge.model import Fields, Normal, Normaliser, Value
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject
from tests.convergence.far_side import KEYS, Calls, FarSide, Trouble, automated
from tests.convergence.mappings import PLAIN


def _described(name: str, **fields: FieldKind) -> RemoteObject:
    key = KEYS[name]
    listed = [RemoteField(key, FieldKind.STRING, length=40, unique=True)]
    listed += [RemoteField(each, kind, length=40) for each, kind in fields.items()]
    return RemoteObject(name, {each.name: each for each in listed})


OBJECTS = (
    _described("Account", Name=FieldKind.STRING, BillingCity=FieldKind.STRING),
    _described(
        "Contact",
        FirstName=FieldKind.STRING,
        LastName=FieldKind.STRING,
        Email=FieldKind.EMAIL,
        Score__c=FieldKind.NUMBER,
        Title=FieldKind.STRING,
        Department=FieldKind.STRING,
        Grade__c=FieldKind.STRING,
        Greeting__c=FieldKind.STRING,
        AccountId=FieldKind.STRING,
    ),
)


class LateFeed(MemoryFeed):
    """Remembers every state of each record, so that a query can be shown an earlier one."""

    def __init__(self, org: MemoryOrg) -> None:
        super().__init__(lambda: org.now)
        self._org = org
        self.lateness = timedelta(0)
        self.states: dict[str, list[tuple[datetime, datetime, int, Fields | None]]] = {}  # due, written, number, state

    def note(self, object: str, remote_id: str) -> None:
        super().note(object, remote_id)
        state = self._org.stored_now(object, remote_id)
        now = self._org.now
        self.states.setdefault(remote_id, []).append((now + self.lateness, now, self._number, state))

    def forget(self, object: str, remote_id: str) -> None:
        """There never was such a record."""
        self._changed.pop((object.lower(), remote_id))
        self.states.pop(remote_id)

    def hidden(self, remote_id: str) -> tuple[int, RemoteChange | None] | None:
        """Where a record's state is not to be seen yet: the number of that change, and what is seen instead."""
        states = self.states.get(remote_id, [])
        first = next((at for at, state in enumerate(states) if state[0] > self._org.now), None)
        if first is None:
            return None
        if first == 0:
            return states[0][2], None
        _, written, _, state = states[first - 1]
        into = self._org.merged.get(remote_id) if state is None else None
        return states[first][2], RemoteChange(remote_id, written, state or {}, deleted=state is None, merged_into=into)


class MemoryOrg(MemoryDestination):
    """Stores what an org would; `calls_around` sees every call."""

    def __init__(self, calls_around: Calls) -> None:
        super().__init__("crm", OBJECTS, batch_size=3)
        self.offset = timedelta(0)
        self.around = calls_around
        self.feed: LateFeed = LateFeed(self)
        self.bin: dict[str, dict[str, Fields]] = {name: {} for name in KEYS}
        self.merged: dict[str, str] = {}  # loser -> survivor

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def stored_now(self, object: str, remote_id: str) -> Fields | None:
        stored = self._records[object.lower()].get(remote_id)
        return None if stored is None else dict(stored.fields)

    def normaliser(self, field: RemoteField) -> Normaliser:
        plain = super().normaliser(field)

        def normalise(value: Value) -> Normal:
            normal = plain(value.strip() if isinstance(value, str) else value)
            if field.kind is FieldKind.EMAIL and isinstance(normal, str):
                normal = normal.lower()
            return round(normal, 2) if isinstance(normal, float) else (None if normal == "" else normal)

        return normalise

    # -- calls --------------------------------------------------------------------------------------------------------

    def upsert(self, object: str, external_id: str, records: Sequence[Fields], *, lane: str = "") -> list[Result]:
        self.around.sent += len(records)
        make = partial(super().upsert, object, external_id, records, lane=lane)
        return self.around.around("upsert", f"{object} {[dict(each) for each in records]}", make)

    def delete(self, object: str, remote_ids: Sequence[str], *, lane: str = "") -> list[Result]:
        self.around.sent += len(remote_ids)
        make = partial(super().delete, object, remote_ids, lane=lane)
        return self.around.around("delete", f"{object} {list(remote_ids)}", make)

    def read(self, *args: Any, **named: Any) -> list[RemoteRecord | None]:
        return self.around.around("read", "", partial(super().read, *args, **named))

    def changes(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ChangesPage:
        make = partial(self._changes_late, object, fields, position, lane)
        return self.around.around("changes", "", make)

    def scan(self, *args: Any, **named: Any) -> ScanPage:
        return self.around.around("scan", "", partial(super().scan, *args, **named))

    def current(self, *args: Any, **named: Any) -> list[RemoteChange]:
        return self.around.around("current", "", partial(super().current, *args, **named))

    def _changes_late(self, object: str, fields: Sequence[str], position: str | None, lane: str) -> ChangesPage:
        """What is not to be seen yet comes again with the next page, as the overlap of a real feed lets it."""
        page = super().changes(object, fields, position, lane=lane)
        shown, until = [], int(page.position)
        for change in page.changes:
            hidden = self.feed.hidden(change.remote_id)
            if hidden is None:
                shown.append(change)
                continue
            number, earlier = hidden
            until = min(until, number - 1)
            if earlier is not None:
                seen = {name: earlier.fields[name] for name in fields if name in earlier.fields}
                shown.append(RemoteChange(change.remote_id, earlier.modified, seen, earlier.deleted))
        return ChangesPage(tuple(shown), str(until), page.more and until == int(page.position))

    # -- what it stores -----------------------------------------------------------------------------------------------

    def _upsert_one(self, described: Any, external_id: Any, record: Fields, known: Any) -> Result:
        if refused := _refused(record):
            return refused
        stored = known.get(external_id.comparable(record.get(external_id.name)))
        changed = {**record, **automated(record, stored.fields if stored is not None else {})}
        return super()._upsert_one(described, external_id, changed, known)

    def _update_one(self, described: Any, remote_id: str, record: Fields) -> Result:
        if refused := _refused(record):
            return refused
        stored = self._records[described.name.lower()].get(remote_id)
        changed = {**record, **automated(record, stored.fields if stored is not None else {})}
        return super()._update_one(described, remote_id, changed)

    def _changed(self, object: str, remote_id: str, names: Sequence[str]) -> RemoteChange:
        change = super()._changed(object, remote_id, names)
        return replace(change, merged_into=self.merged.get(remote_id)) if change.deleted else change

    def touch(self, object: str, remote_id: str) -> None:
        """As the feed tells of a survivor."""
        with self._lock:
            self.feed.note(object, remote_id)

    def delete_all(self, object: str, remote_ids: Sequence[str]) -> list[Result]:
        for remote_id in remote_ids:
            state = self.stored_now(object, remote_id)
            if state is not None:
                self.bin[object][remote_id] = state
        return super().delete_all(object, remote_ids)

    def restore(self, object: str, remote_id: str) -> bool:
        """Out of the bin, unless its key is taken."""
        described = self.describe(object)
        state = self.bin[object][remote_id]
        self.merged.pop(remote_id, None)
        if self._holder(described, described.fields[KEYS[object]], state[KEYS[object]]) is not None:
            return False
        del self.bin[object][remote_id]
        with self._lock:
            created = self._create(described, state)
            self.feed.forget(object, created.remote_id)
            self._records[object.lower()][remote_id] = self._records[object.lower()].pop(created.remote_id)
            created.remote_id = remote_id
            self.feed.note(object, remote_id)
        return True


def _refused(record: Fields) -> Rejected | None:
    """By the org's rule."""
    wrong = tuple(name for name in PLAIN if "?" in str(record.get(name)))
    return Rejected("VALIDATION", "No questions", Remedy.RECORD, fields=wrong) if wrong else None


class MemoryFarSide(FarSide):
    """An org in memory."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.org = MemoryOrg(self.calls)
        self.destination = self.org
        self.calls.arm = self._arm
        self.calls.disarm = lambda: self.org.faults.clear()

    @property
    def now(self) -> datetime:
        return self.org.now

    def _arm(self, trouble: Trouble) -> None:
        if trouble == "lost answer":
            self.org.faults.fail_after_write()
        elif trouble == "quota":
            self.org.faults.fail(QuotaExhausted("no calls left today"))
        else:
            self.org.faults.fail(RetryLater("not available", code="UNAVAILABLE"))

    def edit(self, object: str, remote_id: str, fields: Fields) -> None:
        self.org._update_one(self.org.describe(object), remote_id, self._normal(object, fields))

    def create(self, object: str, fields: Fields) -> str:
        normal = self._normal(object, fields)
        return self.org.put(object, {**normal, **automated(normal, {})})

    def merge(self, object: str, survivor: str, loser: str) -> None:
        self.org.merged[loser] = survivor
        self.delete(object, loser)
        self.org.touch(object, survivor)
        for remote_id, record in self.records("Contact").items() if object == "Account" else ():
            if record["AccountId"] == loser:
                self.edit("Contact", remote_id, {"AccountId": survivor})

    def _normal(self, object: str, fields: Fields) -> Fields:
        described = self.org.describe(object)
        return {name: self.org.normaliser(described.fields[name])(value) for name, value in fields.items()}

    def delete(self, object: str, remote_id: str) -> None:
        self.org.delete_all(object, [remote_id])

    def undelete(self, object: str, remote_id: str) -> bool:
        return self.org.restore(object, remote_id)

    def records(self, object: str) -> dict[str, Fields]:
        return self.org.stored(object)

    def binned(self, object: str) -> list[str]:
        return list(self.org.bin[object])

    def pass_time(self, seconds: float) -> None:
        self.org.offset += timedelta(seconds=seconds)

    def be_late(self, seconds: float) -> None:
        self.org.feed.lateness = timedelta(seconds=seconds)

    def calls_made(self) -> int:
        return len(self.org.calls)
