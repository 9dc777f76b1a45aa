"""Join keys that wait: coalesced, read in key order, removed only as they were read, and looked up in passes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection

from syncbridge.arrays import to_microseconds
from syncbridge.model import Lsn, MappingStatus, Priority, Reason
from syncbridge.store import backlog, fan_out, mappings, outbox
from syncbridge.store.fan_out import JoinKey, Work
from tests.fix_store import MOMENT, Open, apply_mapping, enqueue

COMPANY = "company"


def touch(
    store: Connection, mapping_id: int, *keys: str, lsn: int = 100, moment: datetime = MOMENT, relation: str = COMPANY
) -> None:
    """Enqueue join keys, as capture does."""
    commit = (lsn, to_microseconds(moment))
    fan_out.enqueue(store, {(mapping_id, relation): {key.encode(): commit for key in keys}})


def waiting(store: Connection, mapping_id: int, *, relation: str = COMPANY, **options: Any) -> list[JoinKey]:
    return fan_out.waiting(store, mapping_id, relation, **{"digest": "1", "limit": 100, **options})


def keys(store: Connection, mapping_id: int, **options: Any) -> list[str]:
    return [row.key for row in waiting(store, mapping_id, **options)]


def finish(store: Connection, mapping_id: int, read: list[JoinKey]) -> None:
    with store.transaction():
        fan_out.finish(store, mapping_id, COMPANY, fan_out.lock(store, mapping_id, COMPANY, read))


def in_pass(store: Connection, mapping_id: int) -> JoinKey:
    found = fan_out.in_pass(store, mapping_id, COMPANY, digest="1")
    assert found is not None
    return found


def test_a_join_key_that_waits_already_keeps_its_oldest_and_its_newest_change(
    store: Connection, mapping_id: int
) -> None:
    touch(store, mapping_id, "a", lsn=200, moment=MOMENT)
    (first,) = waiting(store, mapping_id)
    touch(store, mapping_id, "a", lsn=100, moment=MOMENT - timedelta(seconds=9))
    touch(store, mapping_id, "a", lsn=300, moment=MOMENT + timedelta(seconds=9))
    (row,) = waiting(store, mapping_id)
    assert (row.lsn, row.since_lsn) == (300, 100)
    assert (row.commit_time, row.since) == (MOMENT + timedelta(seconds=9), MOMENT - timedelta(seconds=9))
    assert row.version != first.version


def test_join_keys_come_in_bytewise_pages_of_their_own_relation(store: Connection, mapping_id: int) -> None:
    touch(store, mapping_id, "ä", "B", "", "a", "10", "9")
    touch(store, mapping_id, "other", relation="orders")
    touch(store, apply_mapping(store, "elsewhere"), "theirs")
    assert keys(store, mapping_id) == ["", "10", "9", "B", "a", "ä"]
    assert keys(store, mapping_id, behind="", limit=2) == ["10", "9"]
    assert keys(store, mapping_id, behind="a") == ["ä"]


def test_whoever_knows_another_definition_of_the_mapping_is_shown_nothing(store: Connection, mapping_id: int) -> None:
    touch(store, mapping_id, "a", "b")
    fan_out.begin_pass(store, mapping_id, COMPANY, "b")
    apply_mapping(store, "people", digest="2")
    assert keys(store, mapping_id) == []
    assert fan_out.in_pass(store, mapping_id, COMPANY, digest="1") is None
    assert keys(store, mapping_id, digest="2") == ["a"]


def test_work_names_every_relation_once_and_leaves_out_halted_and_unknown_mappings(
    store: Connection, mapping_id: int
) -> None:
    other = apply_mapping(store, "other")
    halted = apply_mapping(store, "halted")
    paused = apply_mapping(store, "paused")
    for mapping, relation in ((mapping_id, "b"), (mapping_id, "a"), (other, "a"), (halted, "a"), (paused, "a")):
        touch(store, mapping, *map(str, range(20)), relation=relation)
    touch(store, 999, "of a mapping that is not there")
    mappings.set_status(store, halted, MappingStatus.HALTED)
    mappings.set_status(store, paused, MappingStatus.PAUSED)
    assert fan_out.work(store) == sorted(
        [Work(mapping_id, "a"), Work(mapping_id, "b"), Work(other, "a"), Work(paused, "a")]
    )


def test_what_was_passed_on_is_gone_and_what_changed_meanwhile_stays_with_its_later_change(
    store: Connection, mapping_id: int
) -> None:
    touch(store, mapping_id, "a", "b", "c", lsn=50)
    touch(store, mapping_id, "b", lsn=70)
    read = waiting(store, mapping_id)
    touch(store, mapping_id, "b", lsn=90, moment=MOMENT + timedelta(seconds=5))
    finish(store, mapping_id, read)
    (left,) = waiting(store, mapping_id)
    assert (left.key, left.since_lsn, left.lsn) == ("b", 70, 90)  # what changed since was committed no earlier


def test_a_join_key_that_was_gone_and_came_again_is_not_taken_for_the_old_one(
    store: Connection, mapping_id: int
) -> None:
    touch(store, mapping_id, "a")
    read = waiting(store, mapping_id)
    finish(store, mapping_id, read)
    touch(store, mapping_id, "a", lsn=500)
    finish(store, mapping_id, read)
    assert keys(store, mapping_id) == ["a"]


def test_a_pass_goes_on_to_its_end_and_then_once_more_when_the_key_changed(store: Connection, mapping_id: int) -> None:
    touch(store, mapping_id, "a", lsn=50)
    fan_out.begin_pass(store, mapping_id, COMPANY, "a")
    assert keys(store, mapping_id) == []
    _page(store, mapping_id, "10")
    touch(store, mapping_id, "a", lsn=80)
    touch(store, mapping_id, "a", lsn=90)
    row = in_pass(store, mapping_id)
    assert (row.after, row.since_lsn, row.lsn) == ("10", 50, 90)
    _page(store, mapping_id, "20")
    assert _end(store, mapping_id) is False
    row = in_pass(store, mapping_id)
    assert (row.after, row.since_lsn, row.lsn) == (None, 80, 90)
    _page(store, mapping_id, "10")
    assert _end(store, mapping_id) is True
    assert fan_out.work(store) == []


def _page(store: Connection, mapping_id: int, after: str) -> None:
    row = in_pass(store, mapping_id)
    with store.transaction():
        assert fan_out.lock_pass(store, mapping_id, COMPANY, row)
        fan_out.advance_pass(store, mapping_id, COMPANY, row, after)


def _end(store: Connection, mapping_id: int) -> bool:
    row = in_pass(store, mapping_id)
    with store.transaction():
        assert fan_out.lock_pass(store, mapping_id, COMPANY, row)
        return fan_out.end_pass(store, mapping_id, COMPANY, row)


def test_a_page_that_somebody_else_recorded_is_not_recorded_again(store: Connection, mapping_id: int) -> None:
    touch(store, mapping_id, "a")
    fan_out.begin_pass(store, mapping_id, COMPANY, "a")
    late = in_pass(store, mapping_id)
    _page(store, mapping_id, "10")
    with store.transaction():
        assert not fan_out.lock_pass(store, mapping_id, COMPANY, late)


def test_one_worker_at_a_time_is_at_a_mapping_and_its_death_lets_go(
    store: Connection, open_store: Open, mapping_id: int
) -> None:
    other, third = open_store(), open_store()
    assert fan_out.try_lock(store, mapping_id)
    assert not fan_out.try_lock(other, mapping_id)
    assert fan_out.try_lock(other, mapping_id + 1)
    fan_out.unlock(store, mapping_id)
    assert fan_out.try_lock(other, mapping_id)
    other.close()
    third.execute("select pg_advisory_lock(%s, %s)", (0x66616E20, mapping_id))  # as soon as the server notices
    assert not fan_out.try_lock(store, mapping_id)


def test_join_keys_are_forgotten_only_under_the_definition_that_says_so(store: Connection, mapping_id: int) -> None:
    touch(store, mapping_id, "a", "b")
    touch(store, mapping_id, "a", relation="orders")
    assert fan_out.discard(store, mapping_id, digest="2") == 0
    assert fan_out.discard(store, mapping_id, digest="1", relation="orders") == 1
    assert keys(store, mapping_id) == ["a", "b"]
    assert fan_out.discard(store, mapping_id, digest="1") == 2


def test_join_keys_are_part_of_the_backlog_and_of_what_is_waited_for(store: Connection, mapping_id: int) -> None:
    other = apply_mapping(store, "other")
    touch(store, mapping_id, "a", "b", lsn=100, moment=MOMENT)
    enqueue(store, mapping_id, "1", lsn=110, moment=MOMENT + timedelta(hours=1))
    enqueue(store, other, "1", moment=MOMENT + timedelta(hours=2))
    found = backlog.summary(store)
    assert (found[mapping_id].pending, found[mapping_id].related, found[mapping_id].oldest) == (1, 2, MOMENT)
    assert (found[other].pending, found[other].related) == (1, 0)
    assert backlog.undelivered(store, Lsn(99), mapping_id) == (0, 0)
    assert backlog.undelivered(store, Lsn(100), mapping_id) == (2, 0)
    assert backlog.undelivered(store, Lsn(110)) == (4, 0)


def test_an_entity_that_is_enqueued_for_several_changes_waits_since_the_oldest(
    store: Connection, mapping_id: int
) -> None:
    outbox.enqueue(
        store,
        mapping_id,
        ["1"],
        reason=Reason.RELATED,
        priority=Priority.LIVE,
        lsn=Lsn(90),
        moment=MOMENT,
        since=(Lsn(50), MOMENT - timedelta(minutes=1)),
    )
    row = store.execute("select lsn::text, since_lsn::text, commit_time, since from syncbridge.outbox").fetchone()
    assert row == ("0/5A", "0/32", MOMENT, MOMENT - timedelta(minutes=1))
    assert backlog.undelivered(store, Lsn(50)) == (1, 0)


@pytest.mark.parametrize("turn", range(4))
def test_captures_and_fan_outs_at_once_lose_no_change_and_never_lock_each_other_out(
    store: Connection, open_store: Open, mapping_id: int, turn: int
) -> None:
    """Each transaction holds join keys and entities; every last change must be passed on after it."""
    captures, passers = [open_store(), open_store()], [open_store(), open_store()]
    last = 120

    def capture(connection: Connection) -> None:
        for lsn in range(1, last + 1):
            with connection.transaction():
                touch(connection, mapping_id, *(str(n) for n in range(lsn % 7, 40, 3)), lsn=lsn)
                enqueue(connection, mapping_id, *(str(n) for n in range(lsn % 5, 40, 2)), lsn=lsn)

    def pass_on(connection: Connection) -> int:
        done = 0
        while not done or captured_going() or keys(connection, mapping_id):
            done += 1
            read = waiting(connection, mapping_id, limit=9)
            with connection.transaction():
                ours = fan_out.lock(connection, mapping_id, COMPANY, read)
                enqueue(connection, mapping_id, *(row.key for row in read), lsn=max([0, *(row.lsn for row in read)]))
                fan_out.finish(connection, mapping_id, COMPANY, ours)
        return done

    with ThreadPoolExecutor(4) as pool:
        captured: list[Future[Any]] = [pool.submit(capture, connection) for connection in captures]

        def captured_going() -> bool:
            return not all(each.done() for each in captured)

        passed: list[Future[Any]] = [pool.submit(pass_on, connection) for connection in passers]
        for each in (*captured, *passed):
            each.result()
    assert fan_out.work(store) == []
    found: dict[str, str] = dict(store.execute("select key, lsn::text from syncbridge.outbox").fetchall())
    newest = {str(n): max(lsn for lsn in range(1, last + 1) if n in range(lsn % 7, 40, 3)) for n in range(40)}
    assert all(Lsn.parse(found[key]) >= lsn for key, lsn in newest.items())
