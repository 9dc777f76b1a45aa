"""What of a snapshot needs a person, in plain words and with the command to run. Pure.

What goes on by itself (a quota, an outage, a backlog) is no finding. An "error" says that something stands still, a
"warning" that all else goes on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta

from syncbridge.answers.status import CaptureState, MappingState, Snapshot, in_words
from syncbridge.errors import Finding
from syncbridge.model import MappingStatus
from syncbridge.source.refusals import RECREATE, RESTORED
from syncbridge.source.slot import SlotFacts

#: A worker that runs for so long should have a stream with heartbeats.
_STARTING = timedelta(seconds=30)
#: Log that a slot without a limit may retain before somebody should look at the disk.
_MUCH_LOG = 10_000_000_000
#: Seconds without a poll that nobody needs to look at.
_SILENT = 60.0


def diagnose(snapshot: Snapshot) -> list[Finding]:
    """What a person should do something about, what stands still first."""
    found = [*of_workers(snapshot), *of_capture(snapshot)]
    if not snapshot.mappings:
        found.append(Finding("error", "mappings", "no mapping is in force", "Run: syncbridge setup"))
    for mapping in snapshot.mappings:
        found.extend(_of_mapping(mapping))
        found.extend(of_way_back(mapping, polling=_longest_there(snapshot, "deliver")))
    return sorted(found, key=lambda finding: finding.severity != "error")


def of_workers(snapshot: Snapshot) -> Iterator[Finding]:
    """What of the work no worker does."""
    roles = {role for worker in snapshot.workers if worker.alive for role in worker.roles}
    if not roles:
        yield Finding(
            "error", "worker", "no worker runs: changes wait, and nothing is delivered", "Run: syncbridge run"
        )
    elif "capture" not in roles:
        yield Finding("error", "worker", "no worker captures: changes wait in the slot", "Run: syncbridge run")
    elif "deliver" not in roles:
        yield Finding("error", "worker", "no worker delivers: changes wait in the outbox", "Run: syncbridge run")


def of_capture(snapshot: Snapshot) -> Iterator[Finding]:
    """The source, the slot, and whether capture goes on."""
    capture = snapshot.capture
    if capture.unreachable:
        yield Finding("error", "source", capture.unreachable, "Is the server running and reachable from here?")
    elif capture.checkpoint is None:
        yield Finding("error", "capture", "capture was never set up", "Run: syncbridge setup")
    elif capture.slot is None:
        missing = f"the replication slot {capture.slot_name!r} does not exist"
        yield Finding("error", "slot", missing, remedy_of_a_missing_slot(snapshot))
    else:
        yield from of_slot(capture.slot)
    if capture.stopped:
        yield Finding("error", "capture", f"capture has stopped: {capture.stopped}")
    elif _should_be_ready(snapshot) and not capture.ready and not capture.unreachable:
        yield Finding("error", "capture", _not_ready(capture), "Look into the worker's log.")


def remedy_of_a_missing_slot(snapshot: Snapshot) -> str:
    """What to run; nothing where another finding says it: in what may be a restored copy this would be refused."""
    restored = any(mapping.hint == RESTORED for mapping in snapshot.mappings)
    return "" if restored or snapshot.capture.stopped else RECREATE


def of_slot(slot: SlotFacts, much_log: float = _MUCH_LOG) -> Iterator[Finding]:
    """Whether the slot is lost, at risk, or keeps more than `much_log` bytes although nothing limits it."""
    if slot.lost:
        reason = slot.invalidation_reason or "its log was removed"
        yield Finding("error", "slot", f"the slot {slot.name!r} is lost ({reason}): changes may be missing", RECREATE)
    elif slot.wal_status == "unreserved":
        message = f"the slot {slot.name!r} is about to be lost: Postgres may remove its log at any moment"
        yield Finding("error", "slot", message, "Let a worker run, and raise max_slot_wal_keep_size.")
    elif slot.safe_wal_size is not None and slot.safe_wal_size < slot.retained_bytes / 3:
        message = f"the slot {slot.name!r} is at risk: {_megabytes(slot.safe_wal_size)} more log, and it is lost"
        yield Finding("error", "slot", message, "Let a worker run, or raise max_slot_wal_keep_size.")
    elif slot.safe_wal_size is None and slot.retained_bytes > much_log:
        message = f"the slot {slot.name!r} keeps {_megabytes(slot.retained_bytes)} of log on the server's disk"
        yield Finding("warning", "slot", message, "Let a worker run, or look for a transaction that stays open.")


def _should_be_ready(snapshot: Snapshot) -> bool:
    return any(
        worker.alive and "capture" in worker.roles and worker.seen_at - worker.started_at > _STARTING
        for worker in snapshot.workers
    )


def _not_ready(capture: CaptureState) -> str:
    if not capture.streaming:
        why = f": {capture.error}" if capture.error else ", and says no reason"
        return f"no worker reads the slot{why}"
    if capture.heartbeat_age is None:
        return "capture is connected, but nothing comes through the stream"
    return f"capture is stuck: the last heartbeat came back {capture.heartbeat_age:.0f} s ago"


def _of_mapping(mapping: MappingState) -> Iterator[Finding]:
    where, resume = mapping.name, f"Run: syncbridge resume {mapping.name}"
    if mapping.status is MappingStatus.HALTED:
        yield Finding("error", where, f"halted: {mapping.reason}", mapping.hint or resume)
    elif mapping.status is MappingStatus.GUARD:
        yield Finding("error", where, f"stopped by its guard: {mapping.reason}", mapping.hint or resume)
    if mapping.failed_run is not None:
        name = mapping.failed_run.reason.value.replace("_", " ")
        message = f"its last {name} failed: {mapping.failed_run.error}"
        yield Finding("warning", where, message, f"Mend it, then run: syncbridge resync {mapping.name}")
    if mapping.dead:
        message = f"{mapping.dead:,} dead letter{'s' * (mapping.dead != 1)}"
        yield Finding("warning", where, message, f"Run: syncbridge dead {mapping.name}")
    if mapping.held:
        message = f"{mapping.held:,} held: more than one existing record could be meant"
        yield Finding("warning", where, message, f"Run: syncbridge conflicts {mapping.name}")
    if mapping.reconciled is not None and mapping.reconciled.drift:
        message = f"the last reconcile found {mapping.reconciled.drift:,} that drifted"
        yield Finding("warning", where, message, f"Run: syncbridge reconcile {mapping.name}")
    yield from _of_parents(mapping)


def of_way_back(mapping: MappingState, *, polling: float) -> Iterator[Finding]:
    """Whether remote changes come back, and what of them waits for a person. A worker is there `polling` seconds."""
    back = mapping.way_back
    if back is None:
        return
    where, resume = mapping.name, f"Run: syncbridge resume {mapping.name} --direction in"
    if back.status in (MappingStatus.HALTED, MappingStatus.GUARD):
        message = f"its way back is {in_words(back.status)}: {back.reason}"
        yield Finding("error", where, message, back.hint or resume)
    elif stands_still(mapping, polling=polling):
        since = "never" if back.behind_seconds is None else f"{back.behind_seconds:,.0f} s ago"
        why = f": {mapping.last_error}" if mapping.last_error else ""
        message = f"its way back stands still: the last poll was begun {since}{why}"
        yield Finding("error", where, message, "Look into the worker's log.")
    if back.held:
        message = f"{back.held:,} remote change{'s' * (back.held != 1)} held until a person decides"
        yield Finding("warning", where, message, f"Run: syncbridge conflicts {mapping.name}")


def stands_still(mapping: MappingState, *, polling: float) -> bool:
    """Whether nobody polls, although a worker is there for `polling` seconds: a first load keeps polls waiting."""
    back, patience = mapping.way_back, max(_SILENT, 3.0 * (mapping.poll_every or 0))
    if back is None or back.status is not MappingStatus.ACTIVE or mapping.runs or polling < patience:
        return False
    return back.behind_seconds is None or back.behind_seconds > patience


def _longest_there(snapshot: Snapshot, role: str) -> float:
    """Seconds for which a worker of this role is there; 0 where there is none."""
    times = (w.seen_at - w.started_at for w in snapshot.workers if w.alive and role in w.roles)
    return max((each.total_seconds() for each in times), default=0.0)


def _of_parents(mapping: MappingState) -> Iterator[Finding]:
    """Records that wait for others which do not come by themselves."""
    why = {"dead": "dead letters", "held": "held for a decision", "gone": "not in Postgres, or left out by the filter"}
    for crowd in mapping.waits:
        if crowd.state in why:
            record = f"{crowd.parent} {shlex.quote(crowd.example)}"
            records = "record waits" if crowd.entities == 1 else "records wait"
            which = f"{crowd.parent} that are {why[crowd.state]}, such as {crowd.example}"
            message = f"{crowd.entities:,} {records} for {which}"
            yield Finding("warning", mapping.name, message, f"Run: syncbridge show {record}")


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.0f} MB"
