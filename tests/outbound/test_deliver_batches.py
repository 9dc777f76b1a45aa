"""Trouble of a whole batch: it waits or halts its own mapping by the error's remedy, and gives everything back."""

from __future__ import annotations

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.errors import (
    LoginRefused,
    NeedsOperator,
    QuotaExhausted,
    RateLimited,
    Remedy,
    RetryLater,
    SchemaDrift,
)
from syncbridge.model import MappingStatus
from syncbridge.outbound.deliver import Limits
from syncbridge.store import backlog, mappings
from tests.fix_delivery import RecordingDestination, SmallProject, Start


def test_a_spent_quota_makes_the_mapping_wait_and_nothing_is_lost(project: SmallProject) -> None:
    project.destination.faults.fail(QuotaExhausted("the daily allowance is spent", delay=3600))
    project.add(1, 2)
    project.deliver()
    assert project.status() is MappingStatus.WAITING
    assert project.applied().reason == "the daily allowance is spent"
    assert backlog.summary(project.store)[project.mapping_id].pending == 2
    assert mappings.wake_waiting(project.store) == 0
    assert project.deliver() == 0
    assert project.wake() == 1
    assert project.status() is MappingStatus.ACTIVE
    project.deliver()
    assert set(project.remote()) == {"1", "2"}


def test_another_mapping_goes_on_while_one_waits(start: Start) -> None:
    people = start()
    leads = start(("mapping: people", "mapping: leads"), ("object: Contact", "object: Lead"))
    people.destination.faults.hold()
    people.add(1)
    leads.touch(1)
    people.deliver()
    leads.deliver()
    assert people.status() is MappingStatus.WAITING
    assert people.remote() == {}
    assert set(leads.remote()) == {"1"}


def test_a_quota_spent_halfway_keeps_what_was_delivered(project: SmallProject) -> None:
    project.destination.faults.rejections["2"] = Rejected("QUOTA", "spent", Remedy.WAIT, delay=900.0)
    project.add(1, 2)
    project.deliver()
    assert project.status() is MappingStatus.WAITING
    assert set(project.remote()) == {"1"}
    assert project.left() == ["2"]
    project.destination.faults.clear()
    project.wake()
    project.deliver()
    assert set(project.remote()) == {"1", "2"}
    assert len(project.destination.sent) == 3


def test_answers_that_came_before_an_error_are_kept_and_only_the_rest_is_sent_again(project: SmallProject) -> None:
    project.add(1, 2)
    project.deliver()
    project.change("delete from people where id = 1", 1)
    project.change("update people set first_name = 'Other' where id = 2", 2)
    upsert = project.destination.upsert

    def spent(*arguments: object, **names: object) -> object:
        raise QuotaExhausted("spent")

    project.destination.upsert = spent  # type: ignore[method-assign]
    project.deliverer.step()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    assert set(project.remote()) == {"2"}
    assert project.left() == ["2"]
    assert project.base(1) is None
    project.wake()
    project.deliver()
    assert project.remote()["2"]["FirstName"] == "Other"


def test_rows_are_sent_in_full_after_an_error_in_the_midst_of_the_calls(start: Start) -> None:
    project = start(destination=RecordingDestination(batch_size=2))
    project.add(1, 2)
    project.deliver()
    upsert = project.destination.upsert

    def broken_off(object: str, external_id: str, records: list[object], *, lane: str = "") -> object:
        upsert(object, external_id, records[:1], lane=lane)
        raise RetryLater("the connection broke", uncertain=True)

    project.change("update people set first_name = 'Other'", 1, 2)
    project.destination.upsert = broken_off  # type: ignore[method-assign]
    project.deliverer.step()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    project.change("update people set first_name = 'First ' || id", 1, 2)
    project.wake()
    project.deliver()
    assert {record["FirstName"] for record in project.remote().values()} == {"First 1", "First 2"}
    assert project.left() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RateLimited("slow down", delay=2.0), MappingStatus.WAITING),
        (RetryLater("not available"), MappingStatus.WAITING),
        (LoginRefused("the credentials were refused", hint="Log in anew."), MappingStatus.HALTED),
        (SchemaDrift("there is no object Contact", hint="Mend it."), MappingStatus.HALTED),
        (NeedsOperator("somebody has to look", hint="Look."), MappingStatus.HALTED),
    ],
)
def test_the_remedy_of_an_error_decides_what_the_mapping_does(
    project: SmallProject, error: RetryLater | NeedsOperator, status: MappingStatus
) -> None:
    project.destination.faults.fail(error)
    project.add(1)
    project.deliver()
    applied = project.applied()
    assert (applied.status, applied.reason, applied.hint) == (status, error.message, error.hint)
    assert applied.last_error == error.message
    assert project.left() == ["1"]
    assert project.waiting(1).attempts == 0  # type: ignore[union-attr]


def test_an_unknown_exception_halts_this_mapping_only_and_is_not_raised(start: Start) -> None:
    people = start()
    leads = start(("mapping: people", "mapping: leads"), ("object: Contact", "object: Lead"))
    people.destination.faults.fail(ZeroDivisionError("secret value"))
    people.add(1)
    leads.touch(1)
    people.deliver()
    leads.deliver()
    assert people.status() is MappingStatus.HALTED
    assert people.applied().reason == "unexpected ZeroDivisionError"
    assert "resume" in people.applied().hint
    assert set(leads.remote()) == {"1"}
    mappings.resume(people.store, people.mapping_id)
    people.deliver()
    assert set(people.remote()) == {"1"}


def test_a_person_s_pause_is_not_undone_by_an_error(project: SmallProject) -> None:
    project.add(1)
    upsert = project.destination.upsert

    def meanwhile(*arguments: object, **names: object) -> object:
        mappings.set_status(project.store, project.mapping_id, MappingStatus.PAUSED)
        raise RetryLater("not available")

    project.destination.upsert = meanwhile  # type: ignore[method-assign]
    project.deliver()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    assert project.status() is MappingStatus.PAUSED


def test_a_lost_source_connection_makes_the_mapping_wait(project: SmallProject) -> None:
    project.add(1)
    project.deliverer.source.close()
    project.deliver()
    assert project.status() is MappingStatus.WAITING
    project.deliverer = project.lane()
    project.wake()
    project.deliver()
    assert set(project.remote()) == {"1"}


def test_a_lost_state_database_is_told_as_such(project: SmallProject) -> None:
    project.deliverer.store.close()
    with pytest.raises(RetryLater, match="state database"):
        project.deliverer.step()


def test_the_lease_outlasts_every_call_of_a_batch(start: Start) -> None:
    crm = RecordingDestination(batch_size=10, calls_in_flight=2, call_seconds=30.0)
    project = start(destination=crm, limits=Limits(batch=100, lease=60.0))
    project.add(1)
    upsert = crm.upsert
    left: list[float] = []

    def measured(*arguments: object, **names: object) -> object:
        row = project.store.execute(
            "select extract(epoch from lease_until - now())::float8 from syncbridge.outbox"
        ).fetchone()
        assert row is not None
        left.append(row[0])
        return upsert(*arguments, **names)  # type: ignore[arg-type]

    crm.upsert = measured  # type: ignore[method-assign]
    project.deliver()
    assert left[0] > 30.0 * 5  # five rounds of two calls of ten records


def test_nothing_is_sent_when_too_little_of_the_lease_is_left(project: SmallProject) -> None:
    project.add(1)
    times = iter([0.0, 1000.0])
    project.deliverer = project.lane(clock=lambda: next(times))
    assert project.deliverer.step() == 1
    assert project.destination.calls == []
    assert project.status() is MappingStatus.WAITING
    assert "lease" in project.applied().reason
    assert project.waiting(1).claimed is False  # type: ignore[union-attr]


def test_two_lanes_deliver_disjoint_rows(start: Start) -> None:
    project = start(limits=Limits(batch=2))
    project.add(1, 2, 3, 4)
    other = project.lane()
    upsert = project.destination.upsert

    def meanwhile(*arguments: object, **names: object) -> object:
        project.destination.upsert = upsert  # type: ignore[method-assign]
        assert other.step() == 2
        return upsert(*arguments, **names)  # type: ignore[arg-type]

    project.destination.upsert = meanwhile  # type: ignore[method-assign]
    assert project.deliverer.step() == 2
    assert sorted(str(record["Person_Key__c"]) for record in project.destination.sent) == ["1", "2", "3", "4"]
    assert project.left() == []
