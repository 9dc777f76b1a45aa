"""A destination in memory: the smallest honest implementation of the contract, for tests and to learn from.

It keeps what a remote system would keep, in normal form; texts are compared whatever their case, as in most remote
systems, unless their field tells case apart. Everything that can go wrong with a remote system can be asked for
through `faults`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from syncbridge.destinations.base import (
    Delivered,
    Destination,
    Limits,
    Rejected,
    RemoteRecord,
    Result,
    Traced,
)
from syncbridge.destinations.feed import ChangesPage, RemoteChange, ScanPage
from syncbridge.destinations.memory_bulk import MemoryBulk
from syncbridge.destinations.memory_faults import Faults
from syncbridge.destinations.memory_feed import MemoryFeed
from syncbridge.destinations.memory_form import normaliser
from syncbridge.destinations.memory_scan import MemoryScans
from syncbridge.errors import Finding, Remedy, RetryLater, SchemaDrift, SettingsError, SyncbridgeError
from syncbridge.model import Fields, Normal, Normaliser
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject


class MemorySettings(BaseModel):
    """`objects` declares each object as field -> kind: `{Contact: {Person_Key__c: string, Email: email}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: dict[str, dict[str, FieldKind]] = {}
    bulk_from: int = Field(0, ge=0, description="records due from which bulk jobs carry them; 0: never")


def open(name: str, values: Mapping[str, Any], from_file: frozenset[str] = frozenset()) -> MemoryDestination:
    """Open a destination with the objects that the settings declare."""
    try:
        settings = MemorySettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SettingsError(f"destinations.{name}: {first['msg']}: {'.'.join(map(str, first['loc']))}") from None
    objects = [
        RemoteObject(object, {field: _declared(field, kind) for field, kind in fields.items()})
        for object, fields in settings.objects.items()
    ]
    return MemoryDestination(name, objects, bulk_from=settings.bulk_from)


def _declared(name: str, kind: FieldKind) -> RemoteField:
    """Any text can carry keys here."""
    text = kind is FieldKind.STRING
    return RemoteField(name, kind, external_id=text, unique=text)


#: Kinds of calls that are named otherwise here.
_KINDS = {"find": "query", "count": "query"}


@dataclass(slots=True)
class _Stored:
    remote_id: str
    fields: Fields


class MemoryDestination(Destination):
    """Objects, records and faults in memory. `calls` lists what was asked: (operation, object, how many)."""

    type = "memory"

    def __init__(
        self,
        name: str = "memory",
        objects: Iterable[RemoteObject] = (),
        *,
        batch_size: int = 200,
        call_seconds: float = 5.0,
        calls_in_flight: int = 4,
        bulk_from: int = 0,
    ) -> None:
        self.name = name
        self.batch_size = batch_size
        self.call_seconds = call_seconds
        self.calls_in_flight = calls_in_flight
        self.faults = Faults()
        self.calls: list[tuple[str, str, int]] = []
        self._made: Counter[tuple[str, str]] = Counter()
        self._objects = {object.name.lower(): object for object in objects}
        self._records: dict[str, dict[str, _Stored]] = {name: {} for name in self._objects}
        self._lock = threading.Lock()
        self._created = 0
        self.system = "memory"  # its identity
        self._met: str | None = None  # the one that `admit` let in
        self.feed = MemoryFeed()
        self.scans = MemoryScans()
        self.bulk = MemoryBulk(self, bulk_from=bulk_from) if bulk_from else None

    def verify(self) -> list[Finding]:
        """Nothing can be wrong with it but a fault that was asked for."""
        if self.faults.login is not None:
            return [Finding("error", self.name, str(self.faults.login))]
        if self.faults.held:
            return [Finding("error", self.name, "The destination is held.", "Clear its faults.")]
        try:
            self._log_in()
        except SyncbridgeError as error:
            return [Finding("error", self.name, error.message, error.hint)]
        return []

    def identity(self) -> str:
        self._log_in()
        return self.system

    def _log_in(self) -> None:
        """There are no logins here: the first call is one, and each that finds another system."""
        if self.admit is not None and self._met != self.system:
            self.admit(self.system)
            self._met = self.system

    def objects(self) -> list[str]:
        return [object.name for object in self._objects.values()]

    def describe(self, object: str, *, refresh: bool = False) -> RemoteObject:
        found = self._objects.get(object.lower())
        if found is None:
            near = get_close_matches(object, self.objects(), n=3)
            raise SchemaDrift(f"There is no object {object}.", hint=f"Near names: {', '.join(near)}." if near else "")
        return found

    def normaliser(self, field: RemoteField) -> Normaliser:
        return normaliser(field)

    def upsert(self, object: str, external_id: str, records: Sequence[Fields], *, lane: str = "") -> list[Result]:
        self.begin_call("upsert", object, len(records), lane)
        return self._answer(self.upsert_all(object, external_id, records), "upsert", object, records)

    def upsert_all(self, object: str, external_id: str, records: Sequence[Fields]) -> list[Result]:
        """Store or refuse each record; this is no call."""
        described = self.describe(object)
        with self._lock:
            stored = self._records[described.name.lower()].values()
            key = self._field(described, external_id)
            known = {key.comparable(one.fields.get(key.name)): one for one in stored}
            return [self._upsert_one(described, key, record, known) for record in records]

    def update(self, object: str, records: Sequence[tuple[str, Fields]], *, lane: str = "") -> list[Result]:
        described = self.begin_call("update", object, len(records), lane)
        with self._lock:
            results = [self._update_one(described, remote_id, fields) for remote_id, fields in records]
        return self._answer(results, "update", object, [fields for _, fields in records])

    def delete(self, object: str, remote_ids: Sequence[str], *, lane: str = "") -> list[Result]:
        self.begin_call("delete", object, len(remote_ids), lane)
        return self._answer(self.delete_all(object, remote_ids), "delete", object, remote_ids)

    def delete_all(self, object: str, remote_ids: Sequence[str]) -> list[Result]:
        """Remove or refuse each record; this is no call."""
        stored = self._records[self.describe(object).name.lower()]
        results: list[Result] = []
        with self._lock:
            for remote_id in remote_ids:
                refused = self.faults.rejections.get(remote_id)
                if refused is None and stored.pop(remote_id, None) is not None:
                    self.feed.note(object, remote_id)
                results.append(refused or Delivered(remote_id))
        return results

    def read(
        self, object: str, remote_ids: Sequence[str], fields: Sequence[str], *, lane: str = ""
    ) -> list[RemoteRecord | None]:
        described = self.begin_call("read", object, len(remote_ids), lane)
        names = [self._field(described, field).name for field in fields]
        with self._lock:
            found = [self._records[described.name.lower()].get(remote_id) for remote_id in remote_ids]
            return [_shown(stored, names) if stored else None for stored in found]

    def find(
        self, object: str, field: str, values: Sequence[Normal], fields: Sequence[str] = (), *, lane: str = ""
    ) -> dict[Normal, list[RemoteRecord]]:
        described = self.begin_call("find", object, len(values), lane)
        sought = self._field(described, field)
        name = sought.name
        names = [name, *(self._field(described, other).name for other in fields)]
        found: dict[Normal, list[RemoteRecord]] = {}
        with self._lock:
            for value in values:
                same = [
                    _shown(stored, names)
                    for stored in self._records[described.name.lower()].values()
                    if value is not None and sought.comparable(stored.fields.get(name)) == sought.comparable(value)
                ]
                if same:
                    found[value] = same
        return found

    def changes(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ChangesPage:
        described = self.begin_call("changes", object, 1, lane)
        names = [self._field(described, field).name for field in fields]
        with self._lock:
            noted, following, more = self.feed.page(object, position, self.batch_size)
            return ChangesPage(tuple(self._changed(object, each, names) for each in noted), following, more)

    def current(
        self, object: str, remote_ids: Sequence[str], fields: Sequence[str], *, lane: str = ""
    ) -> list[RemoteChange]:
        described = self.begin_call("read", object, len(remote_ids), lane)
        names = [self._field(described, field).name for field in fields]
        with self._lock:
            return [self._changed(object, remote_id, names) for remote_id in remote_ids]

    def scan(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ScanPage:
        described = self.begin_call("scan", object, 1, lane)
        names = [self._field(described, field).name for field in fields]
        with self._lock:
            position = position or self.scans.begin(sorted(self._records[described.name.lower()]))
            if self.faults.jobs_held:
                return ScanPage((), position, more=True, delay=1.0)
            ids, following, more, total = self.scans.page(position, self.batch_size)
            found = [self._changed(object, each, names) for each in ids]
            return ScanPage(tuple(each for each in found if not each.deleted), following, more, total=total)

    def count(self, object: str, field: str, *, lane: str = "") -> int:
        described = self.begin_call("count", object, 1, lane)
        name = self._field(described, field).name
        with self._lock:
            stored = self._records[described.name.lower()].values()
            return sum(each.fields.get(name) not in (None, "") for each in stored)

    def stop_scan(self, object: str, position: str, *, lane: str = "") -> None:
        self.scans.begun.pop(position.partition(":")[0], None)

    def _changed(self, object: str, remote_id: str, names: Sequence[str]) -> RemoteChange:
        stored = self._records[object.lower()].get(remote_id)
        modified = self.feed.modified(object, remote_id)
        if stored is None:
            return RemoteChange(remote_id, modified, {}, deleted=True)
        return RemoteChange(remote_id, modified, _shown(stored, names).fields)

    def limits(self) -> Limits:
        return Limits(calls=len(self.calls))

    def calls_made(self) -> dict[tuple[str, str], int]:
        with self._lock:
            return dict(self._made)

    def close(self) -> None:
        """Nothing is held; what was stored stays, for tests to look at."""

    # -- for tests ------------------------------------------------------------------------------------------------

    def stored(self, object: str) -> dict[str, Fields]:
        """All records of an object: remote id -> fields, copied."""
        with self._lock:
            return {key: dict(stored.fields) for key, stored in self._records[object.lower()].items()}

    def put(self, object: str, fields: Fields) -> str:
        """Store a record as if somebody else had created it; its remote id."""
        with self._lock:
            return self._create(self.describe(object), fields).remote_id

    def compute(self, object: str, remote_id: str, fields: Fields) -> None:
        """Change fields as if they were calculated here: no change of the record is noted."""
        with self._lock:
            self._records[object.lower()][remote_id].fields.update(fields)

    # -- inside ---------------------------------------------------------------------------------------------------

    def begin_call(self, operation: str, object: str, count: int, lane: str = "") -> RemoteObject:
        """Count a call, and do what was asked for through `faults`."""
        described = self.describe(object)
        if not count:
            return described
        with self._lock:
            self.calls.append((operation, object, count))
            self._made[lane, _KINDS.get(operation, operation.replace("_", " "))] += 1
        if self.faults.slow is not None and not self.faults.slow.wait(self.call_seconds):
            raise RetryLater("no answer in time", code="TIMEOUT")
        if self.faults.login is not None:
            raise self.faults.login
        if self.faults.held:
            raise RetryLater("not available", code="UNAVAILABLE")
        self._log_in()
        if self.faults.raising:
            raise self.faults.raising.pop(0)
        return described

    def _answer(self, results: list[Result], verb: str, object: str, sent: Sequence[Any]) -> list[Result]:
        if results and self.faults.lost_answers:
            self.faults.lost_answers -= 1
            results = [Rejected("TIMEOUT", "the answer was lost", Remedy.RETRY, uncertain=True) for _ in results]
        if self.trace is not None and results:
            self.trace(Traced(verb, object, list(sent), None, [asdict(result) for result in results]))
        return results

    def _upsert_one(
        self, described: RemoteObject, external_id: RemoteField, record: Fields, known: dict[object, _Stored]
    ) -> Result:
        if unknown := self._unknown(described, record):
            return unknown
        key = record.get(external_id.name)
        if key is None:
            return Rejected("MISSING_KEY", "the external id is empty", Remedy.RECORD, fields=(external_id.name,))
        refused = self.faults.rejections.get(str(key))
        if refused is not None:
            return refused
        stored = known.get(external_id.comparable(key))
        if stored is not None:
            stored.fields.update(record)
            self.feed.note(described.name, stored.remote_id)
            return Delivered(stored.remote_id)
        known[external_id.comparable(key)] = created = self._create(described, record)
        return Delivered(created.remote_id, created=True)

    def _update_one(self, described: RemoteObject, remote_id: str, record: Fields) -> Result:
        if unknown := self._unknown(described, record):
            return unknown
        records = self._records[described.name.lower()]
        refused = self.faults.rejections.get(remote_id)
        if refused is not None:
            return refused
        if remote_id not in records:
            return Rejected("NO_SUCH_RECORD", "there is no such record", Remedy.GONE)
        for name, value in record.items():
            holder = self._holder(described, described.fields[name], value) if described.fields[name].unique else None
            if holder not in (None, remote_id):
                message = f"another record holds this {name}"
                return Rejected("DUPLICATE_VALUE", message, Remedy.ADOPT, (name,), remote_id=holder)
        records[remote_id].fields.update(record)
        self.feed.note(described.name, remote_id)
        return Delivered(remote_id)

    def _holder(self, described: RemoteObject, field: RemoteField, value: Normal) -> str | None:
        wanted = field.comparable(value)
        for stored in self._records[described.name.lower()].values() if value is not None else ():
            if field.comparable(stored.fields.get(field.name)) == wanted:
                return stored.remote_id
        return None

    @staticmethod
    def _unknown(described: RemoteObject, record: Fields) -> Rejected | None:
        unknown = tuple(name for name in record if name not in described.fields)
        if unknown:
            return Rejected("INVALID_FIELD", f"No such field: {', '.join(unknown)}", Remedy.SCHEMA, fields=unknown)
        computed = tuple(name for name in record if described.fields[name].read_only)
        if not computed:
            return None
        return Rejected("READ_ONLY_FIELD", f"Cannot be written: {', '.join(computed)}", Remedy.SCHEMA, fields=computed)

    def _create(self, described: RemoteObject, record: Fields) -> _Stored:
        self._created += 1
        stored = _Stored(f"m{self._created:08}", {**dict.fromkeys(described.fields), **record})
        self._records[described.name.lower()][stored.remote_id] = stored
        self.feed.note(described.name, stored.remote_id)
        return stored

    @staticmethod
    def _field(described: RemoteObject, name: str) -> RemoteField:
        found = described.fields.get(name)
        if found is None:
            near = get_close_matches(name, described.fields, n=3)
            hint = f"Near names: {', '.join(near)}." if near else ""
            raise SchemaDrift(f"{described.name} has no field {name}.", hint=hint)
        return found


def _shown(stored: _Stored, names: Sequence[str]) -> RemoteRecord:
    return RemoteRecord(stored.remote_id, {name: stored.fields.get(name) for name in names})
