"""Real HTTP to the shared sandbox server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_sandbox import sandbox, sandbox_server

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


@pytest.fixture
def api(sandbox: SandboxServer) -> Iterator[Api]:
    """A client of version 59.0 with a valid session."""
    headers = {"Authorization": f"Bearer {sandbox.credentials.token}"}
    with Api(base_url=f"{sandbox.url}/services/data/v59.0", headers=headers) as client:
        yield client
