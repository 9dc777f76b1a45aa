"""First syncs and resyncs: every row once, in pages, wherever it was interrupted and by however many carried."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Connection

from syncbridge import resync
from syncbridge.errors import RetryLater
from syncbridge.model import Reason
from syncbridge.resync import Progress
from syncbridge.source import rows
from syncbridge.store import claims, links, runs
from tests.fix_delivery import SmallProject, Start
from tests.fix_store import Open


def _rows(project: SmallProject, count: int) -> None:
    project.writer.execute(
        "insert into people (id, first_name, is_test) select n, 'n' || n, n %% 10 = 0 from generate_series(1, %s) n",
        (count,),
    )


def _request(project: SmallProject, *, reason: Reason = Reason.RESYNC, **values: object) -> int:
    return runs.request(project.store, project.mapping_id, reason, **values)  # type: ignore[arg-type]


def _step(project: SmallProject, run_id: int, page: int = 100, store: Connection | None = None) -> Progress:
    return resync.step(store or project.store, project.deliverer.source, run_id, project.mapping, page=page)


def _carry(project: SmallProject, run_id: int, page: int = 100) -> int:
    """Step to the end; how many steps."""
    for steps in range(1, 100):
        if _step(project, run_id, page) is Progress.OVER:
            return steps
    raise AssertionError("the run does not come to an end")


def _keys(project: SmallProject) -> set[int]:
    return {int(key) for key in project.left()}


def test_every_row_is_enqueued_in_bulk_whether_or_not_it_passes_the_filter(project: SmallProject) -> None:
    _rows(project, 25)
    run_id = _request(project, reason=Reason.FIRST_SYNC)
    _carry(project, run_id)
    assert _keys(project) == set(range(1, 26))
    found = project.store.execute("select distinct priority, reason from syncbridge.outbox").fetchall()
    assert found == [(10, "first_sync")]
    run = runs.read(project.store, run_id)
    assert (run.status, run.enqueued) == ("done", 25)


@pytest.mark.parametrize(("count", "steps"), [(0, 2), (1, 2), (9, 2), (10, 3), (11, 3), (30, 5)])
def test_pages_are_exact_at_their_edges(project: SmallProject, count: int, steps: int) -> None:
    _rows(project, count)
    run_id = _request(project)
    assert _carry(project, run_id, page=10) == steps
    assert _keys(project) == set(range(1, count + 1))
    assert runs.read(project.store, run_id).enqueued == count


def test_a_run_goes_on_where_it_was_interrupted(project: SmallProject) -> None:
    _rows(project, 25)
    run_id = _request(project)
    assert _step(project, run_id, 10) is Progress.WENT_ON
    assert runs.read(project.store, run_id).after == "10"
    project.deliver()
    project.deliverer = project.lane()  # another process, later
    _carry(project, run_id, 10)
    assert _keys(project) == set(range(11, 26))


def test_a_page_that_fails_leaves_nothing_behind(project: SmallProject) -> None:
    _rows(project, 5)
    run_id = _request(project)
    project.store.execute("alter table syncbridge.run add constraint broken check (enqueued = 0) not valid")
    with pytest.raises(Exception, match="broken"):
        _step(project, run_id)
    assert project.left() == []
    project.store.execute("alter table syncbridge.run drop constraint broken")
    _carry(project, run_id)
    assert len(project.left()) == 5


def test_a_filter_narrows_the_rows_and_does_not_look_for_deleted_ones(project: SmallProject) -> None:
    _rows(project, 25)
    project.add(100)
    project.deliver()
    project.writer.execute("delete from people where id = 100")
    run_id = _request(project, filter="id % 5 = 0 and first_name like 'n%'")
    _carry(project, run_id, 2)
    assert _keys(project) == {5, 10, 15, 20, 25}


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("nonsense > 1", "nonsense"),
        ("id >", "no longer fits"),
        ("100 / (id - 3) > 0", "division by zero"),
        ("id = 1; drop table people", "where"),
    ],
)
def test_a_filter_that_is_wrong_ends_the_run_and_says_why(project: SmallProject, where: str, why: str) -> None:
    _rows(project, 5)
    run_id = _request(project, filter=where)
    assert resync.measure(project.store, project.deliverer.source, run_id, project.mapping) is None
    assert _step(project, run_id) is Progress.OVER
    run = runs.read(project.store, run_id)
    assert run.status == "failed"
    assert why in (run.error or "")
    assert project.left() == []
    assert _step(project, run_id) is Progress.OVER


def test_a_table_that_is_gone_ends_the_run(project: SmallProject) -> None:
    run_id = _request(project)
    project.writer.execute("drop table people")
    assert _step(project, run_id) is Progress.OVER
    assert runs.read(project.store, run_id).status == "failed"


def test_a_source_that_is_away_leaves_the_run_for_later(project: SmallProject) -> None:
    _rows(project, 5)
    run_id = _request(project)
    project.deliverer.source.close()
    with pytest.raises(RetryLater):
        _step(project, run_id)
    assert runs.read(project.store, run_id).status == "pending"


def test_rows_deleted_while_capture_was_off_are_found_by_their_links(project: SmallProject) -> None:
    project.add(1, 2, 3, 4)
    project.deliver()
    project.writer.execute("delete from people where id in (2, 4)")
    run_id = _request(project)
    _carry(project, run_id, 1)
    project.deliver()
    assert set(project.remote()) == {"1", "3"}
    assert links.count(project.store, project.mapping_id) == 2


def test_a_run_sees_what_changed_by_itself_and_sends_nothing_else(project: SmallProject) -> None:
    project.add(1, 2, 3)
    project.deliver()
    project.writer.execute("update people set first_name = 'Other' where id = 2")
    project.destination.sent.clear()
    _carry(project, _request(project))
    project.deliver()
    assert project.destination.sent == [{"Person_Key__c": "2", "FirstName": "Other"}]


def test_a_run_with_resend_sends_every_field(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    _carry(project, _request(project, resend=True))
    project.deliver()
    assert set(project.destination.sent[-1]) > {"FirstName", "LastName", "Email"}


def test_a_barrier_waits_for_transactions_that_were_running_and_for_no_later_ones(project: SmallProject) -> None:
    source = project.deliverer.source
    _rows(project, 1)
    with project.writer.transaction():
        project.writer.execute("insert into people (id) values (2)")
        run_id = _request(project, barrier=rows.next_transaction(source))
        assert _step(project, run_id) is Progress.WAITS
        assert project.left() == []
    later = project.stores()
    with later.transaction():
        later.execute("select pg_current_xact_id()")
        _carry(project, run_id)
    assert _keys(project) == {1, 2}


def test_two_carriers_share_a_run_and_take_no_page_twice(project: SmallProject, open_store: Open) -> None:
    _rows(project, 400)
    run_id = _request(project)
    start = threading.Barrier(2, timeout=30)

    def carry(store: Connection, source: Connection) -> int:
        start.wait()
        pages = 0
        while (progress := resync.step(store, source, run_id, project.mapping, page=10)) is not Progress.OVER:
            pages += progress is Progress.WENT_ON
        return pages

    with ThreadPoolExecutor(2) as pool:
        sources = [project.lane().source, project.lane().source]
        pages = sum(pool.map(carry, [open_store(), open_store()], sources))
    assert pages == 41  # forty full pages of rows, and the empty one; the page of links ends the run
    run = runs.read(project.store, run_id)
    assert (run.enqueued, run.status) == (400, "done")
    versions = project.store.execute("select distinct version from syncbridge.outbox").fetchall()
    assert versions == [(1,)]


def test_somebody_at_the_next_page_is_told_apart_from_the_end(project: SmallProject, open_store: Open) -> None:
    run_id = _request(project)
    with project.store.transaction():
        assert runs.lock(project.store, run_id) is not None
        assert _step(project, run_id, store=open_store()) is Progress.BUSY


def test_composite_keys_come_in_key_order_and_are_found_again(start: Start) -> None:
    project = start(("key: id", "key: [last_name, id]"))
    project.writer.execute(
        "insert into people (id, last_name)"
        " select n, (array['O''Brien', 'Åström', 'a\"b', ' ', 'x, y'])[1 + n % 5] from generate_series(1, 20) n"
    )
    run_id = _request(project)
    _carry(project, run_id, 3)
    assert len(project.left()) == 20
    project.deliver()
    assert len(project.remote()) == 20
    assert {record["LastName"] for record in project.remote().values()} == {"O'Brien", "Åström", 'a"b', " ", "x, y"}
    project.writer.execute("delete from people where last_name = 'Åström'")
    _carry(project, _request(project), 3)
    project.deliver()
    assert len(project.remote()) == 16


def test_progress_can_be_measured_and_keys_enqueued_by_hand(project: SmallProject) -> None:
    _rows(project, 25)
    source = project.deliverer.source
    run_id = _request(project, filter="id > 20")
    assert resync.measure(project.store, source, run_id, project.mapping) == 5
    assert runs.read(project.store, run_id).total == 5
    keys = ["3", "1", "3"]
    assert resync.enqueue(project.store, source, project.mapping_id, keys, reason=Reason.RESYNC) == 2
    assert resync.enqueue(project.store, source, project.mapping_id, [], reason=Reason.RESYNC) == 0
    claimed = claims.claim(project.store, project.mapping_id, limit=9, lease=60)[1]
    assert [row.key for row in claimed] == ["1", "3"]
