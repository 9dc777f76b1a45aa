"""Bulk jobs take the pages of a first sync themselves: each row is written once, and none twice or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge import resync
from syncbridge.model import MappingStatus, Reason
from syncbridge.resync import FirstSync, Progress
from syncbridge.store import bulk_jobs, links, mappings, runs
from tests.fix_bulk import FROM, BulkProject, StartBulk

#: A job that is being prepared.
JOB = 77


def ask(bulk: BulkProject, rows: int, reason: Reason = Reason.FIRST_SYNC) -> int:
    """Insert rows and ask for a run over them; its id."""
    small = bulk.small
    small.writer.execute("insert into people (id, last_name) select n, 'L' from generate_series(1, %s) n", (rows,))
    return runs.request(small.store, small.mapping_id, reason)


def enqueue_page(bulk: BulkProject, run_id: int, page: int) -> Progress:
    small = bulk.small
    return resync.step(small.store, small.deliverer.source, run_id, small.mapping, page=page)


def first_sync(bulk: BulkProject) -> FirstSync:
    small = bulk.small
    bulk_jobs.prepare(small.store, JOB, small.mapping_id, object="Contact", operation="upsert")
    return FirstSync(small.mapping_id, small.mapping, small.store, bulk.source())


def test_what_a_job_takes_is_as_if_it_had_been_enqueued_and_claimed(bulk: BulkProject) -> None:
    ask(bulk, 5)
    small = bulk.small
    links.upsert(small.store, small.mapping_id, {"2": ("003", {"Email": None})})
    taken = first_sync(bulk).take(JOB, 3)
    assert taken is not None
    assert [(row.key, row.remote_id, row.base) for row in taken] == [
        ("1", None, None),
        ("2", "003", '{"Email":null}'),
        ("3", None, None),
    ]
    assert bulk_jobs.carried(small.store, small.mapping_id, JOB, ["1", "2", "3"]) == taken
    assert small.deliverer.step() == 0


def test_pages_end_with_the_last_row(bulk: BulkProject) -> None:
    run_id = ask(bulk, 5)
    waiting = first_sync(bulk)
    assert [len(waiting.take(JOB, 2) or []) for _ in range(3)] == [2, 2, 1]
    assert not waiting.waits()
    assert waiting.take(JOB, 2) is None
    run = runs.read(bulk.small.store, run_id)
    assert (run.phase, run.enqueued) == ("links", 5)


def test_a_page_with_a_row_that_waits_already_is_enqueued(bulk: BulkProject) -> None:
    ask(bulk, 4)
    bulk.small.touch(3)
    assert first_sync(bulk).take(JOB, 10) == []
    found = bulk.small.store.execute("select key, version, priority, job from syncbridge.outbox order by key")
    assert found.fetchall() == [("1", 1, 10, None), ("2", 1, 10, None), ("3", 2, 0, None), ("4", 1, 10, None)]


def test_nothing_is_taken_of_a_resync_or_of_a_mapping_that_does_not_deliver(bulk: BulkProject) -> None:
    small = bulk.small
    ask(bulk, 4, Reason.RESYNC)
    waiting = first_sync(bulk)
    assert waiting.take(JOB, 10) is None
    runs.request(small.store, small.mapping_id, Reason.FIRST_SYNC)
    mappings.set_status(small.store, small.mapping_id, MappingStatus.PAUSED, reason="test")
    assert waiting.take(JOB, 10) is None
    mappings.set_status(small.store, small.mapping_id, MappingStatus.ACTIVE)
    assert replace(waiting, mapping=replace(small.mapping, digest="other")).take(JOB, 10) is None
    assert len(waiting.take(JOB, 10) or []) == 4


def test_what_is_matched_first_is_left_to_lanes(start_bulk: StartBulk) -> None:
    bulk = start_bulk(("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email"))
    ask(bulk, 4)
    waiting = first_sync(bulk)
    assert not waiting.waits()
    assert waiting.take(JOB, 10) is None


def test_a_table_that_is_gone_ends_the_run(bulk: BulkProject) -> None:
    run_id = ask(bulk, 4)
    bulk.small.writer.execute("drop table people")
    assert first_sync(bulk).take(JOB, 10) is None
    assert runs.read(bulk.small.store, run_id).status == "failed"


def test_jobs_take_a_whole_first_sync_once_it_has_begun(bulk: BulkProject) -> None:
    run_id = ask(bulk, 10 * FROM)
    enqueue_page(bulk, run_id, FROM)
    bulk.carry(bulk.open())
    assert sum(bulk.uploaded()) == 10 * FROM
    assert bulk.calls("upsert") == 0
    assert runs.read(bulk.small.store, run_id).enqueued == 10 * FROM
    bulk.assert_equal()


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_pages_of_a_process_that_was_killed_are_not_lost(bulk: BulkProject, steps: int) -> None:
    run_id = ask(bulk, 10 * FROM)
    enqueue_page(bulk, run_id, FROM)
    first = bulk.open()
    for _ in range(steps):
        first.step()
    bulk.kill(first)
    bulk.carry(bulk.open())
    while enqueue_page(bulk, run_id, 50) is not Progress.OVER:
        pass
    bulk.small.deliver()
    bulk.assert_equal()


def test_a_change_of_a_row_that_a_job_took_is_sent_after_it(bulk: BulkProject) -> None:
    run_id = ask(bulk, 5 * FROM)
    enqueue_page(bulk, run_id, FROM)
    carrier = bulk.open()
    for _ in range(3):
        carrier.step()
    bulk.small.change("update people set first_name = 'Later' where id = 40", 40)
    bulk.carry(carrier)
    bulk.small.deliver()
    assert bulk.small.remote()["40"]["FirstName"] == "Later"
    bulk.assert_equal()


def test_while_no_job_is_to_be_had_pages_are_enqueued_for_lanes(bulk: BulkProject) -> None:
    run_id = ask(bulk, 3 * FROM)
    enqueue_page(bulk, run_id, FROM)
    carrier = bulk.open()
    turn = carrier.delivery.turn
    carrier.step()
    assert turn.takes_pages
    turn.rest_until = bulk.now + 600.0  # the follower was told so, in the midst of a gathering
    bulk.carry(carrier)
    assert not turn.takes_pages
