"""A new remote record that is a row already is linked to it, and never made twice."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.inbound import row_changes
from syncbridge.inbound.write import PageWriter
from syncbridge.store import conflicts, database, held_records, record_decisions
from syncbridge.store.held_records import CREATE, LINK
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


def test_which_row_it_is_stays_decided_while_postgres_refuses_it(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    store, mapping_id = both.out.store, both.out.mapping_id
    add(both, "a@example.org", "a@example.org")
    both.out.writer.execute("alter table people add constraint sound check (first_name <> 'Ada')")
    one = put(both, FirstName="Ada", Email="a@example.org")
    both.poll()
    assert record_decisions.decide(store, mapping_id, one, CREATE)
    both.poll()
    held = held_records.read(store, mapping_id)[one]
    assert (held.code, held.decision, held.decided_at) == ("23514", CREATE, None)
    both.out.writer.execute("alter table people drop constraint sound")
    assert record_decisions.retry(store, mapping_id) == [one]
    both.poll()
    assert rows(both, "first_name") == [("Ours",), ("Ours",), ("Ada",)]
    assert held_records.read(store, mapping_id) == {}


def test_of_two_records_that_were_given_one_row_one_is_linked(start_new: StartNew) -> None:
    both = start_new(MATCHING)
    store, mapping_id = both.out.store, both.out.mapping_id
    add(both, "a@example.org")
    ids = [put(both, Email="a@example.org") for _ in range(2)]
    both.poll()
    for each in ids:
        assert record_decisions.decide(store, mapping_id, each, LINK, "1")
    both.poll()
    assert len(rows(both)) == 1
    ((other, held),) = held_records.read(store, mapping_id).items()
    assert {both.remote_id(1), other} == set(ids)
    assert (held.code, held.decision) == ("ROW_NOT_FREE", None)
    assert record_decisions.counts(store) == {mapping_id: record_decisions.Count(held=1, decided=0)}


# -- rows in a database of their own -----------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


def test_a_row_that_was_made_without_being_recorded_is_not_made_twice(
    start_new: StartNew, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect(dsn, purpose="rows") as rows_of_another_database:
        both = start_new(own_store=rows_of_another_database)
        one = put(both, FirstName="Ada")
        monkeypatch.setattr(PageWriter, "_write", dying_after(PageWriter._write))  # the rows are committed then
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
        monkeypatch.setattr(row_changes, "apply", die)
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


@pytest.mark.parametrize("linked", [True, False])
def test_a_default_key_that_a_row_has_already_makes_no_record_that_rows(
    start_new: StartNew, dsn: str, linked: bool
) -> None:
    """As where rows were imported with their keys, and the sequence was not moved."""
    with database.connect(dsn, purpose="rows") as rows_of_another_database:
        both = start_new(own_store=rows_of_another_database)
        both.out.writer.execute(
            "insert into people (id, first_name, last_name) overriding system value"
            " select n, 'Ours', 'Ours' from generate_series(1, 2) as n"
        )
        if linked:
            both.out.touch(1, 2)
            both.out.deliver()
            both.age_links()
        before = [both.remote_id(key) for key in (1, 2) if linked]
        one = put(both, FirstName="Theirs")
        both.poll()
        assert held_records.read(both.out.store, both.out.mapping_id)[one].message == (
            "the default of the key gave 2, which is taken: move the sequence past the table's keys"
        )
        assert rows(both, "id, first_name") == [(1, "Ours"), (2, "Ours")]
        assert [both.remote_id(key) for key in (1, 2) if linked] == before
        record_decisions.retry(both.out.store, both.out.mapping_id)  # the sequence has gone on
        both.settle()
        assert rows(both, "id, first_name") == [(1, "Ours"), (2, "Ours"), (3, "Theirs")]
        assert both.remote_id(3) == one


def die(*_: Any, **__: Any) -> Any:
    raise Died


def dying_after(work: Any) -> Any:
    """Does the work, and dies."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        work(*arguments, **options)
        raise Died

    return wrapped
