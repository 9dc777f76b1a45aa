"""A sandbox org per test, a destination on it, and time that passes only when asked to."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from syncbridge.destinations.base import Delivered, Result
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.client import Time
from syncbridge.destinations.salesforce.settings import read_settings
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.server import SandboxServer

KEY = "External_Key__c"


def record(number: int, **fields: str | None) -> Fields:
    """One of the contacts that `upsert` writes, with other fields or more."""
    return {KEY: f"k{number}", "LastName": "Lovelace", **fields}


def upsert(destination: SalesforceDestination, count: int = 1) -> list[Result]:
    """Write the first `count` contacts."""
    return destination.upsert("Contact", KEY, [record(number) for number in range(count)], lane="people")


def deliver(destination: SalesforceDestination) -> bool:
    """Write one contact; True when it arrived."""
    (result,) = upsert(destination)
    return isinstance(result, Delivered)


class FakeTime:
    """A clock that only sleeping moves; `slept` lists the waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def times(self) -> Time:
        return Time(clock=self.clock, sleep=self.sleep, rng=random.Random(7))


@pytest.fixture(scope="session")
def shared_server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def server(shared_server: SandboxServer) -> SandboxServer:
    shared_server.control.reset()
    shared_server.control.put_field("Contact", "Balance__c", "currency(18,2)")
    shared_server.control.put_field("Contact", "Seen_At__c", "datetime")
    return shared_server


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


def values_for(server: SandboxServer, **changes: object) -> dict[str, object]:
    """Settings that sign in to this sandbox."""
    return {
        "login": "client_credentials",
        "instance_url": server.url,
        "client_id": server.credentials.client_id,
        "client_secret": server.credentials.client_secret,
        "calls_in_flight": 3,
        "connect_timeout": 5,
        "read_timeout": 20,
        **changes,
    }


def open_for(server: SandboxServer, fake_time: FakeTime, **changes: object) -> SalesforceDestination:
    """A destination on this sandbox."""
    settings = read_settings("crm", values_for(server, **changes), frozenset())
    return SalesforceDestination("crm", settings, times=fake_time.times())


@pytest.fixture
def destination(server: SandboxServer, fake_time: FakeTime) -> Iterator[SalesforceDestination]:
    destination = open_for(server, fake_time)
    yield destination
    destination.close()
