"""Bulk jobs of Salesforce: their calls, and what its refusals and breaks mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from syncbridge.destinations.base import (
    BulkJob,
    BulkProgress,
    BulkRefused,
    BulkResult,
    BulkState,
    Delivered,
    Rejected,
)
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.bulk.jobs import SalesforceBulk
from syncbridge.errors import LoginRefused, QuotaExhausted, Remedy, RetryLater, SchemaDrift
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.bulk import ingest_calls
from syncbridge.sandbox.salesforce.bulk.results import result_chunks
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.contract.destination import delivered, rejected
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for

KEY = "External_Key__c"
COLUMNS = (KEY, "LastName", "FirstName", "AccountId")


def people(count: int, **fields: str) -> list[Fields]:
    return [{KEY: f"k{number}", "LastName": "Lovelace", **fields} for number in range(count)]


class Loader:
    """Uploads and reads back on one destination."""

    def __init__(self, destination: SalesforceDestination, server: SandboxServer) -> None:
        assert isinstance(destination.bulk, SalesforceBulk)
        self.bulk = destination.bulk
        self.server = server

    def upload(self, records: Iterable[Fields]) -> BulkJob:
        job = self.bulk.begin("Contact", "upsert", KEY)
        self.bulk.upload(job, COLUMNS, records)
        return job

    def ended(self, job: BulkJob) -> BulkProgress:
        self.server.control.finish_jobs()
        progress = self.bulk.progress(job)
        assert progress.state is BulkState.DONE
        return progress

    def load(self, records: Iterable[Fields]) -> dict[str, BulkResult]:
        job = self.upload(records)
        return {str(result.key): result for result in self.bulk.results(job, self.ended(job))}


@pytest.fixture
def loader(destination: SalesforceDestination, server: SandboxServer) -> Iterator[Loader]:
    destination.describe("Contact")
    yield Loader(destination, server)
    server.control.release_jobs()


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_job_that_goes_well_is_five_calls_however_many_records(loader: Loader) -> None:
    before = loader.server.control.calls()
    assert len(loader.load(people(1500))) == 1500
    assert loader.server.control.calls() - before == 5
    with_refusals = loader.server.control.calls()
    loader.server.faults.add("rows", field=KEY, value="k7", code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="No.")
    assert len(loader.load(people(10))) == 10
    assert loader.server.control.calls() - with_refusals == 6
    only_refusals = loader.server.control.calls()
    loader.server.faults.add("rows", code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="No.")
    assert len(loader.load(people(10))) == 10
    assert loader.server.control.calls() - only_refusals == 5


def test_calls_are_counted_by_mapping_and_kind(loader: Loader, destination: SalesforceDestination) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY, lane="people")
    loader.bulk.upload(job, COLUMNS, people(3))
    list(loader.bulk.results(job, loader.ended(job)))
    made = {kind: count for (lane, kind), count in destination.calls_made().items() if lane == "people"}
    assert made == {f"bulk {kind}": 1 for kind in ("create", "upload", "close", "poll", "results")}


def test_a_session_that_ends_before_the_upload_is_renewed_and_the_whole_file_sent(loader: Loader) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY)
    loader.server.control.expire_tokens()
    loader.bulk.upload(job, COLUMNS, people(50))
    assert loader.ended(job).processed == 50


def test_a_busy_org_is_asked_again_with_the_whole_file(loader: Loader, fake_time: FakeTime) -> None:
    loader.server.faults.add("unavailable", route="bulk_upload", times=2)
    assert len(loader.load(people(50))) == 50
    assert len(fake_time.slept) == 2


def test_an_upload_whose_answer_is_lost_is_not_sent_again(loader: Loader) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY)
    loader.server.faults.add("drop_after", route="bulk_upload", times=1)
    with pytest.raises(RetryLater) as lost:
        loader.bulk.upload(job, COLUMNS, people(3))
    assert lost.value.uncertain
    assert loader.server.control.calls("bulk_upload") == 1
    assert loader.bulk.progress(job).state is BulkState.OPEN


def test_a_late_answer_to_an_upload_is_waited_for(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: dict[str, float] = {}
    send = HTTPAdapter.send

    def record(self: HTTPAdapter, request: PreparedRequest, *arguments: Any) -> Response:
        waited[str(request.method)] = arguments[1][1]
        return send(self, request, *arguments)

    monkeypatch.setattr(HTTPAdapter, "send", record)
    loader.upload(people(1))
    assert waited == {"POST": 20.0, "PUT": 600.0, "PATCH": 20.0}


def test_a_spent_allowance_stops_jobs_too(loader: Loader) -> None:
    loader.server.faults.add("daily_limit", times=1)
    with pytest.raises(QuotaExhausted):
        loader.upload(people(3))
    assert loader.server.control.jobs() == []


def test_a_refused_login_is_a_refused_login(loader: Loader, destination: SalesforceDestination) -> None:
    known = loader.server.sandbox.sessions.credentials
    try:
        loader.server.control.expire_tokens()
        loader.server.sandbox.sessions.credentials = replace(known, client_secret="another")
        with pytest.raises(LoginRefused):
            loader.upload(people(1))
    finally:
        loader.server.sandbox.sessions.credentials = known


# -- what a job cannot do ---------------------------------------------------------------------------------------------


def test_unfit_records_are_left_out_and_the_others_sent(loader: Loader) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY)
    records: list[Fields] = [*people(2), {KEY: "k9", "LastName": "#N/A"}]
    assert loader.bulk.upload(job, COLUMNS, records) == (3, (2,))
    assert {str(result.key) for result in loader.bulk.results(job, loader.ended(job))} == {"k0", "k1"}


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        ("INVALIDENTITY", "Entity 'Contact' is not supported by the Bulk API.", 400),
        ("FEATURENOTENABLED", "Bulk API is not enabled for this user.", 403),
        ("NOT_FOUND", "The requested resource does not exist", 404),
    ],
)
def test_an_object_or_org_without_jobs_is_left_to_calls(
    loader: Loader, code: str, message: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Refusal(code, message, status=status)

    monkeypatch.setattr(ingest_calls, "_add", refuse)
    with pytest.raises(BulkRefused) as refused:
        loader.upload(people(1))
    assert refused.value.code == code
    assert refused.value.delay == 3600


def test_when_the_jobs_of_the_day_are_used_up_calls_have_to_do(loader: Loader) -> None:
    loader.server.control.set_bulk_usage(batches=15_000)
    with pytest.raises(BulkRefused) as refused:
        loader.upload(people(1))
    assert "Limit exceeded" in refused.value.message


def test_a_job_that_takes_no_records_is_left_to_calls(loader: Loader) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY)
    loader.bulk.abort(job)  # as somebody may in Salesforce's setup
    with pytest.raises(BulkRefused) as refused:
        loader.bulk.upload(job, COLUMNS, people(1))
    assert refused.value.code == "INVALIDJOBSTATE"
    assert list(loader.bulk.results(job, loader.bulk.progress(job))) == []


def test_a_job_that_was_deleted_is_no_change_of_the_schema(loader: Loader) -> None:
    kept, gone = loader.upload(people(3)), loader.bulk.begin("Contact", "upsert", KEY)
    progress = loader.ended(kept)
    loader.server.sandbox.bulk.jobs.clear()
    with pytest.raises(RetryLater):
        loader.bulk.upload(gone, COLUMNS, people(1))
    with pytest.raises(RetryLater):
        list(loader.bulk.results(kept, progress))
    assert {loader.bulk.progress(job).state for job in (kept, gone)} == {BulkState.LOST}
    loader.bulk.abort(gone)


def test_an_object_or_key_that_does_not_exist_is_a_drift(loader: Loader) -> None:
    for object, key in (("Contakt", KEY), ("Contact", "Nothing__c")):
        with pytest.raises(SchemaDrift):
            loader.bulk.begin(object, "upsert", key)


def test_assignment_rules_are_left_to_calls_where_there_are_any(server: SandboxServer, fake_time: FakeTime) -> None:
    destination = open_for(server, fake_time, assignment_rules=True)
    assert destination.bulk is not None
    with pytest.raises(BulkRefused):
        destination.bulk.begin("Lead", "upsert", KEY)
    assert destination.bulk.begin("Contact", "upsert", KEY).id
    destination.close()


def test_jobs_can_be_followed_when_the_settings_say_that_none_is_to_be_begun(
    server: SandboxServer, fake_time: FakeTime, loader: Loader
) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY)
    never = open_for(server, fake_time, bulk_from=0)
    assert never.bulk is not None
    assert (never.bulk.bulk_from, never.bulk.progress(job).state) == (0, BulkState.OPEN)
    never.close()


# -- what became of records -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", Remedy.RETRY_SMALLER),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Say: why?", Remedy.RECORD),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: System.LimitException: Too many SOQL", Remedy.RETRY_SMALLER),
    ],
)
def test_a_refused_record_has_the_remedy_of_its_code(loader: Loader, code: str, message: str, remedy: Remedy) -> None:
    loader.server.faults.add("rows", field=KEY, value="k1", code=code, message=message, fields=["LastName", "Name"])
    results = loader.load(people(3))
    refused = rejected(results["k1"].result)
    assert (refused.code, refused.remedy, refused.fields) == (code, remedy, ("LastName", "Name"))
    assert refused.message == message
    assert results["k1"].sent == {"LastName": "Lovelace"}
    assert delivered(results["k0"].result).remote_id != delivered(results["k2"].result).remote_id


def test_a_refused_value_is_shown_nowhere(loader: Loader) -> None:
    job = loader.bulk.begin("Contact", "upsert", KEY)
    loader.bulk.upload(job, (KEY, "LastName", "FirstName"), [{KEY: "k1", "LastName": "x", "FirstName": "Ada" * 100}])
    (result,) = loader.bulk.results(job, loader.ended(job))
    refused = rejected(result.result)
    assert refused.remedy is Remedy.RECORD
    assert "AdaAda" not in refused.message


def test_alerts_are_saved_in_spite_of_by_calls(server: SandboxServer, fake_time: FakeTime) -> None:
    server.faults.add("rows", every=1, code="DUPLICATES_DETECTED", message="Use one of these records?")
    for rules, remedy in (("obey", Remedy.RECORD), ("allow_save", Remedy.RETRY_SMALLER)):
        destination = open_for(server, fake_time, duplicate_rules=rules)
        assert rejected(Loader(destination, server).load(people(1))["k0"].result).remedy is remedy
        destination.close()


def test_a_lookup_that_leads_nowhere_waits_for_its_parent(loader: Loader) -> None:
    results = loader.load([{KEY: "k1", "LastName": "x", "AccountId": "001000000000000AAA"}])
    assert rejected(results["k1"].result).remedy is Remedy.AFTER_PARENT


def test_deletes_by_job_say_what_was_not_deleted(loader: Loader, destination: SalesforceDestination) -> None:
    results = destination.upsert("Contact", KEY, people(3))
    one, two, three = (delivered(result).remote_id for result in results)
    destination.delete("Contact", [two])
    loader.server.faults.add("rows", route="bulk_job", field="Id", value=three, code="DELETE_FAILED", message="No.")
    job = loader.bulk.begin("Contact", "delete")
    loader.bulk.upload(job, (), [one, two, three])
    found = {result.key: result.result for result in loader.bulk.results(job, loader.ended(job))}
    assert found[one] == Delivered(one)
    assert found[two] == Delivered(two)
    assert rejected(found[three]).remedy is Remedy.AFTER_PARENT


# -- jobs that fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("TooManyLockFailure", "Too many lock failures while saving records", Remedy.RETRY_SMALLER),
        ("InvalidBatch", "Failed to parse CSV. Found unescaped quote.", Remedy.RETRY_SMALLER),
        ("ClientInputError", "LineEnding is invalid on user data.", Remedy.RETRY_SMALLER),
        ("ExceededQuota", "ApiBatchItems Limit exceeded.", Remedy.WAIT),
        ("InvalidBatch", "Unable to find object: Contact", Remedy.SCHEMA),
        ("InternalServerError", "Job failed to complete", Remedy.RETRY_SMALLER),
    ],
)
def test_a_job_that_fails_says_what_its_records_need(loader: Loader, code: str, message: str, remedy: Remedy) -> None:
    loader.server.faults.add("job_failed", code=code, message=message, rows=2, times=1)
    job = loader.upload(people(5))
    progress = loader.ended(job)
    assert progress.failure == Rejected(code, message, remedy)
    results = [result.result for result in loader.bulk.results(job, progress)]
    assert results.count(progress.failure) == 3
    assert sum(isinstance(result, Delivered) for result in results) == 2


def test_a_field_that_is_gone_when_the_job_runs_is_a_drift_that_names_it(
    loader: Loader, destination: SalesforceDestination
) -> None:
    loader.server.control.put_field("Contact", "Passing__c", "string(20)")
    assert "Passing__c" in destination.describe("Contact", refresh=True).fields
    loader.server.control.remove_field("Contact", "Passing__c")
    job = loader.bulk.begin("Contact", "upsert", KEY)
    loader.bulk.upload(job, (KEY, "LastName", "Passing__c"), [{**people(1)[0], "Passing__c": "x"}])
    progress = loader.ended(job)
    assert progress.failure is not None
    assert (progress.failure.remedy, progress.failure.fields) == (Remedy.SCHEMA, ("Passing__c",))
    assert "Passing__c" not in destination.describe("Contact").fields
    (result,) = loader.bulk.results(job, progress)
    assert (result.key, result.result, result.sent["Passing__c"]) == ("k0", progress.failure, "x")


def test_a_job_that_is_aborted_in_the_middle_keeps_what_it_did(loader: Loader) -> None:
    loader.server.control.hold_jobs("InProgress", rows=2)
    job = loader.upload(people(5))
    loader.server.control.finish_jobs()
    assert loader.bulk.progress(job).state is BulkState.RUNNING
    loader.bulk.abort(job)
    progress = loader.ended(job)
    results = [result.result for result in loader.bulk.results(job, progress)]
    assert sum(isinstance(result, Delivered) for result in results) == 2
    assert results.count(progress.failure) == 3  # type: ignore[arg-type]


# -- results over a bad line ------------------------------------------------------------------------------------------


def test_results_that_break_off_are_asked_for_again(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    job = loader.upload(people(2000))
    progress = loader.ended(job)
    with monkeypatch.context() as patch:
        patch.setattr(ingest_calls, "result_chunks", _broken_off)
        with pytest.raises(RetryLater):
            list(loader.bulk.results(job, progress))
    assert len(list(loader.bulk.results(job, progress))) == 2000


def _broken_off(job: Any, kind: str) -> Iterator[bytes]:
    whole = b"".join(result_chunks(job, kind))
    yield whole[: len(whole) // 2]
    raise ConnectionError("the server went away")


def test_reading_only_some_results_leaves_no_connection_open(
    loader: Loader, destination: SalesforceDestination
) -> None:
    job = loader.upload(people(2000))
    progress = loader.ended(job)
    results = loader.bulk.results(job, progress)
    next(results)
    results.close()  # type: ignore[attr-defined]
    destination.close()  # warnings of what was left open are errors
