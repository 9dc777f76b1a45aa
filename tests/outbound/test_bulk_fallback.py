"""What jobs refuse, cannot carry, or fail at goes by lanes, and nothing is sent twice or lost."""

from __future__ import annotations

from errno import ENOSPC

import pytest

from syncbridge.errors import Remedy, RetryLater
from syncbridge.model import MappingStatus
from tests.fix_bulk import FROM, BulkProject, StartBulk
from tests.fix_store import make_due


def test_where_no_jobs_are_to_be_had_the_lanes_do_it(bulk: BulkProject) -> None:
    bulk.jobs.refuses.add("Contact")
    bulk.small.add(*range(20))
    delivery = bulk.open()
    bulk.carry(delivery)
    assert bulk.small.deliver() == 20
    bulk.assert_equal()
    bulk.small.touch(*range(20), resend=True)
    bulk.carry(delivery)
    assert bulk.calls("bulk_begin") == 1, "it was asked again too soon"


def test_what_a_job_that_failed_did_not_come_to_goes_by_lanes(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.fail_job("LIMIT_EXCEEDED", after=7)
    delivery = bulk.open()
    bulk.carry(delivery)
    assert (len(bulk.small.remote()), len(bulk.small.left())) == (7, 13)
    bulk.small.deliver()
    assert bulk.calls("bulk_begin") == 1
    bulk.assert_equal()


def test_a_job_that_cannot_be_begun_gives_its_rows_back(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.fail(RetryLater("not now", delay=5.0))
    delivery = bulk.open()
    bulk.carry(delivery)
    assert (bulk.small.status(), bulk.unsettled()) == (MappingStatus.WAITING, [])
    bulk.small.wake()
    bulk.carry(delivery)
    bulk.assert_equal()


def test_a_lost_answer_to_an_upload_sends_nothing_twice(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.fail_after_write()
    delivery = bulk.open()
    bulk.carry(delivery)
    bulk.small.wake()
    assert bulk.uploaded() == [20]
    bulk.assert_equal()


def test_records_of_a_job_that_is_lost_are_sent_again_in_full(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.carry(bulk.open())
    bulk.small.change("update people set email = null", *range(20))
    bulk.destination.faults.hold_jobs()
    delivery = bulk.carriers[0]
    bulk.carry(delivery)
    del bulk.jobs.jobs[bulk.unsettled()[0].remote_id or ""]
    bulk.jobs.bulk_from = 100
    bulk.now += 60.0
    delivery.step()
    assert bulk.unsettled() == []
    waiting = bulk.small.waiting(3)
    assert waiting is not None
    assert waiting.resend
    bulk.small.deliver()
    bulk.assert_equal()


def test_what_a_job_cannot_carry_goes_by_lanes_and_what_has_no_room_by_the_next_job(bulk: BulkProject) -> None:
    bulk.jobs.unfit_texts.add("First 3")
    bulk.jobs.most_records = 15
    bulk.small.add(*range(30))
    bulk.carry(bulk.open())
    assert bulk.uploaded() == [15, 15]
    assert bulk.small.left() == ["3"]
    bulk.small.deliver()
    bulk.assert_equal()


def test_marked_and_matched_entities_go_by_lanes(start_bulk: StartBulk) -> None:
    bulk = start_bulk(("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email"))
    bulk.small.add(*range(20))
    delivery = bulk.open()
    bulk.carry(delivery)
    assert bulk.calls("bulk_begin") == 0
    bulk.small.deliver()
    bulk.assert_equal()
    bulk.small.change("update people set first_name = 'New'", *range(20))
    bulk.carry(delivery)
    assert bulk.uploaded() == [20]
    bulk.assert_equal()


def test_a_rejection_for_the_schema_halts_after_a_second_look(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    for key in range(20):
        bulk.destination.faults.reject(str(key), "INVALID_FIELD", remedy=Remedy.SCHEMA)
    delivery = bulk.open()
    for _ in range(3):
        make_due(bulk.small.store)
        bulk.carry(delivery)
    assert bulk.small.status() is MappingStatus.HALTED
    assert len(bulk.small.left()) == 20


def test_pages_of_one_job_count_as_one_look_at_the_schema(bulk: BulkProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncbridge.outbound.bulk_results.PAGE", 6)
    bulk.small.add(*range(20))
    for key in range(20):
        bulk.destination.faults.reject(str(key), "INVALID_FIELD", remedy=Remedy.SCHEMA)
    delivery = bulk.open()
    bulk.carry(delivery)
    assert (bulk.uploaded(), bulk.small.status()) == ([20], MappingStatus.ACTIVE)
    make_due(bulk.small.store)
    bulk.carry(delivery)
    assert (bulk.uploaded(), bulk.small.status()) == ([20, 20], MappingStatus.HALTED)


def test_fewer_than_a_job_are_worth_go_by_lanes_although_more_were_compared(bulk: BulkProject) -> None:
    bulk.small.add(*range(30))
    delivery = bulk.open()
    bulk.carry(delivery)
    bulk.small.change("update people set email = null where id < 4", *range(30))
    bulk.carry(delivery)
    assert bulk.uploaded() == [30]
    assert bulk.small.left() == ["0", "1", "2", "3"]
    assert bulk.small.deliver() == 4
    assert FROM > 4
    bulk.assert_equal()


def test_a_full_disk_stops_no_mapping_and_what_was_gathered_goes_by_lanes(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr("syncbridge.outbound.bulk_gather.Shipment.add", full)
    bulk.small.add(*range(20))
    bulk.carry(bulk.open())
    assert (bulk.small.status(), bulk.unsettled()) == (MappingStatus.ACTIVE, [])
    assert bulk.small.deliver() == 20
    assert bulk.calls("bulk_begin") == 0
    bulk.assert_equal()


def test_no_room_for_the_file_of_a_job_is_no_defect_of_the_mapping(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(bulk.jobs, "upload", full)
    bulk.small.add(*range(20))
    bulk.carry(bulk.open())
    bulk.carry(bulk.carriers[0])
    assert (bulk.small.status(), bulk.unsettled()) == (MappingStatus.ACTIVE, [])
    assert bulk.small.deliver() == 20
    bulk.assert_equal()
