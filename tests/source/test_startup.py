"""The verdict at every start: each way to be wrong stops, with what to do; nothing right is stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncbridge.errors import PositionLost, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.source.publication import Publication
from syncbridge.source.replication import SystemIdentity
from syncbridge.source.slot import SlotFacts
from syncbridge.source.startup import Facts, Loss, Position, Reached, Standing, judge

SLOT = SlotFacts("s", "pgoutput", "db", server_lsn=Lsn(900), confirmed_lsn=Lsn(500), restart_lsn=Lsn(400))
HEALTHY = Facts("db", SLOT, Publication("p"))
SYSTEM = SystemIdentity("1", 1, Lsn(1000))
HERE = Position(Lsn(500), "1", 1)
FAILOVER = replace(HEALTHY, slot=replace(SLOT, failover=True, synced=True))


@pytest.mark.parametrize(("at", "standing", "apart"), [(500, Standing.OK, 0), (640, Standing.REPLAY, 140)])
def test_at_or_after_the_slot_capture_goes_on(at: int, standing: Standing, apart: int) -> None:
    verdict = judge(HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(at)))
    assert (verdict.standing, verdict.bytes) == (standing, apart)
    verdict.require()


def test_before_the_slot_is_a_gap_of_so_many_bytes() -> None:
    verdict = judge(HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(400)))
    assert (verdict.standing, verdict.bytes) == (Standing.GAP, 100)
    with pytest.raises(PositionLost, match="100 bytes"):
        verdict.require()


LOST = {
    "another server": (HEALTHY, SYSTEM._replace(system_id="2"), HERE),
    "no slot": (replace(HEALTHY, slot=None), SYSTEM, HERE),
    "another plugin": (replace(HEALTHY, slot=replace(SLOT, plugin="wal2json")), SYSTEM, HERE),
    "another database": (replace(HEALTHY, slot=replace(SLOT, database="other")), SYSTEM, HERE),
    "temporary": (replace(HEALTHY, slot=replace(SLOT, temporary=True)), SYSTEM, HERE),
    "two-phase": (replace(HEALTHY, slot=replace(SLOT, two_phase=True)), SYSTEM, HERE),
    "log removed": (replace(HEALTHY, slot=replace(SLOT, wal_status="lost")), SYSTEM, HERE),
    "invalidated": (replace(HEALTHY, slot=replace(SLOT, invalidation_reason="idle_timeout")), SYSTEM, HERE),
    "promoted without a failover slot": (HEALTHY, SYSTEM._replace(timeline=2), HERE),
    "another timeline with a slot that came with a backup": (
        replace(HEALTHY, slot=replace(SLOT, failover=True)),
        SYSTEM._replace(timeline=2),
        HERE,
    ),
    "another timeline that does not come from ours": (FAILOVER, SYSTEM._replace(timeline=2, left=Lsn(0)), HERE),
    "a timeline that left ours before us": (FAILOVER, SYSTEM._replace(timeline=2, left=Lsn(499)), HERE),
    "a timeline that left ours before what we know of": (
        FAILOVER,
        SYSTEM._replace(timeline=2, left=Lsn(550)),
        HERE._replace(known=Reached(1, Lsn(551))),
    ),
    "an older timeline than we know of": (HEALTHY, SYSTEM, HERE._replace(known=Reached(2, Lsn(1)))),
    "the state is older than we know it": (HEALTHY, SYSTEM, HERE._replace(known=Reached(1, Lsn(501)))),
    "the log ends before us": (HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(1001))),
    "no publication": (replace(HEALTHY, publication=None), SYSTEM, HERE),
}


@pytest.mark.parametrize("case", LOST)
def test_a_position_that_cannot_be_trusted_is_lost(case: str) -> None:
    verdict = judge(*LOST[case])
    assert verdict.standing is Standing.LOST
    with pytest.raises(PositionLost) as caught:
        verdict.require()
    command = "setup --restored" if verdict.loss is Loss.RESTORED else "setup --recreate-slot"
    assert command in caught.value.hint


CHANGED = ("another plugin", "another database", "temporary", "two-phase", "no publication")


@pytest.mark.parametrize("case", LOST)
def test_only_a_slot_that_is_gone_while_all_else_is_as_it_was_can_be_made_anew_unasked(case: str) -> None:
    alone = ("no slot", "log removed", "invalidated")
    expected = Loss.SLOT if case in alone else Loss.SETUP if case in CHANGED else Loss.RESTORED
    assert judge(*LOST[case]).loss is expected


@pytest.mark.parametrize(
    "restored",
    [
        SYSTEM._replace(system_id="2"),
        SYSTEM._replace(timeline=2),
        SYSTEM._replace(lsn=Lsn(499)),
        HERE._replace(database_oid=4),
        HERE._replace(copied=True),
    ],
)
def test_without_a_slot_whatever_speaks_for_a_restored_copy_asks_a_person(restored: SystemIdentity | Position) -> None:
    facts = replace(HEALTHY, slot=None, database_oid=5)
    system, here = (restored, HERE) if isinstance(restored, SystemIdentity) else (SYSTEM, restored)
    assert judge(facts, SYSTEM, HERE._replace(database_oid=5)).loss is Loss.SLOT
    assert judge(facts, system, here).loss is Loss.RESTORED


def test_a_state_that_was_moved_with_care_goes_on_because_the_slot_proves_it_up_to_date() -> None:
    verdict = judge(replace(HEALTHY, database_oid=5), SYSTEM, HERE._replace(database_oid=4, copied=True))
    assert (verdict.standing, verdict.loss) == (Standing.OK, Loss.NOTHING)


@pytest.mark.parametrize(("copied", "loss"), [(False, Loss.SETUP), (True, Loss.RESTORED)])
def test_a_slot_past_us_was_used_by_somebody_unless_the_state_is_a_copy(copied: bool, loss: Loss) -> None:
    assert judge(HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(400), copied=copied)).loss is loss


def test_the_message_names_the_range() -> None:
    here = HERE._replace(end_lsn=Lsn(400), commit_time=datetime(2026, 11, 1, 12, 30, tzinfo=UTC))
    with pytest.raises(PositionLost, match=r"after 0/190 \(a change of 2026-11-01 12:30:00 UTC\) and up to 0/1F4"):
        judge(HEALTHY, SYSTEM, here).require()


@pytest.mark.parametrize("left", [None, Lsn(500), Lsn(550)])
@pytest.mark.parametrize("known", [None, Reached(1, Lsn(500))])
def test_a_promotion_that_brought_the_slot_along_is_accepted(left: Lsn | None, known: Reached | None) -> None:
    verdict = judge(FAILOVER, SYSTEM._replace(timeline=2, left=left), HERE._replace(known=known))
    assert verdict.promoted
    verdict.require()


def test_a_promotion_may_have_lost_what_the_state_said_last_as_long_as_the_rows_have_what_was_captured() -> None:
    """The state lies beside the rows: its last words were lost with the primary, and are said again."""
    known = HERE._replace(known=Reached(1, Lsn(540)))
    assert judge(FAILOVER, SYSTEM._replace(timeline=2, left=Lsn(550)), known).loss is Loss.NOTHING
    afterwards = known._replace(timeline=2)  # capture has accepted it, and is not yet as far as it was
    assert judge(FAILOVER, SYSTEM._replace(timeline=2), afterwards).loss is Loss.NOTHING


@pytest.mark.parametrize(("left", "told"), [(None, "on timeline 2 instead"), (Lsn(550), "on timeline 2 since 0/226")])
def test_without_the_slot_a_failover_is_told_as_what_may_be_either(left: Lsn | None, told: str) -> None:
    why = judge(HEALTHY, SYSTEM._replace(timeline=2, left=left), HERE).why
    assert told in why
    assert "a standby took over, or a backup was recovered" in why


def test_a_timeline_that_left_before_what_was_captured_is_told_as_a_loss() -> None:
    why = judge(FAILOVER, SYSTEM._replace(timeline=2, left=Lsn(400)), HERE).why
    assert "left timeline 1 at 0/190: what was captured after that, up to 0/1F4, is not in its rows" in why


def test_the_slot_of_another_database_is_no_proof_that_a_copy_is_what_was_synced() -> None:
    facts = replace(HEALTHY, slot=replace(SLOT, database="other"), database_oid=5)
    assert judge(facts, SYSTEM, HERE._replace(database_oid=4)).loss is Loss.RESTORED
    assert judge(facts, SYSTEM, HERE._replace(database_oid=5)).loss is Loss.SETUP


def test_another_worker_may_move_on_while_we_look() -> None:
    """Facts are older than the checkpoint, the identity newer: being past the slot's old end of log is no loss."""
    verdict = judge(HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(950)))
    assert verdict.standing is Standing.REPLAY


def test_an_uncovered_table_stops_with_the_command_that_mends_it() -> None:
    with pytest.raises(SourceUnusable, match=r"public\.t\.id") as caught:
        judge(replace(HEALTHY, uncovered=("public.t.id",)), SYSTEM, HERE).require()
    assert "syncbridge setup" in caught.value.hint
