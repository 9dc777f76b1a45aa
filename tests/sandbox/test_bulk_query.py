"""Query jobs: what they accept, how values are written, pages by locator, and results that stay as they were."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api, BulkApi


def people(api: Api, number: int) -> None:
    records = [{"attributes": {"type": "Contact"}, "LastName": f"n{at:03}"} for at in range(number)]
    api.collection("POST", "", records)


def test_a_query_job_says_what_it_is_and_ends_complete(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    people(api, 3)
    sandbox.control.hold_jobs("UploadComplete")
    created = api.post("/jobs/query", json={"operation": "query", "query": "select Id from contact"}).json()
    assert (created["id"][:3], created["object"], created["state"]) == ("750", "Contact", "UploadComplete")
    assert (created["operation"], created["apiVersion"], "jobType" in created) == ("query", 59.0, False)
    response = api.get(f"/jobs/query/{created['id']}/results")
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    sandbox.control.release_jobs()
    sandbox.control.finish_jobs()
    job = api.get(f"/jobs/query/{created['id']}").json()
    assert (job["state"], job["numberRecordsProcessed"], job["jobType"]) == ("JobComplete", 3, "V2Query")
    assert (job["retries"], "totalProcessingTime" in job) == (0, True)


def test_values_are_written_as_bulk_csv_writes_them(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.put_field("Account", "Flag__c", "boolean")
    account = api.create("Account", Name='A "B"', AnnualRevenue=16147805824397, NumberOfEmployees=12, Flag__c=True)
    api.create("Contact", LastName="é\nx", AccountId=account, Birthdate="1980-02-03")
    [stamp] = [each["CreatedDate"] for each in api.rows("SELECT CreatedDate FROM Contact")]
    job = bulk.query(
        "SELECT c.LastName, Email, account.name, Birthdate, CreatedDate, Account.AnnualRevenue, "
        "Account.NumberOfEmployees, Account.Flag__c FROM Contact c"
    )
    response = api.get(f"/jobs/query/{job}/results")
    assert response.headers["Content-Type"] == "text/csv; charset=UTF-8"
    header, _, rest = response.text.partition("\n")
    assert header == (
        '"LastName","Email","Account.Name","Birthdate","CreatedDate","Account.AnnualRevenue",'
        '"Account.NumberOfEmployees","Account.Flag__c"'
    )
    moment = stamp.replace("+0000", "Z")
    assert rest == f'"é\nx","","A ""B""","1980-02-03","{moment}","1.6147805824397E13","12","true"\n'


def test_functions_of_values_and_references_to_several_objects_have_columns_of_their_own(
    api: Api, bulk: BulkApi
) -> None:
    api.create("Lead", LastName="l", Company="c", AnnualRevenue=1234, Status="Open - Not Contacted")
    soql = "SELECT Owner.Name, Owner.Type, FORMAT(AnnualRevenue) shown, toLabel(Status), AnnualRevenue FROM Lead"
    soql += " WHERE OwnerId NOT IN (SELECT OwnerId FROM Contact)"
    text = api.get(f"/jobs/query/{bulk.query(soql)}/results").text
    assert text == (
        '"Owner.Name","Owner.Type","shown","Status","AnnualRevenue"\n'
        '"Sandbox User","User","$1,234","Open - Not Contacted","1234.0"\n'
    )


def test_delimiter_and_line_ending_can_be_chosen(api: Api, bulk: BulkApi) -> None:
    people(api, 1)
    job = bulk.query("SELECT LastName, Email FROM Contact", columnDelimiter="PIPE", lineEnding="CRLF")
    assert api.get(f"/jobs/query/{job}/results").text == '"LastName"|"Email"\r\n"n000"|""\r\n'


def test_pages_follow_each_other_by_locator_and_can_be_read_again(api: Api, bulk: BulkApi) -> None:
    people(api, 7)
    job = bulk.query("SELECT LastName FROM Contact ORDER BY LastName")
    locator, pages = "", []
    while locator != "null":
        page = api.get(f"/jobs/query/{job}/results", params={"maxRecords": 3, "locator": locator})
        pages.append((page.headers["Sforce-NumberOfRecords"], page.text))
        locator = page.headers["Sforce-Locator"]
    assert [number for number, _ in pages] == ["3", "3", "1"]
    assert pages[2][1] == '"LastName"\n"n006"\n'
    again = api.get(f"/jobs/query/{job}/results", params={"maxRecords": 3, "locator": "Mw"})
    assert again.text == pages[1][1]
    whole = api.get(f"/jobs/query/{job}/results")
    assert (whole.headers["Sforce-NumberOfRecords"], whole.headers["Sforce-Locator"]) == ("7", "null")


def test_no_rows_are_a_header(api: Api, bulk: BulkApi) -> None:
    job = bulk.query("SELECT Id FROM Contact")
    response = api.get(f"/jobs/query/{job}/results")
    assert (response.text, response.headers["Sforce-NumberOfRecords"]) == ('"Id"\n', "0")
    assert response.headers["Sforce-Locator"] == "null"


def test_several_pages_can_be_read_side_by_side(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    people(api, 13)
    job = bulk.query("SELECT LastName FROM Contact")
    body = api.get(f"/jobs/query/{job}/resultPages", params={"maxRecords": 2}).json()
    assert (len(body["resultPages"]), body["done"]) == (5, False)
    rest = api.get(body["nextRecordsUrl"].removeprefix("/services/data/v59.0")).json()
    assert (len(rest["resultPages"]), rest["done"], "nextRecordsUrl" in rest) == (2, True, False)
    names: list[str] = []
    for each in body["resultPages"] + rest["resultPages"]:
        names += api.get(each["resultUrl"].removeprefix("/services/data/v59.0")).text.splitlines()[1:]
    assert names == [f'"n{at:03}"' for at in range(13)]
    old = f"{sandbox.url}/services/data/v57.0/jobs/query/{job}/resultPages"
    assert api.get(old).status_code == 404


def test_results_are_those_of_the_moment_when_the_job_ran(api: Api, bulk: BulkApi) -> None:
    record_id = api.create("Contact", LastName="before")
    job = bulk.query("SELECT LastName FROM Contact")
    api.patch(f"/sobjects/Contact/{record_id}", json={"LastName": "after"})
    assert api.get(f"/jobs/query/{job}/results").text == '"LastName"\n"before"\n'


def test_query_all_shows_what_is_in_the_bin(api: Api, bulk: BulkApi) -> None:
    record_id = api.create("Contact", LastName="a")
    api.delete(f"/sobjects/Contact/{record_id}")
    assert api.get(f"/jobs/query/{bulk.query('SELECT Id FROM Contact')}/results").text == '"Id"\n'
    job = bulk.query("SELECT LastName, IsDeleted FROM Contact", operation="queryAll")
    assert api.get(f"/jobs/query/{job}/results").text == '"LastName","IsDeleted"\n"a","true"\n'


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        ("SELECT count() FROM Contact", "API_ERROR", "Aggregate functions are not supported"),
        ("SELECT MAX(CreatedDate) m FROM Contact", "API_ERROR", "Aggregate functions are not supported"),
        ("SELECT LastName FROM Contact GROUP BY LastName", "API_ERROR", "GROUP BY is not supported"),
        ("SELECT LastName FROM Contact LIMIT 5 OFFSET 5", "API_ERROR", "OFFSET is not supported"),
        ("SELECT TYPEOF Owner WHEN User THEN Id END FROM Contact", "API_ERROR", "TYPEOF is not supported"),
        (
            "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
            "API_ERROR",
            "Aggregate Relationships not supported in Bulk V2 Query with CSV content type",
        ),
        (
            "SELECT Id, MailingAddress FROM Contact",
            "FUNCTIONALITY_NOT_ENABLED",
            "Selecting compound data not supported in Bulk Query",
        ),
        ("SELECT Nope__c FROM Contact", "INVALID_FIELD", "No such column 'Nope__c'"),
        ("SELECT Id FROM Nope__c", "INVALID_TYPE", "sObject type 'Nope__c' is not supported."),
        ("SELECT", "MALFORMED_QUERY", "unexpected token"),
        ("", "INVALIDJOB", "A query has to be specified"),
    ],
)
def test_a_query_that_cannot_be_done_is_refused_at_once(api: Api, soql: str, code: str, message: str) -> None:
    response = api.post("/jobs/query", json={"operation": "query", "query": soql})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, code)
    assert message in response.json()[0]["message"]
    assert api.get("/jobs/query").json()["records"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"operation": "insert", "query": "SELECT Id FROM Contact"},
        {"operation": "query", "query": "SELECT Id FROM Contact", "contentType": "JSON"},
        {"operation": "query"},
    ],
)
def test_a_job_that_is_no_query_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/jobs/query", json=body).json()[0]["errorCode"] == "INVALIDJOB"


@pytest.mark.parametrize("parameters", [{"locator": "nonsense"}, {"locator": "OTk"}, {"maxRecords": "0"}])
def test_wrong_places_are_refused(api: Api, bulk: BulkApi, parameters: dict[str, str]) -> None:
    people(api, 2)
    job = bulk.query("SELECT Id FROM Contact")
    assert api.get(f"/jobs/query/{job}/results", params=parameters).status_code == 400


def test_results_are_read_with_the_version_of_the_job(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    job = bulk.query("SELECT Id FROM Contact")
    assert api.get(f"{sandbox.url}/services/data/v60.0/jobs/query/{job}/results").status_code == 409
    old = f"{sandbox.url}/services/data/v46.0/jobs/query"
    assert api.post(old, json={"operation": "query", "query": "SELECT Id FROM Contact"}).status_code == 404


def test_query_jobs_are_listed_aborted_and_deleted(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    done = bulk.query("SELECT Id FROM Contact")
    sandbox.control.hold_jobs("UploadComplete")
    waiting = bulk.query("SELECT Id FROM Account")
    assert [each["id"] for each in api.get("/jobs/query?jobType=V2Query").json()["records"]] == [done, waiting]
    response = api.patch(f"/jobs/query/{done}", json={"state": "Aborted"})
    assert response.json()[0]["message"] == "Aborting already Completed Job not allowed"
    assert api.patch(f"/jobs/query/{waiting}", json={"state": "Open"}).status_code == 400
    assert api.patch(f"/jobs/query/{waiting}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert [api.delete(f"/jobs/query/{each}").status_code for each in (done, waiting)] == [204, 204]
    assert api.get("/jobs/query").json()["records"] == []


def test_a_query_job_in_progress_is_not_deleted_but_aborted(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    people(api, 1)
    sandbox.control.hold_jobs("InProgress")
    job = bulk.query("SELECT Id FROM Contact")
    assert api.get(f"/jobs/query/{job}").json()["state"] == "InProgress"
    assert api.delete(f"/jobs/query/{job}").status_code == 400
    api.patch(f"/jobs/query/{job}", json={"state": "Aborted"})
    sandbox.control.release_jobs()
    sandbox.control.finish_jobs()
    assert api.get(f"/jobs/query/{job}").json()["state"] == "Aborted"


def test_a_query_that_the_org_no_longer_knows_fails_its_job(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.hold_jobs("UploadComplete")
    job = bulk.query("SELECT External_Key__c FROM Contact")
    sandbox.control.remove_field("Contact", "External_Key__c")
    sandbox.control.release_jobs()
    sandbox.control.finish_jobs()
    failed = api.get(f"/jobs/query/{job}").json()
    assert (failed["state"], failed["errorMessage"].partition(" : ")[0]) == ("Failed", "INVALID_FIELD")
