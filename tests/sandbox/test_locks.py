"""Row locks: writes that overlap for real and touch one parent. They are held under way, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api, BulkApi

LOCKED = "UNABLE_TO_LOCK_ROW"
ROW_LOCKED = "unable to obtain exclusive access to this record or 1 records: "


class Other:
    """Another client, which has requests under way."""

    def __init__(self, api: Api, sandbox: SandboxServer, threads: ThreadPoolExecutor) -> None:
        self._api = api
        self._sandbox = sandbox
        self._threads = threads

    def start(self, method: str, path: str, **body: Any) -> Future[httpx.Response]:
        """Send a request that is carried out, but not answered before writes are released."""
        self._sandbox.control.hold_writes(1)
        future = self._threads.submit(self._api.request, method, path, **body)
        self._sandbox.control.wait_for_held_writes()
        return future

    def start_child(self, parent: str) -> Future[httpx.Response]:
        """Have a new contact of this account under way."""
        return self.start("POST", "/sobjects/Contact", json={"LastName": "held", "AccountId": parent})

    def send(self, method: str, path: str, **body: Any) -> Future[httpx.Response]:
        """Send a request at the side of this thread."""
        return self._threads.submit(self._api.request, method, path, **body)


@pytest.fixture
def other(api: Api, sandbox: SandboxServer) -> Iterator[Other]:
    """Another client; what it has under way is let go at the end."""
    with ThreadPoolExecutor(3) as threads:
        yield Other(api, sandbox, threads)
        sandbox.control.release_writes()


@pytest.fixture
def accounts(api: Api, sandbox: SandboxServer) -> list[str]:
    """Two accounts, in a sandbox that does not wait for locks."""
    sandbox.control.set_lock_wait(0)
    return [api.create("Account", Name=each) for each in ("one", "two")]


def _children(*parents: str, **values: Any) -> list[dict[str, Any]]:
    return [{"attributes": {"type": "Contact"}, "LastName": "c", "AccountId": each, **values} for each in parents]


def test_children_of_one_parent_cannot_be_written_by_two_requests_at_once(
    api: Api, sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    held = other.start_child(accounts[0])
    blocked, free = api.collection("POST", "", _children(*accounts))
    assert blocked["errors"] == [{"statusCode": LOCKED, "message": ROW_LOCKED + accounts[0], "fields": []}]
    assert free["success"]
    sandbox.control.release_writes()
    assert held.result().status_code == 201
    assert api.collection("POST", "", _children(accounts[0]))[0]["success"]


def test_a_single_record_is_refused_with_400(api: Api, other: Other, accounts: list[str]) -> None:
    other.start_child(accounts[0])
    answer = api.patch(f"/sobjects/Account/{accounts[0]}", json={"Name": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, LOCKED)
    assert api.delete(f"/sobjects/Account/{accounts[0]}").json()[0]["errorCode"] == LOCKED
    assert api.patch(f"/sobjects/Account/{accounts[1]}", json={"Name": "x"}).status_code == 204
    assert api.get(f"/sobjects/Account/{accounts[0]}").json()["Name"] == "one"


def test_an_update_locks_the_master_of_its_record_whatever_it_sets(api: Api, other: Other, accounts: list[str]) -> None:
    contact = api.create("Contact", LastName="c", AccountId=accounts[0])
    other.start("PATCH", f"/sobjects/Contact/{contact}", json={"Title": "Dr"})
    assert api.collection("POST", "", _children(accounts[0]))[0]["errors"][0]["statusCode"] == LOCKED
    assert api.collection("POST", "", _children(accounts[1]))[0]["success"]


def test_all_or_none_is_undone_for_one_locked_record(api: Api, other: Other, accounts: list[str]) -> None:
    other.start_child(accounts[0])
    results = api.collection("POST", "", _children(*accounts), all_or_none=True)
    codes = [each["errors"][0]["statusCode"] for each in results]
    assert codes == [LOCKED, "ALL_OR_NONE_OPERATION_ROLLED_BACK"]


def test_requests_about_other_parents_are_not_held_up(
    api: Api, sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    held = other.start_child(accounts[0])
    assert api.create("Contact", LastName="c", AccountId=accounts[1])
    assert len(api.rows("SELECT Id FROM Contact")) == 2
    assert not held.done()


def test_a_write_waits_for_the_lock_and_then_succeeds(
    api: Api, sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    sandbox.control.set_lock_wait(600)
    held = other.start_child(accounts[0])
    before = sandbox.control.stats()["usage"]["used"]
    waiting = other.send("POST", "/composite/sobjects", json={"records": _children(*accounts)})
    sandbox.control.wait_for_waiting_writes()
    sandbox.control.release_writes()
    assert [each["success"] for each in waiting.result().json()] == [True, True]
    assert held.result().status_code == 201
    assert sandbox.control.stats()["usage"]["used"] == before + 1


def test_requests_under_way_at_a_reset_write_nothing_afterwards_and_get_no_answer(
    sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    sandbox.control.set_lock_wait(600)
    held = other.start_child(accounts[0])
    waiting = other.send("POST", "/composite/sobjects", json={"records": _children(*accounts)})
    sandbox.control.wait_for_waiting_writes()
    sandbox.control.reset()
    for each in (held, waiting):
        with pytest.raises(httpx.TransportError):
            each.result()
    assert sandbox.control.records("Contact") == []
    assert (sandbox.control.calls(), sandbox.control.stats()["usage"]["used"]) == (0, 0)


def test_a_reset_frees_what_requests_under_way_have_locked(
    sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    other.start_child(accounts[0])
    sandbox.control.reset()
    assert not sandbox.sandbox.locks.any_held


def test_records_take_their_time_and_let_go_by_themselves(
    api: Api, sandbox: SandboxServer, accounts: list[str]
) -> None:
    sandbox.control.set_row_seconds(0.001)
    for _ in range(2):
        assert all(each["success"] for each in api.collection("POST", "", _children(*accounts)))


def test_rows_of_a_bulk_job_fail_for_a_parent_that_a_request_holds(
    api: Api, bulk: BulkApi, other: Other, accounts: list[str]
) -> None:
    other.start_child(accounts[0])
    job = bulk.run(f"LastName,AccountId\na,{accounts[0]}\nb,{accounts[1]}\n")
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"], job["retries"]) == (2, 1, 0)
    [failed] = api.results(job["id"], "failedResults")
    assert failed["sf__Error"] == f"{LOCKED}:{ROW_LOCKED}{accounts[0]}:--"


def test_a_batch_with_more_than_100_lock_failures_is_put_back_and_what_failed_is_not_tried_again(
    bulk: BulkApi, other: Other, accounts: list[str]
) -> None:
    other.start_child(accounts[0])
    rows = [accounts[0]] * 101 + [accounts[1]] * 400
    job = bulk.run("LastName,AccountId\n" + "".join(f"a,{each}\n" for each in rows))
    assert (job["state"], job["retries"]) == ("JobComplete", 1)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (501, 101)


def test_a_job_whose_batch_is_put_back_too_often_fails(bulk: BulkApi, other: Other, accounts: list[str]) -> None:
    other.start_child(accounts[0])
    job = bulk.run("LastName,AccountId\n" + f"a,{accounts[0]}\n" * 8_800)
    assert (job["state"], job["retries"]) == ("Failed", 21)
    assert job["errorMessage"].startswith("TooManyLockFailure")
    assert job["numberRecordsProcessed"] == 8_400


def test_a_job_waits_for_a_lock_and_knows_its_external_ids_still(
    api: Api, bulk: BulkApi, sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    sandbox.control.set_lock_wait(600)
    other.start_child(accounts[0])
    job = api.open_job("Contact", "upsert", externalIdFieldName="External_Key__c")
    api.fill_job(job, f"External_Key__c,LastName,AccountId\nk1,a,{accounts[0]}\nk1,b,{accounts[1]}\n")
    sandbox.control.wait_for_waiting_writes()
    sandbox.control.release_writes()
    assert bulk.finish(job)["numberRecordsFailed"] == 1
    [failed] = api.results(job, "failedResults")
    assert failed["sf__Error"].startswith("DUPLICATE_VALUE:Duplicate external id specified: k1")


def test_a_request_fails_for_a_parent_that_a_bulk_job_holds(
    api: Api, bulk: BulkApi, sandbox: SandboxServer, accounts: list[str]
) -> None:
    sandbox.control.hold_writes(1)
    job = api.open_job("Contact", "insert")
    api.fill_job(job, f"LastName,AccountId\na,{accounts[0]}\n")
    sandbox.control.wait_for_held_writes()
    assert api.collection("POST", "", _children(accounts[0]))[0]["errors"][0]["statusCode"] == LOCKED
    sandbox.control.release_writes()
    assert bulk.finish(job)["state"] == "JobComplete"
    assert api.collection("POST", "", _children(accounts[0]))[0]["success"]


def test_too_many_requests_that_run_for_long_refuse_the_next_one(
    api: Api, sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    sandbox.control.set_concurrent_max(1)
    held = other.start_child(accounts[0])
    sandbox.control.advance_clock(19)
    used = sandbox.control.stats()["usage"]["used"]
    assert api.get("/limits").status_code == 200
    sandbox.control.advance_clock(2)
    answer = api.get("/limits")
    assert answer.status_code == 403
    assert answer.json() == [
        {
            "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
            "errorCode": "REQUEST_LIMIT_EXCEEDED",
        }
    ]
    sandbox.control.release_writes()
    assert held.result().status_code == 201
    assert api.get("/limits").status_code == 200
    assert sandbox.control.stats()["usage"]["used"] == used + 2


def test_holding_and_settings_work_over_http_and_end_with_a_reset(
    api: Api, sandbox: SandboxServer, other: Other, accounts: list[str]
) -> None:
    with httpx.Client(base_url=f"{sandbox.url}/sandbox") as control:
        settings = {"row_seconds": 0.001, "lock_wait": 0, "concurrent_max": 5}
        assert control.put("/settings", json=settings).status_code == 200
        assert control.put("/writes", json={"number": 1}).status_code == 200
        held = other.send("POST", "/sobjects/Contact", json={"LastName": "held", "AccountId": accounts[0]})
        sandbox.control.wait_for_held_writes()
        assert api.collection("POST", "", _children(accounts[0]))[0]["errors"][0]["statusCode"] == LOCKED
        assert control.delete("/writes").status_code == 200
    assert held.result().status_code == 201
    other.start_child(accounts[0])
    sandbox.control.reset()
    account = api.create("Account", Name="new")
    assert api.collection("POST", "", _children(account))[0]["success"]
