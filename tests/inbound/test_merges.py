"""A merged record's row is the survivor's; where that has a row too, a person or the rule of deletes decides."""

from __future__ import annotations

import pytest

from syncbridge.destinations.feed import RemoteChange
from tests.fix_two_way import StartTwoWay, TwoWayProject


def merge(both: TwoWayProject, monkeypatch: pytest.MonkeyPatch, survivor: str, *losers: str) -> None:
    """Somebody merges records into another."""
    destination = both.out.destination
    show = destination._changed

    def changed(object: str, remote_id: str, names: list[str]) -> RemoteChange:
        change = show(object, remote_id, names)
        into = survivor if remote_id in losers else None
        return RemoteChange(remote_id, change.modified, change.fields, change.deleted, into)

    destination.delete("Contact", list(losers))
    destination.update("Contact", [(survivor, {"FirstName": "Merged"})])
    monkeypatch.setattr(destination, "_changed", changed)


@pytest.mark.parametrize("together", [True, False])
def test_a_row_follows_its_record_to_the_survivor(
    both: TwoWayProject, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    survivor = both.out.destination.put("Contact", {"FirstName": "S", "LastName": "Survivor", "Person_Key__c": "none"})
    if not together:
        both.poll()
    merge(both, monkeypatch, survivor, both.remote_id(1))
    both.poll()
    assert both.remote_id(1) == survivor
    assert both.row(1) == ("Merged", "Survivor", None)
    both.settle()
    stored = both.out.destination.stored("Contact")
    assert stored[survivor]["Person_Key__c"] == "1"
    assert len(stored) == 2
    assert "merged" in str([entry.message for entry in both.log(1)])


@pytest.mark.parametrize("rule", ["ignore", "delete"])
def test_where_both_have_rows_the_rule_of_deletes_or_a_person_decides(
    start_two_way: StartTwoWay, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    both = start_two_way(("to_destination: delete}", f"to_destination: delete, to_postgres: {rule}}}"))
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    merge(both, monkeypatch, both.remote_id(2), both.remote_id(1))
    both.poll()
    held = both.held(1)
    assert (both.row(1) is None) is (rule == "delete")
    assert (held is None) is (rule == "delete")
    assert both.row(2, "first_name") == ("Merged",)
    if held is not None:
        assert "delete this row" in (held.message or "")
        both.out.change("delete from people where id = 1", 1)
        both.settle()
    assert list(both.out.remote()) == ["2"]


def test_a_row_that_is_gone_takes_nothing_of_the_survivor(both: TwoWayProject, monkeypatch: pytest.MonkeyPatch) -> None:
    survivor = both.out.destination.put("Contact", {"FirstName": "S", "LastName": "Survivor", "Person_Key__c": "none"})
    both.out.change("delete from people where id = 1", 1)
    merge(both, monkeypatch, survivor, both.remote_id(1))
    both.poll()
    both.settle()
    assert survivor in both.out.destination.stored("Contact")
