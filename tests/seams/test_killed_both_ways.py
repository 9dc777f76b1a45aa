"""Workers are killed at all three seams while both sides change: in the end both are equal, and no remote edit is lost
unless the log tells of the decision that it lost by."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from syncbridge.destinations.base import Delivered, Destination
from tests.fix_project import WholeProject, until
from tests.seams.conftest import Killing

pytestmark = [pytest.mark.seams, pytest.mark.timeout(240)]

POINTS = ("save inside", "settle inside", "write before", "write inside", "write after")


@dataclass
class People:
    """Those who work in the org: they alone change emails, each to one that was never there."""

    whole: WholeProject
    org: Destination
    last: dict[str, str] = field(default_factory=dict)  # key -> email
    edits: int = 0

    def edit(self, killing: Killing) -> None:
        records = self.whole.records("people")
        if not records:
            return
        chosen = killing.rng.choice(records)
        self.edits += 1
        email = f"edit{self.edits}@example.org"
        (result,) = self.org.update("Contact", [(chosen["Id"], {"Email": email})])
        if isinstance(result, Delivered):  # else it was deleted a moment ago
            self.last[chosen["Person_Key__c"]] = email


@pytest.fixture
def people_ways() -> str:
    return "direction: both\npoll: {every: 1s}\n"


@pytest.fixture
def people(killing: Killing) -> Iterator[People]:
    with killing.whole.project() as project:
        yield People(killing.whole, project.destination("crm"))


def test_workers_that_are_killed_at_all_seams_leave_both_sides_equal(killing: Killing, people: People) -> None:
    step = killing.load.step

    def both_sides() -> None:
        step()
        if killing.rng.random() < 0.2:
            people.edit(killing)

    killing.load.step = both_sides  # type: ignore[method-assign]
    for point in POINTS:
        killing.kill_at(point)
    killing.kill_at_random()
    _come_to_rest(killing)
    records = {record["Person_Key__c"]: record for record in killing.whole.records("people")}
    lost = {
        key: (email, records[key]["Email"])
        for key, email in people.last.items()
        if key in records and key not in killing.load.returned and records[key]["Email"] != email
    }
    # A record that was made by a worker that died is in no link: edited before it is found it is a conflict in all
    # fields, which `newest` decides.
    decided = killing.whole.sql("select key from syncbridge.sync_log where decision ->> 'Email' like '%postgres wins%'")
    assert lost.keys() <= {key for (key,) in decided}, lost
    assert killing.whole.sql("select * from went_back") == []
    assert killing.whole.sql("select key, status, error from syncbridge.outbox") == []


def _come_to_rest(killing: Killing) -> None:
    """A worker delivers and polls until neither way has anything to do."""
    whole = killing.whole
    whole.salesforce.faults.clear()
    killing.begin()
    for _ in range(3):
        ended = whole.run("wait", "--timeout", "60s")
        assert ended.code == 0, ended.out + ended.err + killing.log
        (now,) = whole.sql("select clock_timestamp()")[0]
        until(
            lambda now=now: whole.sql("select 1 from syncbridge.watermark where polled_at > %s", now),  # type: ignore[misc]
            what="a poll that began after everything was delivered",
        )
        until(
            lambda: (
                not whole.sql("select key from syncbridge.outbox")
                and not whole.sql("select remote_id from syncbridge.recheck")
            ),
            what="nothing is left to send or to look at",
        )
    os.kill(killing.pid, signal.SIGTERM)
    assert killing.ended(20.0) == 0, killing.log
    whole.assert_equal()
