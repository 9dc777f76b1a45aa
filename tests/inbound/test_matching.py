"""A new remote record that is a row already is linked to it, and never made twice."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.inbound import row_changes
from syncbridge.store import conflicts, database, held_records, rechecks
from tests.fix_two_way import StartNew, TwoWayProject
from tests.inbound.test_creates import put, rows

MATCHING = ("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email")


def add(both: TwoWayProject, *emails: str) -> None:
    """Rows that capture has not seen yet."""
    for email in emails:
        both.out.writer.execute(
            "insert into people (first_name, last_name, email) values ('Ours', 'Ours', %s)", (email,)
        )


def test_a_new_record_that_agrees_with_one_row_is_linked_to_it(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    add(both, "Ada@Example.org", "other@example.org")
    one = put(both, FirstName="Theirs", Email="ada@example.org")
    both.poll()
    assert len(rows(both)) == 2
    assert both.remote_id(1) == one
    both.settle()
    stored = both.out.destination.stored("Contact")
    assert stored[one]["Person_Key__c"] == "1"
    assert len(stored) == 2  # the other row got a record of its own
    assert rows(both, "first_name")[0] == (stored[one]["FirstName"],)


def test_what_could_be_several_rows_is_held(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    add(both, "a@example.org", "a@example.org")
    one = put(both, Email="a@example.org")
    both.poll()
    assert len(rows(both)) == 2
    assert held_records.read(both.out.store, both.out.mapping_id)[one].code == "SEVERAL_MATCHES"


def test_two_new_records_that_agree_with_one_row_are_held(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    add(both, "a@example.org")
    ids = [put(both, Email="a@example.org") for _ in range(2)]
    both.poll()
    assert len(rows(both)) == 1
    assert sorted(held_records.read(both.out.store, both.out.mapping_id)) == sorted(ids)


def test_a_record_that_agrees_with_none_or_says_nothing_becomes_a_row(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    add(both, "a@example.org")
    put(both, FirstName="Ada", Email="b@example.org")
    put(both, FirstName="Grace")
    both.poll()
    assert sorted(rows(both, "first_name")) == [("Ada",), ("Grace",), ("Ours",)]


def test_while_outbound_meets_existing_records_nothing_is_made_of_them(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    add(both, "a@example.org")
    one = put(both, Email="a@example.org")
    lane = both.out.stores()
    with lane.transaction():
        assert conflicts.try_meet(lane, both.out.mapping_id)
        both.poll()
        assert len(rows(both)) == 1
        assert both.rechecks() == [one]
    both.out.touch(1)
    both.out.deliver()  # it links the record to the row
    both.settle()
    assert len(rows(both)) == len(both.out.destination.stored("Contact")) == 1
    assert both.remote_id(1) == one


# -- rows in a database of their own -----------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("place", ["add", "postpone"])
def test_a_row_that_was_made_without_being_recorded_is_not_made_twice(
    start_new: StartNew, dsn: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with database.connect(dsn, purpose="rows") as rows_of_another_database:
        both = start_new(own_store=rows_of_another_database)
        one = put(both, FirstName="Ada")
        die_at(monkeypatch, place)
        with pytest.raises(Died):
            both.poll()
        monkeypatch.undo()
        assert rows(both, "first_name") == [("Ada",)]
        both.out.touch(1)  # as capture does
        both.out.deliver()
        assert list(both.out.destination.stored("Contact")) == [one]
        both.settle()
        assert rows(both, "id, first_name") == [(1, "Ada")]
        stored = both.out.destination.stored("Contact")
        assert (list(stored), stored[one]["Person_Key__c"]) == ([one], "1")


def test_a_row_that_was_only_promised_is_made_by_the_next_poll(
    start_new: StartNew, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect(dsn, purpose="rows") as rows_of_another_database:
        both = start_new(own_store=rows_of_another_database)
        one = put(both, FirstName="Ada")
        die_at(monkeypatch, "rows")
        with pytest.raises(Died):
            both.poll()
        monkeypatch.undo()
        assert rows(both) == []
        both.out.touch(1)  # as a resync does, which looks at links without rows
        both.out.deliver()
        assert list(both.out.destination.stored("Contact")) == [one]
        both.age_links()
        both.settle()
        assert rows(both, "first_name") == [("Ada",)]
        assert both.remote_id(1) == one


def die_at(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Before the rows are made, or when they are committed and the state is not."""

    def die(*_: Any, **__: Any) -> Any:
        raise Died

    monkeypatch.setattr(*((row_changes, "apply") if place == "rows" else (rechecks, place)), die)
