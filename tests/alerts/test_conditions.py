"""What of a snapshot somebody is alerted of, and what leaves it as it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncbridge.alerts.conditions import RESTART, Holds, Reading, duration_text, read
from syncbridge.answers.status import Snapshot
from syncbridge.config.alerts import AlertSettings
from syncbridge.model import Lsn, MappingStatus
from syncbridge.store.gaps import Gap
from syncbridge.store.reconciliations import Reconciliation
from syncbridge.store.way_back import WayBack
from tests.alerts.snapshots import (
    AT,
    HALTED_AT,
    WELL,
    with_capture,
    with_mapping,
    with_quota,
    with_slot,
    with_worker,
)

LIMITS = AlertSettings.model_validate({"dead_letters": 10, "lag": "10m", "slot_retained": "1GB", "quota": 0.8})
ABOUT = {"slot": "slot", "gap": "slot", "quota": "crm", "capture": "capture", "worker": "worker"}


def reading(snapshot: Snapshot, kind: str, limits: AlertSettings = LIMITS) -> Reading:
    [found] = [each for each in read(snapshot, limits) if each.kind == kind]
    assert found.about == ABOUT.get(kind, "people")
    return found


def reconciled(drift: int | None) -> Reconciliation:
    return Reconciliation(1, True, HALTED_AT, HALTED_AT, drift, {"entities": 1000}, None)


def test_drift_is_over_when_the_next_comparison_finds_none_and_as_before_when_that_fails() -> None:
    assert reading(with_mapping(reconciled=reconciled(0)), "drift").holds is Holds.NO
    assert reading(with_mapping(reconciled=reconciled(None)), "drift").holds is Holds.AS_BEFORE


BACK = WayBack(MappingStatus.ACTIVE, "", "", HALTED_AT, AT, 5.0, rechecks=0, held=0, decided=0)


def back(**changes: Any) -> WayBack:
    """A way back that is well but for these."""
    return replace(BACK, **changes)


@pytest.mark.parametrize("status", [MappingStatus.PAUSED, MappingStatus.HALTED])
def test_a_way_back_that_stands_still_by_its_status_is_not_behind_as_well(status: MappingStatus) -> None:
    readings = read(with_mapping(way_back=back(status=status, behind_seconds=90_000.0)), LIMITS)
    (behind,) = [each for each in readings if each.kind == "behind"]
    assert behind.holds is Holds.AS_BEFORE


def test_nothing_holds_while_all_is_well() -> None:
    kinds = {each.kind: each.holds for each in read(WELL, LIMITS)}
    assert set(kinds) == {"capture", "worker", "slot", "halted", "guard", "dead_letters", "held", "lag", "quota"}
    assert set(kinds.values()) == {Holds.NO}


@pytest.mark.parametrize(
    ("kind", "snapshot", "words", "hint"),
    [
        (
            "halted",
            with_mapping(status=MappingStatus.HALTED, reason="login refused", hint="Mend it."),
            "login refused",
            "Mend it.",
        ),
        (
            "halted",
            with_mapping(status=MappingStatus.HALTED, reason="login refused"),
            "login refused",
            "Run: syncbridge resume people",
        ),
        (
            "guard",
            with_mapping(status=MappingStatus.GUARD, reason="9 more deletes"),
            "9 more deletes",
            "Run: syncbridge resume people",
        ),
        ("dead_letters", with_mapping(dead=1234), "1,234 dead letters", "Run: syncbridge dead people"),
        (
            "held",
            with_mapping(held=40, way_back=back(held=70)),
            "110 held until a person decides",
            "Run: syncbridge conflicts people",
        ),
        (
            "way_back_halted",
            with_mapping(way_back=back(status=MappingStatus.HALTED, reason="field gone", hint="Mend it.")),
            "field gone",
            "Mend it.",
        ),
        (
            "behind",
            with_mapping(way_back=back(behind_seconds=1200.0)),
            "its last poll was begun 20 min ago",
            "Run: syncbridge status people",
        ),
        (
            "lag",
            with_mapping(live_lag_seconds=660.0, pending=12, retrying=3),
            "its oldest change waits for 11 min; 12 wait, 3 of them are tried again",
            "Run: syncbridge status people",
        ),
        (
            "lag",
            with_mapping(status=MappingStatus.WAITING, reason="quota", live_lag_seconds=9000.0, pending=2),
            "its oldest change waits for 2 h 30 min; 2 wait; it waits for its destination: quota",
            "Run: syncbridge status people",
        ),
        (
            "drift",
            with_mapping(reconciled=reconciled(drift=3)),
            "3 drifted, of 1,000 entities",
            "Run: syncbridge reconcile people",
        ),
        (
            "quota",
            with_quota(used=810),
            "810 of 1,000 calls of the day used, 81.0%, 10 of them by the workers that run",
            "Run: syncbridge status",
        ),
        (
            "quota",
            with_quota(used=990, state="stopped"),
            "990 of 1,000 calls of the day used, 99.0%, 10 of them by the workers that run; its mappings wait and go"
            " on by themselves when calls are free again",
            "Run: syncbridge status",
        ),
        (
            "slot",
            with_slot(retained_bytes=1_100_000_000),
            "the slot 'slot' keeps 1,100 MB of log on the server's disk",
            "Let a worker run, or look for a transaction that stays open.",
        ),
        (
            "slot",
            with_slot(retained_bytes=1_100_000_000, safe_wal_size=9_000_000_000, wal_status="extended"),
            "keeps 1,100 MB of log on the source's disk (extended)",
            "Let a worker run, or look for a transaction that stays open.",
        ),
        (
            "slot",
            with_slot(retained_bytes=500_000_000, safe_wal_size=100_000_000),
            "the slot 'slot' is at risk: 100 MB more log, and it is lost",
            "Let a worker run, or raise max_slot_wal_keep_size.",
        ),
        (
            "slot",
            with_slot(wal_status="unreserved"),
            "the slot 'slot' is about to be lost: Postgres may remove its log at any moment",
            "Let a worker run, and raise max_slot_wal_keep_size.",
        ),
    ],
)
def test_what_holds_is_told_with_its_number_and_what_to_do(
    kind: str, snapshot: Snapshot, words: str, hint: str
) -> None:
    found = reading(snapshot, kind)
    assert (found.holds, found.words, found.hint) == (Holds.YES, words, hint)


def test_a_gap_is_told_of_for_a_while_however_fast_it_was_made_good() -> None:
    gap = Gap(Lsn(100), None, Lsn(200), AT - timedelta(minutes=1), "it was dropped", open=False)
    found = reading(with_capture(gap=gap), "gap")
    assert (found.holds, found.since) == (Holds.YES, gap.to_time)
    assert found.words.startswith("changes after 0/64 and before 0/C8 (")
    old = replace(gap, to_time=AT - timedelta(hours=1))
    assert reading(with_capture(gap=old), "gap").holds is Holds.NO
    assert reading(with_capture(gap=replace(old, open=True)), "gap").holds is Holds.YES


@pytest.mark.parametrize("snapshot", [with_slot(wal_status="lost"), with_capture(slot=None)])
def test_a_slot_that_is_gone_tells_how_to_make_it_anew(snapshot: Snapshot) -> None:
    found = reading(snapshot, "slot")
    assert found.holds is Holds.YES
    assert "syncbridge setup --recreate-slot" in found.hint


@pytest.mark.parametrize(
    ("kind", "above", "at", "between", "well"),
    [
        ("dead_letters", with_mapping(dead=11), with_mapping(dead=10), with_mapping(dead=10), with_mapping(dead=9)),
        (
            "lag",
            with_mapping(live_lag_seconds=600.1),
            with_mapping(live_lag_seconds=600.0),
            with_mapping(live_lag_seconds=541.0),
            with_mapping(live_lag_seconds=540.0),
        ),
        ("quota", with_quota(used=801), with_quota(used=800), with_quota(used=721), with_quota(used=720)),
        (
            "slot",
            with_slot(retained_bytes=1_000_000_001),
            with_slot(retained_bytes=1_000_000_000),
            with_slot(retained_bytes=900_000_001),
            with_slot(retained_bytes=900_000_000),
        ),
    ],
)
def test_a_figure_between_threshold_and_nine_tenths_is_as_before(
    kind: str, above: Snapshot, at: Snapshot, between: Snapshot, well: Snapshot
) -> None:
    holds = [reading(snapshot, kind).holds for snapshot in (above, at, between, well)]
    assert holds == [Holds.YES, Holds.AS_BEFORE, Holds.AS_BEFORE, Holds.NO]


def test_a_threshold_of_none_at_all_is_one_too() -> None:
    limits = AlertSettings.model_validate({"dead_letters": 0})
    assert reading(with_mapping(dead=1), "dead_letters", limits).holds is Holds.YES
    assert reading(WELL, "dead_letters", limits).holds is Holds.NO


@pytest.mark.parametrize("status", [MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.GUARD])
@pytest.mark.parametrize("lag", [None, 5000.0])
def test_the_lag_of_a_mapping_that_was_stopped_says_nothing_new(status: MappingStatus, lag: float | None) -> None:
    assert reading(with_mapping(status=status, live_lag_seconds=lag), "lag").holds is Holds.AS_BEFORE


def test_what_only_a_resync_asked_for_is_no_lag() -> None:
    assert reading(with_mapping(lag_seconds=5000.0, live_lag_seconds=None), "lag").holds is Holds.NO


@pytest.mark.parametrize(
    ("kind", "snapshot"),
    [
        ("quota", with_quota(used=None, allowed=None, state="unknown")),
        ("slot", with_capture(slot=None, unreachable="no route to host")),
        ("capture", with_capture(slot=None, ready=False, streaming=False, unreachable="no route to host")),
    ],
)
def test_what_cannot_be_known_is_as_before(kind: str, snapshot: Snapshot) -> None:
    assert reading(snapshot, kind).holds is Holds.AS_BEFORE


def test_capture_that_has_stopped_is_told_at_once_and_one_that_starts_after_a_while() -> None:
    stopped = reading(with_capture(ready=False, streaming=False, stopped="the slot is lost"), "capture")
    stuck = reading(with_capture(ready=False, heartbeat_age=95.0), "capture")
    assert (stopped.holds, stopped.after, stuck.holds, stuck.after) == (Holds.YES, 0.0, Holds.YES, RESTART)
    assert "the slot is lost" in stopped.words
    assert "95 s ago" in stuck.words


@pytest.mark.parametrize(("roles", "words"), [(("deliver",), "no worker captures"), (("capture",), "no worker deliv")])
def test_a_part_of_the_work_that_no_worker_does_is_told_after_a_while(roles: tuple[str, ...], words: str) -> None:
    found = reading(with_worker(roles=roles), "worker")
    assert (found.holds, found.after) == (Holds.YES, RESTART)
    assert words in found.words


def test_only_what_a_person_stops_begins_at_a_known_time_and_is_over_at_once() -> None:
    readings = {each.kind: each for each in read(with_mapping(status=MappingStatus.HALTED, dead=99), LIMITS)}
    assert readings["halted"].since == HALTED_AT
    assert {kind for kind, each in readings.items() if each.steady} == {"halted", "guard"}


def test_what_is_switched_off_is_not_watched() -> None:
    off = AlertSettings.model_validate(dict.fromkeys(("dead_letters", "lag", "slot_retained", "quota"), "off"))
    worst = replace(with_mapping(dead=10**6, live_lag_seconds=1e9), destinations=with_quota(used=1000).destinations)
    assert {each.kind for each in read(worst, off) if each.holds is not Holds.NO} == set()
    assert reading(with_slot(retained_bytes=10**12), "slot", off).holds is Holds.NO
    assert reading(with_slot(wal_status="lost"), "slot", off).holds is Holds.YES


def test_no_reading_names_a_record() -> None:
    for each in read(with_mapping(status=MappingStatus.HALTED, reason="refused", dead=99), LIMITS):
        assert "42" not in each.words + each.hint + each.title + each.about


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h 0 min"), (12000, "3 h 20 min"), (190000, "2 d 4 h")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
