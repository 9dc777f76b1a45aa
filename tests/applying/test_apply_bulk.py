"""Putting files in force while a bulk job runs: what is forgotten is never linked by a late result."""

from __future__ import annotations

import itertools

import pytest

from syncbridge.applying.apply import apply
from syncbridge.applying.planning import Decisions
from syncbridge.destinations.base import BulkJob, BulkState
from syncbridge.destinations.memory_bulk import MemoryBulk
from syncbridge.errors import RetryLater
from syncbridge.outbound.bulk import BulkDelivery
from syncbridge.outbound.bulk_turn import Turn
from syncbridge.store import bulk_jobs, links
from tests.fix_cli import PEOPLE, CliProject

OTHER_OBJECT = PEOPLE.replace("object: Contact", "object: Part").replace("Person_Key__c", "Part_Key__c")
WITHOUT_EMAIL = PEOPLE.replace("  Email: {column: email, sensitive: true}\n", "")


def write(cli: CliProject, text: str | None) -> None:
    """Write the file of people, or take it away."""
    file = cli.folder / "mappings" / "people.yaml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


@pytest.fixture
def sent(cli_project: CliProject) -> tuple[CliProject, BulkJob]:
    """A bulk job of people was sent, and does not end by itself."""
    cli_project.enqueue("1", "2")
    cli_project.deliver()
    bulk = cli_project.destination.bulk = MemoryBulk(cli_project.destination, bulk_from=1)
    cli_project.destination.faults.hold_jobs()
    cli_project.source.execute("update people set first_name = 'Sent by a job'")
    cli_project.enqueue("1", "2")
    with cli_project.project.source_admin("test") as catalog, cli_project.project.source("test") as source:
        applied, compiled = cli_project.project.compiled(cli_project.store, catalog, "people")
        numbers = itertools.count(1 << 40)
        crm, store = cli_project.destination, cli_project.store
        delivery = BulkDelivery(applied.id, compiled, crm, bulk, store, source, Turn(), lambda: next(numbers))
        while not bulk_jobs.read_all(cli_project.store) or bulk_jobs.read_all(cli_project.store)[0].state != "sent":
            delivery.step()
    (job,) = bulk.jobs.values()
    return cli_project, job


@pytest.mark.parametrize("what", ["relinked", "removed"])
def test_a_bulk_job_of_records_that_are_forgotten_is_ended_first(sent: tuple[CliProject, BulkJob], what: str) -> None:
    cli, job = sent
    bulk = cli.destination.bulk
    assert bulk is not None
    write(cli, OTHER_OBJECT if what == "relinked" else None)
    forgotten = frozenset({"people"})
    decided = Decisions(relink=forgotten) if what == "relinked" else Decisions(remove=forgotten)
    steps = apply(cli.project, decisions=decided).steps
    assert f"mapping people: bulk job {job.id} ended" in steps
    assert bulk.progress(job).state is BulkState.DONE
    assert bulk_jobs.read_all(cli.store) == []
    assert cli.store.execute("select count(*) from syncbridge.link").fetchone() == (0,)


def test_nothing_is_forgotten_while_a_bulk_job_cannot_be_ended(sent: tuple[CliProject, BulkJob]) -> None:
    cli, _ = sent
    write(cli, None)
    cli.destination.faults.hold()
    with pytest.raises(RetryLater, match="bulk job job0001 could not be ended"):
        apply(cli.project, decisions=Decisions(remove=frozenset({"people"})))
    assert links.count(cli.store, cli.applied().id) == 2


def test_a_changed_file_leaves_a_bulk_job_to_be_settled(sent: tuple[CliProject, BulkJob]) -> None:
    cli, job = sent
    write(cli, WITHOUT_EMAIL)
    apply(cli.project)
    assert [each.remote_id for each in bulk_jobs.read_all(cli.store)] == [job.id]
