"""What somebody in sales does: edits in Salesforce, through its own REST API and past syncbridge."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from syncbridge.errors import SyncbridgeError
from syncbridge.model import Normal

_VERSION = "v62.0"


class SalesDesk:
    """Edits records of one org, found by the keys of their rows. Use in a `with` block. Raises SyncbridgeError."""

    def __init__(self, url: str, credentials: Mapping[str, Any], external_id: str = "External_Key__c") -> None:
        self._external_id = external_id
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        form = {name: credentials[name] for name in ("client_id", "client_secret")}
        answer = self._client.post("/services/oauth2/token", data={"grant_type": "client_credentials", **form})
        self._client.headers["Authorization"] = f"Bearer {_checked(answer)['access_token']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def read(self, object: str, key: str) -> dict[str, Any]:
        """All fields of a record, its Id among them."""
        found: dict[str, Any] = _checked(self._client.get(self._path(object, self._external_id, key)))
        return found

    def edit(self, object: str, key: str, fields: Mapping[str, Normal]) -> None:
        """Change some fields."""
        _checked(self._client.patch(self._path(object, self.read(object, key)["Id"]), json=dict(fields)))

    def create(self, object: str, fields: Mapping[str, Normal]) -> str:
        """Enter a new record; its id."""
        return str(_checked(self._client.post(self._path(object), json=dict(fields)))["id"])

    def delete(self, object: str, key: str) -> None:
        """Move a record to the bin."""
        _checked(self._client.delete(self._path(object, self.read(object, key)["Id"])))

    @staticmethod
    def _path(object: str, *parts: str) -> str:
        return "/".join((f"/services/data/{_VERSION}/sobjects", object, *parts))


def _checked(answer: httpx.Response) -> Any:
    if answer.status_code >= 300:
        raise SyncbridgeError(f"Salesforce did not take the edit: HTTP {answer.status_code}")
    return answer.json() if answer.content else None
