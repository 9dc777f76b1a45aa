"""Jobs that are held, aborted, that fail half-way or run into limits: what was done and what was not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api, BulkApi

ROWS = "".join(f"k{at:04},n{at}\n" for at in range(2500))
DATA = "External_Key__c,LastName\n" + ROWS


def keys(rows: list[dict[str, Any]]) -> set[str]:
    return {each["External_Key__c"] for each in rows}


def check_accounts(api: Api, job: dict[str, Any], done: int) -> None:
    """The records of a job that did not end well: those done are there, the others are handed back."""
    succeeded = api.results(job["id"], "successfulResults")
    rest = api.results(job["id"], "unprocessedrecords")
    assert (job["numberRecordsProcessed"], len(succeeded), len(rest)) == (done, done, 2500 - done)
    assert keys(succeeded) == keys(api.rows("SELECT External_Key__c FROM Contact"))
    assert keys(succeeded) | keys(rest) == {f"k{at:04}" for at in range(2500)}


def test_a_job_can_be_held_before_it_starts(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.hold_jobs("UploadComplete")
    job = bulk.run(DATA)
    assert (job["state"], job["numberRecordsProcessed"]) == ("UploadComplete", 0)
    sandbox.control.release_jobs()
    assert bulk.finish(job["id"])["state"] == "JobComplete"


def test_a_job_can_be_held_in_progress(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.hold_jobs("InProgress", rows=1234)
    job = bulk.run(DATA)
    assert (job["state"], job["numberRecordsProcessed"]) == ("InProgress", 1234)
    assert len(api.rows("SELECT Id FROM Contact")) == 1234
    response = api.get(f"/jobs/ingest/{job['id']}/successfulResults")
    assert response.json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert api.delete(f"/jobs/ingest/{job['id']}").status_code == 400
    sandbox.control.release_jobs()
    job = bulk.finish(job["id"])
    assert (job["state"], job["numberRecordsProcessed"]) == ("JobComplete", 2500)


def test_an_aborted_job_keeps_what_it_did_and_hands_back_the_rest(
    api: Api, bulk: BulkApi, sandbox: SandboxServer
) -> None:
    sandbox.control.hold_jobs("InProgress", rows=1500)
    job = bulk.run(DATA)
    assert api.patch(f"/jobs/ingest/{job['id']}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    sandbox.control.release_jobs()
    job = bulk.finish(job["id"])
    assert job["state"] == "Aborted"
    check_accounts(api, job, 1500)


def test_a_job_aborted_while_it_waits_does_nothing(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.hold_jobs("UploadComplete")
    job = bulk.run(DATA)
    api.patch(f"/jobs/ingest/{job['id']}", json={"state": "Aborted"})
    sandbox.control.release_jobs()
    check_accounts(api, bulk.finish(job["id"]), 0)


def test_a_job_may_fail_half_way(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.faults.add("job_failed", object="Contact", rows=1700, times=1)
    job = bulk.run(DATA)
    assert job["state"] == "Failed"
    assert job["errorMessage"] == "TooManyLockFailure : Too many lock failures while saving records"
    check_accounts(api, job, 1700)
    assert bulk.run("LastName\na\n")["state"] == "JobComplete"


def test_the_text_of_a_failure_can_be_given(bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.faults.add("job_failed", code="InternalServerError", message="Retried more than 20 times")
    assert bulk.run(DATA)["errorMessage"] == "InternalServerError : Retried more than 20 times"


def test_rows_of_a_job_meet_row_faults(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.faults.add("rows", object="Contact", every=1000)
    sandbox.faults.add("rows", object="Account")
    sandbox.faults.add("rows", field="LastName", value="n7", code="APEX_ERROR", message="No.", route="bulk_job")
    errors = bulk.errors(DATA)
    lock = "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records:--"
    assert errors == ["APEX_ERROR:No.:--", lock, lock]
    ids = [each["Id"] for each in api.rows("SELECT Id FROM Contact LIMIT 4")]
    sandbox.faults.clear()
    sandbox.faults.add("rows", every=2)
    assert bulk.errors("Id\n" + "\n".join(ids), operation="delete") == [lock, lock]


def test_a_slow_job_can_be_aborted(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.faults.add("latency", route="bulk_job", seconds=3600)
    job = api.open_job("Contact", "insert")
    api.fill_job(job, DATA)
    api.patch(f"/jobs/ingest/{job}", json={"state": "Aborted"})
    check_accounts(api, bulk.finish(job), 0)


def test_a_dropped_answer_to_an_upload_leaves_the_data_there(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    job = api.open_job("Contact", "insert")
    sandbox.faults.add("unavailable", route="bulk_upload", times=1)
    sandbox.faults.add("drop_after", object="Contact", route="bulk_upload", times=1)
    assert api.put(f"/jobs/ingest/{job}/batches", content="LastName\na\n").status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        api.put(f"/jobs/ingest/{job}/batches", content="LastName\na\n")
    assert api.put(f"/jobs/ingest/{job}/batches", content="LastName\na\n").json()[0]["errorCode"] == "BULK_API_ERROR"
    api.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert bulk.finish(job)["numberRecordsProcessed"] == 1


def test_a_create_meets_the_faults_of_its_object(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("server_error", object="Contact")
    body = {"object": "Contact", "operation": "insert"}
    assert api.post("/jobs/ingest", json=body).status_code == 500
    assert api.post("/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Contact"}).status_code == 500
    assert api.post("/jobs/ingest", json=body | {"object": "Account"}).status_code == 200


def test_the_days_batches_and_query_jobs_come_to_an_end(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.set_bulk_usage(max_batches=1, max_query_jobs=1)
    bulk.run("LastName\na\n")
    bulk.query("SELECT Id FROM Contact")
    limits = api.get("/limits").json()
    assert limits["DailyBulkApiBatches"] == limits["DailyBulkV2QueryJobs"] == {"Max": 1, "Remaining": 0}
    response = api.post("/jobs/ingest", json={"object": "Contact", "operation": "insert"})
    assert response.json() == [{"message": "ApiBatchItems Limit exceeded.", "errorCode": "EXCEEDEDQUOTA"}]
    response = api.post("/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Contact"})
    assert response.json() == [
        {"message": "Max bulk v2 query jobs (1) per 24 hrs has been reached (1)", "errorCode": "LIMIT_EXCEEDED"}
    ]
    sandbox.control.reset()
    assert api.get("/limits").json()["DailyBulkApiBatches"]["Remaining"] == 15000


def test_the_days_records_come_to_an_end_within_a_job(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.set_bulk_usage(max_rows=1100)
    job = bulk.run(DATA)
    assert job["state"] == "Failed"
    assert job["errorMessage"].startswith("ExceededQuota : ")
    check_accounts(api, job, 1100)


def test_a_field_that_goes_while_a_job_runs_fails_the_rest(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.hold_jobs("InProgress", rows=1000)
    job = bulk.run(DATA)
    sandbox.control.remove_field("Contact", "External_Key__c")
    sandbox.control.release_jobs()
    job = bulk.finish(job["id"])
    assert (job["state"], job["numberRecordsProcessed"]) == ("Failed", 1000)
    assert job["errorMessage"] == "InvalidBatch : Field name not found : External_Key__c"


def test_a_reset_forgets_jobs_even_in_progress(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.hold_jobs("InProgress", rows=10)
    job = bulk.run(DATA)
    sandbox.control.reset()
    sandbox.control.finish_jobs()
    assert api.get(f"/jobs/ingest/{job['id']}").status_code == 404
    assert sandbox.control.records("Contact") == []
    assert sandbox.control.jobs() == []
    assert bulk.run("LastName\na\n")["state"] == "JobComplete"


def test_a_server_that_ends_takes_its_jobs_and_files_with_it() -> None:
    with SandboxServer() as server:
        headers = {"Authorization": f"Bearer {server.credentials.token}"}
        with Api(base_url=f"{server.url}/services/data/v59.0", headers=headers) as api:
            server.control.hold_jobs("InProgress", rows=5)
            job = api.open_job("Contact", "insert")
            api.fill_job(job, DATA)
        server.control.finish_jobs()
        folder = server.sandbox.bulk.jobs.folder()
        assert (folder / job / "data.csv").exists()
    assert not folder.exists()


def test_jobs_are_held_seen_and_let_go_over_http(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    url = f"{sandbox.url}/sandbox"
    assert httpx.put(f"{url}/jobs", json={"state": "InProgress", "rows": 100}).status_code == 200
    job = bulk.run(DATA)
    [shown] = httpx.get(f"{url}/jobs").json()
    assert (shown["id"], shown["state"], shown["numberRecordsProcessed"]) == (job["id"], "InProgress", 100)
    assert httpx.delete(f"{url}/jobs").status_code == 200
    assert bulk.finish(job["id"])["state"] == "JobComplete"
    assert httpx.put(f"{url}/bulk-usage", json={"max_rows": 5}).status_code == 200
    assert bulk.run("LastName\na\n")["state"] == "Failed"
    for path, body in (("jobs", {"state": "Open"}), ("bulk-usage", {"lines": 1})):
        assert httpx.put(f"{url}/{path}", json=body).json()[0]["errorCode"] == "INVALID_CONTROL"


def test_waiting_for_jobs_has_an_end(api: Api, sandbox: SandboxServer) -> None:
    sandbox.faults.add("latency", route="bulk_job", seconds=3600)
    api.fill_job(api.open_job("Contact", "insert"), DATA)
    with pytest.raises(TimeoutError, match="not done after 0 s"):
        sandbox.control.finish_jobs(0)
