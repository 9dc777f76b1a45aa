"""What the destination does when Salesforce is slow, busy or down, or refuses rows."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from syncbridge.destinations.base import Delivered, Rejected
from syncbridge.destinations.pace import RISE_AFTER
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.errors import NeedsOperator, QuotaExhausted, RateLimited, Remedy, RetryLater
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.faults import Kind
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import KEY, FakeTime, open_for, record, upsert


@pytest.fixture
def hasty(server: SandboxServer, fake_time: FakeTime) -> Iterator[SalesforceDestination]:
    """A destination that does not wait long for an answer."""
    destination = open_for(server, fake_time, read_timeout=1.5)
    yield destination
    destination.close()


# -- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_cut_connection_is_uncertain_for_its_own_call_only(
    server: SandboxServer, destination: SalesforceDestination, kind: Kind
) -> None:
    server.faults.add(kind, route="collections_upsert", times=1)
    results = upsert(destination, 450)
    lost = [result for result in results if isinstance(result, Rejected)]
    assert 50 <= len(lost) <= 200
    assert {(each.remedy, each.uncertain) for each in lost} == {(Remedy.RETRY, True)}
    assert all(isinstance(result, Delivered) for result in upsert(destination, 450))
    assert len(server.control.records("Contact")) == 450


def test_an_answer_that_comes_too_late_is_uncertain(server: SandboxServer, hasty: SalesforceDestination) -> None:
    hasty.describe("Contact")
    server.control.hold_writes()
    (lost,) = upsert(hasty)
    server.control.wait_for_held_writes()
    assert isinstance(lost, Rejected)
    assert (lost.code, lost.uncertain) == ("TIMEOUT", True)


def test_a_lost_answer_to_a_read_is_raised(server: SandboxServer, destination: SalesforceDestination) -> None:
    destination.describe("Contact")
    server.faults.add("drop_before", route="query", times=1)
    with pytest.raises(RetryLater):
        destination.find("Contact", KEY, ["k1"])


def test_an_answer_that_is_not_json_is_uncertain(server: SandboxServer, destination: SalesforceDestination) -> None:
    server.faults.add("status", route="collections_upsert", status=200, body="<html>maintenance</html>")
    (lost,) = upsert(destination)
    assert isinstance(lost, Rejected)
    assert (lost.code, lost.uncertain) == ("NOT_JSON", True)


def test_an_answer_of_another_length_is_uncertain(server: SandboxServer, destination: SalesforceDestination) -> None:
    server.faults.add("status", route="collections_upsert", status=200, body=[])
    assert all(isinstance(result, Rejected) and result.uncertain for result in upsert(destination, 3))


def test_a_gateway_that_gives_up_is_uncertain_after_some_retries(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.faults.add("status", route="collections_upsert", status=504, body="<html>gateway timeout</html>")
    (lost,) = upsert(destination)
    assert isinstance(lost, Rejected)
    assert lost.uncertain
    assert server.control.calls("collections_upsert") == 4
    assert len(fake_time.slept) == 3


def test_an_attempt_that_may_have_been_applied_is_not_forgotten_when_the_next_one_is_refused(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.faults.add("status", route="collections_upsert", status=504, times=1)
    server.faults.add("daily_limit", route="collections_upsert")
    (lost,) = upsert(destination)
    assert isinstance(lost, Rejected)
    assert (lost.remedy, lost.uncertain) == (Remedy.RETRY, True)
    with pytest.raises(QuotaExhausted):
        upsert(destination)


def test_a_load_balancer_that_is_busy_leaves_it_open_whether_salesforce_did_it(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.faults.add("status", route="collections_upsert", status=503, body="<html>busy</html>")
    with pytest.raises(RetryLater) as later:
        upsert(destination)
    assert later.value.uncertain


def test_keys_that_differ_only_in_case_are_stored_in_their_order(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    spellings: list[Fields] = [{KEY: key, "LastName": key} for key in ("ab", "x", "AB", "Ab")]
    results = destination.upsert("Contact", KEY, spellings)
    assert [isinstance(result, Delivered) and result.created for result in results] == [True, True, False, False]
    assert server.control.calls("collections_upsert") == 3
    assert [each["LastName"] for each in server.control.records("Contact")] == ["Ab", "x"]


# -- not now ----------------------------------------------------------------------------------------------------------


def test_a_busy_org_is_asked_again_with_growing_waits(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.faults.add("unavailable", route="collections_upsert", times=2)
    assert isinstance(upsert(destination)[0], Delivered)
    assert len(fake_time.slept) == 2
    assert fake_time.slept[0] < fake_time.slept[1]


def test_a_wait_that_salesforce_asked_for_is_kept(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.faults.add("status", route="collections_upsert", status=429, headers={"Retry-After": "9"}, times=1)
    assert isinstance(upsert(destination)[0], Delivered)
    assert fake_time.slept == [9.0]


def test_a_wait_longer_than_the_calls_time_is_the_callers(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.faults.add("status", route="collections_upsert", status=429, headers={"Retry-After": "600"})
    with pytest.raises(RateLimited) as limited:
        upsert(destination)
    assert limited.value.delay == 600.0
    assert fake_time.slept == []


def test_too_many_long_calls_are_a_rate_limit_and_no_quota(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.faults.add("concurrent_limit", route="collections_upsert")
    with pytest.raises(RateLimited):
        upsert(destination)
    assert destination.limits().state == "ok"
    server.faults.clear()
    assert isinstance(upsert(destination)[0], Delivered)


@pytest.mark.parametrize("kind", ["concurrent_limit", "unavailable", "too_many_requests"])
def test_a_busy_org_gets_fewer_calls_at_once_and_more_again_as_they_get_through(
    server: SandboxServer, fake_time: FakeTime, kind: Kind
) -> None:
    destination = open_for(server, fake_time, calls_in_flight=4)
    server.faults.add(kind, route="collections_upsert", times=1)
    assert isinstance(upsert(destination)[0], Delivered)
    assert destination.limits().lowered.startswith("2 of 4 calls in flight, after ")
    for in_flight in ("3 of 4", ""):
        fake_time.now += RISE_AFTER
        upsert(destination)
        assert destination.limits().lowered[:6] == in_flight
    destination.close()


def test_a_server_that_cannot_be_reached_is_tried_again_and_then_left_for_later(fake_time: FakeTime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with SandboxServer() as server:
        destination = open_for(server, fake_time, login="session", session_id="00D!x", instance_url=url)
    with pytest.raises(RetryLater, match="cannot be reached") as later:
        upsert(destination)
    assert not later.value.uncertain
    assert len(fake_time.slept) == 3
    destination.close()


def test_a_redirect_is_not_followed(server: SandboxServer, destination: SalesforceDestination) -> None:
    server.faults.add("status", route="collections_upsert", status=302, headers={"Location": "https://evil.example"})
    with pytest.raises(NeedsOperator):
        upsert(destination)


def test_a_session_that_expires_when_no_time_is_left_is_for_later(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    upsert(destination)
    server.faults.add("unavailable", route="collections_upsert", times=1)
    server.control.expire_tokens()
    fake_time.sleep = lambda seconds: setattr(fake_time, "now", fake_time.now + 1000)  # type: ignore[method-assign]
    destination.close()
    late = open_for(server, fake_time)
    with pytest.raises(RetryLater, match="No time"):
        upsert(late)
    late.close()


# -- rows -------------------------------------------------------------------------------------------------------------


def test_locked_rows_get_through_after_a_pause(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.faults.add("rows", every=3, times=66)
    assert all(isinstance(result, Delivered) for result in upsert(destination, 200))
    assert server.control.calls("collections_upsert") == 3
    assert len(fake_time.slept) == 1


def test_rows_that_stay_locked_are_for_the_caller_to_retry(
    server: SandboxServer, destination: SalesforceDestination, fake_time: FakeTime
) -> None:
    server.faults.add("rows", field=KEY, value="k2")
    one, two, three = upsert(destination, 3)
    assert isinstance(three, Rejected)
    assert (three.code, three.uncertain) == ("UNABLE_TO_LOCK_ROW", False)
    assert isinstance(one, Delivered)
    assert isinstance(two, Delivered)
    assert fake_time.slept == sorted(fake_time.slept)
    assert server.control.calls("collections_upsert") == 4


def test_a_trigger_that_breaks_off_on_one_record_does_not_stop_the_others(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    message = "People: execution of BeforeInsert caused by: System.NullPointerException: Attempt to de-reference"
    server.faults.add("rows", code="CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message=message, times=200)
    server.faults.add("rows", code="CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message=message, field=KEY, value="k150")
    results = upsert(destination, 200)
    assert [at for at, result in enumerate(results) if isinstance(result, Rejected)] == [150]
    assert server.control.calls("collections_upsert") <= 11


def test_children_of_one_parent_are_never_in_two_calls_in_flight(
    server: SandboxServer, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = open_for(server, fake_time, calls_in_flight=4)
    accounts = destination.upsert("Account", KEY, [{KEY: f"a{at}", "Name": "Engines"} for at in range(3)])
    ids = [account.remote_id for account in accounts if isinstance(account, Delivered)]
    destination.describe("Contact")
    together = threading.Barrier(2)  # the first two calls
    begun = itertools.count()
    in_flight: list[set[str]] = []
    met: list[set[str]] = []
    call = destination._client.call

    def watched(request: Request, *, until: float) -> Any:
        parents = {each["AccountId"] for each in orjson.loads(request.body or b"")["records"] if "AccountId" in each}
        met.extend(parents & others for others in in_flight)
        in_flight.append(parents)
        try:
            if next(begun) < 2:
                together.wait(30)
            return call(request, until=until)
        finally:
            in_flight.remove(parents)

    monkeypatch.setattr(destination._client, "call", watched)
    children = [record(at, **({"AccountId": ids[at % 3]} if at % 4 else {})) for at in range(900)]
    results = destination.upsert("Contact", KEY, children, lane="people")
    assert all(isinstance(result, Delivered) for result in results)
    assert server.control.calls("collections_upsert") == 1 + 5
    assert met  # calls were in flight together,
    assert not any(met)  # and none had a parent that another had
    destination.close()


def test_rows_over_an_apex_limit_get_through_in_smaller_calls(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    message = "MyTrigger: System.LimitException: Too many SOQL queries: 101"
    server.faults.add("rows", code="CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message=message, times=200)
    assert all(isinstance(result, Delivered) for result in upsert(destination, 200))
    assert server.control.calls("collections_upsert") == 3


def test_a_defect_of_the_org_is_pinned_down_in_smaller_calls(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.faults.add("server_error", route="collections_upsert", times=1)
    assert all(isinstance(result, Delivered) for result in upsert(destination, 8))
    assert server.control.calls("collections_upsert") == 3


def test_a_defect_that_stays_ends_and_is_retried_later(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.faults.add("server_error", route="collections_upsert")
    results = upsert(destination, 200)
    assert {result.remedy for result in results if isinstance(result, Rejected)} <= {
        Remedy.RETRY,
        Remedy.RETRY_SMALLER,
    }
    assert server.control.calls("collections_upsert") < 50


def test_a_unique_value_that_another_record_holds_names_that_record(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    server.control.put_field("Contact", "Badge__c", "string(20) unique")
    (holder,) = destination.upsert("Contact", KEY, [record(1, Badge__c="b7")])
    (refused,) = destination.upsert("Contact", KEY, [record(2, Badge__c="b7")])
    assert isinstance(holder, Delivered)
    assert isinstance(refused, Rejected)
    assert (refused.remedy, refused.remote_id) == (Remedy.ADOPT, holder.remote_id)


def test_a_refused_value_is_not_repeated(server: SandboxServer, destination: SalesforceDestination) -> None:
    (refused,) = destination.upsert("Contact", KEY, [record(1, Email="secret-address")])
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.fields) == ("INVALID_EMAIL_ADDRESS", ("Email",))
    assert "secret" not in repr(refused)


# -- all of it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_whatever_goes_wrong_each_record_is_stored_once_as_it_was_sent_last(
    server: SandboxServer, fake_time: FakeTime, seed: int
) -> None:
    rng = random.Random(seed)
    destination = open_for(server, fake_time, calls_in_flight=2)
    kinds: tuple[Kind, ...] = ("drop_before", "drop_after", "unavailable", "server_error", "concurrent_limit", "rows")
    server.faults.add("expired_session", route="collections_upsert", after=rng.randrange(3), times=1)
    for _ in range(12):
        kind = rng.choice(kinds)
        server.faults.add(kind, route="collections_upsert", after=rng.randrange(3), times=rng.randrange(1, 4))
    waiting = {number: record(number, FirstName=f"v{number}") for number in range(450)}
    for _ in range(60):
        numbers = rng.sample(sorted(waiting), len(waiting))
        try:
            results = destination.upsert("Contact", KEY, [waiting[number] for number in numbers])
        except RetryLater:
            continue
        for number, result in zip(numbers, results, strict=True):
            if isinstance(result, Delivered):
                del waiting[number]
        if not waiting:
            break
    stored = {each[KEY]: each["FirstName"] for each in server.control.records("Contact")}
    assert waiting == {}
    assert stored == {f"k{number}": f"v{number}" for number in range(450)}
    assert len(server.control.records("Contact")) == 450
    destination.close()
