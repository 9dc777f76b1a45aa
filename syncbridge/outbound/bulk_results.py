"""Results of bulk jobs, settled page by page through seam 2.

Nothing of a job is kept but its id: what was sent comes back with the results, so that any process can settle it. A
page that was settled already finds its rows gone, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
from psycopg import Connection

from syncbridge.destinations.base import BulkResult, Rejected, Result
from syncbridge.errors import Remedy
from syncbridge.model import Fields, Normal, Operation
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.masking import Mask
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.recording import Recorder
from syncbridge.outbound.send import Exchange
from syncbridge.store import bulk_jobs, links
from syncbridge.store.bulk_jobs import Job
from syncbridge.store.claims import Claimed

#: Results that one transaction settles.
PAGE = 2000


@dataclass(slots=True)
class ResultSettler:
    """Settles what the jobs of one mapping were answered."""

    mapping_id: int
    store: Connection
    composer: Composer
    recorder: Recorder
    guard: Guard
    mask: Mask
    two_way: bool = False  # the poller links records too

    def settle(self, job: Job, results: Iterable[BulkResult]) -> int:
        """Settle every result whose row the job still carries; how many results there were.

        Pages of one job are one batch to the mapping: it is stopped by the first that asks for it, and only once.
        """
        count, stopped = 0, False
        converter = self.composer.learn()
        deletes = job.operation == "delete"
        known = {} if deletes else self._entity_keys(job, converter)
        new = {} if deletes or self.two_way else bulk_jobs.unlinked(self.store, job.id)
        for page in _pages(results):
            keys = self._holders(page) if deletes else known
            by_key = {keys[result.key]: result for result in page if result.key in keys}
            count += len(page)
            claimed = self._carried(job, by_key, new)
            if claimed:
                self._settle_page(job, claimed, by_key, converter, heed=not stopped)
            stopped |= any(_stops(each.result) for each in by_key.values())
        return count

    def _carried(self, job: Job, keys: Iterable[str], new: dict[str, tuple[Any, ...]]) -> list[Claimed]:
        """The rows of a page as they were claimed: those of `new`, which are taken out of it, the others read now."""
        found = [(key, new.pop(key, None)) for key in keys]
        known = [Claimed._make(row) for _, row in found if row is not None]
        others = [key for key, row in found if row is None]
        return known + bulk_jobs.carried(self.store, self.mapping_id, job.id, others) if others else known

    def _settle_page(
        self,
        job: Job,
        claimed: Sequence[Claimed],
        by_key: Mapping[str, BulkResult],
        converter: Converter,
        *,
        heed: bool,
    ) -> None:
        if job.operation == "delete":
            planned = [Planned(row, Operation.DELETE, {}, {}, vanished=True) for row in claimed]
        else:
            planned = [as_sent(row, by_key[row.key].sent, converter) for row in claimed]
        self.mask.cover(planned)
        exchange = Exchange(answers={row.key: by_key[row.key].result for row in claimed})
        self.recorder.record(job.id, claimed, planned, exchange, heed=heed)
        refused = [p for p in planned if isinstance(exchange.answers[p.key], Rejected)]
        if refused:
            self.guard.withdraw(self.guard.counted(refused))

    def _entity_keys(self, job: Job, converter: Converter) -> dict[Normal, str]:
        """Value of the external id -> entity key, of all rows that the job still carries.

        Where two keys come to one value, nobody knows whose result it is.
        """
        known: dict[Normal, str] = {}
        several: set[Normal] = set()
        for key in bulk_jobs.keys(self.store, job.id):
            value = converter.external_value(key)
            if known.setdefault(value, key) != key:
                several.add(value)
        return {value: key for value, key in known.items() if value not in several}

    def _holders(self, page: Sequence[BulkResult]) -> dict[Normal, str]:
        """Remote id -> entity key."""
        found = links.holders(self.store, self.mapping_id, [str(result.key) for result in page])
        return {remote_id: key for remote_id, key in found.items()}  # noqa: C416 - of another type


def as_sent(row: Claimed, sent: Fields, converter: Converter) -> Planned:
    """What had been planned for a row, from what was sent of it."""
    owned = converter.owned
    if row.base is None:
        base = {name: value for name, value in sent.items() if name not in owned} if owned else sent
        return Planned(row, Operation.CREATE, sent, base)
    base = orjson.loads(row.base)
    full = all(name in sent for name in converter.names if name not in owned)
    return Planned(row, Operation.UPDATE, sent, {**base, **sent}, full=full, withheld=bool(owned))


def _stops(result: Result) -> bool:
    return isinstance(result, Rejected) and result.remedy in (Remedy.WAIT, Remedy.SCHEMA)


def _pages(results: Iterable[BulkResult]) -> Iterator[list[BulkResult]]:
    stream = iter(results)
    while page := list(islice(stream, PAGE)):
        yield page
