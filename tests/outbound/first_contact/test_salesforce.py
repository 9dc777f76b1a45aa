"""First contact over HTTP: what it costs in calls of the API, and that Salesforce's own rules stop a double link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.settings import read_settings
from syncbridge.model import Reason
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import conflicts, links
from tests.fix_delivery import SmallProject, Start

PEOPLE = 2_000


@dataclass
class Org:
    """A project that delivers to a sandbox."""

    project: SmallProject
    server: SandboxServer

    def put(self, *records: dict[str, Any]) -> list[str]:
        """Records that somebody created in the org."""
        sandbox = self.server.sandbox
        contact = sandbox.org.objects["contact"]
        with sandbox.lock:
            outcomes = sandbox.writes.create([(contact, record) for record in records])
        return [str(outcome.id) for outcome in outcomes]

    def calls(self) -> dict[str, int]:
        """Calls by route since the last `reset_stats`."""
        counted = self.server.control.stats()["calls"]
        return {name.partition(" ")[2]: count for name, count in counted.items()}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def org(start: Start, server: SandboxServer) -> Iterator[Org]:
    """People matched by their email, and an org without records."""
    server.control.reset()
    for name, kind in (("Person_Key__c", "string(40) external_id unique"), ("Score__c", "double(18,2)")):
        server.control.put_field("Contact", name, kind)
    server.control.put_field("Contact", "Born__c", "date")
    values = {
        "login": "client_credentials",
        "instance_url": server.url,
        "client_id": server.credentials.client_id,
        "client_secret": server.credentials.client_secret,
    }
    destination: Any = SalesforceDestination("crm", read_settings("crm", values, frozenset()))
    match_on = ("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email")
    yield Org(start(match_on, destination=destination), server)
    destination.close()


def test_two_thousand_existing_people_are_linked_in_twenty_calls_and_a_resync_makes_none(org: Org) -> None:
    """Of each thousand: 3 queries by email (some 350 fit into one), 2 by key (850), and 5 updates of 200 records."""
    project = org.project
    org.put(*({"LastName": "Old", "Email": f"Person{n:05}@example.org"} for n in range(PEOPLE)))
    project.writer.execute(
        "insert into people (id, first_name, last_name, email)"
        " select n, 'First', 'Last ' || n, format('person%%s@example.org', lpad(n::text, 5, '0'))"
        " from generate_series(0, %s) as n",
        (PEOPLE - 1,),
    )
    project.touch(*range(PEOPLE), reason=Reason.FIRST_SYNC)
    project.destination.describe("Contact")
    org.server.control.reset_stats()
    project.deliver()
    assert org.calls() == {"query": 10, "collections_update": 10}
    assert links.count(project.store, project.mapping_id) == PEOPLE
    records = org.server.control.records("Contact")
    assert len(records) == PEOPLE
    assert all(record["LastName"] == f"Last {record['Person_Key__c']}" for record in records)

    project.touch(*range(PEOPLE), reason=Reason.RESYNC)
    org.server.control.reset_stats()
    project.deliver()
    assert org.calls() == {}


def test_a_link_whose_answer_was_lost_is_one_record(org: Org) -> None:
    (remote_id,) = org.put({"LastName": "Old", "Email": "1@EXAMPLE.org"})
    org.project.add(1)
    org.server.faults.add("drop_after", route="collections_update", times=1)
    org.project.deliver()
    (record,) = org.server.control.records("Contact")
    assert (record["Id"], record["Person_Key__c"], record["LastName"]) == (remote_id, "1", "Last 1")


def test_quotes_and_patterns_in_a_value_find_only_what_is_equal(org: Org) -> None:
    org.project.writer.execute(
        "insert into people (id, last_name, email) values (1, 'A', 'o''neil%@example.org'), (2, 'B', 'x_y@example.org')"
    )
    (quoted, _) = org.put(
        {"LastName": "Old", "Email": "O'Neil%@example.org"}, {"LastName": "Old", "Email": "xzy@example.org"}
    )
    org.project.touch(1, 2)
    org.project.deliver()
    link = links.read(org.project.store, org.project.mapping_id, "1")
    assert link is not None
    assert link.remote_id == quoted
    assert len(org.server.control.records("Contact")) == 3


def test_two_with_one_email_are_held_and_none_is_written(org: Org) -> None:
    ids = org.put({"LastName": "One", "Email": "1@example.org"}, {"LastName": "Two", "Email": "1@Example.ORG"})
    org.project.add(1)
    org.project.deliver()
    (conflict,) = conflicts.held(org.project.store)
    assert conflict.candidates == tuple(sorted(ids))
    assert [record["LastName"] for record in org.server.control.records("Contact")] == ["One", "Two"]
