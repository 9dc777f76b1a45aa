"""The loop that carries runs on: who delivers the first rows of a first sync."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from syncbridge.loops.loop import Surroundings
from syncbridge.loops.runs import RunLoop
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Reason
from syncbridge.outbound.bulk_turn import Turn
from syncbridge.store import runs
from tests.fix_bulk import FROM, BulkProject, StartBulk


def run_loop(bulk: BulkProject, turn: Turn) -> RunLoop:
    """The loop as a worker has it, of a process that has this turn at the mapping's jobs."""
    small = bulk.small
    project = SimpleNamespace(
        store=lambda purpose: small.stores(),
        source=lambda purpose: bulk.source(),
        destination=lambda name: bulk.destination,
    )
    around = SimpleNamespace(
        project=project,
        compiled={small.mapping_id: small.mapping},
        kin={small.mapping_id: Kin()},
        turns={small.mapping_id: turn},
    )
    return RunLoop(cast(Surroundings, around))


def carry_on(bulk: BulkProject, reason: Reason) -> None:
    """Ask for a run, and let the loop enqueue all of its rows."""
    small = bulk.small
    runs.request(small.store, small.mapping_id, reason)
    with run_loop(bulk, Turn()) as loop:
        while runs.pending(small.store):
            loop.step()


def insert(bulk: BulkProject, rows: int) -> None:
    bulk.small.writer.execute("insert into people (id, last_name) select n, 'L' from generate_series(1, %s) n", (rows,))


def test_lanes_leave_a_first_sync_to_jobs_from_its_first_row(bulk: BulkProject) -> None:
    insert(bulk, FROM)
    carry_on(bulk, Reason.FIRST_SYNC)
    assert bulk.small.deliverer.step() == 0
    bulk.carry(bulk.open())
    assert (bulk.uploaded(), bulk.calls("upsert")) == ([FROM], 0)
    bulk.assert_equal()


@pytest.mark.parametrize("reason", [Reason.FIRST_SYNC, Reason.RESYNC])
def test_lanes_begin_at_once_where_no_job_is_to_be_expected(bulk: BulkProject, reason: Reason) -> None:
    rows = FROM - 1 if reason is Reason.FIRST_SYNC else FROM
    insert(bulk, rows)
    carry_on(bulk, reason)
    assert bulk.small.deliverer.step() == rows


def test_lanes_begin_at_once_with_what_is_matched_first(start_bulk: StartBulk) -> None:
    bulk = start_bulk(("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email"))
    insert(bulk, FROM)
    carry_on(bulk, Reason.FIRST_SYNC)
    assert bulk.small.deliverer.step() == FROM


def test_a_first_sync_that_no_job_takes_over_goes_by_lanes_after_a_moment(bulk: BulkProject) -> None:
    insert(bulk, FROM)
    carry_on(bulk, Reason.FIRST_SYNC)
    row = bulk.small.store.execute("select until - now() from syncbridge.bulk_reserve").fetchone()
    assert row is not None
    assert row[0].total_seconds() <= 5
    bulk.small.store.execute("update syncbridge.bulk_reserve set until = now()")
    assert bulk.small.deliverer.step() == FROM


def test_a_resync_enqueues_only_what_differs(bulk: BulkProject) -> None:
    small = bulk.small
    insert(bulk, 3)
    carry_on(bulk, Reason.FIRST_SYNC)
    bulk.small.deliver()
    small.writer.execute("update people set last_name = 'New' where id = 2")
    carry_on(bulk, Reason.RESYNC)
    assert small.left() == ["2"]


def test_pages_that_jobs_take_themselves_are_left_to_them(bulk: BulkProject) -> None:
    insert(bulk, FROM)
    small, turn = bulk.small, Turn(ours=True, takes_pages=True)
    run_id = runs.request(small.store, small.mapping_id, Reason.FIRST_SYNC)
    with run_loop(bulk, turn) as loop:
        loop.step()
        assert small.left() == []
        turn.ours = False
        loop.step()
    assert len(small.left()) == FROM
    assert runs.read(small.store, run_id).enqueued == FROM
