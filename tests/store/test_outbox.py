"""The outbox one step at a time: order of claims, coalescing, notification, positions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from psycopg import Connection

from syncbridge.model import Lsn, MappingStatus, Priority, Reason
from syncbridge.store import backlog, claims, links, mappings, outbox, workers
from syncbridge.store.claims import Claimed, Kept
from tests.fix_store import MOMENT, Open, apply_mapping, end_leases, enqueue, make_due


def _claim(store: Connection, mapping_id: int, limit: int = 100) -> tuple[int, dict[str, Claimed]]:
    number, rows = claims.claim(store, mapping_id, limit=limit, lease=60)
    return number, {row.key: row for row in rows}


def test_live_changes_are_claimed_before_bulk_and_the_oldest_first(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "bulk 1", priority=Priority.BULK, reason=Reason.RESYNC)
    for key in ("live 1", "live 2", "live 3"):
        enqueue(store, mapping_id, key)
    order = [next(iter(_claim(store, mapping_id, 1)[1])) for _ in range(4)]
    assert order == ["live 1", "live 2", "live 3", "bulk 1"]


def test_a_live_change_of_a_key_that_waits_for_a_resync_goes_first(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", "b", priority=Priority.BULK, reason=Reason.RESYNC)
    enqueue(store, mapping_id, "b")
    enqueue(store, mapping_id, "b", priority=Priority.BULK, reason=Reason.RESYNC)
    _, rows = _claim(store, mapping_id, 1)
    assert rows["b"].reason == "change"


def test_a_claim_brings_the_link_and_its_base(store: Connection, mapping_id: int) -> None:
    links.upsert(store, mapping_id, {"a": ("m1", {"Name": "Zoë"})})
    enqueue(store, mapping_id, "a", "b", lsn=0x1_0000_0002)
    rows = _claim(store, mapping_id)[1]
    assert (rows["a"].remote_id, rows["a"].base) == ("m1", '{"Name":"Zoë"}')
    assert (rows["b"].remote_id, rows["b"].base) == (None, None)
    assert (rows["a"].lsn, rows["a"].commit_time, rows["a"].attempts) == ("1/2", MOMENT, 0)


def test_claims_of_one_mapping_leave_others_alone(store: Connection, mapping_id: int) -> None:
    other = apply_mapping(store, "other")
    enqueue(store, other, "a")
    assert _claim(store, mapping_id)[1] == {}
    assert set(_claim(store, other)[1]) == {"a"}


@pytest.mark.parametrize("status", [s for s in MappingStatus if s is not MappingStatus.ACTIVE])
def test_a_mapping_that_is_not_active_claims_nothing(store: Connection, mapping_id: int, status: MappingStatus) -> None:
    enqueue(store, mapping_id, "a")
    mappings.set_status(store, mapping_id, status)
    assert _claim(store, mapping_id)[1] == {}


def test_a_key_is_coalesced_into_the_row_that_waits(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", lsn=100)
    enqueue(store, mapping_id, "a", lsn=300, moment=MOMENT + timedelta(seconds=5))
    enqueue(store, mapping_id, "a", lsn=200)
    row = _claim(store, mapping_id)[1]["a"]
    assert (row.version, row.lsn, row.commit_time) == (3, "0/12C", MOMENT + timedelta(seconds=5))


def test_changes_of_one_commit_each_are_enqueued_with_their_own_positions(store: Connection, mapping_id: int) -> None:
    outbox.enqueue_changes(store, mapping_id, {b"b": (200, 7_000_000), b"a": (100, 5_000_000)})
    rows = _claim(store, mapping_id)[1]
    assert {key: row.lsn for key, row in rows.items()} == {"a": "0/64", "b": "0/C8"}
    assert rows["b"].commit_time - rows["a"].commit_time == timedelta(seconds=2)


def test_a_truncated_table_marks_every_key_that_has_a_record_or_waits_for_one(
    store: Connection, mapping_id: int
) -> None:
    links.upsert(store, mapping_id, {key: ("m", {}) for key in ("a", "b")})
    enqueue(store, mapping_id, "b", "c")
    outbox.enqueue_linked(store, mapping_id, (200, 0))
    rows = _claim(store, mapping_id)[1]
    assert {key: row.reason for key, row in rows.items()} == dict.fromkeys("abc", "truncate")


def test_the_position_of_a_dead_letter_still_counts_after_its_row_changed(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", lsn=100)
    number, rows = _claim(store, mapping_id)
    claims.keep(store, mapping_id, number, [Kept("a", rows["a"].version, dead=True, message="no")])
    enqueue(store, mapping_id, "a", lsn=500)
    assert backlog.undelivered(store, Lsn(100)) == (1, 0)


def test_a_change_captured_after_a_resync_enqueued_a_later_position_counts_by_its_own(
    store: Connection, mapping_id: int
) -> None:
    enqueue(store, mapping_id, "a", lsn=900, reason=Reason.RESYNC, priority=Priority.BULK)
    enqueue(store, mapping_id, "a", lsn=400)
    assert backlog.undelivered(store, Lsn(400)) == (1, 0)


def test_numbers_of_a_dead_worker_s_claims_free_its_rows_and_no_others(store: Connection, mapping_id: int) -> None:
    dead = workers.register(store, host="h", pid=1, roles=["deliver"])
    alive = workers.register(store, host="h", pid=2, roles=["deliver"])
    enqueue(store, mapping_id, "a", "b")
    for worker in (dead, alive):
        number = next(workers.claim_numbers(worker))
        claims.claim(store, mapping_id, limit=1, lease=600, number=number)
    assert claims.end_leases(store, *workers.claim_range(dead)) == 1
    assert claims.end_leases(store, *workers.claim_range(dead)) == 0
    (row,) = _claim(store, mapping_id)[1].values()
    assert row.resend


def test_the_time_of_the_next_try_is_known(store: Connection, mapping_id: int) -> None:
    assert outbox.next_due(store, mapping_id) is None
    enqueue(store, mapping_id, "a")
    due = outbox.next_due(store, mapping_id)
    assert due is not None
    assert due <= 0
    number, rows = _claim(store, mapping_id)
    claims.keep(store, mapping_id, number, [Kept("a", rows["a"].version, delay=500.0)])
    due = outbox.next_due(store, mapping_id)
    assert due is not None
    assert 400 < due <= 500
    enqueue(store, mapping_id, "b", priority=Priority.BULK)
    due = outbox.next_due(store, mapping_id)
    assert due is not None
    assert due <= 0


def test_a_delay_keeps_a_row_from_being_claimed_and_a_change_makes_it_due(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a")
    number, rows = _claim(store, mapping_id)
    claims.keep(store, mapping_id, number, [Kept("a", rows["a"].version, delay=500.0, message="no")])
    assert _claim(store, mapping_id)[1] == {}
    enqueue(store, mapping_id, "a")
    assert _claim(store, mapping_id)[1]["a"].attempts == 0


def test_attempts_are_counted_only_when_something_was_tried(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a")
    for tried, expected in ((True, 1), (False, 1), (True, 2)):
        make_due(store)
        number, rows = _claim(store, mapping_id)
        claims.keep(store, mapping_id, number, [Kept("a", rows["a"].version, tried=tried)])
        waiting = backlog.waiting(store, mapping_id, "a")
        assert waiting is not None
        assert waiting.attempts == expected


def test_the_last_error_is_shown_until_a_delivery_succeeds(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a")
    number, rows = _claim(store, mapping_id)
    claims.keep(store, mapping_id, number, [Kept("a", 1, code="LOCKED", message="locked")])
    number, rows = _claim(store, mapping_id)
    enqueue(store, mapping_id, "a")
    waiting = backlog.waiting(store, mapping_id, "a")
    assert waiting is not None
    assert (waiting.code, waiting.message) == ("LOCKED", "locked")
    claims.finish(store, mapping_id, number, {"a": rows["a"].version})
    waiting = backlog.waiting(store, mapping_id, "a")
    assert waiting is not None
    assert (waiting.code, waiting.message) == (None, None)


def test_enqueuing_tells_who_listens_when_it_commits_and_so_does_a_requeue(
    store: Connection, open_store: Open, mapping_id: int
) -> None:
    listener = open_store()
    listener.execute(f"listen {outbox.CHANNEL}")
    with store.transaction():
        enqueue(store, mapping_id, "a", "b")
        assert list(listener.notifies(timeout=0)) == []
    assert [outbox.woken(told.payload) for told in listener.notifies(timeout=5, stop_after=1)] == [(mapping_id, 2)]
    number, rows = _claim(store, mapping_id)
    claims.keep(store, mapping_id, number, [Kept(k, r.version, dead=True) for k, r in rows.items()])
    backlog.requeue(store, mapping_id, None)
    assert [outbox.woken(told.payload) for told in listener.notifies(timeout=5, stop_after=1)] == [(mapping_id, 2)]


@pytest.mark.parametrize("payload", ["", "7", "x 1", "1 x", "1 2 3"])
def test_a_notification_of_somebody_else_on_our_channel_is_none(payload: str) -> None:
    assert outbox.woken(payload) is None


def test_enough_bulk_rows_are_told_apart_from_too_few(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", "b", priority=Priority.BULK)
    enqueue(store, mapping_id, "c")
    assert outbox.bulk_waiting(store, mapping_id, enough=2)
    assert not outbox.bulk_waiting(store, mapping_id, enough=3)
    enqueue(store, mapping_id, "d", priority=Priority.BULK_LEFT)  # no job takes it, but it waits all the same
    assert outbox.bulk_waiting(store, mapping_id, enough=3)


def test_empty_calls_do_nothing(store: Connection, mapping_id: int) -> None:
    outbox.enqueue_changes(store, mapping_id, {})
    assert claims.finish(store, mapping_id, 1, {}) == set()
    assert claims.keep(store, mapping_id, 1, []) == set()
    assert _claim(store, mapping_id)[1] == {}
    end_leases(store)
