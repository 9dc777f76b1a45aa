"""One call to Salesforce: session, allowance, retries that are safe, and what an answer means.

Each worker thread has a `Connection` of its own: a requests session below simple-salesforce's client. The retries here
are those that nobody above can do better: a connection that was never made, an org that says it is busy, an expired
session. An answer that was lost is never retried here; the caller decides.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from urllib3.exceptions import MaxRetryError, NewConnectionError

from syncbridge.destinations.allowance import Allowance
from syncbridge.destinations.base import Rejected
from syncbridge.destinations.salesforce.errors import refusal
from syncbridge.destinations.salesforce.login import Session, SignIn
from syncbridge.destinations.salesforce.settings import SalesforceSettings, is_loopback
from syncbridge.errors import LoginRefused, QuotaExhausted, Remedy, RetryLater
from syncbridge.policy import backoff

CLIENT_NAME = "syncbridge"
ATTEMPTS = 4
#: Stands for a login host outside salesforce.com, because simple-salesforce appends that to every domain.
_STAND_IN = "syncbridge-login"


class CallRejected(Exception):
    """The call was answered, or its answer lost, in a way that concerns the records in it."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(rejected.code)
        self.rejected = rejected


class _TryAgain(Exception):
    """The same call may work in a moment; `outcome` is what to raise when it does not."""

    def __init__(self, outcome: Exception) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Request:
    """One call to make. `path` is below the versioned base, or absolute from the host."""

    kind: str  # for the count of calls
    method: str
    path: str
    body: bytes | None = None
    params: Mapping[str, str] | None = None


LIMITS = Request("limits", "GET", "limits")


@dataclass(frozen=True, slots=True)
class Time:
    """The clock, sleep and randomness that calls use; tests bring their own."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)


class Client:
    """Makes calls from any thread. `close` closes every thread's connection."""

    def __init__(self, settings: SalesforceSettings, allowance: Allowance, times: Time) -> None:
        self._settings = settings
        self._allowance = allowance
        self._times = times
        self._own = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        host = settings.login_host
        domain = host.removesuffix(".salesforce.com") if host.endswith(".salesforce.com") else _STAND_IN
        self._sign_in = SignIn(settings, self._new_http, login_domain=domain)

    @property
    def one_call(self) -> float:
        """Seconds that one attempt may take."""
        return self._settings.connect_timeout + self._settings.read_timeout

    def call(self, request: Request, *, until: float) -> Any:
        """Make the call and return its JSON; no attempt begins after `until`.

        Raises an error by remedy for what concerns every call, CallRejected for what concerns the records in this one.
        """
        retrying = Retrying(
            stop=self._stop_after(until),
            wait=self._wait,
            sleep=self._times.sleep,
            retry=retry_if_exception_type(_TryAgain),
            reraise=True,
        )
        try:
            return retrying(self._attempt, request, until)
        except _TryAgain as last:
            raise last.outcome from None

    def sign_in_again(self) -> None:
        """Let the next call sign in, so that the credentials are proved."""
        self._sign_in.forget()

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    # -- one attempt ------------------------------------------------------------------------------------------------

    def _attempt(self, request: Request, until: float) -> Any:
        if self._times.clock() > until:
            raise RetryLater("No time was left for this call.", code="NO_TIME_LEFT")
        self._keep_within_allowance(until)
        return self._send_signed_in(request, until)

    def _send_signed_in(self, request: Request, until: float) -> Any:
        session = self._sign_in.current()
        try:
            return self._send(request, session)
        except LoginRefused:
            if self._times.clock() > until:
                raise RetryLater("The session expired and no time was left to sign in again.") from None
        return self._send(request, self._sign_in.renewed(session))

    def _keep_within_allowance(self, until: float) -> None:
        if self._allowance.look_again():
            self._send_signed_in(LIMITS, until)
        wait = self._allowance.reserve(until - self._times.clock())
        if wait > 0:
            self._times.sleep(wait)

    def _send(self, request: Request, session: Session) -> Any:
        connection = self._connection()
        self._allowance.count(request.kind)
        try:
            body = connection.send(request, session)
        except SalesforceError as error:
            self._note(connection)
            raise self._refused(error, connection.delay()) from None
        except requests.RequestException as error:
            raise _transport(error) from None
        self._note(connection)
        if not body:
            return None
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise CallRejected(Rejected("NOT_JSON", "the answer is not JSON", Remedy.RETRY, uncertain=True)) from None
        if request is LIMITS:
            daily = answer.get("DailyApiRequests") or {}
            if daily.get("Max"):
                self._allowance.looked(daily["Max"] - daily["Remaining"], daily["Max"])
        return answer

    def _note(self, connection: Connection) -> None:
        usage = connection.usage()
        if usage is not None:
            self._allowance.note(*usage)

    def _refused(self, error: SalesforceError, delay: float | None) -> Exception:
        content: Any = error.content  # parsed JSON where it was JSON
        errors = content if isinstance(content, list) else [content]
        outcome = refusal(error.status, [each for each in errors if isinstance(each, dict)], delay=delay)
        if isinstance(outcome, QuotaExhausted):
            outcome.delay = self._allowance.refused(outcome.message)
            return outcome
        if isinstance(outcome, RetryLater):
            return _TryAgain(outcome)
        if isinstance(outcome, Rejected):
            rejected = CallRejected(outcome)
            return _TryAgain(rejected) if outcome.uncertain else rejected
        return outcome

    # -- waiting ----------------------------------------------------------------------------------------------------

    def _stop_after(self, until: float) -> Callable[[RetryCallState], bool]:
        attempts = stop_after_attempt(ATTEMPTS)
        return lambda state: attempts(state) or self._times.clock() + self._wait(state) > until

    def _wait(self, state: RetryCallState) -> float:
        wait = backoff(state.attempt_number, base=0.5, cap=8.0, rng=self._times.rng)
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(getattr(error, "outcome", None), "delay", None)
        return max(wait, asked or 0.0)

    # -- connections ------------------------------------------------------------------------------------------------

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = Connection(self._settings, self._new_http())
            with self._lock:
                self._connections.append(connection)
        return connection

    def _new_http(self) -> requests.Session:
        settings = self._settings
        http = requests.Session()
        # Proxies are looked up once; with trust_env, a .netrc entry would replace our Authorization header.
        http.trust_env = False
        http.proxies.update(get_environ_proxies(f"https://{settings.login_host}"))
        http.mount("https://", _Adapter(settings))
        return http


class Connection:
    """One thread's HTTP connection below simple-salesforce's client."""

    def __init__(self, settings: SalesforceSettings, http: requests.Session) -> None:
        self._settings = settings
        self._http = http
        self._client: Salesforce | None = None
        self._session: Session | None = None
        self._headers: Mapping[str, str] = {}
        http.hooks["response"].append(self._remember)

    def send(self, request: Request, session: Session) -> bytes:
        """Send through simple-salesforce; its exceptions and those of requests come out as they are."""
        client = self._client_for(session)
        self._headers = {}
        base = f"https://{session.instance}" if request.path.startswith("/") else client.base_url
        response = client._call_salesforce(
            request.method, base + request.path, data=request.body, params=request.params, allow_redirects=False
        )
        content: bytes = response.content
        return content

    def usage(self) -> tuple[int, int] | None:
        """API calls used and allowed, as the last answer told them (also when it was a refusal)."""
        told = Salesforce.parse_api_usage(self._headers.get("Sforce-Limit-Info") or "").get("api-usage")
        return (told.used, told.total) if told else None

    def delay(self) -> float | None:
        """Seconds that the last answer asked to wait."""
        asked = self._headers.get("Retry-After", "")
        return float(asked) if asked.isdigit() else None

    def close(self) -> None:
        self._http.close()

    def _remember(self, response: requests.Response, **_: Any) -> None:
        self._headers = response.headers

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


def headers(settings: SalesforceSettings, session: Session) -> dict[str, str]:
    """The headers of every call."""
    common = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Authorization": f"Bearer {session.token}",
        "User-Agent": CLIENT_NAME,
        # Names our writes in Salesforce's logs and in change events.
        "Sforce-Call-Options": f"client={CLIENT_NAME}",
        # Without it, active assignment rules run and may change the owner at every update.
        "Sforce-Auto-Assign": "TRUE" if settings.assignment_rules else "FALSE",
    }
    allow = {"Sforce-Duplicate-Rule-Header": "allowSave=true"} if settings.duplicate_rules == "allow_save" else {}
    return common | allow


class _Adapter(HTTPAdapter):
    """Gives every request time limits, and sends what simple-salesforce addressed to https where the settings say."""

    def __init__(self, settings: SalesforceSettings) -> None:
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)
        self._limits = (settings.connect_timeout, settings.read_timeout)
        self._login = f"https://{_STAND_IN}.salesforce.com"
        self._login_at = f"https://{settings.login_host}"
        self._plain = settings.plain_http

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = request.url or ""
        if url.startswith(self._login):
            url = self._login_at + url.removeprefix(self._login)
        if self._plain and is_loopback(urlsplit(url).hostname or ""):
            url = "http" + url.removeprefix("https")
        request.url = url
        return super().send(request, stream, timeout or self._limits, verify, cert, proxies)


def _transport(error: requests.RequestException) -> Exception:
    """What a broken connection means: certainly not applied, or an answer that was lost."""
    name = type(error).__name__
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RetryLater(
            "No secure connection to Salesforce.", code=name, hint="Check the certificates and the proxy."
        )
    reason = error.args[0] if error.args else None
    never_sent = isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)
    if never_sent or isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return _TryAgain(RetryLater("Salesforce cannot be reached.", code=name))
    code = "TIMEOUT" if isinstance(error, requests.Timeout) else "CONNECTION_LOST"
    return CallRejected(Rejected(code, "the answer was lost", Remedy.RETRY, uncertain=True))
