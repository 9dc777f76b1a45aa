"""What of a snapshot somebody is alerted of: one reading for each thing that is watched. Pure.

A figure that dances around its threshold does not flap: it holds above the threshold, is well at nine tenths of it, and
between the two it is as it was before. What cannot be known at the moment (the source is away, no worker reports a
quota, a paused mapping's lag) is as it was before too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from syncbridge.answers.diagnosis import of_capture, of_slot, of_workers, remedy_of_a_missing_slot
from syncbridge.answers.status import DestinationState, MappingState, Snapshot, in_words
from syncbridge.config.alerts import AlertSettings
from syncbridge.config.sections import readable
from syncbridge.model import MappingStatus
from syncbridge.store.reconciliations import Reconciliation
from syncbridge.store.way_back import WayBack

#: A figure is well again at so much of its threshold.
WELL = 0.9
#: For so long a gap is told of, however fast it was made good.
_RECENT = timedelta(minutes=15)
#: Seconds for which a worker or capture may be missing: a restart takes as long.
RESTART = 60.0


class Holds(Enum):
    """Whether what is watched for is so."""

    YES = "yes"
    NO = "no"
    AS_BEFORE = "as before"


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that is watched. `words` say how it is now, whether that is well or not."""

    kind: str
    about: str  # a mapping, a destination, a slot
    title: str  # what is watched for
    holds: Holds
    words: str
    hint: str = ""
    since: datetime | None = None  # when it began, where that is known: another time is another event
    after: float = 0.0  # seconds for which it must hold until it is told
    steady: bool = False  # over as soon as it does not hold; a figure must be well for a while


def read(snapshot: Snapshot, limits: AlertSettings) -> list[Reading]:
    """Everything that is watched; what is switched off, or not in force, is missing."""
    readings = [*_of_workers(snapshot), *_of_slot(snapshot, limits), *_of_gap(snapshot)]
    for mapping in snapshot.mappings:
        readings += _of_mapping(mapping, limits)
    for destination in snapshot.destinations:
        readings += _of_quota(destination, limits)
    return readings


def _of_mapping(mapping: MappingState, limits: AlertSettings) -> Iterator[Reading]:
    now = f"it is {in_words(mapping.status)} now"
    for status, kind, title in (
        (MappingStatus.HALTED, "halted", "halted"),
        (MappingStatus.GUARD, "guard", "stopped by its guard"),
    ):
        if mapping.status is status:
            hint = mapping.hint or f"Run: syncbridge resume {mapping.name}"
            words = mapping.reason or "no reason is known"
            yield Reading(kind, mapping.name, title, Holds.YES, words, hint, mapping.since, steady=True)
        else:
            yield Reading(kind, mapping.name, title, Holds.NO, now, steady=True)
    if mapping.reconciled is not None:
        yield _of_drift(mapping.name, mapping.reconciled)
    if limits.dead_letters is not None:
        words = f"{mapping.dead:,} dead letter{'s' * (mapping.dead != 1)}"
        title = f"more than {limits.dead_letters:,} dead letter{'s' * (limits.dead_letters != 1)}"
        holds = _over(mapping.dead, limits.dead_letters)
        yield Reading("dead_letters", mapping.name, title, holds, words, f"Run: syncbridge dead {mapping.name}")
    if limits.held is not None:
        held = mapping.held + (mapping.way_back.held if mapping.way_back is not None else 0)
        title, words = f"more than {limits.held:,} held", f"{held:,} held until a person decides"
        holds = _over(held, limits.held)
        yield Reading("held", mapping.name, title, holds, words, f"Run: syncbridge conflicts {mapping.name}")
    if mapping.way_back is not None:
        yield from _of_way_back(mapping.name, mapping.way_back, limits)
    if limits.lag is not None:
        yield _of_lag(mapping, limits.lag.total_seconds(), readable(limits.lag))


def _of_drift(name: str, last: Reconciliation) -> Reading:
    """What the last complete comparison found; one that failed says nothing."""
    title, hint = "drift found", f"Run: syncbridge reconcile {name}"
    if last.drift is None:
        return Reading("drift", name, title, Holds.AS_BEFORE, f"reconcile failed: {last.error}", hint, steady=True)
    if not last.drift:
        return Reading("drift", name, title, Holds.NO, "both sides agree", steady=True)
    words = f"{last.drift:,} drifted, of {last.report.get('entities', 0):,} entities"
    return Reading("drift", name, title, Holds.YES, words, hint, steady=True)


def _of_way_back(name: str, back: WayBack, limits: AlertSettings) -> Iterator[Reading]:
    """Remote changes that do not come back."""
    halted = back.status in (MappingStatus.HALTED, MappingStatus.GUARD)
    words = (back.reason or "no reason is known") if halted else f"it is {in_words(back.status)} now"
    hint = (back.hint or f"Run: syncbridge resume {name} --direction in") if halted else ""
    since = back.since if halted else None
    holds = Holds.YES if halted else Holds.NO
    yield Reading(
        "way_back_halted",
        name,
        "its way back is halted or stopped by its guard",
        holds,
        words,
        hint,
        since,
        steady=True,
    )
    if limits.behind is None:
        return
    title = f"its way back is behind by more than {readable(limits.behind)}"
    if back.behind_seconds is None or back.status is not MappingStatus.ACTIVE:
        yield Reading("behind", name, title, Holds.AS_BEFORE, "when it was polled last is not known")
        return
    words = f"its last poll was begun {duration_text(back.behind_seconds)} ago"
    holds = _over(back.behind_seconds, limits.behind.total_seconds())
    yield Reading("behind", name, title, holds, words, f"Run: syncbridge status {name}")


def _of_lag(mapping: MappingState, limit: float, spelled: str) -> Reading:
    delivers = mapping.status.delivers
    lag = mapping.live_lag_seconds or 0.0
    words = f"its oldest change waits for {duration_text(lag)}; {mapping.pending:,} wait" if lag else "nothing waits"
    if mapping.retrying:
        words += f", {mapping.retrying:,} of them are tried again"
    if mapping.status is MappingStatus.WAITING:
        words += f"; it waits for its destination: {mapping.reason}"
    holds = _over(lag, limit) if delivers else Holds.AS_BEFORE
    hint = f"Run: syncbridge status {mapping.name}"
    return Reading("lag", mapping.name, f"lag over {spelled}", holds, words, hint)


def _of_workers(snapshot: Snapshot) -> Iterator[Reading]:
    """Capture that stands still, and halves of the work that no worker does."""
    found = {finding.where: finding for finding in (*of_workers(snapshot), *of_capture(snapshot))}
    for about, title, well in (
        ("capture", "capture stands still", "capture is ready"),
        ("worker", "a part of the work has no worker", "workers capture and deliver"),
    ):
        finding = found.get(about)
        after = 0.0 if about == "capture" and snapshot.capture.stopped else RESTART
        if finding is not None:
            yield Reading(about, about, title, Holds.YES, finding.message, finding.remedy, after=after)
        else:
            unknown = about == "capture" and bool(snapshot.capture.unreachable)
            yield Reading(about, about, title, Holds.AS_BEFORE if unknown else Holds.NO, well)


def _of_slot(snapshot: Snapshot, limits: AlertSettings) -> Iterator[Reading]:
    capture, limit = snapshot.capture, limits.slot_retained
    name, title, slot = capture.slot_name, "the slot is at risk", capture.slot
    if slot is None:
        missing = Holds.AS_BEFORE if capture.unreachable or capture.checkpoint is None else Holds.YES
        yield Reading(
            "slot", name, title, missing, "the replication slot does not exist", remedy_of_a_missing_slot(snapshot)
        )
        return
    risk = next(of_slot(slot, float("inf") if limit is None else limit), None)
    words = f"keeps {slot.retained_bytes / 1_000_000:,.0f} MB of log on the source's disk ({slot.wal_status})"
    if risk is not None:
        yield Reading("slot", name, title, Holds.YES, risk.message, risk.remedy)
    else:
        hint = "Let a worker run, or look for a transaction that stays open."
        holds = Holds.NO if limit is None else _over(slot.retained_bytes, limit)
        yield Reading("slot", name, title, holds, words, hint)


def _of_gap(snapshot: Snapshot) -> Iterator[Reading]:
    """A slot that was made anew: told even when all was mended between two looks."""
    gap = snapshot.capture.gap
    if gap is None:
        return
    holds = Holds.YES if gap.open or snapshot.at - gap.to_time < _RECENT else Holds.NO
    hint = "Nothing has to be done: every record is compared, and only differences are sent. Run: syncbridge status"
    words = str(gap) if holds is Holds.YES else "every record was compared"
    title = "changes were not captured"
    yield Reading("gap", snapshot.capture.slot_name, title, holds, words, hint, gap.to_time, steady=True)


def _of_quota(destination: DestinationState, limits: AlertSettings) -> Iterator[Reading]:
    if limits.quota is None:
        return
    title = f"more than {limits.quota:.0%} of the day's calls used"
    holds, words = Holds.AS_BEFORE, "its use is not known: no worker reports it"
    if destination.used is not None and destination.allowed:
        share = destination.used / destination.allowed
        holds = _over(share, limits.quota)
        words = f"{destination.used:,} of {destination.allowed:,} calls of the day used, {share:.1%}"
        words += f", {destination.calls:,} of them by the workers that run"
        if destination.state == "stopped":
            words += "; its mappings wait and go on by themselves when calls are free again"
    yield Reading("quota", destination.name, title, holds, words, "Run: syncbridge status")


def _over(figure: float, limit: float) -> Holds:
    if figure > limit:
        return Holds.YES
    return Holds.NO if figure <= limit * WELL else Holds.AS_BEFORE


def duration_text(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`"""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 120:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"
