"""Scans of an org: by query jobs, by queries, and from one to the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncbridge.destinations.base import Delivered
from syncbridge.destinations.feed import RemoteChange, ScanLost, ScanPage
from syncbridge.destinations.salesforce import SalesforceDestination, scan
from syncbridge.destinations.salesforce.scan import Place
from syncbridge.errors import NeedsOperator, RetryLater
from syncbridge.sandbox.salesforce.bulk import query_calls
from syncbridge.sandbox.salesforce.bulk.extract import page_of
from syncbridge.sandbox.salesforce.bulk.jobs import QueryJob
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.contract.destination import Remote
from tests.contract.scan import ScanContract, WorkedScanContract
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for, record, upsert
from tests.destinations.salesforce.test_contract import SalesforceRemote, remote_on


@pytest.fixture
def remote(server: SandboxServer, fake_time: FakeTime) -> Iterator[Remote]:
    remote = remote_on(server, fake_time)
    remote.destination.describe(remote.object)
    yield remote
    server.control.release_jobs()
    remote.destination.close()


class TestByQueries(ScanContract):
    """Small objects."""


class TestByJobs(WorkedScanContract):
    """Large ones."""

    @pytest.fixture(autouse=True)
    def jobs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scan, "BY_QUERIES", 0)
        monkeypatch.setattr(scan, "FIRST_PAGE", 7)

    def scan(self, remote: Remote, *fields: str, position: str | None = None) -> list[RemoteChange]:
        """Jobs are done before they are asked for the first time."""
        assert isinstance(remote, SalesforceRemote)
        if position is not None:
            return super().scan(remote, *fields, position=position)
        page = remote.destination.scan(remote.object, fields or [remote.text], None, lane="people")
        remote.server.control.finish_jobs()
        return [*page.records, *super().scan(remote, *fields, position=page.position)]

    def hold(self, remote: Remote) -> None:
        assert isinstance(remote, SalesforceRemote)
        remote.server.control.hold_jobs()

    def release(self, remote: Remote) -> None:
        assert isinstance(remote, SalesforceRemote)
        remote.server.control.release_jobs()
        remote.server.control.finish_jobs()

    def lose(self, remote: Remote) -> None:
        assert isinstance(remote, SalesforceRemote)
        remote.server.control.finish_jobs()
        jobs = remote.server.sandbox.bulk.jobs
        for job in jobs.all(QueryJob):
            jobs.remove(job)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, destination: SalesforceDestination) -> None:
    """Twelve contacts, which are many here."""
    monkeypatch.setattr(scan, "BY_QUERIES", 10)
    assert all(isinstance(each, Delivered) for each in upsert(destination, 12))


def first(destination: SalesforceDestination) -> ScanPage:
    return destination.scan("Contact", ["LastName"], None, lane="people")


def all_ids(destination: SalesforceDestination, page: ScanPage) -> list[str]:
    """Remote ids of this page and those behind it."""
    ids = [each.remote_id for each in page.records]
    for _ in range(100):
        if not page.more:
            return ids
        page = destination.scan("Contact", ["LastName"], page.position, lane="people")
        ids += [each.remote_id for each in page.records]
    raise AssertionError("the scan does not come to an end")


def test_a_large_object_costs_a_query_and_four_calls_of_its_job(
    many: None, destination: SalesforceDestination, server: SandboxServer
) -> None:
    page = first(destination)
    server.control.finish_jobs()
    assert len(set(all_ids(destination, page))) == 12
    made = {kind: count for (lane, kind), count in destination.calls_made().items() if lane == "people"}
    assert made == {"upsert": 1, "query": 1, "bulk query create": 1, "bulk query poll": 1, "bulk results": 1}


def test_a_small_object_costs_one_call(destination: SalesforceDestination, server: SandboxServer) -> None:
    upsert(destination, 3)
    server.control.reset_stats()
    destination.describe("Contact")
    server.control.reset_stats()
    page = first(destination)
    assert (len(page.records), page.more, page.total) == (3, False, 3)
    assert len(server.control.requests()) == 1


def test_pages_of_queries_may_be_smaller_than_asked_for(
    destination: SalesforceDestination, server: SandboxServer
) -> None:
    upsert(destination, 450)
    server.control.set_page_size(200)
    page = first(destination)
    assert len(page.records) == 200
    assert len(set(all_ids(destination, page))) == 450


@pytest.mark.parametrize(
    "refusal",
    [
        (403, "API_DISABLED_FOR_ORG", "no Bulk API"),
        (400, "LIMIT_EXCEEDED", "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10000)"),
        (400, "INVALIDENTITY", "Entity 'Contact' is not supported by the Bulk API."),
    ],
)
def test_where_no_job_is_to_be_had_queries_do_it(
    refusal: tuple[int, str, str], many: None, destination: SalesforceDestination, server: SandboxServer
) -> None:
    status, code, message = refusal
    body = [{"errorCode": code, "message": message}]
    server.faults.add("status", route="bulk_query_create", status=status, body=body)
    page = first(destination)
    assert len(set(all_ids(destination, page))) == 12
    assert server.sandbox.bulk.jobs.all(QueryJob) == []


def test_a_job_that_fails_leaves_it_to_queries(
    many: None, destination: SalesforceDestination, server: SandboxServer
) -> None:
    server.control.hold_jobs()
    page = first(destination)
    (job,) = server.sandbox.bulk.jobs.all(QueryJob)
    job.move("Failed", server.sandbox.clock.stamp(), "QUERY_TIMEOUT : Your query request was running for too long.")
    server.control.release_jobs()
    assert len(set(all_ids(destination, page))) == 12
    assert len(server.sandbox.bulk.jobs.all(QueryJob)) == 1


def test_a_job_that_somebody_aborted_is_lost(
    many: None, destination: SalesforceDestination, server: SandboxServer
) -> None:
    server.control.hold_jobs()
    page = first(destination)
    destination.stop_scan("Contact", page.position)
    server.control.release_jobs()
    with pytest.raises(ScanLost, match="aborted"):
        destination.scan("Contact", ["LastName"], page.position)


def test_waits_between_looks_at_a_job_grow(
    many: None, destination: SalesforceDestination, server: SandboxServer
) -> None:
    server.control.hold_jobs()
    page, delays = first(destination), []
    for _ in range(30):
        page = destination.scan("Contact", ["LastName"], page.position)
        delays.append(page.delay)
    assert delays[:3] == [0.5, 0.75, 1.125]
    assert (sorted(delays), delays[-1]) == (delays, 20.0)
    server.control.release_jobs()


def test_results_that_break_off_are_read_again(
    many: None, monkeypatch: pytest.MonkeyPatch, destination: SalesforceDestination, server: SandboxServer
) -> None:
    page = first(destination)
    server.control.finish_jobs()

    def cut(job: QueryJob, start: int, most: int) -> tuple[Iterator[bytes], int, int | None]:
        chunks, number, following = page_of(job, start, most)
        return iter([b"".join(chunks)[: job.ends[7]]]), number, following

    with monkeypatch.context() as patched:
        patched.setattr(query_calls, "page_of", cut)
        with pytest.raises(RetryLater, match="to their end"):
            all_ids(destination, page)
    assert len(set(all_ids(destination, page))) == 12


def test_pages_of_a_job_are_as_large_as_their_records_allow(
    many: None, monkeypatch: pytest.MonkeyPatch, destination: SalesforceDestination, server: SandboxServer
) -> None:
    monkeypatch.setattr(scan, "FIRST_PAGE", 2)
    monkeypatch.setattr(scan, "PAGE_SIZE", 400)
    page = first(destination)
    server.control.finish_jobs()
    sizes = []
    while page.more:
        page = destination.scan("Contact", ["LastName"], page.position)
        sizes.append(len(page.records))
    assert sizes[0] == 2
    assert 2 < sizes[1] < 10
    assert sum(sizes) == 12


def test_a_position_of_another_version_of_the_api_is_lost(
    many: None, destination: SalesforceDestination, server: SandboxServer, fake_time: FakeTime
) -> None:
    page = first(destination)
    for changed in ({"api_version": "60.0"}, {"bulk_from": 0}):
        other = open_for(server, fake_time, **changed)
        with pytest.raises(ScanLost):
            other.scan("Contact", ["LastName"], page.position)
        other.close()


def test_with_bulk_from_0_there_are_no_jobs(many: None, server: SandboxServer, fake_time: FakeTime) -> None:
    destination = open_for(server, fake_time, bulk_from=0)
    assert len(all_ids(destination, first(destination))) == 12
    destination.close()


def test_no_value_is_taken_for_null_but_an_empty_cell(
    many: None, destination: SalesforceDestination, server: SandboxServer
) -> None:
    destination.upsert("Contact", "External_Key__c", [record(0, FirstName="#N/A", Title="null")])
    page = destination.scan("Contact", ["External_Key__c", "FirstName", "Title"], None)
    server.control.finish_jobs()
    page = destination.scan("Contact", ["External_Key__c", "FirstName", "Title"], page.position)
    (one,) = [each.fields for each in page.records if each.fields["External_Key__c"] == "k0"]
    assert (one["FirstName"], one["Title"]) == ("#N/A", "null")


def test_a_position_that_is_none_needs_a_person() -> None:
    with pytest.raises(NeedsOperator, match="position"):
        Place.read("7")
