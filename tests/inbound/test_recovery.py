"""A row that changed while nothing was captured, and a record that changed too: who is newer is not known exactly."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncbridge import resync
from syncbridge.model import Reason
from syncbridge.store import runs
from tests.fix_store import MOMENT
from tests.fix_two_way import TwoWayProject


@pytest.fixture
def newest(both: TwoWayProject) -> TwoWayProject:
    """Two people on both sides; what changed last wins."""
    both.age_links()
    return both


def recover(project: TwoWayProject, seconds: float) -> None:
    """Compare every record, as after a slot that was made anew so many seconds after MOMENT."""
    out = project.out
    run = runs.request(out.store, out.mapping_id, Reason.RECOVERY)
    out.store.execute(
        "update syncbridge.run set requested_at = %s where id = %s", (MOMENT + timedelta(seconds=seconds), run)
    )
    for _ in range(10):
        if resync.step(out.store, out.deliverer.source, run, out.mapping) is resync.Progress.OVER:
            return
    raise AssertionError("the run does not come to an end")


@pytest.mark.parametrize(("edited", "winner"), [(50.0, "Ours"), (150.0, "Theirs")])
def test_a_row_counts_as_changed_when_the_slot_was_made_anew_so_only_a_later_remote_change_wins(
    newest: TwoWayProject, edited: float, winner: str
) -> None:
    newest.out.writer.execute("update people set first_name = 'Ours' where id = 1")
    newest.after(edited)
    newest.edit(1, FirstName="Theirs")
    recover(newest, 100.0)
    newest.after(200.0)
    newest.poll()
    newest.out.deliver()
    newest.poll()
    assert newest.row(1, "first_name") == (winner,)
    assert newest.out.remote()["1"]["FirstName"] == winner
    (decision,) = newest.decisions(1)
    assert decision["FirstName"]["committed"] == (MOMENT + timedelta(seconds=100)).isoformat()
    assert {decision["FirstName"][side] for side in ("local", "remote")} == {"Ours", "Theirs"}


def test_a_row_that_did_not_change_takes_the_remote_change_whenever_that_was(newest: TwoWayProject) -> None:
    newest.after(50.0)
    newest.edit(1, FirstName="Theirs")
    recover(newest, 100.0)
    newest.after(200.0)
    newest.poll()
    newest.out.deliver()
    assert newest.row(1, "first_name") == ("Theirs",)
    assert newest.out.remote()["1"]["FirstName"] == "Theirs"
    assert newest.decisions(1) == []
