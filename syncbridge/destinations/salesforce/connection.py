"""One thread's HTTP connection to Salesforce: a requests session below simple-salesforce's client."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, Literal

import requests
from simple_salesforce.api import Salesforce

from syncbridge.destinations.salesforce.login import Session
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.destinations.salesforce.transport import CLIENT_NAME


@dataclass(frozen=True, slots=True)
class Request:
    """One call to make. `path` is below the versioned base, or absolute from the host."""

    kind: str  # for the count of calls, see Destination.calls_made
    method: str
    path: str
    body: bytes | None = None
    params: Mapping[str, str] | None = None
    file: IO[bytes] | None = None  # sent instead of a body, from its start
    content_type: str = "application/json"
    answers: Literal["json", "nothing", "stream"] = "json"  # a stream is the response, to be read and closed
    lane: str = ""  # the mapping that it is made for
    read_timeout: float = 0.0  # seconds, where an answer may take longer than the settings' limit


class _WithoutQuery(logging.Filter):
    """Cuts queries out of urllib3's debug lines: they hold ids, and the values that records are looked up by."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(each.partition("?")[0] if isinstance(each, str) else each for each in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQuery())


class Connection:
    """One thread's HTTP connection below simple-salesforce's client."""

    def __init__(self, settings: SalesforceSettings, http: requests.Session) -> None:
        self._settings = settings
        self._http = http
        self._client: Salesforce | None = None
        self._session: Session | None = None
        self._headers: Mapping[str, str] = {}
        self.status: int | None = None  # of the last answer
        http.hooks["response"].append(self._remember)

    def send(self, request: Request, session: Session) -> requests.Response:
        """Send through simple-salesforce; its exceptions and those of requests come out as they are."""
        client = self._client_for(session)
        self._headers, self.status = {}, None
        base = f"https://{session.instance}" if request.path.startswith("/") else client.base_url
        if request.file is not None:
            request.file.seek(0)
        response: requests.Response = client._call_salesforce(
            request.method,
            base + request.path,
            data=request.file or request.body,
            params=request.params,
            headers={"Content-Type": request.content_type},
            allow_redirects=False,
            stream=request.answers == "stream",
            timeout=(self._settings.connect_timeout, max(self._settings.read_timeout, request.read_timeout)),
        )
        return response

    def usage(self) -> tuple[int, int] | None:
        """API calls used and allowed, as the last answer told them (also when it was a refusal)."""
        told = Salesforce.parse_api_usage(self._headers.get("Sforce-Limit-Info") or "").get("api-usage")
        return (told.used, told.total) if told else None

    def delay(self) -> float | None:
        """Seconds that the last answer asked to wait."""
        return retry_after(self._headers)

    def moment(self) -> datetime | None:
        """The server's time when it answered last."""
        try:
            return parsedate_to_datetime(self._headers["Date"])
        except (KeyError, ValueError, TypeError):
            return None

    def close(self) -> None:
        self._http.close()

    def _remember(self, response: requests.Response, **_: Any) -> None:
        self._headers, self.status = response.headers, response.status_code

    def _client_for(self, session: Session) -> Salesforce:
        if self._client is None or self._session is not session:
            self._client = Salesforce(
                session_id=session.token,
                instance=session.instance,
                version=self._settings.api_version,
                session=self._http,
            )
            self._client.headers = headers(self._settings, session)
            self._session = session
        return self._client


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait; the header may also name a date, by the answer's own clock."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def headers(settings: SalesforceSettings, session: Session) -> dict[str, str]:
    """The headers of every call."""
    common = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Authorization": f"Bearer {session.token}",
        # Names our writes in Salesforce's logs and in change events.
        "Sforce-Call-Options": f"client={CLIENT_NAME}",
        # Without it, active assignment rules run and may change the owner at every update.
        "Sforce-Auto-Assign": "TRUE" if settings.assignment_rules else "FALSE",
    }
    allow = {"Sforce-Duplicate-Rule-Header": "allowSave=true"} if settings.duplicate_rules == "allow_save" else {}
    return common | allow
