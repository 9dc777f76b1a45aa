"""One call to Salesforce: session, allowance, retries that are safe, and what an answer means.

Each worker thread has a `Connection` of its own: a requests session below simple-salesforce's client. The retries here
are those that nobody above can do better: a connection that was never made, an org that says it is busy, an expired
session. An answer that was lost is never retried here; the caller decides.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

import orjson
import requests
from simple_salesforce.exceptions import SalesforceError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from syncbridge.destinations.allowance import Allowance
from syncbridge.destinations.base import Rejected
from syncbridge.destinations.pace import Pace
from syncbridge.destinations.salesforce.connection import Connection, Request
from syncbridge.destinations.salesforce.errors import refusal
from syncbridge.destinations.salesforce.login import Session, SignIn
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.destinations.salesforce.transport import login_domain, new_http, unsent
from syncbridge.errors import LoginRefused, QuotaExhausted, Remedy, RetryLater, SyncbridgeError
from syncbridge.model import LOGIN
from syncbridge.policy import backoff

ATTEMPTS = 4


class CallRejected(Exception):
    """The call was answered, or its answer lost, in a way that concerns the records in it."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(rejected.code)
        self.rejected = rejected


class _TryAgain(Exception):
    """The same call may work in a moment; `outcome` is what to raise when it does not, `busy` that the org says so."""

    def __init__(self, outcome: Exception, *, busy: bool = False) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome
        self.busy = busy


LIMITS = Request("limits", "GET", "limits")


@dataclass(frozen=True, slots=True)
class Time:
    """The clock, sleep and randomness that calls use; tests bring their own."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)


class Client:
    """Makes calls from any thread. `close` closes every thread's connection."""

    def __init__(
        self,
        settings: SalesforceSettings,
        allowance: Allowance,
        pace: Pace,
        times: Time,
        admit: Callable[[str], None] = lambda organization: None,
    ) -> None:
        self._settings = settings
        self._allowance = allowance
        self._pace = pace
        self._times = times
        self._own = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self.trace: Callable[[Request, int | None, Any], None] | None = None
        self._sign_in = SignIn(
            settings, self._http_to_login, login_domain=login_domain(settings), clock=times.clock, admit=admit
        )

    @property
    def one_call(self) -> float:
        """Seconds that one attempt may take."""
        return self._settings.connect_timeout + self._settings.read_timeout

    def call(self, request: Request, *, until: float) -> Any:
        """Make the call and return its JSON, or what else the request says; no attempt begins after `until`.

        Raises an error by remedy for what concerns every call, CallRejected for what concerns the records in this one.
        """
        retrying = Retrying(
            stop=self._stop_after(until),
            wait=self._wait,
            sleep=self._times.sleep,
            retry=retry_if_exception_type(_TryAgain),
            reraise=True,
        )
        lost: list[Rejected] = []
        try:
            return retrying(self._attempt, request, until, lost)
        except _TryAgain as last:
            outcome = last.outcome
        except SyncbridgeError as error:
            outcome = error
        # Whatever came after, an earlier attempt may have been applied.
        raise CallRejected(lost[0]) if lost else outcome

    def pause(self, round: int, *, until: float) -> bool:
        """Wait before something is sent again, longer at each `round` (from 1); False when there is no time for it."""
        wait = backoff(round, base=0.5, cap=4.0, rng=self._times.rng)
        if self._times.clock() + wait > until:
            return False
        self._times.sleep(wait)
        return True

    def server_time(self) -> datetime | None:
        """The org's time in the last answer that this thread got."""
        return self._connection().moment()

    def organization(self) -> str | None:
        """The org that the session is for, as far as its login told."""
        return self._sign_in.current().organization

    def sign_in_again(self) -> None:
        """Let the next call sign in, so that the credentials are proved."""
        self._sign_in.forget()

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    # -- one attempt ------------------------------------------------------------------------------------------------

    def _attempt(self, request: Request, until: float, lost: list[Rejected]) -> Any:
        self._check_time(until)
        self._keep_within_allowance(until)
        try:
            with self._pace.turn(until - self._times.clock()) as began:
                self._check_time(until)
                try:
                    answer = self._send_signed_in(request, until)
                except _TryAgain as again:
                    if again.busy and isinstance(again.outcome, RetryLater):
                        self._pace.refused(again.outcome.message, began=began, delay=again.outcome.delay)
                    raise
            self._pace.got_through()
            return answer
        except _TryAgain as again:
            if isinstance(again.outcome, CallRejected):
                lost.append(again.outcome.rejected)
            raise

    def _send_signed_in(self, request: Request, until: float) -> Any:
        session = self._sign_in.current()
        try:
            return self._send(request, session)
        except LoginRefused:
            self._check_time(until)
        session = self._sign_in.renewed(session)
        self._check_time(until)
        return self._send(request, session)

    def _check_time(self, until: float) -> None:
        if self._times.clock() > until:
            raise RetryLater("No time was left for this call.", code="NO_TIME_LEFT")

    def _keep_within_allowance(self, until: float) -> None:
        if self._allowance.look_again():
            with suppress(CallRejected, _TryAgain):  # then it stays stopped, and looks again later
                self._send_signed_in(LIMITS, until)
            self._check_time(until)
        patience = until - self._times.clock()
        wait = max(self._pace.reserve(patience), self._allowance.reserve(patience))
        if wait > 0:
            self._times.sleep(wait)

    def _send(self, request: Request, session: Session) -> Any:
        connection = self._connection()
        self._allowance.count(request.kind, request.lane)
        try:
            response = connection.send(request, session)
        except SalesforceError as error:
            self._note(connection)
            self._trace(request, connection.status, error.content)
            raise self._refused(error, connection.delay()) from None
        except requests.RequestException as error:
            self._trace(request, None, type(error).__name__)
            raise _transport(error, self._settings) from None
        self._note(connection)
        if request.answers != "json":
            self._trace(request, connection.status, None)
            return response if request.answers == "stream" else None
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise CallRejected(Rejected("NOT_JSON", "the answer is not JSON", Remedy.RETRY, uncertain=True)) from None
        self._trace(request, connection.status, answer)
        if request.kind == LIMITS.kind:
            daily = answer.get("DailyApiRequests") or {}
            if daily.get("Max"):
                self._allowance.looked(daily["Max"] - daily["Remaining"], daily["Max"])
        return answer

    def _trace(self, request: Request, status: int | None, answer: Any) -> None:
        if self.trace is not None:
            self.trace(request, status, answer)

    def _note(self, connection: Connection) -> None:
        usage = connection.usage()
        if usage is not None:
            self._allowance.note(*usage)

    def _refused(self, error: SalesforceError, delay: float | None) -> Exception:
        content: Any = error.content  # parsed JSON where it was JSON
        errors = content if isinstance(content, list) else [content]
        told = [each | {"message": self._without_secrets(each.get("message"))} for each in errors if _is_object(each)]
        outcome = refusal(error.status, told, delay=delay)
        if isinstance(outcome, QuotaExhausted):
            outcome.delay = self._allowance.refused(outcome.message)
            return outcome
        if isinstance(outcome, RetryLater):
            return _TryAgain(outcome, busy=True)
        if isinstance(outcome, Rejected):
            rejected = CallRejected(outcome)
            return _TryAgain(rejected) if outcome.uncertain else rejected
        return outcome

    def _without_secrets(self, message: object) -> str:
        """A message that may repeat a header: some proxies do."""
        text = str(message or "")
        for secret in sorted((*self._settings.secrets(), *self._sign_in.tokens()), key=len, reverse=True):
            text = text.replace(secret, "…")
        return text

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

    def _http_to_login(self) -> requests.Session:
        self._allowance.count(LOGIN)
        return new_http(self._settings)

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = Connection(self._settings, new_http(self._settings))
            with self._lock:
                self._connections.append(connection)
        return connection


def _transport(error: requests.RequestException, settings: SalesforceSettings) -> Exception:
    """What a broken connection means: certainly not applied, or an answer that was lost."""
    known = unsent(error, settings)
    if known is not None:
        return known.error if known.lasting else _TryAgain(known.error)
    code = "TIMEOUT" if isinstance(error, requests.Timeout) else "CONNECTION_LOST"
    return CallRejected(Rejected(code, "the answer was lost", Remedy.RETRY, uncertain=True))


def _is_object(content: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(content, dict)
