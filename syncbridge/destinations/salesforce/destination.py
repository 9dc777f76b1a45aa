"""The Salesforce destination: the contract of `base`, spoken as REST through simple-salesforce."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import orjson

from syncbridge.destinations.allowance import Allowance
from syncbridge.destinations.base import Destination, Limits, Rejected, RemoteRecord, Result, Traced
from syncbridge.destinations.feed import ChangesPage, RemoteChange, ScanPage
from syncbridge.destinations.pace import Pace
from syncbridge.destinations.salesforce.batches import BATCH, Parents, calls_for, held_by, parent_fields, parents_of
from syncbridge.destinations.salesforce.bulk.jobs import SalesforceBulk
from syncbridge.destinations.salesforce.bulk.query import QueryJobs
from syncbridge.destinations.salesforce.client import LIMITS, CallRejected, Client, Time
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.describe import Descriptions, field_of, near
from syncbridge.destinations.salesforce.feed import IDS_AT_ONCE, STAMP, Feed, Place, as_change
from syncbridge.destinations.salesforce.flights import Flights, Part
from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.destinations.salesforce.reading import Shape, by_value, lookups
from syncbridge.destinations.salesforce.scan import Scan, job_of
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.destinations.salesforce.smaller import send_all
from syncbridge.destinations.salesforce.writes import Send, Write, deletes, updates, upserts
from syncbridge.errors import (
    Finding,
    NeedsOperator,
    QuotaExhausted,
    Remedy,
    RetryLater,
    SchemaDrift,
    SyncbridgeError,
)
from syncbridge.model import Fields, Normal, Normaliser
from syncbridge.schemas import RemoteField, RemoteObject

READ_BATCH = 2000
_NAME = re.compile(r"[A-Za-z]\w*")
T = TypeVar("T")


class SalesforceDestination(Destination):
    """One org. No call is made before the first one that needs it."""

    type = "salesforce"
    batch_size = BATCH

    def __init__(self, name: str, settings: SalesforceSettings, *, times: Time | None = None) -> None:
        times = times or Time()
        self.name = name
        self.calls_in_flight = settings.calls_in_flight
        self._settings = settings
        self._clock = times.clock
        self._allowance = Allowance(slow_at=settings.slow_at, stop_at=settings.daily_share, clock=times.clock)
        self._pace = Pace(settings.calls_in_flight, clock=times.clock)
        self._client = Client(settings, self._allowance, self._pace, times, self._admit)
        self._client.trace = self._traced
        self._flights = Flights(self._client, settings.calls_in_flight, name=f"{name}-calls", clock=times.clock)
        self._descriptions = Descriptions(self._fetch_description)
        self.bulk = SalesforceBulk(self._client, self._descriptions, settings, times.clock)
        self._query_jobs = QueryJobs(self._client, times.clock)
        # No attempt begins after one call's time; the last one may then take as long again.
        self.call_seconds = 2 * self._client.one_call

    def __repr__(self) -> str:
        return f"<SalesforceDestination {self.name} at {self._settings.login_host}>"

    # -- schema -------------------------------------------------------------------------------------------------------

    def objects(self) -> list[str]:
        return [each["name"] for each in self._ask(Request("describe", "GET", "sobjects"))["sobjects"]]

    def describe(self, object: str, *, refresh: bool = False) -> RemoteObject:
        return self._descriptions.get(object, refresh=refresh)

    def normaliser(self, field: RemoteField) -> Normaliser:
        return normaliser(field)

    def _fetch_description(self, object: str) -> Any:
        try:
            return self._ask(Request("describe", "GET", f"sobjects/{_checked(object)}/describe"))
        except SchemaDrift:
            raise SchemaDrift(
                f"There is no object {object}, or the user may not see it.",
                code="INVALID_TYPE",
                hint=near(object, self.objects()) or "Check the user's object permissions.",
            ) from None

    # -- writing ------------------------------------------------------------------------------------------------------

    def upsert(self, object: str, external_id: str, records: Sequence[Fields], *, lane: str = "") -> list[Result]:
        keys = [record.get(external_id) for record in records]
        if None in keys or "" in keys:
            return self._upsert_those_with_keys(object, external_id, records, lane)
        folded = [str(key).lower() for key in keys]
        write = upserts(_checked(object), _checked(external_id))
        return self._write(write, object, folded, records, self._parents(object, records), lane)

    def _upsert_those_with_keys(
        self, object: str, external_id: str, records: Sequence[Fields], lane: str
    ) -> list[Result]:
        """Without its key a record would be created again at every delivery: it is refused here."""
        refused = Rejected("MISSING_ARGUMENT", "the external id is empty", Remedy.RECORD, fields=(external_id,))
        keyed = [record.get(external_id) not in (None, "") for record in records]
        kept = [record for record, has_key in zip(records, keyed, strict=True) if has_key]
        results = iter(self.upsert(object, external_id, kept, lane=lane))
        return [next(results) if has_key else refused for has_key in keyed]

    def update(self, object: str, records: Sequence[tuple[str, Fields]], *, lane: str = "") -> list[Result]:
        ids = [remote_id for remote_id, _ in records]
        referred = self._parents(object, [fields for _, fields in records])
        parents = [(*others, own) for own, others in zip(ids, referred, strict=True)]
        return self._write(updates(_checked(object)), object, ids, records, parents, lane)

    def delete(self, object: str, remote_ids: Sequence[str], *, lane: str = "") -> list[Result]:
        return self._write(deletes(), object, remote_ids, remote_ids, [(own,) for own in remote_ids], lane)

    def _parents(self, object: str, records: Sequence[Fields]) -> list[Parents]:
        return parents_of(records, parent_fields(self._descriptions.known(object)))

    def _write(
        self,
        write: Write,
        object: str,
        keys: Sequence[str],
        records: Sequence[Any],
        parents: Sequence[Parents],
        lane: str,
    ) -> list[Result]:
        results: list[Result | None] = [None] * len(records)
        until = self._flights.until(len(records) / BATCH)
        stop: SyncbridgeError | None = None
        for wave in calls_for(keys, parents):
            if stop is None:
                locks = [held_by(call, parents) for call in wave]
                stop = self._send_wave(write, wave, locks, records, results, lane, until)
        if stop is not None and not any(results):
            raise self._explained(stop, object)
        unsent = _unsent(stop) if stop is not None else None
        complete = [result or unsent for result in results]
        self._forget_drift(object, complete)
        return complete  # type: ignore[return-value]

    def _send_wave(
        self,
        write: Write,
        wave: list[list[int]],
        locks: list[frozenset[str]],
        records: Sequence[Any],
        results: list[Result | None],
        lane: str,
        until: float,
    ) -> SyncbridgeError | None:
        """Fill in the results of one wave of calls; what stopped some of them, if anything did."""
        stop: SyncbridgeError | None = None
        pause = partial(self._client.pause, until=until)
        parts = [partial(send_all, write, [records[at] for at in positions], pause=pause) for positions in wave]
        for positions, answer in zip(wave, self._flights.run(lane, parts, until, locks), strict=True):
            if isinstance(answer, SyncbridgeError):
                stop = answer
            elif isinstance(answer, Exception):
                raise answer
            else:
                for position, result in zip(positions, answer, strict=True):
                    results[position] = result
        return stop

    def _forget_drift(self, object: str, results: Sequence[Result | None]) -> None:
        if any(type(result) is Rejected and result.remedy is Remedy.SCHEMA for result in results):
            self._descriptions.forget(object)

    def _explained(self, error: SyncbridgeError, object: str) -> SyncbridgeError:
        if isinstance(error, SchemaDrift):
            self._descriptions.forget(object)
            hint = error.hint or "The object may be missing or hidden from the user. Run: syncbridge check"
            message = error.message if object in error.message else f"{object}: {error.message}"
            return SchemaDrift(message, code=error.code, hint=hint)
        return error

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(
        self, object: str, remote_ids: Sequence[str], fields: Sequence[str], *, lane: str = ""
    ) -> list[RemoteRecord | None]:
        if not remote_ids:
            return []
        shape = Shape(self.describe(object), fields)
        path = f"composite/sobjects/{_checked(object)}"

        def retrieve(ids: Sequence[str], send: Send) -> list[RemoteRecord | None]:
            body = orjson.dumps({"ids": list(ids), "fields": shape.columns})
            return [shape.record(row) if row else None for row in send(Request("read", "POST", path, body))]

        parts = [remote_ids[start : start + READ_BATCH] for start in range(0, len(remote_ids), READ_BATCH)]
        pages: list[list[RemoteRecord | None]] = self._answers(
            object, lane, [partial(retrieve, part) for part in parts]
        )
        return [record for page in pages for record in page]

    def find(
        self, object: str, field: str, values: Sequence[Normal], fields: Sequence[str] = (), *, lane: str = ""
    ) -> dict[Normal, list[RemoteRecord]]:
        wanted = [value for value in values if value is not None]
        if not wanted:
            return {}
        described = self.describe(object)
        sought = field_of(described, field)
        shape = Shape(described, (field, *fields))

        def query(statement: str, send: Send) -> list[RemoteRecord]:
            page = send(Request("query", "GET", "query", params={"q": statement}))
            rows = page["records"]
            while not page["done"]:
                page = send(Request("query", "GET", page["nextRecordsUrl"]))
                rows += page["records"]
            return [shape.record(row) for row in rows]

        statements = lookups(described.name, sought, shape.columns, list(dict.fromkeys(wanted)))
        pages: list[list[RemoteRecord]] = self._answers(object, lane, [partial(query, each) for each in statements])
        return by_value([record for page in pages for record in page], sought, field, wanted)

    def changes(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ChangesPage:
        feed = Feed(self._client, self.describe(object), fields, self._clock)
        place = None if position is None else Place.read(position)
        return self._answers(object, lane, [feed.begin if place is None else partial(feed.page, place)])[0]

    def current(
        self, object: str, remote_ids: Sequence[str], fields: Sequence[str], *, lane: str = ""
    ) -> list[RemoteChange]:
        read = self.read(object, remote_ids, (*fields, STAMP), lane=lane)
        found = {record.remote_id: as_change(record) for record in read if record is not None}
        if gone := [each for each in dict.fromkeys(remote_ids) if each not in found]:
            feed = Feed(self._client, self.describe(object), fields, self._clock)
            for start in range(0, len(gone), IDS_AT_ONCE):
                part = partial(feed.gone, gone[start : start + IDS_AT_ONCE])
                found |= self._answers(object, lane, [part])[0]
        return [found[each] for each in remote_ids]

    def scan(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ScanPage:
        jobs = self._query_jobs if self._settings.bulk_from else None
        ask, version = partial(self._ask_for, object, lane), self._settings.api_version
        try:
            return Scan(self.describe(object), fields, ask, jobs, version=version, lane=lane).page(position)
        except SyncbridgeError as error:
            raise self._explained(error, object) from None

    def count(self, object: str, field: str, *, lane: str = "") -> int:
        described = self.describe(object)
        statement = f"SELECT COUNT() FROM {described.name} WHERE {field_of(described, field).name} != null"  # noqa: S608 - names were checked against the describe
        answer = self._ask_for(object, lane, Request("query", "GET", "query", params={"q": statement}))
        return int(answer["totalSize"])

    def stop_scan(self, object: str, position: str, *, lane: str = "") -> None:
        if job := job_of(position):
            self._query_jobs.abort(job, lane=lane)

    def _answers(self, object: str, lane: str, parts: Sequence[Part[T]]) -> list[T]:
        """All answers of calls that only read; the first failure is raised."""
        answers: list[T] = []
        for answer in self._flights.run(lane, parts, self._flights.until(len(parts))):
            if isinstance(answer, SyncbridgeError):
                raise self._explained(answer, object)
            if isinstance(answer, CallRejected):
                raise _of_a_read(answer.rejected)
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def _ask(self, request: Request) -> Any:
        return self._ask_for("", "", request)

    def _ask_for(self, object: str, lane: str, request: Request) -> Any:
        return self._answers(object, lane, [lambda send: send(request)])[0]

    # -- state --------------------------------------------------------------------------------------------------------

    def verify(self) -> list[Finding]:
        """Sign in with the credentials as they are now and ask for the limits."""
        self._client.sign_in_again()
        try:
            limits = self._ask(LIMITS)
        except SchemaDrift:
            told = f"The org does not offer version {self._settings.api_version} of the API."
            return [Finding("error", self.name, told, "Set `api_version` to one that it offers.")]
        except SyncbridgeError as error:
            severity = "warning" if isinstance(error, QuotaExhausted) else "error"  # it goes on by itself
            return [Finding(severity, self.name, error.message, error.hint)]
        storage = limits.get("DataStorageMB") or {}
        findings = []
        if storage.get("Max") and storage["Remaining"] < storage["Max"] * 0.05:
            findings.append(Finding("warning", self.name, "The org's data storage is nearly full.", "Free some."))
        known = self.limits()
        if known.state != "ok":
            findings.append(Finding("warning", self.name, known.detail, "Raise `daily_share`, or wait."))
        return findings

    def identity(self) -> str | None:
        return self._client.organization()

    def _admit(self, organization: str) -> None:
        if self.admit is not None:
            self.admit(organization)

    def _traced(self, request: Request, status: int | None, answer: Any) -> None:
        if self.trace is None or request.kind in ("describe", "limits"):
            return
        sent = orjson.loads(request.body) if request.body is not None else dict(request.params or {}) or None
        below = "" if request.path.startswith("/") else f"/services/data/v{self._settings.api_version}/"
        self.trace(Traced(request.method, f"{below}{request.path}", sent, status, answer))

    def limits(self) -> Limits:
        lowered = self._pace.lowered()
        return replace(self._allowance.limits(), lowered=str(lowered) if lowered is not None else "")

    def calls_made(self) -> dict[tuple[str, str], int]:
        return self._allowance.made()

    def close(self) -> None:
        self._flights.close()
        self._client.close()


def _checked(name: str) -> str:
    """A name that may stand in a path or a query; anything else cannot be an object or a field."""
    if not _NAME.fullmatch(name):
        raise SchemaDrift(f"{name!r} cannot be the name of an object or field.")
    return name


def _unsent(error: SyncbridgeError) -> Rejected:
    """Records that were not sent because of `error`, while others of the same call were answered."""
    remedy = Remedy.SCHEMA if isinstance(error, SchemaDrift) else Remedy.WAIT
    delay, uncertain = (error.delay, error.uncertain) if isinstance(error, RetryLater) else (None, False)
    return Rejected(error.code or type(error).__name__, error.message, remedy, uncertain=uncertain, delay=delay)


def _of_a_read(rejected: Rejected) -> SyncbridgeError:
    message = f"{rejected.code}: {rejected.message}"
    if rejected.remedy in (Remedy.RETRY, Remedy.RETRY_SMALLER):
        return RetryLater(message, code=rejected.code, delay=rejected.delay)
    return NeedsOperator(message, code=rejected.code)
