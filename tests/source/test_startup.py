"""The verdict at every start: each way to be wrong stops, with what to do; nothing right is stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge.errors import PositionLost, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.source.publication import Publication
from syncbridge.source.replication import SystemIdentity
from syncbridge.source.slot import SlotFacts
from syncbridge.source.startup import Facts, Position, Standing, judge

SLOT = SlotFacts("s", "pgoutput", "db", server_lsn=Lsn(900), confirmed_lsn=Lsn(500), restart_lsn=Lsn(400))
HEALTHY = Facts("db", SLOT, Publication("p"))
SYSTEM = SystemIdentity("1", 1, Lsn(1000))
HERE = Position(Lsn(500), "1", 1)


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
    "the log ends before us": (HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(1001))),
    "no publication": (replace(HEALTHY, publication=None), SYSTEM, HERE),
}


@pytest.mark.parametrize("case", LOST)
def test_a_position_that_cannot_be_trusted_is_lost(case: str) -> None:
    verdict = judge(*LOST[case])
    assert verdict.standing is Standing.LOST
    with pytest.raises(PositionLost) as caught:
        verdict.require()
    assert "setup --recreate-slot" in caught.value.hint


def test_a_promotion_that_brought_the_slot_along_is_accepted() -> None:
    facts = replace(HEALTHY, slot=replace(SLOT, failover=True))
    verdict = judge(facts, SYSTEM._replace(timeline=2), HERE)
    assert verdict.promoted
    verdict.require()


def test_another_worker_may_move_on_while_we_look() -> None:
    """Facts are older than the checkpoint, the identity newer: being past the slot's old end of log is no loss."""
    verdict = judge(HEALTHY, SYSTEM, HERE._replace(end_lsn=Lsn(950)))
    assert verdict.standing is Standing.REPLAY


def test_an_uncovered_table_stops_with_the_command_that_mends_it() -> None:
    with pytest.raises(SourceUnusable, match=r"public\.t\.id") as caught:
        judge(replace(HEALTHY, uncovered=("public.t.id",)), SYSTEM, HERE).require()
    assert "syncbridge setup" in caught.value.hint
