"""Bulk API 1.0, with requests as jsforce, salesforce-bulk, tap-salesforce and simple-salesforce send them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import requests
from simple_salesforce import api as simple

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

NAMESPACE = "{http://www.force.com/2009/06/asyncapi/dataload}"
JSON = {"Content-Type": "application/json"}


class Client(httpx.Client):
    """A client of /services/async/59.0 that does whole jobs."""

    server: SandboxServer

    def told(self, method: str, path: str, status: int = 200, **options: Any) -> dict[str, Any]:
        """Return an XML answer as a dict; elements that come several times are lists."""
        response = self.request(method, path, **options)
        assert response.status_code == status, response.text
        assert response.headers["Content-Type"] == "application/xml"
        found: dict[str, Any] = {}
        for each in ElementTree.fromstring(response.content):
            assert each.tag.startswith(NAMESPACE)
            found[each.tag.removeprefix(NAMESPACE)] = each.text
        return found

    def open(self, operation: str, object: str = "Contact", content_type: str = "CSV", more: str = "") -> str:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><jobInfo xmlns="{NAMESPACE[1:-1]}">'
            f"<operation>{operation}</operation><object>{object}</object>{more}<contentType>{content_type}</contentType></jobInfo>"
        )
        job = self.told("POST", "/job", 201, content=body, headers={"Content-Type": "application/xml"})
        assert (job["state"], job["operation"], job["numberBatchesTotal"]) == ("Open", operation, "0")
        return str(job["id"])

    def add(self, job: str, data: str, kind: str = "text/csv") -> str:
        batch = self.told("POST", f"/job/{job}/batch", 201, content=data, headers={"Content-Type": kind})
        assert batch["jobId"] == job
        self.server.control.finish_jobs()
        return str(batch["id"])

    def rows(self, job: str, batch: str) -> list[list[str]]:
        """Return the results of a batch that writes, below their header."""
        response = self.get(f"/job/{job}/batch/{batch}/result")
        assert response.status_code == 200, response.text
        header, *rows = csv.reader(io.StringIO(response.text))
        assert header == ["Id", "Success", "Created", "Error"]
        return rows

    def error(self, method: str, path: str, status: int = 400, **options: Any) -> str:
        return str(self.told(method, path, status, **options)["exceptionCode"])


@pytest.fixture
def bulk_v1(sandbox: SandboxServer) -> Iterator[Client]:
    headers = {"X-SFDC-Session": sandbox.credentials.token}
    with Client(base_url=f"{sandbox.url}/services/async/59.0", headers=headers) as client:
        client.server = sandbox
        yield client


class TestWriting:
    def test_results_come_in_the_order_of_the_records(self, bulk_v1: Client, api: Api) -> None:
        job = bulk_v1.open("insert")
        data = "LastName\n" + "".join(f"{'' if at % 3 == 1 else at}\n" for at in range(900)).replace("\n\n", '\n""\n')
        rows = bulk_v1.rows(job, bulk_v1.add(job, data))
        assert [row[1] for row in rows] == ["false" if at % 3 == 1 else "true" for at in range(900)]
        assert rows[1][3] == "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --"
        found = {row["Id"]: row["LastName"] for row in api.rows("SELECT Id, LastName FROM Contact")}
        assert [found[row[0]] for row in rows if row[1] == "true"] == [str(at) for at in range(900) if at % 3 != 1]

    def test_batches_and_the_job_say_how_far_they_are(self, bulk_v1: Client, sandbox: SandboxServer) -> None:
        job = bulk_v1.open("insert")
        first = bulk_v1.add(job, "LastName\nA\nB\n")
        sandbox.control.hold_jobs("UploadComplete")
        second = bulk_v1.add(job, 'LastName,Email\nC,"no mail"\n')
        told = bulk_v1.told("GET", f"/job/{job}/batch/{second}")
        assert (told["state"], told["numberRecordsProcessed"]) == ("Queued", "0")
        assert bulk_v1.error("GET", f"/job/{job}/batch/{second}/result") == "InvalidBatch"
        sandbox.control.release_jobs()
        sandbox.control.finish_jobs()
        assert bulk_v1.told("GET", f"/job/{job}/batch/{first}")["state"] == "Completed"
        whole = bulk_v1.told("GET", f"/job/{job}")
        counted = [whole[f"number{each}"] for each in ("BatchesCompleted", "RecordsProcessed", "RecordsFailed")]
        assert counted == ["2", "3", "1"]

    def test_upserts_and_says_what_was_created(self, bulk_v1: Client, api: Api) -> None:
        api.create("Account", Name="A", External_Key__c="a")
        job = bulk_v1.open("upsert", "Account", more="<externalIdFieldName>External_Key__c</externalIdFieldName>")
        rows = bulk_v1.rows(job, bulk_v1.add(job, "External_Key__c,Name\r\na,B\r\nb,C\r\n"))
        assert [row[1:] for row in rows] == [["true", "false", ""], ["true", "true", ""]]

    def test_an_unknown_column_fails_the_batch_and_not_the_job(self, bulk_v1: Client) -> None:
        job = bulk_v1.open("insert")
        bad, good = bulk_v1.add(job, "Nope\nx\n"), bulk_v1.add(job, "LastName\nx\n")
        told = bulk_v1.told("GET", f"/job/{job}/batch/{bad}")
        assert (told["state"], told["stateMessage"]) == ("Failed", "InvalidBatch : Field name not found : Nope")
        assert bulk_v1.told("GET", f"/job/{job}/batch/{good}")["state"] == "Completed"

    def test_more_than_10000_records_fail_the_batch(self, bulk_v1: Client, api: Api) -> None:
        job = bulk_v1.open("insert")
        told = bulk_v1.told("GET", f"/job/{job}/batch/{bulk_v1.add(job, 'LastName' + chr(10) + 'x' * 1 + chr(10))}")
        assert told["state"] == "Completed"
        told = bulk_v1.told(
            "GET", f"/job/{job}/batch/{bulk_v1.add(job, 'LastName' + chr(10) + 10_001 * ('x' + chr(10)))}"
        )
        assert told["state"] == "Failed"
        assert api.query("SELECT COUNT() FROM Contact")["totalSize"] == 1

    def test_a_closed_job_takes_no_more_batches(self, bulk_v1: Client) -> None:
        job = bulk_v1.open("insert")
        close: dict[str, Any] = {
            "content": "<jobInfo><state>Closed</state></jobInfo>",
            "headers": {"Content-Type": "application/xml"},
        }
        assert bulk_v1.told("POST", f"/job/{job}", **close)["state"] == "Closed"
        assert bulk_v1.error("POST", f"/job/{job}", **close) == "InvalidJobState"
        assert bulk_v1.error("POST", f"/job/{job}/batch", content="LastName\nx\n") == "InvalidJobState"

    def test_an_aborted_job_leaves_what_waits_undone(self, bulk_v1: Client, sandbox: SandboxServer, api: Api) -> None:
        sandbox.control.hold_jobs("UploadComplete")
        job = bulk_v1.open("insert")
        batch = bulk_v1.add(job, "LastName\nx\n")
        bulk_v1.told("POST", f"/job/{job}", content="<jobInfo><state>Aborted</state></jobInfo>")
        sandbox.control.release_jobs()
        sandbox.control.finish_jobs()
        assert bulk_v1.told("GET", f"/job/{job}/batch/{batch}")["state"] == "Not Processed"
        assert api.rows("SELECT Id FROM Contact") == []


class TestQueries:
    def test_a_query_has_one_result_as_csv(self, bulk_v1: Client, api: Api) -> None:
        account = api.create("Account", Name="A, B")
        job = bulk_v1.open("query", "Account")
        batch = bulk_v1.add(job, "SELECT Id, Name FROM Account")
        result = bulk_v1.told("GET", f"/job/{job}/batch/{batch}/result")["result"]
        assert str(result).startswith("752")
        response = bulk_v1.get(f"/job/{job}/batch/{batch}/result/{result}")
        assert response.headers["Content-Type"] == "text/csv"  # salesforce-bulk compares the whole of it
        assert response.text == f'"Id","Name"\n"{account}","A, B"\n'
        assert bulk_v1.error("GET", f"/job/{job}/batch/{batch}/result/752000000000009AAA") == "InvalidBatch"

    def test_batches_are_xml_where_the_data_are_csv_even_for_clients_that_speak_json(self, bulk_v1: Client) -> None:
        """tap-salesforce opens jobs as JSON, and reads everything about their batches as XML."""
        body = {"operation": "queryAll", "object": "Account", "contentType": "CSV"}
        job = bulk_v1.post("/job", json=body).json()
        assert job["state"] == "Open"
        batch = bulk_v1.add(job["id"], "SELECT Id FROM Account")
        assert bulk_v1.told("GET", f"/job/{job['id']}/batch/{batch}", headers=JSON)["state"] == "Completed"
        bulk_v1.told("GET", f"/job/{job['id']}/batch", headers=JSON)
        assert "result" in bulk_v1.told("GET", f"/job/{job['id']}/batch/{batch}/result", headers=JSON)

    def test_json_has_moments_as_milliseconds_and_parents_inside(self, bulk_v1: Client, api: Api) -> None:
        account = api.create("Account", Name="A", AnnualRevenue=5)
        api.create("Contact", LastName="L", AccountId=account)
        job = bulk_v1.open("query", "Contact", "JSON")
        asked = "SELECT Id, Email, CreatedDate, IsDeleted, Account.AnnualRevenue FROM Contact"
        sent = bulk_v1.post(f"/job/{job}/batch", content=asked, headers=JSON).json()
        bulk_v1.server.control.finish_jobs()
        [result] = bulk_v1.get(f"/job/{job}/batch/{sent['id']}/result", headers=JSON).json()
        [row] = bulk_v1.get(f"/job/{job}/batch/{sent['id']}/result/{result}", headers=JSON).json()
        assert (row["Email"], row["IsDeleted"], row["Account"]) == (None, False, {"AnnualRevenue": 5.0})
        assert row["attributes"]["url"].endswith(f"/sobjects/Contact/{row['Id']}")
        assert abs(row["CreatedDate"] / 1000 - bulk_v1.server.sandbox.clock.seconds()) < 3600

    def test_a_wrong_query_fails_the_batch(self, bulk_v1: Client) -> None:
        job = bulk_v1.open("query", "Account")
        told = bulk_v1.told("GET", f"/job/{job}/batch/{bulk_v1.add(job, 'SELECT Nope FROM Account')}")
        assert told["state"] == "Failed"
        assert str(told["stateMessage"]).startswith("InvalidBatch : Failed to process query: INVALID_FIELD: ")


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "code"),
        [
            ({"operation": "magic"}, "InvalidJob"),
            ({"object": "Nope"}, "InvalidEntity"),
            ({"contentType": "XML"}, "InvalidJob"),
            ({"operation": "upsert", "externalIdFieldName": "Phone"}, "InvalidJob"),
        ],
    )
    def test_a_wrong_job_is_refused_in_the_words_of_this_api(
        self, bulk_v1: Client, settings: dict[str, str], code: str
    ) -> None:
        body = {"operation": "insert", "object": "Contact", "contentType": "CSV"} | settings
        response = bulk_v1.post("/job", json=body)
        assert (response.status_code, response.json()["exceptionCode"]) == (400, code)
        assert response.headers["Content-Type"] == "application/json"

    def test_a_session_that_is_not_valid_is_refused(self, bulk_v1: Client) -> None:
        assert bulk_v1.error("GET", "/job/x", 401, headers={"X-SFDC-Session": "x"}) == "InvalidSessionId"

    def test_unknown_jobs_batches_and_versions_are_refused(self, bulk_v1: Client) -> None:
        job = bulk_v1.open("insert")
        assert bulk_v1.error("GET", "/job/750000000000009AAA") == "InvalidJob"
        assert bulk_v1.error("GET", f"/job/{job}/batch/751000000000009AAA") == "InvalidBatch"
        assert bulk_v1.error("GET", str(bulk_v1.base_url).replace("59.0", "7.0") + f"job/{job}") == "InvalidVersion"
        assert bulk_v1.error("POST", "/job", content="no xml") == "InvalidJob"

    def test_the_days_limit_is_one_of_this_api_too(self, bulk_v1: Client, sandbox: SandboxServer) -> None:
        sandbox.control.set_usage(used=9, max=9)
        assert bulk_v1.error("GET", "/job/x", 403) == "ExceededQuota"


def test_simple_salesforce_loads_and_queries(
    sandbox: SandboxServer, https: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simple_salesforce.bulk.sleep", lambda seconds: sandbox.control.finish_jobs())
    client: Any = simple.Salesforce(instance_url=sandbox.url, session_id=sandbox.credentials.token, session=https)
    records = [{"Name": "A", "NumberOfEmployees": 3, "Phone": None}, {"Phone": "1"}, {"Name": "C"}]
    results = client.bulk.Account.insert(records)
    assert [each["success"] for each in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    found = client.bulk.Account.query("SELECT Name, NumberOfEmployees FROM Account ORDER BY Name")
    assert [(each["Name"], each["NumberOfEmployees"]) for each in found] == [("A", 3), ("C", None)]
    deleted = client.bulk.Account.delete([{"Id": results[0]["id"]}])
    assert (deleted[0]["success"], deleted[0]["created"]) == (True, False)
