"""Bulk jobs of Salesforce keep the contract, over real HTTP against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import pytest

from syncbridge.destinations.base import BulkJob, BulkLoading
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.sandbox.salesforce.bulk.jobs import IngestJob
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.contract.bulk import BulkContract, BulkRemote
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for
from tests.destinations.salesforce.test_contract import SalesforceRemote, remote_on


@dataclass(kw_only=True)
class SalesforceBulkRemote(SalesforceRemote, BulkRemote):
    other: SalesforceDestination

    def hold_jobs(self) -> None:
        self.server.control.hold_jobs()

    def run_jobs(self) -> None:
        self.server.control.release_jobs()
        self.server.control.finish_jobs()

    def fail_job(self, after: int) -> None:
        self.server.faults.add("job_failed", code="Timeout", message="Took too long.", rows=after, times=1)

    def lose_job(self, job: BulkJob) -> None:
        jobs = self.server.sandbox.bulk.jobs
        found = jobs.find(IngestJob, job.id)
        assert found is not None
        jobs.remove(found)

    def lose_upload(self) -> None:
        self.server.faults.add("drop_after", route="bulk_update", times=1)

    def go_on_elsewhere(self) -> BulkLoading:
        assert self.other.bulk is not None
        return self.other.bulk


class TestSalesforceBulk(BulkContract):
    @pytest.fixture
    def bulk(self, server: SandboxServer, fake_time: FakeTime) -> Iterator[BulkRemote]:
        plain, other = remote_on(server, fake_time), open_for(server, fake_time)
        yield SalesforceBulkRemote(**{each.name: getattr(plain, each.name) for each in fields(plain)}, other=other)
        server.control.release_jobs()
        plain.destination.close()
        other.close()
