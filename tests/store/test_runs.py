"""Runs: asked for once, carried by whoever comes, one page at a time."""

from __future__ import annotations

from psycopg import Connection

from syncbridge.model import Reason
from syncbridge.store import runs
from tests.fix_store import Open, apply_mapping


def _request(store: Connection, mapping_id: int, **values: object) -> int:
    return runs.request(store, mapping_id, Reason.RESYNC, **values)  # type: ignore[arg-type]


def test_a_run_that_is_asked_for_twice_is_one_run(store: Connection, mapping_id: int) -> None:
    first = _request(store, mapping_id)
    assert _request(store, mapping_id) == first
    others = {
        _request(store, mapping_id, filter="id > 5"),
        _request(store, mapping_id, resend=True),
        runs.request(store, mapping_id, Reason.FIRST_SYNC),
        _request(store, apply_mapping(store, "other")),
    }
    assert first not in others
    assert len(others) == 4
    assert len(runs.pending(store)) == 5


def test_a_run_that_is_over_can_be_asked_for_again(store: Connection, mapping_id: int) -> None:
    first = _request(store, mapping_id)
    runs.advance(store, first, phase="done", after=None, enqueued=0)
    assert _request(store, mapping_id) != first


def test_a_fresh_run_is_asked_for_when_the_pending_one_has_begun(store: Connection, mapping_id: int) -> None:
    first = _request(store, mapping_id, barrier="100")
    assert _request(store, mapping_id, fresh=True, barrier="250") == first
    assert runs.read(store, first).barrier == "250"  # it waits for the transactions of both
    assert _request(store, mapping_id, fresh=True, barrier="120") == first
    assert runs.read(store, first).barrier == "250"
    runs.advance(store, first, phase="rows", after="10", enqueued=10)
    assert _request(store, mapping_id) == first
    second = _request(store, mapping_id, fresh=True, barrier="300")
    assert second != first
    assert runs.read(store, first).barrier == "250"
    assert _request(store, mapping_id, fresh=True) == second


def test_a_fresh_run_does_not_wait_for_one_whose_first_page_is_being_read(
    store: Connection, open_store: Open, mapping_id: int
) -> None:
    first = _request(store, mapping_id)
    other = open_store()
    with other.transaction():
        assert runs.lock(other, first) is not None
        second = _request(store, mapping_id, fresh=True)
    assert second != first


def test_runs_of_a_reason_are_found_by_when_they_were_asked_for(store: Connection, mapping_id: int) -> None:
    assert runs.newest(store) == 0
    before = runs.request(store, mapping_id, Reason.TRUNCATE)
    runs.advance(store, before, phase="done", after=None, enqueued=0)
    assert runs.newest(store) == before
    _request(store, mapping_id)
    later = runs.request(store, mapping_id, Reason.TRUNCATE)
    runs.advance(store, later, phase="done", after=None, enqueued=0)
    assert [run.id for run in runs.requested_after(store, before, Reason.TRUNCATE)] == [later]


def test_progress_adds_up_until_it_is_done(store: Connection, mapping_id: int) -> None:
    run_id = _request(store, mapping_id, filter="id > 5", resend=True, barrier="123")
    runs.set_total(store, run_id, 30)
    runs.advance(store, run_id, phase="rows", after="10", enqueued=10)
    run = runs.read(store, run_id)
    assert (run.phase, run.after, run.enqueued, run.total, run.status) == ("rows", "10", 10, 30, "pending")
    assert (run.mapping, run.reason, run.filter, run.resend, run.barrier) == (
        "people",
        Reason.RESYNC,
        "id > 5",
        True,
        "123",
    )
    runs.advance(store, run_id, phase="done", after=None, enqueued=5)
    run = runs.read(store, run_id)
    assert (run.enqueued, run.status) == (15, "done")
    assert run.finished_at is not None
    assert runs.pending(store) == []


def test_only_one_carrier_is_at_a_page(store: Connection, open_store: Open, mapping_id: int) -> None:
    run_id = _request(store, mapping_id)
    other = open_store()
    with store.transaction():
        assert runs.lock(store, run_id) is not None
        with other.transaction():
            assert runs.lock(other, run_id) is None
    with other.transaction():
        assert runs.lock(other, run_id) is not None


def test_a_run_that_failed_says_why_and_one_that_is_done_does_not_fail(store: Connection, mapping_id: int) -> None:
    run_id = _request(store, mapping_id)
    runs.fail(store, run_id, "its table is gone")
    run = runs.read(store, run_id)
    assert (run.status, run.error) == ("failed", "its table is gone")
    assert [failed.id for failed in runs.failed(store)] == [run_id]
    done = _request(store, mapping_id)
    assert runs.failed(store) == []
    runs.advance(store, done, phase="done", after=None, enqueued=0)
    runs.fail(store, done, "late")
    assert runs.read(store, done).status == "done"
