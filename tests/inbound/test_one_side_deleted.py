"""One side deleted what the other one changed, and what goes out learns of it first: nothing is sent before the rule
has decided which of the two stands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fix_family_both import StartFamilyBoth
from tests.fix_two_way import StartTwoWay, TwoWayProject
from tests.inbound.test_formulas import PEOPLE as GRADES
from tests.inbound.test_formulas import an_hour_passes, compute
from tests.inbound.test_formulas import start as graded


def project(start: StartTwoWay, conflict: str = "newest") -> TwoWayProject:
    given = f"deletes: {{to_destination: delete, to_postgres: delete}}\nconflict: {conflict}"
    both = start(("deletes: {to_destination: delete}", given))
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    return both


@pytest.mark.parametrize(("seconds", "there"), [(-60, False), (+60, True)])
def test_a_record_that_was_changed_there_is_not_deleted_before_the_poll_has_decided(
    start_two_way: StartTwoWay, seconds: int, there: bool
) -> None:
    both = project(start_two_way)
    both.after(seconds)
    both.edit(1, FirstName="Theirs")
    both.out.change("delete from people where id = 1", 1)
    both.out.deliverer.step()
    assert both.out.remote()["1"]["FirstName"] == "Theirs"
    assert (both.out.waiting(1) or both).code == "CHANGED_THERE"  # type: ignore[union-attr]
    both.poll()
    both.out.deliver()
    assert ("1" in both.out.remote()) is there
    assert both.row(1, "first_name") == (("Theirs",) if there else None)
    both.settle()
    assert (both.out.left(), both.rechecks()) == ([], [])


def test_a_record_that_nobody_changed_is_deleted_at_once(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way)
    both.out.change("delete from people where id = 1", 1)
    both.out.deliverer.step()
    assert list(both.out.remote()) == ["2"]


@pytest.mark.parametrize(("seconds", "there"), [(-60, True), (+60, False)])
def test_an_update_does_not_bring_back_a_record_before_the_poll_has_decided(
    start_two_way: StartTwoWay, seconds: int, there: bool
) -> None:
    both = project(start_two_way)
    both.after(seconds)
    both.drop(1)
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.deliverer.step()
    assert "1" not in both.out.remote()
    both.poll()
    both.out.deliver()
    assert ("1" in both.out.remote()) is there
    assert (both.row(1) is not None) is there
    if there:
        assert both.out.remote()["1"] == both.out.remote()["1"] | {"FirstName": "Ours", "LastName": "Last 1"}
    both.settle()
    assert (both.out.left(), both.rechecks()) == ([], [])


@pytest.mark.parametrize("gone_here", [True, False])
def test_nothing_goes_out_of_a_pair_that_is_held_because_one_side_is_gone(
    start_two_way: StartTwoWay, gone_here: bool
) -> None:
    both = project(start_two_way, "hold")
    if gone_here:
        both.edit(1, FirstName="Theirs")
        both.out.change("delete from people where id = 1", 1)
    else:
        both.drop(1)
        both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    for _ in range(3):
        both.poll()
        both.out.deliver()
    held = both.held(1)
    assert held is not None
    assert held.kind == "delete"
    assert ("1" in both.out.remote()) is gone_here
    assert (both.row(1) is None) is gone_here
    assert both.out.left() == []


def test_what_an_update_makes_anew_blanks_no_column(both: TwoWayProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody deletes the record in the moment between the look at it and the update."""
    upsert, remote_id = both.out.destination.upsert, both.remote_id(1)

    def late(*arguments: Any, **options: Any) -> Any:
        both.out.destination.delete("Contact", [remote_id])
        monkeypatch.undo()
        return upsert(*arguments, **options)

    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    monkeypatch.setattr(both.out.destination, "upsert", late)
    both.after(+60)
    both.out.deliverer.step()
    both.age_links()
    both.poll()
    both.out.deliver()
    both.settle()
    assert both.row(1) == ("Ours", "Last 1", "1@example.org")
    assert both.out.remote()["1"] == both.out.remote()["1"] | {"FirstName": "Ours", "LastName": "Last 1"}


OURS = ("Email: email", "Email: {sql: \"id || '@example.org'\"}")


@pytest.mark.parametrize("polled", [False, True])
def test_what_automation_changes_in_a_field_of_ours_keeps_no_record_whose_row_is_gone(
    start_two_way: StartTwoWay, polled: bool
) -> None:
    both = project(lambda *pairs: start_two_way(*pairs, OURS), "hold")
    both.after(+60)
    both.edit(1, Email="automation@example.org")
    both.out.change("delete from people where id = 1", 1)
    if polled:
        both.poll()
    both.out.deliverer.step()
    assert list(both.out.remote()) == ["2"]
    assert both.row(1) is None
    both.poll()
    assert both.held(1) is None


@pytest.mark.parametrize("polled", [False, True])
def test_what_the_destination_calculates_keeps_no_record_whose_row_is_gone(
    start_family_both: StartFamilyBoth, polled: bool
) -> None:
    both = graded(start_family_both, GRADES.replace("guard:", "conflict: hold\nguard:"))
    compute(both, 2, 7.5)
    both.family.sql("delete from people where id = 2")
    both.family.touch("people", 2)
    if polled:
        an_hour_passes(both)
        both.poll()
    both.family.deliver()
    assert "2" not in both.family.remote("Contact")
    both.poll()
    assert both.held("people", 2) is None


def test_what_automation_changes_in_a_field_of_ours_delays_no_update(start_two_way: StartTwoWay) -> None:
    both = project(lambda *pairs: start_two_way(*pairs, OURS))
    both.edit(1, Email="automation@example.org")
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.deliverer.step()
    assert both.out.remote()["1"]["FirstName"] == "Ours"
    assert both.out.left() == []
