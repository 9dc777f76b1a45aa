"""Links, checkpoints, backlog and workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection

from syncbridge.model import Fields, Lsn
from syncbridge.store import backlog, checkpoints, claims, links, workers
from syncbridge.store.checkpoints import Checkpoint
from syncbridge.store.claims import Kept
from tests.fix_store import MOMENT, apply_mapping, enqueue

# -- links --------------------------------------------------------------------------------------------------------


def test_a_link_keeps_its_base_to_the_letter(store: Connection, mapping_id: int) -> None:
    base = {"Ü": 'q"\\', "Null": None, "Empty": "", "Zero": 0, "No": False, "Big": 9_007_199_254_740_993, "F": 1.5}
    links.upsert(store, mapping_id, {"k": ("m1", base)})
    link = links.read(store, mapping_id, "k")
    assert link is not None
    assert (link.key, link.remote_id, link.base) == ("k", "m1", base)
    assert links.read(store, mapping_id, "other") is None


def test_a_later_delivery_replaces_the_link(store: Connection, mapping_id: int) -> None:
    links.upsert(store, mapping_id, {"a": ("m1", {"A": 1}), "b": ("m2", {})})
    links.upsert(store, mapping_id, {"a": ("m9", {"A": 2})})
    link = links.read(store, mapping_id, "a")
    assert link is not None
    assert (link.remote_id, link.base) == ("m9", {"A": 2})
    links.remove(store, mapping_id, ["a", "unknown"])
    links.remove(store, mapping_id, [])
    assert links.count(store, mapping_id) == 1


@pytest.mark.parametrize("linked", [0, 1])
def test_many_links_are_added_also_where_one_is_there(store: Connection, mapping_id: int, linked: int) -> None:
    links.upsert(store, mapping_id, {"k7": ("old", {"A": 1})} if linked else {})
    wanted: dict[str, tuple[str, Fields]] = {f"k{n}": (f"m{n}", {"Name": f"Zoë {n}", "B": None}) for n in range(300)}
    links.add(store, mapping_id, wanted)
    found = links.of_entities(store, mapping_id, wanted)
    assert {key: (link.remote_id, link.base) for key, link in found.items()} == wanted


def test_who_has_a_remote_record_is_known_per_mapping(store: Connection, mapping_id: int) -> None:
    links.upsert(store, mapping_id, {"a": ("m1", {}), "b": ("m2", {})})
    links.upsert(store, apply_mapping(store, "other"), {"x": ("m3", {})})
    assert links.holders(store, mapping_id, ["m2", "m3", "m4"]) == {"m2": "b"}


def test_linked_keys_come_in_bytewise_pages_of_their_own_mapping(store: Connection, mapping_id: int) -> None:
    keys = ["", "10", "9", "B", "a", "ä", "한"]
    links.upsert(store, mapping_id, {key: ("m", {}) for key in keys})
    links.upsert(store, apply_mapping(store, "other"), {"x": ("m", {})})
    pages, after = [], None
    while page := links.keys_after(store, mapping_id, after, 3):
        pages.append(page)
        after = page[-1]
    assert pages == [["", "10", "9"], ["B", "a", "ä"], ["한"]]


# -- checkpoints --------------------------------------------------------------------------------------------------


def test_a_checkpoint_never_moves_backward(store: Connection) -> None:
    assert checkpoints.read(store, "slot") is None
    checkpoints.create(store, Checkpoint("slot", Lsn(100), "77", 1))
    checkpoints.advance(store, "slot", Lsn(2**63), 5_000_000)
    checkpoints.advance(store, "slot", Lsn(200), 3_000_000)
    checkpoints.advance(store, "slot", Lsn(300), None)
    expected = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=5)
    assert checkpoints.read(store, "slot") == Checkpoint("slot", Lsn(2**63), "77", 1, expected)


def test_a_slot_that_is_made_anew_starts_where_it_starts(store: Connection) -> None:
    checkpoints.create(store, Checkpoint("slot", Lsn(500), "77", 1))
    checkpoints.create(store, Checkpoint("slot", Lsn(100), "88", 2))
    checkpoints.move_timeline(store, "slot", 3)
    assert checkpoints.read(store, "slot") == Checkpoint("slot", Lsn(100), "88", 3)


# -- backlog ------------------------------------------------------------------------------------------------------


def _give_up(store: Connection, mapping_id: int, *keys: str, code: str = "X") -> None:
    number, rows = claims.claim(store, mapping_id, limit=100, lease=60)
    kept = [
        Kept(row.key, row.version, dead=row.key in keys, code=code, message="no", tried=row.key in keys) for row in rows
    ]
    claims.keep(store, mapping_id, number, kept)


def test_the_backlog_tells_pending_dead_and_retrying_apart(store: Connection, mapping_id: int) -> None:
    assert backlog.summary(store) == {}
    enqueue(store, mapping_id, "dead", moment=MOMENT - timedelta(days=9))
    _give_up(store, mapping_id, "dead")
    enqueue(store, mapping_id, "a", moment=MOMENT)
    enqueue(store, mapping_id, "a", "b", moment=MOMENT + timedelta(hours=1))
    number, rows = claims.claim(store, mapping_id, limit=1, lease=60)
    claims.keep(store, mapping_id, number, [Kept(rows[0].key, rows[0].version, message="no")])
    found = backlog.summary(store)[mapping_id]
    assert (found.pending, found.dead, found.retrying, found.oldest) == (2, 1, 1, MOMENT)


def test_dead_letters_are_listed_newest_first_and_by_mapping(store: Connection, mapping_id: int) -> None:
    other = apply_mapping(store, "other")
    for id, key in ((mapping_id, "a"), (other, "b"), (mapping_id, "c")):
        enqueue(store, id, key)
        _give_up(store, id, key)
    assert [letter.key for letter in backlog.dead_letters(store)] == ["c", "b", "a"]
    assert [letter.key for letter in backlog.dead_letters(store, mapping="other")] == ["b"]
    assert [letter.key for letter in backlog.dead_letters(store, limit=1)] == ["c"]


def test_a_person_requeues_by_key_by_code_or_all(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", "b")
    _give_up(store, mapping_id, "a", "b", code="X")
    enqueue(store, mapping_id, "c")
    _give_up(store, mapping_id, "c", code="Y")
    assert backlog.requeue(store, mapping_id, ["a", "unknown"]) == 1
    assert backlog.requeue(store, mapping_id, None, code="Y") == 1
    assert backlog.requeue(store, mapping_id, None) == 1
    assert backlog.requeue(store, mapping_id, None) == 0
    rows = claims.claim(store, mapping_id, limit=10, lease=60)[1]
    assert {(row.key, row.reason, row.attempts) for row in rows} == {(key, "requeue", 0) for key in "abc"}


def test_a_person_discards_dead_letters_and_nothing_else(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", "b")
    _give_up(store, mapping_id, "a")
    assert backlog.discard(store, mapping_id, ["a", "b"]) == ["a"]
    assert backlog.discard(store, mapping_id, None) == []
    assert backlog.waiting(store, mapping_id, "a") is None
    assert backlog.waiting(store, mapping_id, "b") is not None


def test_what_is_not_delivered_up_to_a_position_is_counted_by_mapping(store: Connection, mapping_id: int) -> None:
    other = apply_mapping(store, "other")
    enqueue(store, mapping_id, "a", lsn=100)
    enqueue(store, other, "a", lsn=50)
    assert backlog.undelivered(store, Lsn(49)) == (0, 0)
    assert backlog.undelivered(store, Lsn(100)) == (2, 0)
    assert backlog.undelivered(store, Lsn(100), mapping_id) == (1, 0)


# -- workers ------------------------------------------------------------------------------------------------------


def test_a_worker_signs_in_reports_and_leaves(store: Connection) -> None:
    worker = workers.register(store, host="h", pid=7, roles=["capture", "deliver"])
    workers.report(store, worker, {"capture": {"streaming": True}})
    (found,) = workers.read_all(store)
    assert (found.id, found.host, found.pid, found.roles, found.alive) == (worker, "h", 7, ["capture", "deliver"], True)
    assert found.facts == {"capture": {"streaming": True}}
    workers.leave(store, worker)
    assert workers.read_all(store) == []


def test_a_silent_worker_counts_as_gone_and_is_forgotten_after_a_day(store: Connection) -> None:
    silent = workers.register(store, host="h", pid=1, roles=[])
    store.execute("update syncbridge.worker set seen_at = now() - interval '31 seconds'")
    assert [worker.alive for worker in workers.read_all(store)] == [False]
    store.execute("update syncbridge.worker set seen_at = now() - interval '25 hours'")
    workers.leave(store, workers.register(store, host="h", pid=2, roles=[]))
    assert workers.read_all(store) == []
    workers.report(store, silent, {})
    assert workers.read_all(store) == []


def test_claim_numbers_of_workers_never_meet(store: Connection) -> None:
    one, two = (workers.register(store, host="h", pid=pid, roles=[]) for pid in (1, 2))
    numbers = workers.claim_numbers(one)
    first, last = workers.claim_range(one)
    assert [next(numbers), next(numbers)] == [first, first + 1]
    assert last < workers.claim_range(two)[0]
