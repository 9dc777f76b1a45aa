"""Fan-out: join keys that capture found -> the entities that they concern -> the outbox. One change of a company
becomes one look for each of its people, whether there are three or a hundred thousand.

Why nothing is missed. Capture enqueues join keys only when every session sees their commits, so a look sees them too.
An entity that hung on the changed row then, and hangs on it now, is found by the look. One that was moved away, or a
row between them that was, is a change of its own: of the entity, or with the old join key of the row in between.

Why it stays small. A look takes a page of entities, whose keys are all that is held. Several join keys share a look
while their entities fit into a page; one join key of more is looked up page by page, with the priority of a resync, and
while not too much of that waits. Its position is kept, so a crash repeats one page. A join key that changes while its
pages go on is looked up once more when they are through: it can neither hold back its last entities nor lose a change.

Why several workers do no harm. Who works on a mapping holds an advisory lock, so others take another one. Nothing
depends on it: what is removed is only what was read, by its version.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from psycopg import Connection

from syncbridge.arrays import text_array
from syncbridge.errors import ConfigurationError, SchemaDrift
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import MappingStatus, Priority, Reason
from syncbridge.source import rows
from syncbridge.store import fan_out, mappings, outbox
from syncbridge.store.fan_out import JoinKey, Work

log = logging.getLogger("syncbridge.worker")

JOIN_KEYS = 1_000  # at most so many share a look
PAGE = 1_000  # entities of several join keys, or of one that is small
LARGE_PAGE = 10_000  # entities of one join key in a pass


class Progress(StrEnum):
    """What a step came to."""

    WENT_ON = "went_on"  # there may be more
    WAITS = "waits"  # for delivery to make room
    BUSY = "busy"  # somebody else is at this mapping
    OVER = "over"  # nothing is left that could be done now


def _knows(mapping: CompiledMapping, relation: str) -> bool:
    try:
        mapping.fan_out_page(relation, None, 1)
    except KeyError:
        return False
    return True


class FanOut:
    """The fan-out of one loop. It remembers whose turn it is, so that a join key that never rests holds back no other.

    `source` is a connection prepared by `rows.prepare`.
    """

    def __init__(
        self,
        store: Connection,
        source: Connection,
        *,
        join_keys: int = JOIN_KEYS,
        page: int = PAGE,
        large_page: int = LARGE_PAGE,
        enough: int = outbox.ENOUGH_WAITING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._store = store
        self._join_keys = join_keys
        self._page = page
        self._large_page = large_page
        self._enough = enough
        self._clock = clock
        self._turns: dict[Work, str] = {}  # the last join key
        self._passes: dict[Work, str] = {}  # the last one in a pass
        self._sizes: dict[Work, int] = {}  # join keys whose entities fit into a page, as far as we know
        self._lively: dict[Work, tuple[float, int]] = {}  # since when, how many entities went with live priority

    def step(self, work: Work, mapping: CompiledMapping) -> Progress:
        """Pass on some join keys of one relation, and one page of one that is in a pass.

        A mapping whose look fails for its SQL is halted, and its join keys stay. Raises RetryLater while Postgres is
        away.
        """
        if not _knows(mapping, work.relation):  # a file that came in force since, and a run with it
            fan_out.discard(self._store, work.mapping_id, digest=mapping.digest, relation=work.relation)
            return Progress.OVER
        if not fan_out.try_lock(self._store, work.mapping_id):
            return Progress.BUSY
        try:
            progress = {self._pass_on(work, mapping), self._next_page(work, mapping)}
        except (SchemaDrift, ConfigurationError) as error:
            self._halt(work, mapping, error)
            return Progress.OVER
        finally:
            fan_out.unlock(self._store, work.mapping_id)
        return next(each for each in (Progress.WENT_ON, Progress.WAITS, Progress.OVER) if each in progress)

    def _pass_on(self, work: Work, mapping: CompiledMapping) -> Progress:
        """Pass on as many join keys as have at most a page of entities."""
        turn = self._turns.pop(work, None)
        group = fan_out.waiting(
            self._store, *work, digest=mapping.digest, behind=turn, limit=self._sizes.get(work, self._join_keys)
        )
        if not group:
            return Progress.OVER if turn is None else Progress.WENT_ON
        if self._live_left(work) <= 0 and self._crowded(work):
            return Progress.WAITS
        found = self._look(work, mapping, group, None, self._page + 1)
        while len(found) > self._page and len(group) > 1:
            group = group[: len(group) // 2]
            found = self._look(work, mapping, group, None, self._page + 1)
        if len(found) > self._page:
            fan_out.begin_pass(self._store, *work, group[0].key)
        else:
            with self._store.transaction():
                ours = fan_out.lock(self._store, *work, group)
                self._enqueue(work, group, found, self._priority(work, len(found)))
                fan_out.finish(self._store, *work, ours)
        self._turns[work] = group[-1].key
        self._sizes[work] = min(self._join_keys, 2 * len(group))
        return Progress.WENT_ON

    def _next_page(self, work: Work, mapping: CompiledMapping) -> Progress:
        """Enqueue the next page of a join key that is in a pass."""
        turn = self._passes.pop(work, None)
        read = fan_out.in_pass(self._store, *work, digest=mapping.digest, behind=turn)
        if read is None and turn is not None:
            read = fan_out.in_pass(self._store, *work, digest=mapping.digest)
        if read is None:
            return Progress.OVER
        if self._crowded(work):
            return Progress.WAITS
        found = self._look(work, mapping, [read], read.after, self._large_page)
        with self._store.transaction():
            if fan_out.lock_pass(self._store, *work, read):
                self._enqueue(work, [read], found, Priority.BULK)
                if len(found) == self._large_page:
                    fan_out.advance_pass(self._store, *work, read, found[-1])
                else:
                    fan_out.end_pass(self._store, *work, read)
        self._passes[work] = read.key
        return Progress.WENT_ON

    def _look(
        self, work: Work, mapping: CompiledMapping, group: Sequence[JoinKey], after: str | None, limit: int
    ) -> list[str]:
        """The next entity keys of these join keys, in key order."""
        sql, parameters = mapping.fan_out_page(work.relation, after, limit)
        return rows.keys_page(self.source, sql, [text_array(each.key for each in group), *parameters])

    def _enqueue(self, work: Work, group: Sequence[JoinKey], found: Sequence[str], priority: Priority) -> None:
        """Each entity stands for all of the group's changes: whose it is, the look does not tell."""
        outbox.enqueue(
            self._store,
            work.mapping_id,
            found,
            reason=Reason.RELATED,
            priority=priority,
            lsn=max(each.lsn for each in group),
            moment=max(each.commit_time for each in group),
            since=(min(each.since_lsn for each in group), min(each.since for each in group)),
        )

    def _priority(self, work: Work, count: int) -> Priority:
        """Live for a page of entities each second; more at once is a mass change, and goes behind the live ones."""
        if self._live_left(work) < count:
            return Priority.BULK
        began, used = self._lively.get(work, (self._clock(), 0))
        self._lively[work] = (began, used + count)
        return Priority.LIVE

    def _live_left(self, work: Work) -> int:
        began, used = self._lively.get(work, (0.0, 0))
        if self._clock() - began >= 1.0:
            self._lively.pop(work, None)
            used = 0
        return self._page - used

    def _crowded(self, work: Work) -> bool:
        return outbox.bulk_waiting(self._store, work.mapping_id, enough=self._enough)

    def _halt(self, work: Work, mapping: CompiledMapping, error: SchemaDrift | ConfigurationError) -> None:
        message = f"related rows of {work.relation}: {error.message}"
        mappings.record_error(self._store, work.mapping_id, message)
        delivering = tuple(status for status in MappingStatus if status.delivers)
        if mappings.set_status(
            self._store, work.mapping_id, MappingStatus.HALTED, reason=message, hint=error.hint, only_from=delivering
        ):
            log.error("mapping %s halted: %s", mapping.name, message)
