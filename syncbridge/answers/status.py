"""How everything stands, as one value: mappings, capture, destinations, workers.

Gathered from the state and the source in a few queries; nothing is asked of a destination, whose allowance the workers
report. The command line and the console show the same snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from syncbridge.errors import SyncbridgeError
from syncbridge.mapping import forms
from syncbridge.mapping.spec import PollSpec
from syncbridge.model import Lsn, MappingStatus
from syncbridge.project import Project
from syncbridge.source import slot
from syncbridge.source.slot import SlotFacts
from syncbridge.store import (
    backlog,
    bulk_jobs,
    call_counts,
    checkpoints,
    gaps,
    identities,
    links,
    mappings,
    parents,
    reconciliations,
    runs,
    sync_log,
    way_back,
    workers,
)
from syncbridge.store.bulk_jobs import Job
from syncbridge.store.call_counts import NOTHING_SPENT, Cost, Costs
from syncbridge.store.checkpoints import Checkpoint
from syncbridge.store.gaps import Gap
from syncbridge.store.mappings import AppliedMapping
from syncbridge.store.parents import Crowd
from syncbridge.store.reconciliations import Reconciliation
from syncbridge.store.runs import Run
from syncbridge.store.way_back import WayBack
from syncbridge.store.workers import Worker

#: Rates are means over so many seconds.
RATE_SECONDS = 60

_NOTHING_WAITS = backlog.Backlog(0, 0, 0, None, None, None)


@dataclass(frozen=True, slots=True)
class MappingState:
    """One mapping; `lag_seconds` is the age of its oldest change that is not delivered (dead letters not counted)."""

    name: str
    destination: str
    object: str
    status: MappingStatus
    reason: str
    hint: str
    since: datetime
    until: datetime | None  # of WAITING: when it goes on
    pending: int  # records, and related rows whose records are still to be found
    retrying: int
    dead: int
    held: int  # entities that could be one of several existing records: a person decides
    lag_seconds: float | None
    live_lag_seconds: float | None  # the same without what only a first sync or resync asked for
    delivered_per_second: float
    dead_per_second: float
    last_error: str | None
    last_error_key: str | None
    last_error_at: datetime | None
    linked: int | None  # entities with a remote record; None when not asked for
    runs: tuple[Run, ...]  # first syncs and resyncs in progress
    failed_run: Run | None  # the last one, when it failed
    waits: tuple[Crowd, ...] = ()  # its records that wait for those of other mappings
    related: int = 0  # of those pending, the related rows
    jobs: tuple[Job, ...] = ()  # its bulk jobs that are not settled
    hour: Cost = NOTHING_SPENT  # API calls of the last hour, and the records that they delivered
    day: Cost = NOTHING_SPENT  # ... of the last 24 hours
    reconciled: Reconciliation | None = None  # the last time that both sides were compared completely
    way_back: WayBack | None = None  # how remote changes come back; None: they do not
    poll_every: int | None = None  # seconds between its polls


@dataclass(frozen=True, slots=True)
class CaptureState:
    """Capture and its slot; `lag_bytes` is log that the server wrote and no checkpoint covers."""

    slot_name: str
    slot: SlotFacts | None
    checkpoint: Lsn | None
    checkpoint_time: datetime | None  # commit time of the last captured change
    lag_bytes: int | None
    streaming: bool
    ready: bool  # heartbeats come back through the stream
    heartbeat_age: float | None
    standby: int  # workers that stand by to take over
    stopped: str  # why it cannot go on until a person acts
    error: str  # the last one that it retries after
    unreachable: str = ""  # why the source could not be asked
    gap: Gap | None = None  # the last range of changes that were never captured, if there ever was one


@dataclass(frozen=True, slots=True)
class DestinationState:
    """One destination's allowance, as the worker that reported last knows it; `calls` are those of all live workers."""

    name: str
    used: int | None = None
    allowed: int | None = None
    calls: int = 0
    state: str = "unknown"  # ok | slow | stopped; unknown while no worker runs
    detail: str = ""
    lowered: str = ""  # that a worker has fewer calls in flight than the settings allow, and why
    share: int | None = None  # calls of the day, by whomever, after which we stop
    identity: str | None = None  # which system it is, as the last login that was let in told
    hour: Cost = NOTHING_SPENT  # what all workers spent in the last hour, also those that have ended
    day: Cost = NOTHING_SPENT  # ... in the last 24 hours


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process."""

    id: int
    host: str
    pid: int
    roles: tuple[str, ...]
    started_at: datetime
    seen_at: datetime
    alive: bool
    capturing: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment; `diagnosis.diagnose` says what of it needs a person."""

    at: datetime
    mappings: tuple[MappingState, ...]
    capture: CaptureState
    destinations: tuple[DestinationState, ...]
    workers: tuple[WorkerState, ...]


def gather(project: Project, *, mapping: str | None = None, linked: bool = True) -> Snapshot:
    """How everything stands now, of one mapping or of all.

    `linked` counts links, which takes a while when there are millions. A source that cannot be reached is told in
    `capture`; RetryLater or SettingsError are raised for the state, SettingsError for a mapping that is not in force.
    """
    name = project.settings.source.slot
    with project.store("status") as store:
        chosen = mappings.read_all(store) if mapping is None else {mapping: mappings.read(store, mapping)}
        present = workers.read_all(store)
        checkpoint, gap = checkpoints.read(store, name), gaps.newest(store, name)
        known = identities.read_all(store)
        hour, day = (call_counts.costs(store, seconds=seconds) for seconds in (call_counts.HOUR, call_counts.DAY))
        states = _mapping_states(store, chosen.values(), hour, day, linked=linked)
    found, unreachable = _slot(project, name)
    return Snapshot(
        at=datetime.now(UTC),
        mappings=states,
        capture=replace(_capture_state(name, found, unreachable, checkpoint, present), gap=gap),
        destinations=tuple(
            replace(
                _destination_state(
                    each, present, hour.get((each, None), NOTHING_SPENT), day.get((each, None), NOTHING_SPENT)
                ),
                identity=known.get(each),
            )
            for each in sorted({state.destination for state in states})
        ),
        workers=tuple(_worker_state(worker) for worker in present),
    )


def _mapping_states(
    store: Connection, chosen: Collection[AppliedMapping], hour: Costs, day: Costs, *, linked: bool
) -> tuple[MappingState, ...]:
    waiting, rates = backlog.summary(store), sync_log.rates(store, seconds=RATE_SECONDS)
    crowds, jobs = parents.crowds(store), bulk_jobs.read_all(store)
    reconciled = reconciliations.last(store)
    in_progress, failed = runs.pending(store), {run.mapping_id: run for run in runs.failed(store)}
    backs = way_back.read_all(store)
    states = (
        _mapping_state(
            mapping,
            waiting.get(mapping.id, _NOTHING_WAITS),
            rates.get(mapping.id, (0, 0)),
            linked=links.count(store, mapping.id) if linked else None,
            in_progress=tuple(run for run in in_progress if run.mapping_id == mapping.id),
            failed=failed.get(mapping.id),
            waits=tuple(crowds.get(mapping.id, ())),
            jobs=tuple(job for job in jobs if job.mapping_id == mapping.id),
            hour=hour.get((mapping.destination, mapping.name), NOTHING_SPENT),
            day=day.get((mapping.destination, mapping.name), NOTHING_SPENT),
            reconciled=reconciled.get(mapping.id),
        )
        for mapping in chosen
    )
    return tuple(
        replace(state, way_back=backs.get(mapping.id), poll_every=_poll_every(mapping))
        for state, mapping in zip(states, chosen, strict=True)
    )


def _poll_every(mapping: AppliedMapping) -> int | None:
    """Seconds, of a mapping whose remote changes come back."""
    if not mapping.two_way:
        return None
    every = mapping.definition.get("poll", {}).get("every")
    return PollSpec().every if every is None else forms.seconds(every)


def _mapping_state(
    mapping: AppliedMapping,
    waiting: backlog.Backlog,
    rates: tuple[int, int],
    *,
    linked: int | None,
    in_progress: tuple[Run, ...],
    failed: Run | None,
    waits: tuple[Crowd, ...],
    jobs: tuple[Job, ...],
    hour: Cost,
    day: Cost,
    reconciled: Reconciliation | None,
) -> MappingState:
    return MappingState(
        name=mapping.name,
        destination=mapping.destination,
        object=mapping.object,
        status=mapping.status,
        reason=mapping.reason,
        hint=mapping.hint,
        since=mapping.status_since,
        until=mapping.until,
        pending=waiting.pending + waiting.related,
        related=waiting.related,
        retrying=waiting.retrying,
        dead=waiting.dead,
        held=waiting.held,
        lag_seconds=waiting.oldest_seconds,
        live_lag_seconds=waiting.live_seconds,
        delivered_per_second=round(rates[0] / RATE_SECONDS, 2),
        dead_per_second=round(rates[1] / RATE_SECONDS, 2),
        last_error=mapping.last_error,
        last_error_key=mapping.last_error_key,
        last_error_at=mapping.last_error_at,
        linked=linked,
        runs=in_progress,
        failed_run=failed,
        waits=waits,
        jobs=jobs,
        hour=hour,
        day=day,
        reconciled=reconciled,
    )


def _slot(project: Project, name: str) -> tuple[SlotFacts | None, str]:
    """The slot as the source shows it now, and why the source cannot be asked."""
    try:
        with project.source_admin("status") as source:
            return slot.inspect(source, name), ""
    except SyncbridgeError as error:
        return None, error.message


def _capture_state(
    name: str, found: SlotFacts | None, unreachable: str, checkpoint: Checkpoint | None, present: Sequence[Worker]
) -> CaptureState:
    fit = [worker for worker in present if worker.alive and "capture" in worker.roles]
    streaming = next((worker for worker in fit if streams(worker)), None)
    told: Mapping[str, Any] = figures(streaming) if streaming is not None else {}
    lag = found.server_lsn - checkpoint.end_lsn if found is not None and checkpoint is not None else None
    return CaptureState(
        slot_name=name,
        slot=found,
        checkpoint=checkpoint.end_lsn if checkpoint is not None else None,
        checkpoint_time=checkpoint.commit_time if checkpoint is not None else None,
        lag_bytes=None if lag is None else max(0, int(lag)),
        streaming=streaming is not None,
        ready=bool(told.get("ready")),
        heartbeat_age=told.get("heartbeat_age"),
        standby=sum(1 for worker in fit if figures(worker).get("standby")),
        stopped="" if streaming else next((reason for worker in fit if (reason := capture_stopped(worker))), ""),
        error=next((str(error) for worker in fit if (error := figures(worker).get("error"))), ""),
        unreachable=unreachable,
    )


def _destination_state(name: str, present: Sequence[Worker], hour: Cost, day: Cost) -> DestinationState:
    """The allowance as the worker saw it that reported last, and the calls of all that live, and of those that did."""
    told = [
        facts
        for worker in sorted(present, key=lambda worker: worker.seen_at, reverse=True)
        if worker.alive and isinstance(facts := (worker.facts.get("destinations") or {}).get(name), dict)
    ]
    newest = next((facts for facts in told if facts.get("used") is not None), told[0] if told else {})
    return DestinationState(
        name=name,
        used=newest.get("used"),
        allowed=newest.get("allowed"),
        calls=sum(facts.get("calls") or 0 for facts in told),
        state=str(newest.get("state") or "unknown"),
        detail=str(newest.get("detail") or ""),
        lowered=next((str(said) for facts in told if (said := facts.get("lowered"))), ""),
        share=newest.get("share"),
        hour=hour,
        day=day,
    )


def _worker_state(worker: Worker) -> WorkerState:
    return WorkerState(
        id=worker.id,
        host=worker.host,
        pid=worker.pid,
        roles=tuple(worker.roles),
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        alive=worker.alive,
        capturing=worker.alive and streams(worker),
    )


def figures(worker: Worker) -> Mapping[str, Any]:
    """What a worker says of its capture; empty when it does not capture."""
    told = worker.facts.get("capture")
    return told if isinstance(told, dict) else {}


def streams(worker: Worker) -> bool:
    """Whether a worker reads the slot at this moment."""
    return bool(figures(worker).get("streaming"))


def capture_stopped(worker: Worker) -> str:
    """Why a worker's capture cannot go on until a person acts; empty while it can."""
    return str(worker.facts.get("capture_stopped") or "")


def in_words(status: MappingStatus) -> str:
    """`stopped by its guard` rather than `guard`."""
    return "stopped by its guard" if status is MappingStatus.GUARD else status.value
