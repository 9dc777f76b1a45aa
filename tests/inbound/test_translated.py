"""Values that a mapping translates, defaults and constants, on the way back; and values that nobody is shown."""

from __future__ import annotations

from syncbridge.model import Outcome
from tests.fix_two_way import StartTwoWay, TwoWayProject


def project(start: StartTwoWay, field: str, into: str) -> TwoWayProject:
    both = start((field, into))
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    return both


VALUES = "FirstName: {column: first_name, values: {First 1: Active, First 2: Former}}"


def test_values_come_back_as_their_left_side_and_do_not_go_out_again(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "FirstName: first_name", VALUES)
    assert [both.out.remote()[key]["FirstName"] for key in "12"] == ["Active", "Former"]
    sent = len(both.out.destination.sent)
    both.edit(1, FirstName="Former")
    both.edit(2, FirstName=None)
    both.settle()
    assert [both.row(key, "first_name") for key in (1, 2)] == [("First 2",), (None,)]
    assert len(both.out.destination.sent) == sent


def test_a_value_that_is_not_listed_is_held_and_says_so(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "FirstName: first_name", VALUES)
    both.edit(1, FirstName="Private matter", Score__c=5)
    both.poll()
    held = both.held(1)
    assert held is not None
    assert (held.kind, held.code) == ("refused", "VALUE_NOT_MAPPED")
    assert held.message == "FirstName: the value is not on a right side under values:"
    assert both.row(1, "first_name") == ("First 1",)
    assert [entry.outcome for entry in both.log(1)] == [Outcome.REFUSED]
    assert "Private" not in str(both.log(1))
    both.poll()
    assert len(both.log(1)) == 1


def test_a_default_stays_null_here_through_every_round(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "Score__c: score", "Score__c: {column: score, default: 0}")
    assert both.out.remote()["1"]["Score__c"] == 0
    both.edit(1, FirstName="Theirs")
    both.settle()
    assert both.row(1, "first_name", "score") == ("Theirs", None)
    both.edit(1, Score__c=4)
    both.settle()
    assert both.row(1, "score") == (4,)
    both.edit(1, Score__c=0)  # back to what stands for null
    sent = len(both.out.destination.sent)
    both.settle()
    assert both.row(1, "score") == (None,)
    assert both.out.remote()["1"]["Score__c"] == 0
    assert len(both.out.destination.sent) == sent


def test_a_constant_that_somebody_changes_is_put_back(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "Score__c: score", "Score__c: {constant: 7}")
    both.edit(1, Score__c=8)
    both.settle()
    assert both.out.remote()["1"]["Score__c"] == 7
    assert both.log(1)[-1].outcome == Outcome.KEPT


def test_a_sensitive_value_stands_in_no_log_and_no_message(start_two_way: StartTwoWay) -> None:
    both = start_two_way(
        ("Email: email", "Email: {column: email, sensitive: true}"), ("guard:", "conflict: hold\nguard:")
    )
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.out.writer.execute("alter table people add constraint no_secret check (email <> 'refused secret')")
    both.out.change("update people set email = 'local secret' where id = 1", 1)
    both.edit(1, Email="remote secret")
    both.edit(2, Email="refused secret")
    both.poll()
    told = str([both.log(1), both.log(2), both.decisions(1), both.decisions(2)])
    messages = [held.message for key in (1, 2) if (held := both.held(key)) is not None]
    assert len(messages) == 2
    assert "secret" not in (told + str(messages)).replace("no_secret", "")
    assert both.decisions(1)[0]["Email"]["values"] == "(sensitive)"
