"""The Salesforce destination keeps the contract, over real HTTP against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.contract.destination import DestinationContract, Remote
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for


@dataclass(kw_only=True)
class SalesforceRemote(Remote):
    destination: SalesforceDestination
    server: SandboxServer

    def calls(self) -> int:
        return self.server.control.calls()

    def refuse(self, key: str) -> None:
        self.server.faults.add(
            "rows", field=self.key, value=key, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="No."
        )

    def rate_limit(self) -> None:
        self.server.faults.add("concurrent_limit")

    def go_down(self) -> None:
        self.server.faults.add("unavailable")

    def recover(self) -> None:
        self.server.faults.clear()

    def lose_answer(self) -> None:
        self.server.faults.add("drop_after", route="collections_upsert", times=1)

    def refuse_login(self) -> None:
        sessions = self.server.sandbox.sessions
        sessions.credentials = replace(sessions.credentials, client_secret="another")
        self.server.control.expire_tokens()


def remote_on(server: SandboxServer, fake_time: FakeTime) -> SalesforceRemote:
    return SalesforceRemote(
        destination=open_for(server, fake_time),
        server=server,
        object="Contact",
        key="External_Key__c",
        text="FirstName",
        required="LastName",
        number="Balance__c",
        moment="Seen_At__c",
        secrets=(server.credentials.client_secret, server.credentials.token),
    )


class TestSalesforce(DestinationContract):
    @pytest.fixture
    def remote(self, server: SandboxServer, fake_time: FakeTime) -> Iterator[Remote]:
        known = server.credentials
        remote = remote_on(server, fake_time)
        yield remote
        remote.destination.close()
        server.sandbox.sessions.credentials = known
