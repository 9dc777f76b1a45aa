"""Pages of a resync before they reach the outbox: what is equal and at rest stays out of it, all else goes in."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge import resync
from syncbridge.model import MappingStatus, Reason
from syncbridge.outbound import sifting
from syncbridge.outbound.sifting import Sifter
from syncbridge.resync import Progress
from syncbridge.source import rows
from syncbridge.store import held_changes, mappings, runs
from tests.fix_delivery import SmallProject
from tests.fix_store import MOMENT
from tests.fix_two_way import StartTwoWay


def sifter_of(project: SmallProject) -> Sifter:
    source = project.stores()
    rows.prepare(source)
    return Sifter(project.mapping_id, project.mapping, project.destination, project.store, source)


def carry(project: SmallProject, **request: Any) -> int:
    """Carry a run over all rows to its end, sifted; its id."""
    sifter = sifter_of(project)
    run_id = runs.request(project.store, project.mapping_id, **{"reason": Reason.RESYNC, **request})
    for _ in range(20):
        progress = resync.step(project.store, sifter.source, run_id, project.mapping, sift=sifter)
        if progress is Progress.OVER:
            return run_id
    raise AssertionError("the run does not come to an end")


def test_a_resync_of_equal_records_leaves_the_outbox_alone_and_counts_them(project: SmallProject) -> None:
    project.add(*range(1, 31))
    project.deliver()
    run_id = carry(project)
    assert project.left() == []
    assert runs.read(project.store, run_id).enqueued == 30


def test_what_differs_or_is_not_linked_or_is_gone_is_looked_at(project: SmallProject) -> None:
    project.add(*range(1, 31))
    project.deliver()
    project.writer.execute("update people set first_name = 'New' where id = 7")
    project.writer.execute("delete from people where id = 8")
    project.writer.execute("update people set is_test = true where id = 9")
    project.writer.execute("insert into people (id, last_name) values (31, 'L')")
    carry(project)
    assert sorted(project.left(), key=int) == ["7", "8", "9", "31"]
    project.deliver()
    assert set(project.remote()) == {str(n) for n in range(1, 32)} - {"8", "9"}
    assert project.remote()["7"]["FirstName"] == "New"


def test_a_row_that_is_refused_is_looked_at(project: SmallProject) -> None:
    project.add(1, 2, 3)
    project.deliver()
    project.writer.execute("update people set score = 'NaN' where id = 2")
    carry(project)
    assert project.left() == ["2"]


def test_a_row_that_waits_already_is_looked_at_again(project: SmallProject) -> None:
    project.add(1, 2, 3)
    project.deliver()
    project.touch(2)
    before = project.store.execute("select version from syncbridge.outbox").fetchone()
    carry(project)
    after = project.store.execute("select key, version from syncbridge.outbox").fetchall()
    assert (before, after) == ((1,), [("2", 2)])


@pytest.mark.parametrize("request_", [{"resend": True}, {"reason": Reason.FIRST_SYNC}])
def test_a_run_that_does_not_go_by_bases_leaves_nothing_out(project: SmallProject, request_: dict[str, Any]) -> None:
    project.add(1, 2, 3)
    project.deliver()
    carry(project, **request_)
    assert project.left() == ["1", "2", "3"]


def test_after_a_lost_slot_only_what_differs_is_enqueued(project: SmallProject) -> None:
    project.add(1, 2, 3)
    project.deliver()
    project.writer.execute("update people set first_name = 'New' where id = 2")
    carry(project, reason=Reason.RECOVERY)
    assert project.left() == ["2"]


@pytest.mark.parametrize("status", [MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.WAITING])
def test_a_mapping_that_does_not_deliver_compares_nothing(project: SmallProject, status: MappingStatus) -> None:
    project.add(1, 2, 3)
    project.deliver()
    mappings.set_status(project.store, project.mapping_id, status, reason="test")
    carry(project)
    assert project.left() == ["1", "2", "3"]


def test_where_nothing_can_be_compared_everything_is_left_to_delivery(project: SmallProject) -> None:
    project.add(1, 2, 3)
    project.deliver()
    project.destination.undescribe("Email")
    run_id = carry(project)
    assert project.left() == ["1", "2", "3"]
    assert runs.read(project.store, run_id).status == "done"


def test_where_most_of_a_piece_differs_the_rest_is_not_compared(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sifting, "PIECE", 10)
    project.add(*range(1, 31))
    project.deliver()
    project.writer.execute("update people set first_name = 'New' where id between 11 and 16")
    keys = [str(n) for n in range(1, 31)]
    assert sifter_of(project)(keys) == [*keys[10:16], *keys[20:]]


def test_what_was_sent_while_a_piece_is_compared_is_not_taken_for_equal(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row went from A to B, which is sent, and back to A unseen: neither its base before nor after may hide it."""
    project.add(1)
    project.deliver()
    sifter = sifter_of(project)
    compose = sifter._composer.compose

    def meanwhile(keys: Any) -> Any:
        project.change("update people set first_name = 'B' where id = 1", 1)
        project.deliver()
        project.writer.execute("update people set first_name = 'First 1' where id = 1")
        return compose(keys)

    monkeypatch.setattr(sifter._composer, "compose", meanwhile)
    assert sifter(["1"]) == ["1"]


def test_a_row_of_which_a_remote_change_is_held_is_looked_at(start_two_way: StartTwoWay) -> None:
    two_way = start_two_way()
    small = two_way.out
    small.add(1, 2)
    small.deliver()
    held = held_changes.HeldChange("2", two_way.remote_id(2), "conflict", MOMENT, {"FirstName": {"local": "a"}})
    held_changes.hold(small.store, small.mapping_id, [held])
    assert sifter_of(small)(["1", "2"]) == ["2"]
