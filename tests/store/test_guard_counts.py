"""What a guard adds up: shared by all lanes, gone with time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from psycopg import Connection

from syncbridge.model import MappingStatus
from syncbridge.store import guard_counts, mappings
from tests.fix_store import Open


def _reserve(store: Connection, mapping_id: int, count: int, *, kind: str = "deletes", limit: int = 10) -> int | None:
    return guard_counts.reserve(store, mapping_id, kind, count, limit=limit, seconds=3600)


def test_the_guard_counts_what_fits_and_tells_what_is_counted_when_it_does_not(
    store: Connection, mapping_id: int
) -> None:
    assert _reserve(store, mapping_id, 11) == 0
    assert _reserve(store, mapping_id, 4) is None
    assert _reserve(store, mapping_id, 6) is None
    assert _reserve(store, mapping_id, 1) == 10
    assert _reserve(store, mapping_id, 10, kind="changes") is None


def test_what_did_not_go_out_is_given_back(store: Connection, mapping_id: int) -> None:
    assert _reserve(store, mapping_id, 10) is None
    guard_counts.release(store, mapping_id, "deletes", 4)
    assert _reserve(store, mapping_id, 5) == 6
    assert _reserve(store, mapping_id, 4) is None
    guard_counts.release(store, mapping_id, "changes", 4)  # nothing was counted: nothing happens
    assert _reserve(store, mapping_id, 1) == 10


def test_counts_leave_the_window_with_time(store: Connection, mapping_id: int) -> None:
    assert _reserve(store, mapping_id, 10) is None
    store.execute("update syncbridge.guard_count set minute = minute - interval '2 hours'")
    assert _reserve(store, mapping_id, 10) is None
    guard_counts.prune(store)
    assert store.execute("select count(*) from syncbridge.guard_count").fetchone() == (2,)
    store.execute("update syncbridge.guard_count set minute = minute - interval '3 days'")
    guard_counts.prune(store)
    assert store.execute("select count(*) from syncbridge.guard_count").fetchone() == (0,)


def test_lanes_at_once_cannot_pass_the_limit_together(store: Connection, open_store: Open, mapping_id: int) -> None:
    connections = [open_store() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda connection: _reserve(connection, mapping_id, 3), connections))
    assert sorted(answer is None for answer in answers) == [False] * 3 + [True] * 3
    assert {answer for answer in answers if answer is not None} == {9}


def test_refusals_are_added_up_beside_what_was_tried_until_a_person_resumes(store: Connection, mapping_id: int) -> None:
    def add(attempted: int, refused: int) -> tuple[int, int]:
        return guard_counts.add_refused(store, mapping_id, attempted=attempted, refused=refused, seconds=3600)

    assert add(10, 0) == (10, 0)
    assert add(5, 5) == (15, 5)
    store.execute("update syncbridge.guard_count set minute = minute - interval '2 hours'")
    assert add(1, 1) == (1, 1)
    assert _reserve(store, mapping_id, 4) is None
    mappings.set_status(store, mapping_id, MappingStatus.GUARD)
    mappings.resume(store, mapping_id)
    assert add(2, 0) == (2, 0)
    assert _reserve(store, mapping_id, 7) == 4  # what the other limits count is not forgotten
