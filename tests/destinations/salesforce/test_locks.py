"""Locks of an org that are held for real: calls of ours never meet in one, and those of others are waited for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from syncbridge.destinations.base import Delivered, Rejected, Result
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for

KEY = "External_Key__c"


@pytest.fixture
def org(server: SandboxServer) -> Iterator[SandboxServer]:
    """An org that waits for no lock, and where each record of a write holds its locks for a moment."""
    server.control.set_lock_wait(0)
    yield server
    server.control.release_writes()
    server.control.set_lock_wait(10)
    server.control.set_row_seconds(0)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def accounts(org: SandboxServer, destination: SalesforceDestination) -> list[str]:
    made = destination.upsert("Account", KEY, [{KEY: f"a{at}", "Name": "Engines"} for at in range(6)])
    for object in ("Account", "Contact", "Opportunity"):
        destination.describe(object)
    return [each.remote_id for each in made if isinstance(each, Delivered)]


def contacts(parents: list[str], count: int) -> list[Fields]:
    return [{KEY: f"c{at}", "LastName": "Lovelace", "AccountId": parents[at % len(parents)]} for at in range(count)]


def deals(parents: list[str], count: int) -> list[Fields]:
    fixed = {"Name": "Engine", "StageName": "New", "CloseDate": "2026-01-01"}
    return [{KEY: f"o{at}", "AccountId": parents[at % len(parents)], **fixed} for at in range(count)]


def all_delivered(answers: list[Future[list[Result]]]) -> bool:
    return all(isinstance(result, Delivered) for answer in answers for result in answer.result(60))


def test_mappings_that_touch_the_same_parents_do_not_lock_each_other_out(
    org: SandboxServer, destination: SalesforceDestination, accounts: list[str], threads: ThreadPoolExecutor
) -> None:
    org.control.set_row_seconds(0.0002)
    org.control.reset_stats()
    named: list[tuple[str, Fields]] = [(each, {"Name": "Analytical Engines"}) for each in accounts]
    answers = [
        threads.submit(destination.upsert, "Contact", KEY, contacts(accounts, 600), lane="people"),
        threads.submit(destination.upsert, "Opportunity", KEY, deals(accounts, 400), lane="deals"),
        threads.submit(destination.update, "Account", named, lane="companies"),
    ]
    assert all_delivered(answers)
    assert org.control.calls("collections_upsert") == 3 + 2  # none was refused and made again
    assert org.control.calls("collections_update") == 1


def test_a_lock_of_somebody_else_is_waited_for_and_costs_its_neighbours_nothing(
    org: SandboxServer, accounts: list[str], threads: ThreadPoolExecutor, fake_time: FakeTime
) -> None:
    somebody = open_for(org, FakeTime())
    org.control.hold_writes(1)
    theirs = threads.submit(somebody.upsert, "Contact", KEY, [{**contacts(accounts, 1)[0], KEY: "theirs"}])
    org.control.wait_for_held_writes()
    org.control.reset_stats()

    def released(seconds: float) -> None:
        fake_time.slept.append(seconds)
        org.control.release_writes()
        theirs.result(60)

    fake_time.sleep = released  # type: ignore[method-assign]
    ours = open_for(org, fake_time)
    ours.describe("Contact")
    results = ours.upsert("Contact", KEY, contacts(accounts, 60))
    assert all(isinstance(result, Delivered) for result in results)
    assert len(fake_time.slept) == 1
    # theirs; all of ours, and twice half of the ten that were locked
    assert org.control.calls("collections_upsert") == 1 + 3
    ours.close()
    somebody.close()


def test_while_somebody_else_keeps_a_lock_only_its_children_wait(
    org: SandboxServer, destination: SalesforceDestination, accounts: list[str], threads: ThreadPoolExecutor
) -> None:
    somebody = open_for(org, FakeTime())
    org.control.hold_writes(1)
    theirs = threads.submit(somebody.upsert, "Contact", KEY, [{**contacts(accounts, 1)[0], KEY: "theirs"}])
    org.control.wait_for_held_writes()
    children = contacts(accounts, 60)
    results = destination.upsert("Contact", KEY, children)
    locked = {child["AccountId"] for child, result in zip(children, results, strict=True) if _locked(result)}
    assert locked == {accounts[0]}
    assert sum(isinstance(result, Delivered) for result in results) == 50
    org.control.release_writes()
    assert all_delivered([theirs])
    assert not any(_locked(result) for result in destination.upsert("Contact", KEY, children))
    somebody.close()


def _locked(result: Result) -> bool:
    return isinstance(result, Rejected) and result.code == "UNABLE_TO_LOCK_ROW"
