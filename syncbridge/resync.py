"""First syncs and resyncs: a bounded stream of keys into the outbox, in key order, that goes on where it stopped.

A run only enqueues, with a lower priority than live changes; delivery then finds what differs. What is known to be
equal may be left out. First the rows of the table, whether or not they pass the mapping's filter, then linked entities
whose row is gone. Each page is one transaction with the run's progress, so any number of workers may carry the same run
and none of them twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from psycopg import Connection

from syncbridge.arrays import to_microseconds
from syncbridge.errors import ConfigurationError, SchemaDrift
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Lsn, Priority, Reason
from syncbridge.source import rows
from syncbridge.store import bulk_jobs, links, mappings, outbox, runs
from syncbridge.store.claims import Claimed
from syncbridge.store.runs import Run

PAGE = 10_000  # keys a transaction

#: Gives those of a page's keys, in order, that delivery has to look at.
Sift = Callable[[Sequence[str]], Sequence[str]]


class Progress(StrEnum):
    """What one step of a run came to."""

    WENT_ON = "went_on"
    WAITS = "waits"  # for transactions that were running when it was asked for, or for `apply`
    BUSY = "busy"  # somebody else is at its next page
    OVER = "over"


def step(
    store: Connection,
    source: Connection,
    run_id: int,
    mapping: CompiledMapping,
    *,
    page: int = PAGE,
    sift: Sift | None = None,
) -> Progress:
    """Enqueue the next page of a run. A run that cannot go on (its filter fails, its table is gone) ends as failed.

    Of a resync the rows that `sift` leaves out are not enqueued. `source` is a connection prepared by `rows.prepare`.
    Raises RetryLater when Postgres is away.
    """
    try:
        with store.transaction():
            run = runs.lock(store, run_id)
            if run is None:
                return _elsewhere(runs.find(store, run_id))
            if run.digest != mapping.digest:
                return Progress.WAITS  # another mapping is in force than this process knows
            if run.barrier is not None and not rows.passed(source, run.barrier):
                return Progress.WAITS
            return _page(store, source, run, mapping, page, sift if _may_leave_out(run) else None)
    except (SchemaDrift, ConfigurationError) as error:
        runs.fail(store, run_id, error.message)
        return Progress.OVER


def _elsewhere(run: Run | None) -> Progress:
    if run is None:  # its mapping was removed
        return Progress.OVER
    if run.status == "asked":
        return Progress.WAITS
    return Progress.BUSY if run.status == "pending" else Progress.OVER


def _may_leave_out(run: Run) -> bool:
    """Whether records that are equal are of no concern: of a first sync none is there yet."""
    return run.reason in (Reason.RESYNC, Reason.RECOVERY) and not run.resend


def _page(
    store: Connection, source: Connection, run: Run, mapping: CompiledMapping, page: int, sift: Sift | None
) -> Progress:
    if not mapping.sends:
        runs.advance(store, run.id, phase="done", after=None, enqueued=0)
        return Progress.OVER
    if run.phase == "rows":
        keys = _keys_page(source, run, mapping, page)
        following = "done" if run.filter else "links"
        visited: Sequence[str] = keys
        selected = visited if sift is None else sift(visited)
    else:
        keys = links.keys_after(store, run.mapping_id, run.after, page)
        following = "done"
        present = rows.existing(source, mapping.compose_sql, keys)
        visited = selected = [key for key in keys if key not in present]
    # What was not captured was committed before the slot was there again, which is when its run was asked for.
    latest = run.requested_at if run.reason is Reason.RECOVERY else None
    enqueue(store, source, run.mapping_id, selected, reason=run.reason, resend=run.resend, moment=latest)
    return _advance(store, run, keys, page, following=following, visited=len(visited))


def _keys_page(source: Connection, run: Run, mapping: CompiledMapping, page: int) -> list[str]:
    sql, parameters = mapping.keys_page(run.after, page, where=run.filter or None)
    return rows.keys_page(source, sql, parameters)


def _advance(store: Connection, run: Run, keys: Sequence[str], page: int, *, following: str, visited: int) -> Progress:
    """Record a page of `page` keys at most; after the last one of a phase comes the `following`."""
    last_page = len(keys) < page
    phase, after = (following, None) if last_page else (run.phase, keys[-1])
    runs.advance(store, run.id, phase=phase, after=after, enqueued=visited)
    return Progress.OVER if last_page and following == "done" else Progress.WENT_ON


def enqueue(
    store: Connection,
    source: Connection,
    mapping_id: int,
    keys: Sequence[str],
    *,
    reason: Reason,
    resend: bool = False,
    priority: Priority = Priority.BULK,
    moment: datetime | None = None,
) -> int:
    """Enqueue these keys as of the source's position now; how many. `moment`: when they changed at the latest."""
    if not keys:
        return 0
    lsn, moment = Lsn.parse(rows.position(source)), moment or datetime.now(UTC)
    return outbox.enqueue(
        store, mapping_id, keys, reason=reason, priority=priority, lsn=lsn, moment=moment, resend=resend
    )


def goes_by_jobs(run: Run, mapping: CompiledMapping) -> bool:
    """Whether bulk jobs may take the pages of a run as they are: of rows that nobody has to look up first."""
    first = run.reason is Reason.FIRST_SYNC and run.phase == "rows" and not run.resend
    return first and mapping.sends and mapping.two_way is None and not mapping.match_on


@dataclass(frozen=True, slots=True)
class FirstSync:
    """The rows of a mapping's first sync that are not in the outbox yet, for whoever carries its bulk jobs.

    A row that goes into the outbox as one of a job is written once; else it is first enqueued, then claimed. `source`
    is a connection prepared by `rows.prepare`.
    """

    mapping_id: int
    mapping: CompiledMapping
    store: Connection
    source: Connection

    def waits(self) -> bool:
        """Whether there are such rows."""
        run = runs.first_sync(self.store, self.mapping_id)
        return run is not None and goes_by_jobs(run, self.mapping)

    def take(self, number: int, limit: int) -> list[Claimed] | None:
        """Let the job `number` carry the next page; None when there is none for it, or not now.

        Empty when the page was enqueued, as some of its rows were waiting. Raises RetryLater when Postgres is away.
        """
        found = runs.first_sync(self.store, self.mapping_id)
        if found is None or outbox.bulk_waiting(self.store, self.mapping_id, enough=outbox.ENOUGH_WAITING):
            return None
        try:
            with self.store.transaction():
                run = runs.lock(self.store, found.id)
                if run is None or run.digest != self.mapping.digest or not goes_by_jobs(run, self.mapping):
                    return None
                if not mappings.is_active(self.store, self.mapping_id):
                    return None
                if run.barrier is not None and not rows.passed(self.source, run.barrier):
                    return None
                return self._take(run, number, limit)
        except (SchemaDrift, ConfigurationError) as error:
            runs.fail(self.store, found.id, error.message)
            return None

    def _take(self, run: Run, number: int, limit: int) -> list[Claimed]:
        keys = _keys_page(self.source, run, self.mapping, limit)
        lsn, moment = Lsn.parse(rows.position(self.source)), datetime.now(UTC)
        commit = (int(lsn), to_microseconds(moment))
        taken: list[Claimed] = []
        if bulk_jobs.carry_new(self.store, number, self.mapping_id, keys, reason=run.reason, commit=commit):
            linked, at, why = links.read_many(self.store, self.mapping_id, keys), str(lsn), run.reason.value
            taken = [Claimed(key, 1, at, moment, why, 0, False, *linked.get(key, (None, None))) for key in keys]
        else:
            enqueue(self.store, self.source, self.mapping_id, keys, reason=run.reason)
        following = "done" if run.filter else "links"
        _advance(self.store, run, keys, limit, following=following, visited=len(keys))
        return taken


def measure(store: Connection, source: Connection, run_id: int, mapping: CompiledMapping) -> int | None:
    """Count what a run will visit, for its progress bar, unless that takes longer than a few seconds."""
    run = runs.read(store, run_id)
    if run.total is None:
        try:
            total = rows.count(source, mapping.count_sql(where=run.filter or None), seconds=3.0)
        except (SchemaDrift, ConfigurationError):
            return None  # `step` ends the run with the reason
        if total is not None:
            runs.set_total(store, run_id, total)
        return total
    return run.total
