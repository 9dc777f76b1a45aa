"""A backlog goes out by bulk jobs, each record once, and is settled by their results."""

from __future__ import annotations

from syncbridge.errors import Remedy
from syncbridge.model import Reason
from tests.fix_bulk import FROM, BulkProject, StartBulk
from tests.fix_store import make_due


def test_a_backlog_goes_out_by_one_job(bulk: BulkProject) -> None:
    bulk.small.add(*range(25))
    bulk.carry(bulk.open())
    assert bulk.uploaded() == [25]
    assert bulk.calls("upsert") == 0
    bulk.assert_equal()


def test_less_than_a_backlog_is_left_to_the_lanes(bulk: BulkProject) -> None:
    bulk.small.add(*range(FROM - 1))
    delivery = bulk.open()
    assert delivery.step() > 0
    assert len(bulk.small.left()) == FROM - 1
    assert bulk.small.deliverer.step() == FROM - 1
    assert bulk.calls("bulk_begin") == 0
    bulk.assert_equal()


def test_only_what_differs_is_sent_and_then_nothing(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    delivery = bulk.open()
    bulk.carry(delivery)
    bulk.small.change("update people set email = 'new@example.org'", *range(20))
    bulk.carry(delivery)
    kept = list(bulk.jobs._kept.values())
    assert [len(kept.records) for kept in kept] == [20, 20]
    assert {frozenset(record) for record in kept[1].records} == {frozenset({"Person_Key__c", "Email"})}
    bulk.assert_equal()
    bulk.small.touch(*range(20), reason=Reason.RESYNC)
    bulk.carry(delivery)
    assert bulk.calls("bulk_begin") == 2
    assert bulk.small.left() == []


def test_bases_are_as_if_the_lanes_had_sent_it(start_bulk: StartBulk) -> None:
    project = start_bulk()
    project.small.add(*range(FROM))
    project.carry(project.open())
    by_job = project.small.store.execute("select base::text from syncbridge.link where key = '3'").fetchone()
    project.small.store.execute("delete from syncbridge.link")
    project.small.touch(3)
    project.small.deliver()
    by_lane = project.small.store.execute("select base::text from syncbridge.link where key = '3'").fetchone()
    assert by_job == by_lane


def test_deletes_go_by_a_job_of_their_own(bulk: BulkProject) -> None:
    bulk.small.add(*range(40))
    delivery = bulk.open()
    bulk.carry(delivery)
    bulk.small.change("delete from people where id < 15")
    bulk.small.change("update people set first_name = 'New'", *range(40))
    bulk.carry(delivery)
    assert [job.operation for job in bulk.jobs.jobs.values()] == ["upsert", "delete", "upsert"]
    assert bulk.uploaded() == [40, 15, 25]
    assert bulk.calls("upsert") == bulk.calls("delete") == 0
    bulk.assert_equal()


def test_a_change_during_the_job_is_delivered_after_it(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    delivery = bulk.open()
    bulk.destination.faults.hold_jobs()
    bulk.carry(delivery)
    bulk.small.change("update people set first_name = 'Newer' where id = 4", 4)
    assert bulk.small.deliverer.step() == 0
    bulk.jobs.run_jobs()
    bulk.carry(delivery)
    assert bulk.small.left() == ["4"]
    bulk.small.deliver()
    assert bulk.small.remote()["4"]["FirstName"] == "Newer"
    bulk.assert_equal()


def test_what_a_job_refuses_is_a_dead_letter_or_goes_to_the_lanes_and_its_neighbours_are_settled(
    bulk: BulkProject,
) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.reject("3", "STRING_TOO_LONG")
    bulk.destination.faults.reject("4", "UNABLE_TO_LOCK_ROW", remedy=Remedy.RETRY)
    delivery = bulk.open()
    bulk.carry(delivery)
    assert bulk.small.left() == ["3", "4"]
    dead, retried = bulk.small.waiting(3), bulk.small.waiting(4)
    assert dead is not None
    assert retried is not None
    assert (dead.status, retried.status, retried.attempts) == ("dead", "pending", 1)
    bulk.small.touch(*range(100, 100 + FROM), reason=Reason.RESYNC)  # a backlog again
    make_due(bulk.small.store)
    bulk.carry(delivery)
    assert bulk.small.left() == ["3", "4"]
    assert bulk.uploaded() == [20]
    bulk.destination.faults.clear()
    bulk.small.deliver()
    assert bulk.small.left() == ["3"]
