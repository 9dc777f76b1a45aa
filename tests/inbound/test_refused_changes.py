"""What one side refuses of the other rests until somebody does something: nothing is asked or sent again and again."""

from __future__ import annotations

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy
from tests.fix_two_way import StartTwoWay, TwoWayProject


@pytest.fixture
def refused(start_two_way: StartTwoWay) -> TwoWayProject:
    """The destination's first name of person 1 wins over the row's, and Postgres refuses it."""
    both = start_two_way(("guard:", "conflict: destination\nguard:"))
    both.out.add(1)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.out.writer.execute("alter table people add constraint short_name check (length(first_name) < 12)")
    both.out.change("update people set first_name = 'Ours', last_name = 'King' where id = 1", 1)
    both.edit(1, FirstName="A very long name")
    both.poll()
    assert both.held(1).kind == "refused"  # type: ignore[union-attr]
    return both


def test_it_is_not_looked_at_again_and_again(refused: TwoWayProject) -> None:
    refused.out.deliver()
    refused.poll()
    refused.out.touch(1)
    before = refused.out.destination.calls_made()
    assert refused.out.deliver() == 1
    assert refused.out.left() == []
    assert refused.rechecks() == []
    assert refused.out.destination.calls_made()["people", "read"] == before["people", "read"] + 1
    assert refused.held(1) is not None


def test_other_fields_of_its_row_go_out(refused: TwoWayProject) -> None:
    refused.out.deliver()
    assert refused.out.remote()["1"].items() >= {"FirstName": "A very long name", "LastName": "King"}.items()


def test_it_comes_in_once_the_row_holds_something_new(refused: TwoWayProject) -> None:
    refused.out.deliver()
    refused.out.writer.execute("alter table people drop constraint short_name")
    refused.out.change("update people set first_name = 'Ours too' where id = 1", 1)
    refused.out.deliverer.step()
    refused.poll()
    refused.settle()
    assert refused.row(1, "first_name") == ("A very long name",)
    assert refused.held(1) is None


def test_an_update_that_the_destination_refuses_is_a_dead_letter_and_its_record_still_comes_in(
    both: TwoWayProject,
) -> None:
    destination = both.out.destination
    refused = Rejected("VALIDATION", "not this one", Remedy.RECORD)
    destination.faults.rejections["1"] = refused
    before = destination.calls_made()["people", "upsert"]
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.deliver()
    waiting = both.out.waiting(1)
    assert waiting is not None
    assert (waiting.status, waiting.code) == ("dead", "VALIDATION")
    assert destination.calls_made()["people", "upsert"] == before + 2
    destination.faults.rejections.clear()
    both.edit(1, LastName="Theirs")
    both.poll()
    assert both.row(1, "first_name", "last_name") == ("Ours", "Theirs")
