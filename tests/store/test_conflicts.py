"""Entities that are held, and what a person or a change makes of them."""

from __future__ import annotations

from psycopg import Connection

from syncbridge.store import backlog, claims, conflicts
from syncbridge.store.claims import Kept
from syncbridge.store.conflicts import Held
from tests.fix_store import apply_mapping, enqueue


def park(store: Connection, mapping_id: int, **candidates: tuple[str, ...]) -> None:
    """Hold these keys, as a settlement does."""
    enqueue(store, mapping_id, *candidates)
    number, rows = claims.claim(store, mapping_id, limit=100, lease=60)
    claims.keep(store, mapping_id, number, [Kept(row.key, row.version, parked="held") for row in rows])
    conflicts.hold(store, mapping_id, {key: Held(ids, "two") for key, ids in candidates.items()})


def due(store: Connection, mapping_id: int) -> set[str]:
    return {row.key for row in claims.claim(store, mapping_id, limit=100, lease=60)[1]}


def test_a_held_row_is_listed_and_not_claimed(store: Connection, mapping_id: int) -> None:
    park(store, mapping_id, a=("m1", "m2"))
    assert due(store, mapping_id) == set()
    (listed,) = conflicts.held(store, mapping="people")
    assert (listed.mapping, listed.key, listed.candidates, listed.detail) == ("people", "a", ("m1", "m2"), "two")
    assert conflicts.read(store, mapping_id, "a") == listed
    assert conflicts.count(store) == 1
    assert conflicts.held(store, mapping="other") == []


def test_a_change_of_the_row_makes_it_due_again(store: Connection, mapping_id: int) -> None:
    park(store, mapping_id, a=("m1", "m2"))
    enqueue(store, mapping_id, "a", lsn=200)
    assert conflicts.held(store) == []
    assert due(store, mapping_id) == {"a"}


def test_a_row_that_changed_while_it_was_looked_at_is_not_held(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a")
    number, rows = claims.claim(store, mapping_id, limit=1, lease=60)
    enqueue(store, mapping_id, "a", lsn=200)
    claims.keep(store, mapping_id, number, [Kept("a", rows[0].version, parked="held")])
    assert due(store, mapping_id) == {"a"}


def test_a_decision_is_kept_until_it_is_delivered(store: Connection, mapping_id: int) -> None:
    park(store, mapping_id, a=("m1", "m2"), b=("m1",), c=("m3", "m4"))
    assert conflicts.decide(store, mapping_id, "a", "m9")
    assert conflicts.decide(store, mapping_id, "b", None)
    assert not conflicts.decide(store, mapping_id, "a", "m1")  # no longer held
    assert not conflicts.decide(store, mapping_id, "unknown", None)
    assert due(store, mapping_id) == {"a", "b"}
    assert conflicts.decisions(store, mapping_id, ["a", "b", "c"]) == {"a": "m9", "b": ""}
    assert conflicts.remove(store, mapping_id, ["a"]) == ["m1", "m2", "m9"]
    assert conflicts.decisions(store, mapping_id, ["a", "b", "c"]) == {"b": ""}


def test_records_that_others_want_or_were_given_are_known(store: Connection, mapping_id: int) -> None:
    park(store, mapping_id, a=("m1", "m2"), b=("m3",), c=("m4",))
    park(store, apply_mapping(store, "other"), x=("m5",))
    conflicts.decide(store, mapping_id, "a", "m1")  # so it does not want m2 any more
    conflicts.decide(store, mapping_id, "c", None)
    wanted = conflicts.wanted_by_others(store, mapping_id, ["m1", "m2", "m3", "m4", "m5"], besides=["new"])
    assert wanted == {"m1": True, "m3": False}
    assert conflicts.wanted_by_others(store, mapping_id, ["m3"], besides=["b"]) == {}


def test_entities_held_for_the_same_record_are_released(store: Connection, mapping_id: int) -> None:
    park(store, mapping_id, a=("m1", "m2"), b=("m3",))
    assert conflicts.release(store, mapping_id, ["m2", "m7"]) == 1
    assert conflicts.release(store, mapping_id, []) == 0
    assert due(store, mapping_id) == {"a"}


def test_a_held_entity_can_be_looked_at_again_or_given_up(store: Connection, mapping_id: int) -> None:
    park(store, mapping_id, a=("m1",), b=("m1",), c=("m1",))
    assert conflicts.look_again(store, mapping_id, ["a", "unknown"]) == 1
    assert conflicts.drop(store, mapping_id, ["b", "a"]) == ["b"]
    assert conflicts.look_again(store, mapping_id) == 1
    assert due(store, mapping_id) == {"a", "c"}
    assert backlog.waiting(store, mapping_id, "b") is None


def test_held_again_it_keeps_its_age_and_loses_a_decision_that_could_not_be_done(
    store: Connection, mapping_id: int
) -> None:
    park(store, mapping_id, a=("m1", "m2"))
    before = conflicts.held(store)[0]
    conflicts.decide(store, mapping_id, "a", "m1")
    park(store, mapping_id, a=("m2",))
    (again,) = conflicts.held(store)
    assert (again.since, again.candidates, again.decision) == (before.since, ("m2",), None)
