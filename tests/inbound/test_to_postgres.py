"""`direction: to_postgres`: the rows follow the records, and nothing is ever sent."""

from __future__ import annotations

import pytest

from syncbridge.errors import SchemaDrift
from tests.fix_two_way import StartNew, StartTwoWay, TwoWayProject
from tests.inbound.test_creates import put, rows


@pytest.fixture(autouse=True)
def one_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fix_two_way.BOTH", ("guard: {deletes", "direction: to_postgres\nguard: {deletes"))


def sent(both: TwoWayProject) -> list[str]:
    return [call[0] for call in both.out.destination.calls if call[0] in ("upsert", "update", "delete")]


def test_rows_follow_their_records_and_nothing_is_sent(start_new: StartNew) -> None:
    both = start_new()
    one = put(both, FirstName="Ada", Email="a@example.org")
    both.poll()
    assert rows(both) == [("Ada", "New", "a@example.org")]
    assert both.out.left() == []
    both.out.destination.update("Contact", [(one, {"FirstName": "Augusta"})])
    both.age_links()
    before = len(sent(both))
    both.poll()
    assert rows(both, "first_name") == [("Augusta",)]
    assert both.out.destination.stored("Contact")[one]["Person_Key__c"] is None
    assert len(sent(both)) == before
    assert both.out.left() == []
    assert both.out.mapping.watches(1) == ()


def test_a_local_edit_is_overwritten_by_the_next_remote_change(start_new: StartNew) -> None:
    both = start_new()
    one = put(both, FirstName="Ada", Email="a@example.org")
    both.poll()
    both.age_links()
    both.out.writer.execute("update people set first_name = 'Ours', last_name = 'Ours'")
    both.poll()
    assert rows(both, "first_name, last_name") == [("Ours", "Ours")]
    both.out.destination.update("Contact", [(one, {"Email": "b@example.org"})])
    both.poll()
    assert rows(both) == [("Ada", "New", "b@example.org")]
    both.out.writer.execute("delete from people")
    both.out.destination.update("Contact", [(one, {"Email": "c@example.org"})])
    both.poll()
    assert rows(both) == [("Ada", "New", "c@example.org")]


@pytest.mark.parametrize(("rule", "left"), [("delete", 0), ("ignore", 1)])
def test_a_deleted_record_takes_its_row_along_by_rule_even_if_that_was_edited(
    start_new: StartNew, rule: str, left: int
) -> None:
    both = start_new(("to_destination: delete}", f"to_destination: ignore, to_postgres: {rule}}}"))
    one = put(both, FirstName="Ada")
    both.poll()
    both.age_links()
    both.out.writer.execute("update people set first_name = 'Ours'")
    both.out.destination.delete("Contact", [one])
    both.poll()
    assert len(rows(both)) == left


def test_a_record_that_carries_a_key_of_the_table_is_that_row(start_two_way: StartTwoWay) -> None:
    both = start_two_way()
    put(both, FirstName="Ada", Person_Key__c="7")
    both.poll()
    assert rows(both, "id, first_name") == [(7, "Ada")]


def test_a_field_without_a_column_is_refused(start_two_way: StartTwoWay) -> None:
    with pytest.raises(SchemaDrift, match=r"Score__c|needs a column"):
        start_two_way(("Score__c: score", "Score__c: {sql: score * 2}"))
