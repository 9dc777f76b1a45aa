"""What bulk jobs of every destination promise (`BulkLoading` in `destinations/base.py`), as a suite to subclass.

A subclass gives a `bulk` fixture: a remote as for the contract of destinations, and the ways to hold its jobs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from syncbridge.destinations.base import (
    BulkJob,
    BulkLoading,
    BulkResult,
    BulkState,
    BulkUpload,
    Rejected,
)
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError
from syncbridge.model import Fields
from tests.contract.destination import Remote, delivered, rejected


@dataclass(kw_only=True)
class BulkRemote(Remote):
    """A remote system with bulk jobs."""

    @abstractmethod
    def hold_jobs(self) -> None:
        """Let jobs wait that are uploaded from now on."""

    @abstractmethod
    def run_jobs(self) -> None:
        """Hold jobs no longer, and let all that were uploaded end."""

    @abstractmethod
    def fail_job(self, after: int) -> None:
        """Let the next job end after so many records, for a reason that has nothing to do with them."""

    @abstractmethod
    def lose_job(self, job: BulkJob) -> None:
        """Let the remote system forget a job."""

    @abstractmethod
    def lose_upload(self) -> None:
        """Lose the answer of the next upload, or the end of it, after it arrived."""

    @abstractmethod
    def go_on_elsewhere(self) -> BulkLoading:
        """The jobs as another process sees them."""

    @property
    def jobs(self) -> BulkLoading:
        assert self.destination.bulk is not None
        return self.destination.bulk

    def begin(self) -> BulkJob:
        return self.jobs.begin(self.object, "upsert", self.key)

    def upload(self, job: BulkJob, records: Iterable[Fields | str]) -> BulkUpload:
        columns = [] if job.operation == "delete" else [self.key, self.required, self.text, self.number, self.moment]
        return self.jobs.upload(job, columns, records)

    def load(self, *records: Fields) -> dict[object, BulkResult]:
        """Upsert by a job and wait for its results, by key."""
        job = self.begin()
        assert self.upload(job, records) == (len(records), ())
        return self.results(job)

    def results(self, job: BulkJob, jobs: BulkLoading | None = None) -> dict[object, BulkResult]:
        """All results of a job that has been uploaded; no key comes twice."""
        jobs = jobs or self.jobs
        self.run_jobs()
        progress = jobs.progress(job)
        assert progress.state is BulkState.DONE
        results = list(jobs.results(job, progress))
        by_key: dict[object, BulkResult] = {result.key: result for result in results}
        assert len(by_key) == len(results)
        return by_key


class BulkContract:
    """Subclass this and give a `bulk` fixture."""

    def test_a_job_creates_and_the_same_again_changes_nothing(self, bulk: BulkRemote) -> None:
        records = [bulk.record(f"k{number}", f"Ada {number}") for number in range(30)]
        first, second = bulk.load(*records), bulk.load(*records)
        assert set(first) == set(second) == {f"k{number}" for number in range(30)}
        for key, result in first.items():
            assert (delivered(result.result).created, delivered(second[key].result).created) == (True, False)
            assert delivered(second[key].result).remote_id == delivered(result.result).remote_id
        assert bulk.read([delivered(first["k7"].result).remote_id], bulk.text) == [{bulk.text: "Ada 7"}]

    def test_results_hold_what_was_sent_and_nothing_else(self, bulk: BulkRemote) -> None:
        full = {**bulk.record("k1", "Grace"), **bulk.normal({bulk.number: 12.5, bulk.moment: None})}
        results = bulk.load(full, bulk.record("k2"))
        assert results["k1"].sent == {name: value for name, value in full.items() if name != bulk.key}
        assert results["k2"].sent == {bulk.required: "Lovelace", bulk.text: "Ada"}

    def test_null_clears_a_field_and_a_missing_one_stays(self, bulk: BulkRemote) -> None:
        (remote_id,) = bulk.create("k1")
        results = bulk.load({bulk.key: "k1", bulk.required: "Byron", bulk.text: None})
        assert results["k1"].sent == {bulk.required: "Byron", bulk.text: None}
        bulk.load({bulk.key: "k1", bulk.number: 3.25})
        assert bulk.read([remote_id], bulk.required, bulk.text, bulk.number) == [
            {bulk.required: "Byron", bulk.text: None, bulk.number: 3.25}
        ]

    def test_a_refused_record_does_not_fail_its_neighbours(self, bulk: BulkRemote) -> None:
        bulk.refuse("k2")
        results = bulk.load(*(bulk.record(key) for key in ("k1", "k2", "k3")))
        assert rejected(results["k2"].result).code
        assert results["k2"].sent == {bulk.required: "Lovelace", bulk.text: "Ada"}
        assert delivered(results["k1"].result).remote_id != delivered(results["k3"].result).remote_id

    @pytest.mark.parametrize(
        "text",
        ["Łódź", "東京", "👩🏽‍🚀", "O'Hara", 'say "hi"', '"', "a,b", "a\\b", "a\nb", "#N/A!", "null", "0012", "x;y"],
    )
    def test_text_arrives_and_comes_back_as_it_is(self, bulk: BulkRemote, text: str) -> None:
        results = bulk.load(bulk.record("k1", text))
        assert results["k1"].sent[bulk.text] == text
        assert bulk.read([delivered(results["k1"].result).remote_id], bulk.text) == [{bulk.text: text}]

    def test_deletes_succeed_also_for_what_is_gone(self, bulk: BulkRemote) -> None:
        one, two, three = bulk.create("k1", "k2", "k3")
        bulk.destination.delete(bulk.object, [two])
        job = bulk.jobs.begin(bulk.object, "delete")
        assert bulk.upload(job, [one, two]) == (2, ())
        results = bulk.results(job)
        assert {key: delivered(result.result).remote_id for key, result in results.items()} == {one: one, two: two}
        assert bulk.read([one, two, three], bulk.key) == [None, None, {bulk.key: "k3"}]

    # -- life of a job --------------------------------------------------------------------------------------------

    def test_a_job_is_open_then_running_then_done(self, bulk: BulkRemote) -> None:
        bulk.hold_jobs()
        job = bulk.begin()
        states = [bulk.jobs.progress(job).state]
        bulk.upload(job, [bulk.record("k1")])
        states.append(bulk.jobs.progress(job).state)
        bulk.run_jobs()
        progress = bulk.jobs.progress(job)
        assert [*states, progress.state] == [BulkState.OPEN, BulkState.RUNNING, BulkState.DONE]
        assert (progress.processed, progress.failed, progress.failure) == (1, 0, None)

    def test_another_process_goes_on_with_a_job_by_its_parts(self, bulk: BulkRemote) -> None:
        bulk.hold_jobs()
        job = bulk.begin()
        bulk.upload(job, [bulk.record("k1", "Grace")])
        parts = BulkJob(id=job.id, object=job.object, operation=job.operation, key_field=job.key_field)
        result = bulk.results(parts, bulk.go_on_elsewhere())["k1"]
        assert delivered(result.result).created
        assert result.sent[bulk.text] == "Grace"

    def test_what_a_failed_job_did_not_come_to_is_told_with_the_reason(self, bulk: BulkRemote) -> None:
        bulk.fail_job(after=2)
        job = bulk.begin()
        bulk.upload(job, [bulk.record(f"k{number}") for number in range(5)])
        bulk.run_jobs()
        progress = bulk.jobs.progress(job)
        assert progress.failure is not None
        assert (progress.state, progress.processed) == (BulkState.DONE, 2)
        results = bulk.results(job)
        left = [result.result for result in results.values() if isinstance(result.result, Rejected)]
        assert len(results) == 5
        assert left == [progress.failure] * 3
        assert progress.failure.remedy in (Remedy.RETRY, Remedy.RETRY_SMALLER, Remedy.WAIT)

    def test_results_can_be_asked_for_again(self, bulk: BulkRemote) -> None:
        job = bulk.begin()
        bulk.upload(job, [bulk.record(f"k{number}") for number in range(5)])
        bulk.run_jobs()
        progress = bulk.jobs.progress(job)
        next(bulk.jobs.results(job, progress))  # broken off
        assert len(bulk.results(job)) == 5

    def test_an_aborted_job_does_nothing_more_and_aborting_again_is_nothing(self, bulk: BulkRemote) -> None:
        bulk.hold_jobs()
        unsent, sent = bulk.begin(), bulk.begin()
        bulk.upload(sent, [bulk.record("k1")])
        for job in (unsent, sent, unsent, sent):
            bulk.jobs.abort(job)
            assert bulk.jobs.progress(job).state is BulkState.DONE
        assert rejected(bulk.results(sent)["k1"].result).remedy is Remedy.RETRY_SMALLER
        assert bulk.results(unsent) == {}
        assert bulk.destination.find(bulk.object, bulk.key, ["k1"]) == {}

    def test_a_job_that_is_not_known_is_lost_and_can_be_aborted(self, bulk: BulkRemote) -> None:
        job = bulk.begin()
        bulk.upload(job, [bulk.record("k1")])
        bulk.run_jobs()
        bulk.lose_job(job)
        assert bulk.jobs.progress(job).state is BulkState.LOST
        bulk.jobs.abort(job)

    # -- whole calls ----------------------------------------------------------------------------------------------

    def test_a_lost_answer_to_an_upload_leaves_a_job_that_says_what_became_of_it(self, bulk: BulkRemote) -> None:
        job = bulk.begin()
        bulk.lose_upload()
        with pytest.raises(RetryLater) as lost:
            bulk.upload(job, [bulk.record("k1")])
        assert lost.value.uncertain
        bulk.recover()
        bulk.run_jobs()
        progress = bulk.jobs.progress(job)
        if progress.state is BulkState.OPEN:
            bulk.jobs.abort(job)
            assert bulk.destination.find(bulk.object, bulk.key, ["k1"]) == {}
        else:
            assert delivered(bulk.results(job)["k1"].result).created

    def test_records_that_cannot_be_composed_leave_the_job_open_and_nothing_sent(self, bulk: BulkRemote) -> None:
        def broken() -> Iterator[Fields]:
            yield bulk.record("k1")
            raise RetryLater("the database went away")

        job = bulk.begin()
        with pytest.raises(RetryLater):
            bulk.upload(job, broken())
        assert bulk.jobs.progress(job).state is BulkState.OPEN
        assert bulk.destination.find(bulk.object, bulk.key, ["k1"]) == {}

    def test_a_job_takes_no_more_records_than_it_can_hold(self, bulk: BulkRemote) -> None:
        bulk.jobs.most_records = 3
        records = iter([bulk.record(f"k{number}") for number in range(5)])
        job = bulk.begin()
        assert bulk.upload(job, records).taken == 3
        assert len(list(records)) == 2
        assert len(bulk.results(job)) == 3

    def test_a_destination_that_is_down_is_retried_later_and_then_works(self, bulk: BulkRemote) -> None:
        job = bulk.begin()
        bulk.go_down()
        for ask in (bulk.begin, lambda: bulk.upload(job, [bulk.record("k1")]), lambda: bulk.jobs.progress(job)):
            with pytest.raises(RetryLater):
                ask()
        bulk.recover()
        assert bulk.load(bulk.record("k1"))["k1"].sent

    def test_an_unknown_object_is_an_error_by_remedy(self, bulk: BulkRemote) -> None:
        with pytest.raises(SyncbridgeError):
            bulk.jobs.begin(bulk.object + "x", "upsert", bulk.key)
