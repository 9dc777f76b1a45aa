"""What a job leaves unknown is sent again in full, by lanes: results that never come, or that nobody can read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncbridge.destinations.base import BulkJob, BulkProgress, BulkResult, BulkUnreadable
from syncbridge.model import MappingStatus
from syncbridge.outbound.convert import Converter
from tests.fix_bulk import FROM, BulkProject


def lose_results(bulk: BulkProject, patched: pytest.MonkeyPatch, *keys: str) -> None:
    """From now on the destination does not say what became of these records."""
    results = bulk.jobs.results

    def some(job: BulkJob, progress: BulkProgress) -> Iterator[BulkResult]:
        return (result for result in results(job, progress) if result.key not in keys)

    patched.setattr(bulk.jobs, "results", some)


def test_a_record_whose_result_never_comes_is_not_taken_for_unsent(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.small.add(*range(20))
    delivery = bulk.open()
    bulk.carry(delivery)
    lose_results(bulk, monkeypatch, "3")
    bulk.small.change("update people set email = 'new@example.org'", *range(20))
    bulk.carry(delivery)
    assert bulk.small.left() == ["3"]
    bulk.small.change("update people set email = '3@example.org' where id = 3", 3)  # as its base says
    bulk.small.deliver()
    assert bulk.small.remote()["3"]["Email"] == "3@example.org"
    bulk.assert_equal()


def test_records_whose_results_never_come_do_not_go_from_job_to_job(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.small.add(*range(30))
    lose_results(bulk, monkeypatch, *map(str, range(2 * FROM)))
    bulk.carry(bulk.open())
    assert bulk.uploaded() == [30]
    bulk.small.deliver()
    bulk.assert_equal()


def test_a_job_that_fails_without_a_word_of_its_records_is_not_begun_again(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.hold_jobs()
    delivery = bulk.open()
    bulk.carry(delivery)
    lose_results(bulk, monkeypatch, *map(str, range(20)))
    bulk.destination.faults.fail_job("FAILED", after=0)
    bulk.jobs.run_jobs()
    bulk.destination.faults.clear()
    bulk.carry(delivery)
    assert bulk.uploaded() == [20]
    assert bulk.small.deliver() == 20
    bulk.assert_equal()


def test_results_that_nobody_can_read_do_not_hold_their_records_for_ever(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = bulk.jobs.results

    def broken(job: BulkJob, progress: BulkProgress) -> Iterator[BulkResult]:
        yield next(iter(results(job, progress)))
        raise BulkUnreadable("The results are not CSV.", code="UNEXPECTED_ANSWER")

    monkeypatch.setattr(bulk.jobs, "results", broken)
    bulk.small.add(*range(20))
    bulk.carry(bulk.open())
    assert (bulk.small.status(), bulk.uploaded()) == (MappingStatus.ACTIVE, [20])
    bulk.small.deliver()
    bulk.assert_equal()


def test_two_records_of_one_external_id_in_a_job_are_not_told_apart_by_its_results(
    bulk: BulkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.small.add(*range(20))
    value = Converter.external_value
    monkeypatch.setattr(Converter, "external_value", lambda self, key: value(self, "7" if key == "8" else key))
    bulk.carry(bulk.open())
    assert bulk.small.left() == ["7", "8"]
    bulk.small.deliver()
    assert (bulk.small.left(), len(bulk.small.remote())) == ([], 19)


def test_jobs_are_followed_to_their_end_after_they_were_switched_off(bulk: BulkProject) -> None:
    bulk.small.add(*range(20))
    bulk.destination.faults.hold_jobs()
    bulk.carry(bulk.open())
    bulk.kill(bulk.carriers[0])
    bulk.jobs.bulk_from = 0
    later = bulk.open()
    bulk.small.change("update people set first_name = 'Newer'", *range(20))
    bulk.carry(later)
    assert bulk.small.deliver() == 0, "a newer state was sent while the job may still write the older one"
    bulk.jobs.run_jobs()
    bulk.carry(later)
    bulk.small.deliver()
    assert bulk.uploaded() == [20]
    bulk.assert_equal()
