"""From what is remembered and what is read now to what has to be told: raised once, recovered once. Pure.

Halted and stopped by the guard are told at once, and over at once. Everything else is over when it was well for as long
as `calm`: if it comes back meanwhile, it is the same alert that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncbridge.alerts.conditions import Holds, Reading
from syncbridge.store.alerts import Remembered


@dataclass(frozen=True, slots=True)
class Recovery:
    """An alert that is over, and how it is now."""

    alert: Remembered
    until: datetime
    now: str


@dataclass(frozen=True, slots=True)
class Transition:
    """What to tell, and what to remember from now on: rows to write, rows to forget."""

    raised: tuple[Remembered, ...]
    recovered: tuple[Recovery, ...]
    kept: tuple[Remembered, ...]
    gone: tuple[Remembered, ...]


def transition(
    remembered: Iterable[Remembered], readings: Iterable[Reading], *, at: datetime, calm: timedelta
) -> Transition:
    """What has changed at this moment."""
    before = {(each.kind, each.about): each for each in remembered}
    raised, recovered, kept, gone = [], [], [], []
    for reading in readings:
        old = before.pop((reading.kind, reading.about), None)
        new = _next(old, reading, at, calm)
        if new is None and old is not None:
            gone.append(old)
            if old.raised_at is not None:
                recovered.append(Recovery(old, old.clear_since or at, reading.words))
        elif new is not None and new != old:
            kept.append(new)
            if new.raised_at is not None and new.raised_at != (old.raised_at if old else None):
                raised.append(new)
    for old in before.values():
        gone.append(old)
        if old.raised_at is not None:
            recovered.append(Recovery(old, at, "it is not watched any more"))
    return Transition(tuple(raised), tuple(recovered), tuple(kept), tuple(gone))


def _next(old: Remembered | None, reading: Reading, at: datetime, calm: timedelta) -> Remembered | None:
    """What is remembered of one thing from now on; None for nothing."""
    if reading.holds is Holds.YES:
        return _holding(old, reading, at)
    if old is None:
        return None
    if old.raised_at is None:  # nobody was told of it
        return old if reading.holds is Holds.AS_BEFORE else None
    if reading.holds is Holds.AS_BEFORE:
        return replace(old, clear_since=None)
    well_since = old.clear_since or at
    if reading.steady or at - well_since >= calm:
        return None
    return replace(old, clear_since=well_since)


def _holding(old: Remembered | None, reading: Reading, at: datetime) -> Remembered:
    if old is not None and reading.since is not None and reading.since != old.since:
        old = None  # it was over, and came again, between two looks
    since = old.since if old is not None else reading.since or at
    told = old.raised_at if old is not None else None
    if told is None and at - since >= timedelta(seconds=reading.after):
        told = at
    return Remembered(
        reading.kind, reading.about, reading.title, reading.words, reading.hint, since, raised_at=told, clear_since=None
    )
