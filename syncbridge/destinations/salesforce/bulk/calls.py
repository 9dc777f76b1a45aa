"""Calls about jobs: made on the caller's own thread, and what an answer that is none means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncbridge.destinations.base import BulkRefused
from syncbridge.destinations.salesforce.bulk.failures import ASK_AGAIN, of_call, of_refusal
from syncbridge.destinations.salesforce.client import CallRejected, Client
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.errors import NeedsOperator, RetryLater, SchemaDrift


class JobGone(RetryLater):
    """Salesforce does not know the job: it was deleted, or is older than what it keeps."""


class JobCalls:
    """Makes calls about jobs. Each counts as one of the org's API calls."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock

    def create(self, request: Request) -> Any:
        """Create a job. Raises BulkRefused where there are no jobs, or none for this login, object or day."""
        try:
            return self.call(request)
        except CallRejected as refused:
            raise of_refusal(refused.rejected) from None
        except (JobGone, NeedsOperator) as error:
            if type(error) in (JobGone, NeedsOperator):  # no such thing as jobs here, or none for this login
                raise BulkRefused(error.message, code=error.code, hint=error.hint, delay=ASK_AGAIN) from None
            raise

    def ask(self, request: Request) -> Any:
        """Any other call about a job. Raises JobGone; a refusal comes as an error by remedy."""
        try:
            return self.call(request)
        except CallRejected as refused:
            raise of_call(refused.rejected) from None

    def abort(self, request: Request) -> None:
        """A call that ends a job; nothing happens to one that has ended or is gone."""
        try:
            self.call(request)
        except CallRejected as refused:
            if refused.rejected.code != "INVALIDJOBSTATE":  # it has ended
                raise of_call(refused.rejected) from None
        except JobGone:
            pass

    def call(self, request: Request) -> Any:
        """Any call. Raises CallRejected for a refusal, JobGone."""
        try:
            return self._client.call(request, until=self._clock() + 2 * self._client.one_call)
        except SchemaDrift as error:
            if error.code == "NOT_FOUND":  # elsewhere this is about an object or a field
                raise JobGone(error.message, code=error.code) from None
            raise
