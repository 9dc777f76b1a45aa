"""Ingest jobs: create, upload, close, poll, results, abort, delete, list; and what is refused on the way."""

from __future__ import annotations

import gzip
import socket
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.bulk import listing
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api, BulkApi

MULTIPART = (
    '--B\nContent-Type: application/json\nContent-Disposition: form-data; name="job"\n\n'
    '{{"object":"Contact","contentType":"CSV","operation":"insert","lineEnding":"LF"}}\n\n'
    '--B\nContent-Type: text/csv\nContent-Disposition: form-data; name="content"; filename="content"\n\n'
    "{data}\n--B--\n"
)


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()[0]["errorCode"]


def test_a_new_job_is_open_and_says_where_its_data_go(api: Api) -> None:
    body = {"object": "contact", "operation": "upsert", "externalIdFieldName": "external_key__c", "contentType": "CSV"}
    job = api.post("/jobs/ingest/", json=body).json()
    assert job["id"].startswith("750")
    assert job["contentUrl"] == f"services/data/v59.0/jobs/ingest/{job['id']}/batches"
    assert job["createdDate"] == job["systemModstamp"]
    assert {key: job[key] for key in job if key not in ("id", "contentUrl", "createdDate", "systemModstamp")} == {
        "operation": "upsert",
        "object": "Contact",
        "createdById": "0058K0000000001QAA",
        "state": "Open",
        "externalIdFieldName": "External_Key__c",
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": 59.0,
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }


def test_the_four_operations_do_to_records_what_they_say(api: Api, bulk: BulkApi) -> None:
    job = bulk.run("LastName,External_Key__c\na,1\nb,2\n")
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 2, 0)
    ids = {each["External_Key__c"]: each["sf__Id"] for each in api.results(job["id"], "successfulResults")}
    bulk.run(f"Id,LastName\n{ids['1']},a2\n", operation="update")
    job = bulk.run("External_Key__c,LastName\n2,b2\n3,c2\n", operation="upsert", externalIdFieldName="External_Key__c")
    created = {each["External_Key__c"]: each["sf__Created"] for each in api.results(job["id"], "successfulResults")}
    assert created == {"2": "false", "3": "true"}
    assert [each["LastName"] for each in api.rows("SELECT LastName FROM Contact ORDER BY LastName")] == [
        "a2",
        "b2",
        "c2",
    ]
    bulk.run(f"Id\n{ids['1'][:15]}\n{ids['2']}\n", operation="delete")
    assert api.rows("SELECT External_Key__c FROM Contact") == [{"External_Key__c": "3"}]


def test_an_upsert_by_id_updates_rows_with_an_id_and_creates_the_others(api: Api, bulk: BulkApi) -> None:
    record_id = api.create("Contact", LastName="a")
    data = f"Id,LastName\n{record_id},a2\n,b\n"
    job = bulk.run(data, operation="upsert", externalIdFieldName="Id")
    results = {each["LastName"]: each for each in api.results(job["id"], "successfulResults")}
    assert (results["a2"]["sf__Id"], results["a2"]["sf__Created"]) == (record_id, "false")
    assert results["b"]["sf__Created"] == "true"


def test_every_record_is_in_exactly_one_result_with_the_columns_it_came_with(api: Api, bulk: BulkApi) -> None:
    rows = [f"k{at},{'n' * (81 if at % 10 == 0 else 1)}" for at in range(2500)]
    job = bulk.run("External_Key__c,LastName\n" + "\n".join(rows))
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (2500, 250)
    succeeded = api.results(job["id"], "successfulResults")
    failed = api.results(job["id"], "failedResults")
    assert [each["sf__Error"] for each in failed[:1]] == [
        f"STRING_TOO_LONG:Last Name: data value too large: {'n' * 81} (max length=80):LastName --"
    ]
    assert {each["sf__Id"] for each in failed} == {""}
    assert sorted(f"{each['External_Key__c']},{each['LastName']}" for each in succeeded + failed) == sorted(rows)
    assert api.results(job["id"], "unprocessedrecords") == []


def test_results_do_not_come_in_the_order_of_the_data(api: Api, bulk: BulkApi) -> None:
    keys = [f"k{at:03}" for at in range(50)]
    job = bulk.run("External_Key__c,LastName\n" + "".join(f"{key},x\n" for key in keys))
    found = [each["External_Key__c"] for each in api.results(job["id"], "successfulResults")]
    assert found != keys
    assert sorted(found) == keys


def test_salesforces_own_columns_come_first_and_quoted(api: Api, bulk: BulkApi) -> None:
    job = bulk.run('LastName\n"says ""hi"", twice"\n')
    text = api.get(f"/jobs/ingest/{job['id']}/successfulResults").text
    [record] = api.rows("SELECT Id FROM Contact")
    assert text == f'"sf__Id","sf__Created",LastName\n"{record["Id"]}","true","says ""hi"", twice"\n'
    assert api.get(f"/jobs/ingest/{job['id']}/failedResults/").text == '"sf__Id","sf__Error",LastName\n'


@pytest.mark.parametrize(("version", "shown"), [("52.0", False), ("53.0", True)])
def test_a_failed_update_names_its_record_since_version_53(
    api: Api, sandbox: SandboxServer, version: str, shown: bool
) -> None:
    record_id = api.create("Contact", LastName="a")
    api.base_url = f"{sandbox.url}/services/data/v{version}"
    job = api.open_job("Contact", "update")
    api.fill_job(job, f"Id,LastName\n{record_id},#N/A\n")
    sandbox.control.finish_jobs()
    [failed] = api.results(job, "failedResults")
    assert failed["sf__Id"] == (record_id if shown else "")
    assert failed["sf__Error"] == "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --"


def test_a_create_may_bring_its_data_along(api: Api, bulk: BulkApi) -> None:
    for line_break in ("\n", "\r\n"):
        content = MULTIPART.format(data="LastName\na").replace("\n", line_break)
        job = api.post(
            "/jobs/ingest",
            content=content.replace("LastName\r\na", "LastName\na"),
            headers={"Content-Type": 'multipart/form-data; boundary="B"'},
        ).json()
        assert (job["state"], "contentUrl" in job) == ("UploadComplete", False)
        assert bulk.finish(job["id"])["numberRecordsProcessed"] == 1
    assert len(api.rows("SELECT Id FROM Contact")) == 2


def test_a_multipart_create_needs_both_parts_and_little_data(api: Api) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    for content in ("", "--B--", MULTIPART.format(data="LastName\n" + "x" * 100_000)):
        response = api.post("/jobs/ingest", content=content, headers=headers)
        assert refusal(response) == (400, "CLIENTINPUTERROR")
    assert api.get("/jobs/ingest").json()["records"] == []


def test_data_may_come_in_pieces_packed_or_not_at_all(api: Api, bulk: BulkApi) -> None:
    job = api.open_job("Contact", "insert")
    pieces = iter([b"LastName\n", b"a\n", b"b"])
    assert api.put(f"/jobs/ingest/{job}/batches", content=pieces).status_code == 201
    api.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert bulk.finish(job)["numberRecordsProcessed"] == 2
    job = api.open_job("Contact", "insert")
    packed = gzip.compress(b"LastName\nc\n")
    api.put(f"/jobs/ingest/{job}/batches", content=packed, headers={"Content-Encoding": "gzip"})
    api.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert bulk.finish(job)["numberRecordsProcessed"] == 1
    assert bulk.run("")["state"] == "JobComplete"
    empty = api.open_job("Contact", "insert")
    api.patch(f"/jobs/ingest/{empty}", json={"state": "UploadComplete"})
    assert bulk.finish(empty)["state"] == "JobComplete"
    assert api.get(f"/jobs/ingest/{empty}/successfulResults").text == '"sf__Id","sf__Created"\n'


def test_data_are_uploaded_once_and_only_while_the_job_is_open(api: Api, bulk: BulkApi) -> None:
    job = api.open_job("Contact", "insert")
    path = f"/jobs/ingest/{job}/batches"
    assert api.put(path, content="LastName\na\n").status_code == 201
    response = api.put(path, content="LastName\nb\n")
    assert refusal(response) == (400, "BULK_API_ERROR")
    assert response.json()[0]["message"].startswith(f"Found multipe contents for job: <{job[:15]}>, please 'Close'")
    api.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
    bulk.finish(job)
    assert refusal(api.put(path, content="LastName\nb\n")) == (400, "INVALIDJOBSTATE")
    assert [each["LastName"] for each in api.rows("SELECT LastName FROM Contact")] == ["a"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"operation": "insert"}, "INVALIDJOB", "Unable to find object: None"),
        ({"object": "Nope__c", "operation": "insert"}, "INVALIDJOB", "Unable to find object: Nope__c"),
        ({"object": "Contact", "operation": "merge"}, "INVALIDJOB", "Operation must be one of"),
        ({"object": "Contact", "operation": "hardDelete"}, "FEATURENOTENABLED", "hardDelete operation requires"),
        (
            {"object": "Contact", "operation": "upsert"},
            "INVALIDJOB",
            "External ID was blank for Contact. An External ID must be specified for upsert.",
        ),
        (
            {"object": "Contact", "operation": "upsert", "externalIdFieldName": "LastName"},
            "INVALIDJOB",
            "Field name provided, LastName does not match an External ID",
        ),
        ({"object": "Contact", "operation": "insert", "contentType": "JSON"}, "INVALIDJOB", "Content type must be CSV"),
        ({"object": "Contact", "operation": "insert", "lineEnding": "CR"}, "INVALIDJOB", "Line ending must be"),
        ({"object": "Contact", "operation": "insert", "columnDelimiter": ";"}, "INVALIDJOB", "Column delimiter must"),
    ],
)
def test_a_job_that_cannot_be_done_is_refused(api: Api, body: dict[str, str], code: str, message: str) -> None:
    response = api.post("/jobs/ingest", json=body)
    assert refusal(response) == (400, code)
    assert response.json()[0]["message"].startswith(message)


def test_jobs_that_are_not_there_are_not_found(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    job = api.open_job("Contact", "insert")
    for path in ("/jobs/ingest/7508K00000000zzQAA", "/jobs/ingest/nonsense", f"/jobs/query/{job}"):
        assert refusal(api.get(path)) == (404, "NOT_FOUND")
    assert refusal(api.get(f"/jobs/ingest/{job}/otherResults")) == (404, "NOT_FOUND")
    assert api.get(f"/jobs/ingest/{job[:15]}").json()["id"] == job
    old = sandbox.url + "/services/data/v40.0/jobs/ingest"
    assert refusal(api.post(old, json={"object": "Contact", "operation": "insert"})) == (404, "NOT_FOUND")


def test_a_job_ends_once(api: Api, bulk: BulkApi) -> None:
    job = bulk.run("LastName\na\n")["id"]
    response = api.patch(f"/jobs/ingest/{job}", json={"state": "Aborted"})
    assert response.json() == [
        {"message": "Aborting already Completed Job not allowed", "errorCode": "INVALIDJOBSTATE"}
    ]
    assert refusal(api.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})) == (400, "INVALIDJOBSTATE")
    job = api.open_job("Contact", "insert")
    assert refusal(api.patch(f"/jobs/ingest/{job}", json={"state": "JobComplete"})) == (400, "INVALIDJOBSTATE")
    assert refusal(api.get(f"/jobs/ingest/{job}/failedResults")) == (400, "INVALIDJOBSTATE")
    assert api.patch(f"/jobs/ingest/{job}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert refusal(api.patch(f"/jobs/ingest/{job}", json={"state": "Aborted"})) == (400, "INVALIDJOBSTATE")


def test_jobs_are_listed_and_deleted(api: Api, bulk: BulkApi) -> None:
    done = bulk.run("LastName\na\n")["id"]
    still_open = api.open_job("Account", "insert")
    page = api.get("/jobs/ingest").json()
    assert [(each["id"], each["state"]) for each in page["records"]] == [(done, "JobComplete"), (still_open, "Open")]
    assert (page["done"], page["nextRecordsUrl"]) == (True, None)
    assert api.get("/jobs/ingest?jobType=Classic").json()["records"] == []
    assert refusal(api.delete(f"/jobs/ingest/{still_open}")) == (400, "INVALIDJOBSTATE")
    assert api.delete(f"/jobs/ingest/{done}").status_code == 204
    assert api.get(f"/jobs/ingest/{done}").status_code == 404
    assert [each["LastName"] for each in api.rows("SELECT LastName FROM Contact")] == ["a"]


def test_a_long_list_of_jobs_comes_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listing.LISTED_AT_ONCE == 1_000
    monkeypatch.setattr(listing, "LISTED_AT_ONCE", 3)
    jobs = [api.open_job("Contact", "insert") for _ in range(4)]
    page = api.get("/jobs/ingest").json()
    assert ([each["id"] for each in page["records"]], page["done"]) == (jobs[:3], False)
    rest = api.get(page["nextRecordsUrl"].removeprefix("/services/data/v59.0")).json()
    assert ([each["id"] for each in rest["records"]], rest["done"]) == (jobs[3:], True)


def test_too_much_data_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncbridge.sandbox.salesforce.streams.LARGEST_ENCODED", 20)
    job = api.open_job("Contact", "insert")
    response = api.put(f"/jobs/ingest/{job}/batches", content="LastName\n" + "a\n" * 10)
    assert refusal(response) == (400, "CLIENTINPUTERROR")
    assert "Exceeded max size limit" in response.json()[0]["message"]
    assert api.put(f"/jobs/ingest/{job}/batches", content="LastName\na\n").status_code == 201


def test_an_upload_that_breaks_off_leaves_the_job_open(
    api: Api, bulk: BulkApi, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = api.open_job("Contact", "insert")
    path = f"/services/data/v59.0/jobs/ingest/{job}/batches"
    token = sandbox.credentials.token
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", httpx.URL(sandbox.url).port or 0)) as connection:
        connection.sendall(head.encode() + b"LastName\nhalf")
    api.fill_job(job, "LastName\nwhole\n")
    assert bulk.finish(job)["numberRecordsProcessed"] == 1
    assert [each["LastName"] for each in api.rows("SELECT LastName FROM Contact")] == ["whole"]
    assert [each.message for each in caplog.records if each.name.startswith("uvicorn")] == []


def test_data_that_cannot_be_unpacked_are_no_data(api: Api, bulk: BulkApi) -> None:
    job = api.open_job("Contact", "insert")
    headers = {"Content-Encoding": "gzip"}
    assert api.put(f"/jobs/ingest/{job}/batches", content=b"nonsense", headers=headers).status_code == 201
    api.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert bulk.finish(job)["numberRecordsProcessed"] == 0
