"""Real HTTP to the shared sandbox server."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_sandbox import sandbox, sandbox_server
from tests.plain_http import PlainHttp

__all__ = ["api", "sandbox", "sandbox_server"]


class Api(httpx.Client):
    """An HTTP client that is logged in, with paths below the API version."""

    def query(self, soql: str, **headers: str) -> Any:
        """Return the parsed answer of a query that must succeed."""
        response = self.get("/query", params={"q": soql}, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def rows(self, soql: str) -> list[dict[str, Any]]:
        """Return the records of a query without their attributes."""
        return [{k: v for k, v in row.items() if k != "attributes"} for row in self.query(soql)["records"]]

    def create(self, object: str, **values: Any) -> str:
        """Create a record that must be accepted, and return its id."""
        response = self.post(f"/sobjects/{object}", json=values)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def collection(self, method: str, path: str, records: list[dict[str, Any]], *, all_or_none: bool = False) -> Any:
        """Send a collections call that must be answered with one result per record."""
        body = {"allOrNone": all_or_none, "records": records}
        response = self.request(method, f"/composite/sobjects{path}", json=body)
        assert response.status_code == 200, response.text
        assert len(response.json()) == len(records)
        return response.json()

    def open_job(self, object: str, operation: str, **settings: Any) -> str:
        """Create a Bulk job that must be accepted, and return its id."""
        body = {"object": object, "operation": operation, "contentType": "CSV", **settings}
        response = self.post("/jobs/ingest", json=body)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def fill_job(self, job: str, data: str | bytes) -> None:
        """Upload a Bulk job's data and close it, both of which must be accepted."""
        headers = {"Content-Type": "text/csv"}
        response = self.put(f"/jobs/ingest/{job}/batches", content=data, headers=headers)
        assert (response.status_code, response.content) == (201, b"")
        response = self.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"})
        assert response.status_code == 200, response.text

    def results(self, job: str, kind: str) -> list[dict[str, str]]:
        """Return the rows of a Bulk job's result file."""
        response = self.get(f"/jobs/ingest/{job}/{kind}")
        assert response.status_code == 200, response.text
        return list(csv.DictReader(io.StringIO(response.text, newline="")))


class BulkApi:
    """Bulk jobs from their creation to their end."""

    def __init__(self, api: Api, sandbox: SandboxServer) -> None:
        self._api = api
        self._sandbox = sandbox

    def run(self, data: str | bytes, object: str = "Contact", operation: str = "insert", **settings: Any) -> Any:
        """Do a whole job and return what polling it says at the end."""
        job = self._api.open_job(object, operation, **settings)
        self._api.fill_job(job, data)
        return self.finish(job)

    def finish(self, job: str) -> Any:
        """Wait until a job has ended or is held, and return what polling it says."""
        self._sandbox.control.finish_jobs()
        return self._api.get(f"/jobs/ingest/{job}").json()

    def errors(self, data: str | bytes, object: str = "Contact", operation: str = "insert", **settings: Any) -> Any:
        """Do a whole job that must complete, and return the sf__Error of its failed records, sorted."""
        job = self.run(data, object, operation, **settings)
        assert job["state"] == "JobComplete", job
        return sorted(each["sf__Error"] for each in self._api.results(job["id"], "failedResults"))

    def query(self, soql: str, **settings: Any) -> str:
        """Do a query job and return its id."""
        body = {"operation": "query", "query": soql, **settings}
        response = self._api.post("/jobs/query", json=body)
        assert response.status_code == 200, response.text
        self._sandbox.control.finish_jobs()
        return str(response.json()["id"])


@pytest.fixture
def bulk(api: Api, sandbox: SandboxServer) -> BulkApi:
    """Bulk jobs of version 59.0."""
    return BulkApi(api, sandbox)


@pytest.fixture
def api(sandbox: SandboxServer) -> Iterator[Api]:
    """A client of version 59.0 with a valid session."""
    headers = {"Authorization": f"Bearer {sandbox.credentials.token}"}
    with Api(base_url=f"{sandbox.url}/services/data/v59.0", headers=headers) as client:
        yield client


@pytest.fixture
def https(sandbox: SandboxServer) -> Iterator[requests.Session]:
    """A session whose https requests arrive at the sandbox."""
    with requests.Session() as session:
        session.mount("https://", PlainHttp(sandbox.url))
        yield session
