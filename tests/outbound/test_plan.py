"""Planning compares what an entity is with the base, and chooses the least that makes both equal."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.errors import RecordRejected
from syncbridge.model import Fields, Operation
from syncbridge.outbound.compose import Entities
from syncbridge.outbound.plan import Planned, plan
from syncbridge.store.claims import Claimed

FLOATS = st.floats(allow_nan=False, allow_infinity=False)  # what JSON can hold
NORMAL = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), FLOATS, st.text())
FIELDS = st.dictionaries(st.sampled_from(["A", "B", "C", "D"]), NORMAL)


def _claimed(base: Fields | None, *, key: str = "1", resend: bool = False) -> Claimed:
    text = None if base is None else orjson.dumps(base).decode()
    remote_id = None if base is None else "m1"
    return Claimed(key, 1, "0/1", datetime(2026, 1, 1, tzinfo=UTC), "change", 0, resend, remote_id, text)


def _plan(record: Fields | None, base: Fields | None, *, resend: bool = False, gone: Fields | None = None) -> Planned:
    entities = Entities({} if record is None else {"1": record})
    (planned,) = plan([_claimed(base, resend=resend)], entities, gone=gone)
    return planned


def test_an_entity_without_a_link_is_created_in_full() -> None:
    planned = _plan({"A": 1, "B": None}, None)
    assert (planned.operation, planned.fields, planned.full) == (Operation.CREATE, {"A": 1, "B": None}, True)


def test_only_what_differs_is_updated_and_the_base_will_hold_all() -> None:
    planned = _plan({"A": 1, "B": 3}, {"A": 1, "B": 2})
    assert (planned.operation, planned.fields, planned.full) == (Operation.UPDATE, {"B": 3}, False)
    assert planned.base == {"A": 1, "B": 3}


def test_a_field_that_is_new_in_the_mapping_is_sent_even_when_it_is_null() -> None:
    assert _plan({"A": 1, "B": None}, {"A": 1}).fields == {"B": None}


def test_null_and_the_empty_string_are_not_the_same() -> None:
    assert _plan({"A": ""}, {"A": None}).fields == {"A": ""}


def test_zero_false_and_nothing_are_told_apart_from_null() -> None:
    assert _plan({"A": 0, "B": False}, {"A": None, "B": None}).fields == {"A": 0, "B": False}


def test_an_entity_equal_to_its_base_needs_nothing_whatever_the_order_of_the_fields() -> None:
    assert _plan({"A": 1, "B": 2}, {"B": 2, "A": 1}).operation is Operation.NOTHING


def test_a_resend_sends_every_field_even_of_an_equal_entity() -> None:
    planned = _plan({"A": 1}, {"A": 1}, resend=True)
    assert (planned.operation, planned.fields, planned.full) == (Operation.UPDATE, {"A": 1}, True)


def test_an_entity_that_is_gone_is_deleted_when_it_has_a_record() -> None:
    planned = _plan(None, {"A": 1})
    assert (planned.operation, planned.vanished) == (Operation.DELETE, True)
    assert _plan(None, None).operation is Operation.NOTHING


def test_an_entity_that_is_gone_and_was_perhaps_created_is_deleted_too() -> None:
    assert _plan(None, None, resend=True).operation is Operation.DELETE
    assert _plan(None, None, resend=True, gone={"Z": False}).fields == {"Z": False}


def test_a_record_is_marked_once() -> None:
    planned = _plan(None, {"A": 1}, gone={"Z": False})
    assert (planned.operation, planned.fields, planned.vanished) == (Operation.UPDATE, {"Z": False}, True)
    assert planned.base == {"A": 1, "Z": False}
    assert _plan(None, planned.base, gone={"Z": False}).operation is Operation.NOTHING
    assert _plan(None, planned.base, gone={"Z": False}, resend=True).fields == {"Z": False}


def test_a_refused_entity_is_not_taken_for_one_that_is_gone() -> None:
    refusal = RecordRejected("no", code="X")
    entities = Entities(refused={"1": refusal})
    (planned,) = plan([_claimed({"A": 1})], entities, gone=None)
    assert (planned.operation, planned.refusal) == (Operation.NOTHING, refusal)


def test_plans_come_in_the_order_of_the_claims() -> None:
    claimed = [_claimed(None, key=key) for key in ("b", "a", "c")]
    entities = Entities({"a": {"A": 1}, "b": {"A": 2}})
    assert [planned.key for planned in plan(claimed, entities, gone=None)] == ["b", "a", "c"]


@given(record=FIELDS, base=FIELDS)
def test_what_is_planned_makes_base_and_record_agree_and_sends_nothing_more(record: Fields, base: Fields) -> None:
    planned = _plan(record, base)
    after = {**base, **planned.fields}
    assert all(after[name] == value for name, value in record.items())
    assert all(name not in base or base[name] != value for name, value in planned.fields.items())
    assert _plan(record, planned.base).operation is Operation.NOTHING
