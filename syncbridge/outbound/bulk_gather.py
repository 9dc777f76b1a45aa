"""Gathering for bulk jobs: rows are claimed and compared page by page; what has to be sent goes into a spool.

What needs no call, or must not go by a job, is settled or left to the lanes page by page. So memory holds a page, and
a change of a claimed row waits only for one short transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import NamedTuple, Protocol

import orjson
import psycopg
from psycopg import Connection

from syncbridge.destinations.base import BulkOperation, BulkUpload
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, Operation, Priority
from syncbridge.outbound.comparing import Comparer
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.recording import Recorder
from syncbridge.outbound.send import Exchange
from syncbridge.store import bulk_jobs, claims, outbox
from syncbridge.store.claims import Claimed

#: Rows that one page claims.
PAGE = 4000
#: Bytes of a spool that are kept in memory; the rest is in a file without a name.
_IN_MEMORY = 4 << 20


class Unqueued(Protocol):
    """Rows of a first sync that are not in the outbox yet."""

    def waits(self) -> bool:
        """Whether there are any."""
        ...

    def take(self, number: int, limit: int) -> list[Claimed] | None:
        """Up to `limit` of them, in the outbox and carried by this job now; None when there are none, or not now.

        Empty when they were enqueued for whoever claims them.
        """
        ...


class LeftOut(NamedTuple):
    """Keys of entities that an uploaded job does not carry."""

    unfit: list[str]  # that no job can
    over: list[str]  # for which there was no more room
    reserved: Counter[str]  # what both count towards the guard


@dataclass(slots=True)
class Shipment:
    """Rows that one job is to carry, and their records in a spool; `number` is that of claim and job."""

    number: int
    operation: BulkOperation
    count: int = 0
    reserved: Counter[str] = field(default_factory=Counter)  # what it counts towards the guard
    _kinds: list[str] = field(default_factory=list)  # of each record: what it counts as, empty for nothing
    _spool: SpooledTemporaryFile[bytes] = field(
        default_factory=lambda: SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - `close` does
    )

    def expect(self, kind: str) -> None:
        """One more record is going to be added, which counts as `kind` towards the guard (empty: as nothing)."""
        self._kinds.append(kind)
        if kind:
            self.reserved[kind] += 1

    def add(self, records: Sequence[tuple[str, Fields | str]]) -> None:
        """Keep records, or remote ids of those to be deleted, by their entities' keys. Raises OSError: a full disk."""
        self._spool.write(b"".join([orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records]))
        self.count += len(records)

    def records(self) -> Iterator[tuple[str, Fields | str]]:
        """All of them with their entities' keys, in order."""
        self._spool.seek(0)
        for line in self._spool:
            key, record = orjson.loads(line)
            yield key, record

    def left_out(self, upload: BulkUpload) -> LeftOut:
        """What the job does not carry, of that which it was given."""
        out = LeftOut([], [], Counter())
        if upload.taken >= self.count and not upload.unfit:
            return out
        unfit = set(upload.unfit)
        for at, (key, _) in enumerate(self.records()):
            if at in unfit or at >= upload.taken:
                (out.unfit if at in unfit else out.over).append(key)
                if self._kinds[at]:
                    out.reserved[self._kinds[at]] += 1
        return out

    def close(self) -> None:
        """Drop the spool."""
        self._spool.close()


@dataclass(slots=True)
class Gathering:
    """One gathering of a mapping's rows of one priority; `until`: as far as they were due then, None: now."""

    mapping_id: int
    mapping: CompiledMapping
    store: Connection
    comparer: Comparer
    recorder: Recorder
    guard: Guard
    next_number: Callable[[], int]
    priority: Priority
    until: datetime | None
    most: int  # records of one job
    unqueued: Unqueued | None = None
    upserts: Shipment = field(init=False)
    deletes: Shipment | None = None
    compared: int = 0  # rows that were claimed and compared
    failed: bool = False  # what was gathered is given back

    def __post_init__(self) -> None:
        self.upserts = self._prepare("upsert")

    @property
    def shipments(self) -> list[Shipment]:
        """Deletes first: they free unique values that new records may want."""
        return [self.upserts] if self.deletes is None else [self.deletes, self.upserts]

    @property
    def gathered(self) -> int:
        """How many records are to be sent."""
        return sum(each.count for each in self.shipments)

    def close(self) -> None:
        """Drop what was spooled."""
        for each in self.shipments:
            each.close()

    def page(self) -> bool:
        """Claim and compare the next page; False when there is none, or no room, or the gathering failed.

        Raises OSError when the disk is full.
        """
        limit = min(PAGE, self.most - max(each.count for each in self.shipments))
        claimed = self._claim(limit)
        if claimed is None:
            return False
        self.compared += len(claimed)
        if claimed:
            self._sort(claimed)
        return not self.failed and all(each.count < self.most for each in self.shipments)

    def _claim(self, limit: int) -> list[Claimed] | None:
        """What waits in the outbox, then what is not there yet; None when there is neither."""
        number = self.upserts.number
        claimed = claims.claim_for_job(
            self.store,
            self.mapping_id,
            number,
            limit=limit,
            levels=[self.priority],
            until=self.until,
            digest=self.mapping.digest,
        )
        if claimed:
            return claimed
        return None if self.unqueued is None else self.unqueued.take(number, limit)

    def _sort(self, claimed: Sequence[Claimed]) -> None:
        """Settle what needs no call, spool what a job can carry, leave the rest to the lanes."""
        number = self.upserts.number
        try:
            planned = self.comparer.compare(claimed)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            self.recorder.record(number, claimed, [], Exchange(), error)
            self.failed = True
            return
        sending = self.comparer.sending(planned)
        fit = [p for p in sending if fits(p, self.mapping)]
        reserved = self.guard.reserve(fit)
        recorded = self.recorder.record(number, claimed, planned, Exchange(), leave=[p.key for p in sending])
        self.failed = reserved is None or not recorded  # the mapping is stopped
        if reserved is None:
            return
        left = {p.key for p in sending} - {p.key for p in fit}
        if left:
            bulk_jobs.leave(self.store, number, sorted(left))
            outbox.wake(self.store, self.mapping_id)
        self._spool(fit, {key: kind for kind, keys in reserved.items() for key in keys})

    def _spool(self, fit: Sequence[Planned], kinds: dict[str, str]) -> None:
        deletes = [p for p in fit if p.operation is Operation.DELETE]
        if deletes and self.deletes is None:
            self.deletes = self._prepare("delete")
        if self.deletes is not None and deletes:
            bulk_jobs.move(self.store, self.upserts.number, self.deletes.number, [p.key for p in deletes])
        upserts = [p for p in fit if p.operation is not Operation.DELETE]
        for p in upserts:  # all that is reserved is known before anything can fail
            self.upserts.expect(kinds.get(p.key, ""))
        if self.deletes is not None:
            for p in deletes:
                self.deletes.expect(kinds.get(p.key, ""))
            self.deletes.add([(p.key, str(p.claimed.remote_id)) for p in deletes])
        converter = self.comparer.composer.converter
        name, value = converter.external_field, converter.external_value
        self.upserts.add([(p.key, {name: value(p.key), **p.fields}) for p in upserts])

    def _prepare(self, operation: BulkOperation) -> Shipment:
        number = self.next_number()
        bulk_jobs.prepare(self.store, number, self.mapping_id, object=self.mapping.object, operation=operation)
        return Shipment(number, operation)


def fits(planned: Planned, mapping: CompiledMapping) -> bool:
    """Whether a bulk job can carry it: all that has to be known when it is settled comes back with its result.

    Lanes do what has to be looked up first (existing records of new entities, records of which an answer was lost),
    what is to be sent again when a parent comes, what is marked instead of deleted, and what was refused before. Of a
    two-way mapping a job carries new records only: before others are written somebody looks what they hold now, and
    from that look to the job's write it would be minutes.
    """
    row = planned.claimed
    if row.attempts or planned.missing:
        return False
    if mapping.two_way is not None and (planned.operation is not Operation.CREATE or row.resend):
        return False
    if planned.operation is Operation.DELETE:
        return bool(row.remote_id) and not row.resend
    return not planned.vanished and not (planned.operation is Operation.CREATE and mapping.match_on)
