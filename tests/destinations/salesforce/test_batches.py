"""Which records share a call: never two of one key, and those of one parent where they fit. No HTTP here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.destinations.salesforce.batches import Parents, calls_for, held_by, parent_fields, parents_of
from syncbridge.model import Fields
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject

REFERENCE = FieldKind.REFERENCE
CONTACT = RemoteObject(
    "Contact",
    {
        each.name: each
        for each in (
            RemoteField("LastName", FieldKind.STRING),
            RemoteField("AccountId", REFERENCE, refers_to=("Account",)),
            RemoteField("ReportsToId", REFERENCE, refers_to=("Contact",)),
            RemoteField("OwnerId", REFERENCE, refers_to=("User",)),
            RemoteField("RecordTypeId", REFERENCE, refers_to=("RecordType",)),
            RemoteField("Case_Owner__c", REFERENCE, refers_to=("Group", "User")),
        )
    },
)


@given(st.lists(st.sampled_from("abcde"), max_size=40), st.integers(1, 7))
def test_every_record_is_in_one_call_and_equal_keys_never_together(keys: list[str], size: int) -> None:
    waves = list(calls_for(keys, size=size))
    calls = [call for wave in waves for call in wave]
    assert sorted(position for call in calls for position in call) == list(range(len(keys)))
    assert all(len(call) <= size for call in calls)
    order: dict[str, list[int]] = {}
    for wave in waves:
        in_flight = [position for call in wave for position in call]
        assert len({keys[position] for position in in_flight}) == len(in_flight)
        for position in in_flight:
            order.setdefault(keys[position], []).append(position)
    assert all(positions == sorted(positions) for positions in order.values())


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(1, 7))
def test_records_with_parents_are_in_one_call_each_and_no_call_more_is_made(parents: list[int], size: int) -> None:
    keys = [f"k{at}" for at in range(len(parents))]
    refers: list[Parents] = [(f"p{parent}",) if parent else () for parent in parents]
    ((*calls,),) = list(calls_for(keys, refers, size))
    assert sorted(at for call in calls for at in call) == list(range(len(parents)))
    assert len(calls) == -(-len(parents) // size)
    assert all(len(call) <= size for call in calls)


@pytest.mark.parametrize(("children", "sizes"), [(4, [200] * 5), (3, [198] * 4 + [108])])
def test_parents_of_a_few_children_are_never_in_two_calls(children: int, sizes: list[int]) -> None:
    count = sum(sizes)
    parents = count // children
    refers: list[Parents] = [(f"p{at % parents}",) for at in range(count)]
    (calls,) = calls_for([f"k{at}" for at in range(count)], refers)
    locks = [held_by(call, refers) for call in calls]
    assert [len(call) for call in calls] == sizes
    assert sum(len(each) for each in locks) == len(frozenset().union(*locks)) == parents


def test_a_parent_of_many_children_fills_calls_of_its_own() -> None:
    keys = [f"k{at}" for at in range(1000)]
    refers: list[Parents] = [("crowd",) if at % 2 else (f"p{at}",) for at in range(1000)]
    (calls,) = calls_for(keys, refers)
    assert sum("crowd" in held_by(call, refers) for call in calls) == 3


def test_what_every_record_refers_to_locks_nothing() -> None:
    assert parent_fields(CONTACT) == {"AccountId", "ReportsToId"}
    assert parent_fields(None) == frozenset()


def test_the_reference_that_most_records_share_comes_first() -> None:
    records: list[Fields] = [
        {"LastName": "x", "AccountId": f"a{at}", "ReportsToId": "boss", "OwnerId": "u"} for at in range(3)
    ]
    records.append({"LastName": "x", "AccountId": None})
    assert parents_of(records, parent_fields(CONTACT)) == [("boss", "a0"), ("boss", "a1"), ("boss", "a2"), ()]
