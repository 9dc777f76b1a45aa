"""A row never keeps its own value in a field that the destination owns."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.model import Outcome
from tests.fix_two_way import StartTwoWay, TwoWayProject

OWNED = ("Email: email", "Email: {column: email, owner: destination}")


@pytest.fixture
def owned(start_two_way: StartTwoWay) -> TwoWayProject:
    both = start_two_way(OWNED)
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    return both


def test_a_local_edit_of_what_the_destination_owns_is_put_back_and_logged(owned: TwoWayProject) -> None:
    owned.out.change("update people set email = 'ours@example.org', first_name = 'Ours' where id = 1", 1)
    owned.out.deliver()
    owned.poll()
    assert owned.row(1, "email", "first_name") == ("1@example.org", "Ours")
    assert owned.out.remote()["1"]["Email"] == "1@example.org"
    assert owned.out.remote()["1"]["FirstName"] == "Ours"
    assert owned.decisions(1)[0]["Email"]["verdict"] == "destination wins"
    assert [entry.outcome for entry in owned.log(1)] == [Outcome.WRITTEN]


def test_putting_back_costs_one_more_call_and_then_nothing(owned: TwoWayProject) -> None:
    before = len(owned.out.destination.calls)
    owned.out.change("update people set email = 'ours@example.org'", 1, 2)
    owned.out.deliver()
    owned.poll()
    assert [call[0] for call in owned.out.destination.calls[before:]] == ["read", "changes"]
    owned.settle()
    owned.poll()
    assert [call[0] for call in owned.out.destination.calls[before:]] == ["read"] + ["changes"] * 7
    assert owned.rechecks() == []


def test_records_from_before_the_way_back_are_put_back_too(owned: TwoWayProject) -> None:
    owned.out.store.execute("update syncbridge.link set base = (base::jsonb - 'Email')::json")
    owned.out.change("update people set email = 'ours@example.org' where id = 1", 1)
    owned.out.deliver()
    owned.poll()
    assert owned.row(1, "email") == ("1@example.org",)


def test_when_quiet_the_field_is_the_remote_one_whoever_edited_it_when(start_two_way: StartTwoWay) -> None:
    both = start_two_way(OWNED)
    keys = count(1)  # a person for each example: edits of all of them together would be taken for a bounce
    step = st.sampled_from(["local", "remote", "poll", "deliver", "captured"])

    @settings(max_examples=25)
    @given(st.lists(step, max_size=10))
    def tell(steps: list[str]) -> None:
        key = next(keys)
        both.out.add(key)
        both.out.deliver()
        for number, kind in enumerate(steps):
            if kind == "local":
                edit = "update people set email = %s, last_name = %s where id = %s"
                both.out.writer.execute(edit, (f"l{number}@e.org", f"L{number}", key))
            elif kind == "remote":
                both.edit(key, Email=f"r{number}@e.org")
            elif kind == "captured":
                both.out.touch(key)
            elif kind == "poll":
                both.poll()
            else:
                both.out.deliver()
        both.out.touch(key)
        both.settle()
        record = both.out.remote()[str(key)]
        assert both.row(key, "email", "last_name") == (record["Email"], record["LastName"])
        assert not str(record["Email"]).startswith("l")

    tell()
