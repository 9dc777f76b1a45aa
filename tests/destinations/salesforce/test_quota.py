"""What the destination does when its share of the day's calls, or the org's storage, is used up."""

from __future__ import annotations

import pytest

from syncbridge.destinations.allowance import RECHECK
from syncbridge.destinations.base import Delivered, Rejected
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.errors import QuotaExhausted, Remedy
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for, upsert


def test_a_spent_day_stops_all_calls_and_resumes_by_itself(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    upsert(destination)
    server.faults.add("daily_limit")
    with pytest.raises(QuotaExhausted) as spent:
        upsert(destination)
    assert spent.value.delay == RECHECK
    assert destination.limits().state == "stopped"
    before = server.control.calls()
    with pytest.raises(QuotaExhausted):
        upsert(destination)
    assert server.control.calls() == before
    fake_time.now += RECHECK
    with pytest.raises(QuotaExhausted):  # one call looked again, and was refused
        upsert(destination)
    assert server.control.calls() == before + 1
    server.faults.clear()
    fake_time.now += RECHECK
    assert isinstance(upsert(destination)[0], Delivered)
    assert destination.limits().state == "ok"


def test_over_our_share_no_call_is_made_although_salesforce_would_take_it(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.control.set_usage(used=80, max=100)
    upsert(destination)
    before = server.control.calls()
    with pytest.raises(QuotaExhausted) as stopped:
        upsert(destination)
    assert server.control.calls() == before
    assert "81 of 100" in stopped.value.message
    limits = destination.limits()
    assert (limits.used, limits.allowed, limits.state) == (81, 100, "stopped")
    assert [finding.severity for finding in destination.verify()] == ["warning"]
    server.control.set_usage(used=10)
    fake_time.now += RECHECK
    assert isinstance(upsert(destination)[0], Delivered)


def test_a_look_at_the_allowance_that_fails_leaves_it_stopped(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.control.set_usage(used=90, max=100)
    upsert(destination)
    server.faults.add("drop_before", route="limits")
    fake_time.now += RECHECK
    with pytest.raises(QuotaExhausted):  # and no record is called uncertain
        upsert(destination)


def test_near_our_share_calls_are_spaced_out(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.control.set_usage(used=75_000, max=100_000)
    for _ in range(4):
        upsert(destination)
    assert destination.limits().state == "slow"
    assert len(fake_time.slept) == 2
    assert all(0 < wait < 2 for wait in fake_time.slept)


def test_what_was_answered_before_the_allowance_ended_is_kept(server: SandboxServer, fake_time: FakeTime) -> None:
    destination = open_for(server, fake_time, calls_in_flight=1)
    server.faults.add("daily_limit", route="collections_upsert", after=1)
    results = upsert(destination, 450)
    assert all(isinstance(result, Delivered) for result in results[:200])
    assert {result.remedy for result in results[200:] if isinstance(result, Rejected)} == {Remedy.WAIT}
    assert len(results) == 450
    assert server.control.calls("collections_upsert") == 2  # the third call was not begun
    destination.close()


def test_verify_warns_of_a_storage_that_is_nearly_full(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    body = {"DailyApiRequests": {"Max": 100, "Remaining": 99}, "DataStorageMB": {"Max": 1000, "Remaining": 9}}
    server.faults.add("status", route="limits", status=200, body=body)
    (finding,) = destination.verify()
    assert (finding.severity, "storage" in finding.message) == ("warning", True)
