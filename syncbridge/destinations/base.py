"""The contract between syncbridge and a remote system. Nothing above this layer knows which one it is.

What every destination promises, and `tests/contract/destination.py` proves:

* **At-least-once.** Any call may be repeated after a crash or a lost answer. Upserting the same record twice changes
  nothing; deleting a missing record succeeds.
* **One result per record, in order.** A record that is refused never raises and never fails its neighbours. Only what
  concerns the whole call is raised, by remedy: `RetryLater`, `QuotaExhausted`, `LoginRefused`, `SchemaDrift`.
  A lost answer is not raised for a call of many: the records it concerned come back as `Rejected` with
  `uncertain=True`, those that were answered as they were answered. When a call of many is cut short after some of it
  was answered (an allowance is spent halfway), what was not sent comes back as `Rejected` with `Remedy.WAIT`.
* **Normal form.** `normaliser(field)` gives a function from a Postgres value to what the system will store and return.
  Equal normal forms mean equal records; nothing else is compared. It follows from the described field alone, so that
  `registry.normaliser_of` gives the same one without settings or a login.
* **Finite.** Every call has a connect and a read time limit; `call_seconds` bounds one call of `upsert`, `update` or
  `delete` (with its own retries), and leases are made longer than that.
* **Known.** With each login `admit` is told which system was reached, before any call; what it raises keeps every call
  from being made. So nothing is written over records of another org than the one that links name.
* **Thread-safe.** Several threads may call at once; calls in flight are limited by the destination itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from syncbridge.destinations.feed import ChangesPage, RemoteChange, ScanPage
from syncbridge.errors import Finding, NeedsOperator, Remedy, RetryLater
from syncbridge.model import Fields, Normal, Normaliser
from syncbridge.schemas import RemoteField, RemoteObject


@dataclass(frozen=True, slots=True)
class Delivered:
    """The record is stored. `created` tells an insert from an update."""

    remote_id: str
    created: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The record is not stored (or, when `uncertain`, may be: the answer was lost)."""

    code: str
    message: str  # as the destination worded it, with values of the record cut out
    remedy: Remedy
    fields: tuple[str, ...] = ()
    remote_id: str | None = None  # of the record that holds the key, for Remedy.ADOPT
    uncertain: bool = False
    delay: float | None = None  # seconds the destination asked to wait


Result = Delivered | Rejected


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """A record as read from the destination, in normal form."""

    remote_id: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Limits:
    """The allowance of API calls and what this process spent. None where the destination does not say."""

    used: int | None = None
    allowed: int | None = None
    calls: int = 0  # made by this process since it started; logins, which no allowance counts, left out
    state: str = "ok"  # ok | slow | stopped
    detail: str = ""
    lowered: str = ""  # while fewer calls may be in flight than the settings allow: how many, and why
    share: int | None = None  # calls of the day after which we stop


@dataclass(frozen=True, slots=True)
class Traced:
    """One call that writes or looks records up, as it went over the wire: never headers, logins or tokens."""

    method: str
    path: str
    request: Any  # parsed JSON, or the query's parameters; None when there is nothing but the path
    status: int | None  # None: no answer came
    answer: Any


BulkOperation = Literal["upsert", "delete"]


class BulkState(StrEnum):
    """How far a bulk job is."""

    OPEN = "open"  # its records were not uploaded, or not all of them: it does nothing until they are
    RUNNING = "running"  # uploaded; it waits for its turn, or works
    DONE = "done"  # it ended, perhaps before its last record: `results` tells what became of each
    LOST = "lost"  # the destination does not know it, or no longer


@dataclass(frozen=True, slots=True)
class BulkJob:
    """A job of the destination. Its parts are all that has to be kept to go on with it after a restart."""

    id: str
    object: str
    operation: BulkOperation
    key_field: str = ""  # the external id that records are upserted by; empty for deletes
    lane: str = ""  # the mapping that its calls are counted for


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """What the destination says of a job."""

    state: BulkState
    processed: int = 0  # records, those that failed included
    failed: int = 0
    failure: Rejected | None = None  # why the job ended before its last record; what that means for those left over


class BulkUpload(NamedTuple):
    """What came of an upload."""

    taken: (
        int  # records that were read from the iterable, `unfit` ones included; what it still holds is for another job
    )
    unfit: tuple[int, ...]  # positions of those that a job cannot carry and calls can: they were left out


class BulkResult(NamedTuple):
    """What became of one record of a job."""

    key: Normal  # as it was uploaded: the value of `key_field`, the remote id for deletes
    result: Result
    sent: Fields  # the other fields that were uploaded, in normal form; nothing for deletes


class BulkRefused(RetryLater):
    """No job is to be had: not for this object or this login, or the day's jobs are used up. Calls may still work.

    `delay` says when to ask for a job again.
    """


class BulkUnreadable(NeedsOperator):
    """The results of a DONE job cannot be understood, however often they are asked for."""


class BulkLoading(ABC):
    """Jobs that carry many records at few calls, and are done by the destination in its own time.

    A job goes `begin`, `upload`, `progress` until it is DONE, `results`. Its id is known before anything is sent, so
    that whoever keeps it (with the other parts of `BulkJob`) can go on with the job after a crash, from any process,
    and sends nothing twice. What a job was given comes back with its results: nothing of it has to be kept.

    Errors are those of every call. `Remedy.RETRY_SMALLER` in a result means: send this record by calls.
    """

    bulk_from: int  # records due from which a job is worth its time; 0: none is begun, those that run go on
    most_records: int  # of one job
    jobs_in_flight: int  # of one destination, over all mappings

    @abstractmethod
    def begin(self, object: str, operation: BulkOperation, key_field: str = "", *, lane: str = "") -> BulkJob:
        """Create a job; nothing is sent yet. Raises BulkRefused where calls have to do.

        `key_field` is for upserts; `lane` names the mapping, as in `Destination.upsert`.
        """

    @abstractmethod
    def upload(self, job: BulkJob, columns: Sequence[str], records: Iterable[Fields | str]) -> BulkUpload:
        """Send records to an OPEN job, once, and let it run.

        `columns` are the fields that occur, `key_field` among them. A record of an upsert holds `key_field` and those
        of the fields that are to be written: None clears one, one that is missing stays as it is. For a delete
        `columns` is empty, and a record is its remote id. Records are read as long as there is room in the job.
        Memory stays small, and records are put in the order that avoids locks.

        When this raises, ask `progress`: of an OPEN job nothing was done nor will be (`abort` it, its records are
        free); any other goes on by itself and was given all that was read. BulkRefused as from `begin`: not this job
        nor another one soon.
        """

    @abstractmethod
    def progress(self, job: BulkJob) -> BulkProgress:
        """What the job is at: one call."""

    @abstractmethod
    def results(self, job: BulkJob, progress: BulkProgress) -> Iterator[BulkResult]:
        """Of a DONE job and its last `progress`, as a stream, in no order; can be asked for again, from the start.

        Each record that was uploaded comes once, those that the job did not come to as Rejected by its `failure`. Few
        may be missing when the destination lost them: what became of these is unknown. Raises BulkUnreadable.
        """

    @abstractmethod
    def abort(self, job: BulkJob) -> None:
        """End a job as soon as may be; what is done stays done. Nothing happens to one that has ended or is LOST."""


class Destination(ABC):
    """One configured remote system."""

    bulk: BulkLoading | None = None  # None where there is no such thing
    trace: Callable[[Traced], None] | None = None  # is told of every call while it is set; it sees values of records
    admit: Callable[[str], None] | None = None  # may refuse the system that a login reached, by its identity
    name: str  # as in the settings
    type: str  # as in the registry
    batch_size: int  # records one call can take
    call_seconds: float  # upper bound of one `upsert`, `update` or `delete` of `batch_size * calls_in_flight` records
    calls_in_flight: int

    @abstractmethod
    def verify(self) -> list[Finding]:
        """Log in and tell what is wrong, without raising; an empty list means ready."""

    @abstractmethod
    def identity(self) -> str | None:
        """Which system the login reaches, by an id that it never changes; None where the login does not tell.

        Signs in if need be, and makes no other call. Raises what a login raises.
        """

    @abstractmethod
    def objects(self) -> list[str]:
        """Names of all objects the login may see."""

    @abstractmethod
    def describe(self, object: str, *, refresh: bool = False) -> RemoteObject:
        """Describe one object; cached until `refresh`. Raises SchemaDrift when there is none, with near names."""

    @abstractmethod
    def normaliser(self, field: RemoteField) -> Normaliser:
        """A function to this field's normal form. It raises RecordRejected for what could never be stored."""

    @abstractmethod
    def upsert(self, object: str, external_id: str, records: Sequence[Fields], *, lane: str = "") -> list[Result]:
        """Create or update by external id; each record holds `external_id` and only the fields to write.

        Any number of records, distinct in their external id; None clears a field. `lane` names the mapping, so that
        calls in flight are shared fairly between mappings.
        """

    @abstractmethod
    def update(self, object: str, records: Sequence[tuple[str, Fields]], *, lane: str = "") -> list[Result]:
        """Write existing records by remote id; each holds only the fields to write, perhaps an external id too.

        A record that is gone is Rejected with `Remedy.GONE`, never created anew. An external id that another record
        holds is Rejected with `Remedy.ADOPT`.
        """

    @abstractmethod
    def delete(self, object: str, remote_ids: Sequence[str], *, lane: str = "") -> list[Result]:
        """Delete by remote id; a record that is already gone counts as Delivered."""

    @abstractmethod
    def read(
        self, object: str, remote_ids: Sequence[str], fields: Sequence[str], *, lane: str = ""
    ) -> list[RemoteRecord | None]:
        """Current values in normal form, in order; None for a record that is gone. `lane` as in `upsert`."""

    @abstractmethod
    def find(
        self, object: str, field: str, values: Sequence[Normal], fields: Sequence[str] = (), *, lane: str = ""
    ) -> dict[Normal, list[RemoteRecord]]:
        """Records whose `field` equals each value (as the destination compares); missing values are left out.

        `values` are in normal form. One call finds as many as the destination takes at once.
        """

    @abstractmethod
    def changes(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ChangesPage:
        """The next page of what changed, whoever changed it, in the order of its changes; one call when nothing did.

        `position` is that of the page before, None to begin with what changes from now on (an empty page). Records
        that were created, changed, deleted, undeleted or merged away come at least once, and perhaps again; none is
        left out for becoming visible late. A record shows the state of the moment it is read, or one that is a few
        seconds older. Positions can be kept, and are good in any process.
        """

    @abstractmethod
    def current(
        self, object: str, remote_ids: Sequence[str], fields: Sequence[str], *, lane: str = ""
    ) -> list[RemoteChange]:
        """These records as they are now, in order: never older than the call. Those that are gone come as deleted."""

    @abstractmethod
    def scan(self, object: str, fields: Sequence[str], position: str | None, *, lane: str = "") -> ScanPage:
        """The next page of all records that are not deleted, each once, in no order; None for the first page.

        They are as they were at some moment between the first call and this one. Positions can be kept, are good in
        any process, and show the same page again. A page is small enough for memory. Raises ScanLost.
        """

    @abstractmethod
    def count(self, object: str, field: str, *, lane: str = "") -> int:
        """How many records hold something in this field: one call."""

    @abstractmethod
    def stop_scan(self, object: str, position: str, *, lane: str = "") -> None:
        """Nobody will go on from here: end what the destination still does for it, if anything."""

    @abstractmethod
    def limits(self) -> Limits:
        """What is known of the allowance, without making a call."""

    @abstractmethod
    def calls_made(self) -> dict[tuple[str, str], int]:
        """Requests since it was opened, by lane ("" where they belong to none) and kind.

        Kinds are upsert, update, delete, read, query, describe, limits, those that begin with "bulk", and
        `model.LOGIN`. Attempts count, answered or not.
        """

    @abstractmethod
    def close(self) -> None:
        """Release connections and threads; may be called twice."""
