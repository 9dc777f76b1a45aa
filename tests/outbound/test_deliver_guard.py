"""The guard: a mass change or mass delete stops and asks before its first call, and only that."""

from __future__ import annotations

import logging

import pytest

from syncbridge.errors import RetryLater
from syncbridge.model import Lsn, MappingStatus, Reason
from syncbridge.outbound.deliver import Limits
from syncbridge.source import rows
from syncbridge.store import fan_out, mappings
from tests.fix_delivery import SmallProject, Start

DELETES = ("deletes: off", "deletes: 2 per hour")
CHANGES = ("changes: off", "changes: 2 per hour")
SET_INACTIVE = ("{to_destination: delete}", "{to_destination: {set: {Active__c: false}}}")


def _populated(project: SmallProject, count: int = 4) -> SmallProject:
    """Rows and records that are there already, from a first sync."""
    project.writer.execute("insert into people (id, first_name) select n, 'x' from generate_series(1, %s) n", (count,))
    project.touch(*range(1, count + 1), reason=Reason.FIRST_SYNC)
    project.deliver()
    project.destination.calls.clear()
    return project


def test_what_a_recovery_from_a_lost_slot_finds_counts_because_nobody_asked_for_it(start: Start) -> None:
    project = _populated(start(CHANGES))
    project.writer.execute("update people set first_name = 'y'")
    project.touch(1, 2, 3, reason=Reason.RECOVERY)
    project.deliver()
    assert project.destination.calls == []
    assert mappings.read(project.store, "people").status is MappingStatus.GUARD


def test_a_first_sync_does_not_count_as_changes(start: Start) -> None:
    project = _populated(start(CHANGES))
    assert len(project.remote()) == 4
    assert project.status() is MappingStatus.ACTIVE


def test_a_mass_delete_stops_before_its_first_call(start: Start) -> None:
    project = _populated(start(DELETES))
    project.change("delete from people", 1, 2, 3, 4)
    project.deliver()
    applied = project.applied()
    assert applied.status is MappingStatus.GUARD
    assert applied.reason == "the next 4 deletes would go over the guard of 2 per hour (0 done)"
    assert "syncbridge resume people" in applied.hint
    assert project.destination.calls == []
    assert len(project.left()) == 4


def test_few_deletes_pass_and_the_one_over_the_limit_does_not(start: Start) -> None:
    project = _populated(start(DELETES))
    for key in (1, 2, 3):
        project.change(f"delete from people where id = {key}", key)
        project.deliver()
    assert set(project.remote()) == {"3", "4"}
    assert project.status() is MappingStatus.GUARD
    assert "(2 done)" in project.applied().reason


def test_resume_lets_pass_what_waited_and_nothing_that_comes_later(start: Start) -> None:
    project = _populated(
        start(
            DELETES,
        ),
        8,
    )
    project.change("delete from people where id <= 4", 1, 2, 3, 4)
    project.deliver()
    mappings.resume(project.store, project.mapping_id)
    project.deliver()
    assert len(project.remote()) == 4
    assert project.status() is MappingStatus.ACTIVE
    project.change("delete from people", 5, 6, 7, 8)
    project.deliver()
    assert project.status() is MappingStatus.GUARD
    assert len(project.remote()) == 4


def test_resume_lets_pass_the_entities_of_join_keys_that_waited(start: Start) -> None:
    project = _populated(start(CHANGES))
    project.change("update people set first_name = 'y'", 1, 2, 3, 4)
    project.deliver()
    assert project.status() is MappingStatus.GUARD
    position = Lsn.parse(rows.position(project.writer))
    fan_out.enqueue(project.store, {(project.mapping_id, "company"): {b"10": (int(position), 0)}})
    mappings.resume(project.store, project.mapping_id)
    assert mappings.approved_until(project.store, project.mapping_id) == position


def test_an_approval_is_not_left_over_when_what_waited_turned_out_to_be_nothing(start: Start) -> None:
    project = _populated(start(DELETES), 4)
    project.change("delete from people", 1, 2, 3, 4)
    project.deliver()
    project.change("insert into people (id, first_name) select n, 'x' from generate_series(1, 4) n", 1, 2, 3, 4)
    mappings.resume(project.store, project.mapping_id)
    project.deliver()
    project.change("delete from people", 1, 2, 3, 4)
    project.deliver()
    assert project.status() is MappingStatus.GUARD
    assert len(project.remote()) == 4


def test_an_approval_outlasts_an_outage(start: Start) -> None:
    project = _populated(start(DELETES), 4)
    project.change("delete from people", 1, 2, 3, 4)
    project.deliver()
    mappings.resume(project.store, project.mapping_id)
    project.destination.faults.fail(RetryLater("not available"))
    project.deliver()
    assert project.status() is MappingStatus.WAITING
    project.wake()
    project.deliver()
    assert project.remote() == {}


def test_an_outage_does_not_use_up_the_guard(start: Start) -> None:
    project = _populated(start(DELETES))
    project.change("delete from people where id = 1", 1)
    for _ in range(5):
        project.destination.faults.fail(RetryLater("not available"))
        project.deliver()
        assert project.status() is MappingStatus.WAITING
        project.wake()
    project.deliver()
    assert set(project.remote()) == {"2", "3", "4"}
    project.change("delete from people where id = 2", 2)
    project.deliver()
    assert set(project.remote()) == {"3", "4"}


def test_records_that_are_marked_instead_count_as_deletes(start: Start) -> None:
    project = _populated(start(DELETES, SET_INACTIVE))
    project.change("delete from people", 1, 2, 3, 4)
    project.deliver()
    assert project.status() is MappingStatus.GUARD
    assert project.destination.calls == []


def test_deletes_that_are_ignored_are_not_counted(start: Start) -> None:
    project = _populated(start(DELETES, ("{to_destination: delete}", "{to_destination: ignore}")))
    project.change("delete from people", 1, 2, 3, 4)
    project.deliver()
    assert project.status() is MappingStatus.ACTIVE
    assert project.left() == []


def test_a_mass_change_stops_and_what_is_equal_is_not_counted(start: Start) -> None:
    project = _populated(start(CHANGES))
    project.touch(1, 2, 3, 4)
    project.deliver()
    assert project.status() is MappingStatus.ACTIVE
    project.change("update people set first_name = 'y'", 1, 2, 3, 4)
    project.deliver()
    assert project.status() is MappingStatus.GUARD
    assert "the next 4 changes would" in project.applied().reason


def test_deletes_are_not_counted_when_changes_of_the_same_batch_stop_it(start: Start) -> None:
    project = _populated(start(CHANGES, DELETES), 6)
    project.change("delete from people where id = 1; update people set first_name = 'y'", 1, 2, 3, 4, 5, 6)
    project.deliver()
    assert project.status() is MappingStatus.GUARD
    counted = project.store.execute("select sum(count) from syncbridge.guard_count where kind = 'deletes'").fetchone()
    assert counted == (0,)


def test_the_rows_of_a_stopped_batch_that_need_no_call_are_settled(start: Start) -> None:
    project = _populated(start(DELETES), 5)
    project.change("delete from people where id > 1", 1, 2, 3, 4, 5)
    project.deliver()
    assert project.left() == ["2", "3", "4", "5"]


def test_the_stop_is_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    project = _populated(start(DELETES))
    project.change("delete from people", 1, 2, 3, 4)
    with caplog.at_level(logging.WARNING, "syncbridge.deliver"):
        project.deliver()
    assert "mapping people stopped by its guard: the next 4 deletes" in caplog.text


def test_lanes_share_the_guard(start: Start) -> None:
    project = _populated(start(DELETES, limits=Limits(batch=2)), 4)
    project.change("delete from people", 1, 2, 3, 4)
    assert project.deliverer.step() == 2
    assert project.lane().step() == 2
    assert len(project.remote()) == 2
    assert project.status() is MappingStatus.GUARD
