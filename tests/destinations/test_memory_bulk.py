"""Bulk jobs of the memory destination keep their contract; what tests may ask of them happens."""

from __future__ import annotations

from dataclasses import fields

import pytest

from syncbridge.destinations.base import BulkJob, BulkLoading, BulkRefused, BulkState
from syncbridge.destinations.memory import MemoryDestination
from syncbridge.destinations.memory_bulk import MemoryBulk
from syncbridge.destinations.registry import open_destination
from syncbridge.errors import Remedy
from tests.contract.bulk import BulkContract, BulkRemote
from tests.contract.destination import rejected
from tests.destinations.test_memory import CONTACT, MemoryRemote, remote_in_memory


class MemoryBulkRemote(MemoryRemote, BulkRemote):
    @property
    def jobs(self) -> MemoryBulk:
        assert isinstance(self.destination.bulk, MemoryBulk)
        return self.destination.bulk

    def hold_jobs(self) -> None:
        self.destination.faults.hold_jobs()

    def run_jobs(self) -> None:
        self.destination.faults.clear()
        self.jobs.run_jobs()

    def fail_job(self, after: int) -> None:
        self.destination.faults.fail_job("TIMEOUT", after=after)

    def lose_job(self, job: BulkJob) -> None:
        del self.jobs.jobs[job.id]

    def lose_upload(self) -> None:
        self.lose_answer()

    def go_on_elsewhere(self) -> BulkLoading:
        return self.jobs


def bulk_in_memory() -> MemoryBulkRemote:
    plain = remote_in_memory()
    given = {each.name: getattr(plain, each.name) for each in fields(plain)}
    given["destination"] = MemoryDestination("crm", [CONTACT], batch_size=10, bulk_from=5)
    return MemoryBulkRemote(**given)


class TestMemoryBulk(BulkContract):
    @pytest.fixture
    def bulk(self) -> BulkRemote:
        return bulk_in_memory()


def test_there_are_no_jobs_unless_the_settings_say_from_when() -> None:
    objects = {"objects": {"Lead": {"Key__c": "string"}}}
    assert open_destination("crm", "memory", objects).bulk is None
    bulk = open_destination("crm", "memory", {**objects, "bulk_from": 7}).bulk
    assert bulk is not None
    assert bulk.bulk_from == 7


def test_results_come_in_another_order_than_the_records() -> None:
    bulk = bulk_in_memory()
    assert list(bulk.load(*(bulk.record(f"k{number}") for number in range(50)))) != [f"k{n}" for n in range(50)]


def test_an_unfit_record_is_told_and_left_out() -> None:
    bulk = bulk_in_memory()
    bulk.jobs.unfit_texts.add("too much")
    job = bulk.begin()
    assert bulk.upload(job, [bulk.record("k1", "too much"), bulk.record("k2")]) == (2, (0,))
    assert set(bulk.results(job)) == {"k2"}


def test_an_object_may_be_refused_to_jobs_only() -> None:
    bulk = bulk_in_memory()
    bulk.jobs.refuses.add("Contact")
    with pytest.raises(BulkRefused):
        bulk.begin()
    assert bulk.create("k1")


def test_jobs_that_are_held_run_when_told_to() -> None:
    bulk = bulk_in_memory()
    bulk.hold_jobs()
    job = bulk.begin()
    bulk.upload(job, [bulk.record("k1")])
    assert bulk.destination.stored("Contact") == {}
    bulk.jobs.run_jobs()
    assert bulk.jobs.progress(job).state is BulkState.DONE
    assert len(bulk.destination.stored("Contact")) == 1


def test_a_refusal_by_a_job_has_the_remedy_that_was_asked_for() -> None:
    bulk = bulk_in_memory()
    bulk.destination.faults.reject("k1", "LOCKED", remedy=Remedy.RETRY)
    job = bulk.begin()
    bulk.upload(job, [bulk.record("k1")])
    assert rejected(next(bulk.jobs.results(job, bulk.jobs.progress(job))).result).remedy is Remedy.RETRY
