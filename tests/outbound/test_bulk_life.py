"""What happens around bulk jobs: pauses, guards, several processes, lanes beside them."""

from __future__ import annotations

import pytest

from syncbridge.destinations.base import BulkRefused
from syncbridge.model import MappingStatus, Priority, Reason
from syncbridge.store import backlog, bulk_jobs, forget, mappings
from tests.fix_bulk import BulkProject, StartBulk
from tests.fix_store import end_leases, make_due

CHANGES_GUARD = ("guard: {deletes: off, changes: off}", "guard: {deletes: off, changes: 15 per hour}")


def test_a_paused_mapping_settles_what_was_sent_and_begins_nothing(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.hold_jobs()
    delivery = bulk.open()
    bulk.carry(delivery)
    mappings.set_status(bulk.small.store, bulk.small.mapping_id, MappingStatus.PAUSED)
    bulk.small.add(*range(20, 40))
    bulk.jobs.run_jobs()
    bulk.carry(delivery)
    assert len(bulk.small.remote()) == 20
    assert (len(bulk.small.left()), bulk.uploaded()) == (20, [20])
    mappings.resume(bulk.small.store, bulk.small.mapping_id)
    bulk.destination.faults.clear()
    bulk.carry(delivery)
    bulk.assert_equal()


def test_a_pause_while_it_is_gathered_gives_all_of_it_back(bulk: BulkProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncbridge.outbound.bulk_gather.PAGE", 8)
    bulk.small.add(*range(20))
    delivery = bulk.open()
    delivery.step()
    mappings.set_status(bulk.small.store, bulk.small.mapping_id, MappingStatus.PAUSED)
    bulk.carry(delivery)
    assert (bulk.uploaded(), bulk.unsettled(), len(bulk.small.left())) == ([], [], 20)
    mappings.resume(bulk.small.store, bulk.small.mapping_id)
    bulk.carry(delivery)
    bulk.assert_equal()


def test_two_processes_carry_one_job(bulk: BulkProject) -> None:
    first, second = bulk.open(), bulk.open()
    bulk.small.add(*range(20))
    for _ in range(10):
        bulk.now += 60.0
        first.step()
        second.step()
    assert bulk.uploaded() == [20]
    bulk.assert_equal()


def test_rows_of_a_job_do_not_come_free_with_the_leases_of_a_dead_worker(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.hold_jobs()
    bulk.carry(bulk.open())
    end_leases(bulk.small.store)
    bulk.small.touch(*range(20))
    make_due(bulk.small.store)
    assert bulk.small.deliverer.step() == 0
    assert backlog.under_lease(bulk.small.store, bulk.small.mapping_id)


def test_live_changes_go_at_once_while_lanes_leave_the_backlog_to_jobs(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.hold_jobs()
    bulk.jobs.jobs_in_flight, bulk.jobs.most_records = 1, 12
    delivery = bulk.open()
    bulk.carry(delivery)  # 12 are on their way
    bulk.small.touch(*range(100, 130), reason=Reason.RESYNC)
    bulk.small.add(50)
    bulk.jobs.most_records = 100
    assert bulk.small.left()[:1] == ["0"]
    delivered = bulk.small.deliver()
    assert "50" in bulk.small.remote()
    assert delivered > 0
    bulk.jobs.run_jobs()
    bulk.destination.faults.clear()
    bulk.carry(delivery)
    bulk.small.deliver()
    bulk.assert_equal()


def test_lanes_leave_what_is_reserved_and_take_what_comes_later(bulk: BulkProject) -> None:
    store, number = bulk.small.store, bulk.small.mapping_id
    bulk.small.add(1)
    row = store.execute("select now()").fetchone()
    assert row is not None
    bulk_jobs.reserve(store, number, Priority.LIVE, before=row[0], seconds=60.0)
    bulk_jobs.reserve(store, number, Priority.BULK, before=None, seconds=60.0)
    bulk.small.add(2)
    bulk.small.touch(3, reason=Reason.RESYNC)
    assert bulk.small.deliverer.step() == 1
    assert bulk.small.left() == ["1", "3"]
    store.execute("update syncbridge.bulk_reserve set until = now()")  # nobody renews it
    assert bulk.small.deliverer.step() == 2


def test_the_guard_stops_a_mapping_before_a_job_is_begun_and_nothing_stays_counted(start_bulk: StartBulk) -> None:
    bulk = start_bulk(CHANGES_GUARD)
    bulk.small.add(*range(20))
    delivery = bulk.open()
    bulk.carry(delivery)
    assert bulk.small.status() is MappingStatus.GUARD
    assert (bulk.calls("bulk_begin"), len(bulk.small.left()), bulk.unsettled()) == (0, 20, [])
    mappings.resume(bulk.small.store, bulk.small.mapping_id)
    bulk.carry(delivery)
    bulk.assert_equal()


def test_what_a_job_refused_is_not_counted_by_the_guard(start_bulk: StartBulk) -> None:
    bulk = start_bulk(CHANGES_GUARD)
    bulk.small.add(*range(12))
    for key in range(6):
        bulk.destination.faults.reject(str(key), "STRING_TOO_LONG")
    bulk.carry(bulk.open())
    counted = bulk.small.store.execute("select sum(count) from syncbridge.guard_count where kind = 'changes'")
    assert counted.fetchone() == (6,)


def test_the_guard_counts_once_what_had_no_room_in_a_job_and_what_it_could_not_carry(
    start_bulk: StartBulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk = start_bulk(("changes: off}", "changes: 100 per hour}"))
    begin = bulk.jobs.begin

    def begin_small(*arguments: str, **lane: str) -> object:
        bulk.jobs.most_records = 12  # less than was gathered for it
        return begin(*arguments, **lane)  # type: ignore[arg-type]

    monkeypatch.setattr(bulk.jobs, "begin", begin_small)
    bulk.jobs.unfit_texts.add("First 3")
    bulk.small.add(*range(40))
    bulk.carry(bulk.open())
    bulk.small.deliver()
    counted = bulk.small.store.execute("select sum(count) from syncbridge.guard_count where kind = 'changes'")
    assert counted.fetchone() == (40,)
    assert bulk.uploaded()[:2] == [12, 12]
    bulk.assert_equal()


def test_a_job_that_takes_no_records_leaves_them_to_the_lanes(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BulkRefused("it was aborted by a person", code="INVALIDJOBSTATE", delay=3600.0)

    monkeypatch.setattr(bulk.jobs, "upload", refuse)
    bulk.small.add(*range(20))
    delivery = bulk.open()
    for _ in range(5):
        bulk.carry(delivery)
        bulk.now += 60.0
    assert bulk.small.deliver() == 20
    assert bulk.calls("bulk_begin") == 1
    bulk.assert_equal()


def test_calls_for_jobs_are_counted_for_their_mapping(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.carry(bulk.open())
    assert {lane for lane, kind in bulk.destination.calls_made() if kind.startswith("bulk")} == {"people"}


def test_a_job_whose_records_are_forgotten_writes_no_link(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.hold_jobs()
    delivery = bulk.open()
    bulk.carry(delivery)
    with bulk.small.store.transaction():
        forget.records(bulk.small.store, bulk.small.mapping_id)
    bulk.jobs.run_jobs()
    bulk.carry(delivery)
    assert bulk.small.store.execute("select count(*) from syncbridge.link").fetchone() == (0,)


def test_a_job_that_is_forgotten_while_it_is_begun_is_aborted(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.small.add(*range(20))
    begin = bulk.jobs.begin

    def begin_slowly(*arguments: str, **lane: str) -> object:
        job = begin(*arguments, **lane)  # type: ignore[arg-type]
        with bulk.small.store.transaction():
            forget.records(bulk.small.store, bulk.small.mapping_id)
        return job

    monkeypatch.setattr(bulk.jobs, "begin", begin_slowly)
    delivery = bulk.open()
    delivery.step()
    delivery.step()
    assert bulk.calls("bulk_abort") == 1
    assert bulk.uploaded() == []


def test_a_process_that_ends_gives_back_what_it_gathered(bulk: BulkProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncbridge.outbound.bulk_gather.PAGE", 8)
    bulk.small.add(*range(20))
    delivery = bulk.open()
    delivery.step()
    delivery.close()
    assert bulk.unsettled() == []
    assert bulk.small.deliver() == 20


def test_an_upload_is_broken_off_when_the_process_ends(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    ending = False
    first = bulk.open(ending=lambda: ending)
    upload = bulk.jobs.upload

    def uploads(*arguments: object) -> object:
        nonlocal ending
        ending = True
        return upload(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bulk.jobs, "upload", uploads)
        first.step()
        first.step()
    bulk.kill(first)
    assert [job.state for job in bulk.unsettled()] == ["open"]
    bulk.carry(bulk.open())
    assert bulk.small.status() is MappingStatus.ACTIVE
    bulk.assert_equal()


def test_a_backlog_of_files_that_are_no_longer_in_force_is_left_alone(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.small.store.execute("update syncbridge.mapping set digest = 'another'")
    delivery = bulk.open()
    assert delivery.step() > 0, "it looks again without a pause"
    assert (bulk.unsettled(), len(bulk.small.left())) == ([], 20)


def test_who_takes_over_ends_what_was_reserved_before(bulk: BulkProject) -> None:
    bulk_jobs.reserve(bulk.small.store, bulk.small.mapping_id, Priority.BULK, before=None, seconds=600.0)
    bulk.small.touch(1, reason=Reason.RESYNC)
    assert bulk.small.deliverer.step() == 0
    bulk.open().step()
    assert bulk.small.deliverer.step() == 1
