"""A field that comes in and goes out in turn, although nobody changes it, is stopped and shown; nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncbridge.destinations.base import Result
from syncbridge.inbound.bounces import ROUNDS, TURNS
from syncbridge.model import Outcome
from syncbridge.store import decisions
from tests.fix_store import make_due
from tests.fix_two_way import StartTwoWay, TwoWayProject

TURN_BACK = """
create function turn_back() returns trigger language plpgsql as $$
begin new.{column} := {value}; return new; end $$;
create trigger turn_back before update of {column} on people for each row execute function turn_back();
"""


def trigger(both: TwoWayProject, column: str, value: str) -> None:
    """A trigger of the user's own sets this column whenever it is written."""
    both.out.writer.execute(TURN_BACK.format(column=column, value=value).encode())


def automate(both: TwoWayProject, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """An automation in the destination changes each record that is written by its external id."""
    upsert = both.out.destination.upsert

    def automated(object: str, external_id: str, records: Any, **options: Any) -> list[Result]:
        changed = [{**each, **change(dict(each))} for each in records]
        answers: list[Result] = upsert(object, external_id, changed, **options)
        return answers

    both.out.destination.upsert = automated  # type: ignore[method-assign]


def bouncing(both: TwoWayProject) -> TwoWayProject:
    """A first name that a trigger turns into `Here` and an automation into `There`."""
    trigger(both, "first_name", "'Here'")
    automate(both, lambda sent: {"FirstName": "There"} if "FirstName" in sent else {})
    both.out.change("update people set first_name = 'x' where id = 1", 1)
    return both


def go_round(both: TwoWayProject, times: int) -> int:
    """Both directions work so often; how many records were sent meanwhile."""
    before = len(both.out.destination.sent)
    for _ in range(times):
        make_due(both.out.store)
        both.out.deliverer.step()
        both.poll()
        both.out.touch(1)  # a trigger's change is captured as anybody's
    return len(both.out.destination.sent) - before


def test_a_field_that_both_sides_turn_back_is_stopped_after_a_few_rounds(both: TwoWayProject) -> None:
    bouncing(both)
    assert go_round(both, ROUNDS + 6) == ROUNDS + 1
    assert go_round(both, 5) == 0
    held = both.held(1)
    assert held is not None
    assert (held.kind, held.fields) == ("bounce", {"FirstName": {"base": "Here", "local": "Here", "remote": "There"}})
    assert "FirstName came in and went out in turn" in (held.message or "")
    assert both.row(1, "first_name") == ("Here",)
    assert both.out.remote()["1"]["FirstName"] == "There"
    assert (both.out.left(), both.rechecks()) == (["1"], [])  # `go_round` touched it last
    told = [entry for entry in both.log(1) if entry.code == "BOUNCES"]
    assert [(entry.outcome, entry.fields) for entry in told] == [(Outcome.HELD, "FirstName")]
    assert both.decisions(1)[-1]["FirstName"].items() >= {"verdict": "bounces", "remote": "There"}.items()


def test_other_fields_and_records_go_on_in_both_directions(both: TwoWayProject) -> None:
    bouncing(both)
    go_round(both, ROUNDS + 3)
    both.age_links()
    both.edit(1, Email="theirs@example.org")
    both.edit(2, FirstName="Theirs")
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    go_round(both, 3)
    assert both.row(1, "first_name", "last_name", "email") == ("Here", "Ours", "theirs@example.org")
    assert both.out.remote()["1"]["LastName"] == "Ours"
    assert both.out.remote()["1"]["FirstName"] == "There"
    assert both.row(2, "first_name") == ("Here",)  # the trigger's value for whatever comes in
    assert both.held(1) is not None
    assert both.held(2) is None
    assert len([entry for entry in both.log(1) if entry.code == "BOUNCES"]) == 1


def test_a_new_remote_value_lets_it_go_by_itself(both: TwoWayProject) -> None:
    bouncing(both)
    go_round(both, ROUNDS + 3)
    both.out.writer.execute("drop trigger turn_back on people")
    both.edit(1, FirstName="Grace")
    both.poll()
    assert both.row(1, "first_name") == ("Grace",)
    assert both.held(1) is None


def test_a_new_local_value_lets_it_go_by_itself(both: TwoWayProject) -> None:
    bouncing(both)
    go_round(both, ROUNDS + 3)
    both.out.writer.execute("drop trigger turn_back on people")
    both.after(-60)
    both.out.change("update people set first_name = 'Grace' where id = 1", 1)
    go_round(both, 3)
    assert both.held(1) is None
    assert both.row(1, "first_name") == ("There",)  # Grace went out, and the automation answered


def test_it_is_over_when_both_sides_agree(both: TwoWayProject) -> None:
    bouncing(both)
    go_round(both, ROUNDS + 3)
    both.edit(1, FirstName="Here")
    both.poll()
    both.settle()
    assert both.held(1) is None


def test_a_bounce_that_was_let_go_is_counted_anew(both: TwoWayProject) -> None:
    bouncing(both)
    go_round(both, ROUNDS + 3)
    both.edit(1, FirstName="Grace")
    assert ROUNDS <= go_round(both, ROUNDS + 6) <= ROUNDS + 2
    assert both.held(1) is not None


def test_what_the_destination_owns_and_a_trigger_turns_back_is_stopped(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("Email: email", "Email: {column: email, owner: destination}"))
    both.out.add(1)
    both.out.deliver()
    both.poll()
    both.age_links()
    trigger(both, "email", "'here@example.org'")
    both.out.change("update people set email = '' where id = 1", 1)
    go_round(both, ROUNDS + 3)
    written = len(both.log(1))
    go_round(both, 5)
    held = both.held(1)
    assert held is not None
    assert held.kind == "bounce"
    assert len(both.log(1)) == written


def test_what_postgres_owns_and_an_automation_turns_back_is_stopped(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("Email: email", "Email: {column: email, owner: postgres}"))
    both.out.add(1)
    both.out.deliver()
    both.age_links()
    automate(both, lambda sent: {"Email": "there@example.org"} if "Email" in sent else {})
    both.edit(1, Email="there@example.org")
    assert go_round(both, ROUNDS + 6) <= ROUNDS + 1
    assert both.held(1) is not None
    assert both.row(1, "email") == ("1@example.org",)


def test_values_that_never_come_again_bounce_longer_and_then_not(both: TwoWayProject) -> None:
    both.out.writer.execute("create sequence n")
    trigger(both, "first_name", "'Here ' || nextval('n')")
    automate(both, lambda sent: {"FirstName": f"{sent['FirstName']}!"} if "FirstName" in sent else {})
    both.out.change("update people set first_name = 'x' where id = 1", 1)
    assert TURNS <= go_round(both, TURNS + 6) <= TURNS + 1
    assert both.held(1) is not None


def test_people_who_edit_against_each_other_are_not_stopped(both: TwoWayProject) -> None:
    for number in range(ROUNDS * 3):
        both.after(number * 10)
        both.edit(1, FirstName=f"Theirs {number % 3} {number}")
        go_round(both, 1)
        both.out.change(f"update people set first_name = 'Ours {number % 2}' where id = 1", 1)
        go_round(both, 1)
        assert both.held(1) is None


def test_a_remote_record_that_goes_to_and_fro_alone_is_not_stopped(both: TwoWayProject) -> None:
    for number in range(TURNS + 3):
        both.edit(1, FirstName=f"Theirs {number % 2}")
        go_round(both, 1)
        assert both.row(1, "first_name") == (f"Theirs {number % 2}",)


def test_what_happened_longer_ago_is_not_counted(both: TwoWayProject) -> None:
    bouncing(both)
    longer_ago = "(fields #>> '{FirstName,since}')::float8 - 3601"
    for _ in range(ROUNDS + 3):
        go_round(both, 1)
        both.out.store.execute(
            "update syncbridge.bounce set fields = jsonb_set(fields::jsonb, '{FirstName,since}',"
            f" to_jsonb({longer_ago}))::json".encode()
        )
    assert both.held(1) is None


@pytest.mark.parametrize("hours", [0, 2])
def test_a_record_that_changes_now_and_then_costs_nothing(both: TwoWayProject, hours: int) -> None:
    both.out.store.execute("update syncbridge.link set delivered_at = now() - make_interval(hours => %s)", (hours,))
    both.edit(1, FirstName="Theirs")
    both.poll()
    counted = both.out.store.execute("select count(*) from syncbridge.bounce").fetchone()
    assert counted == (0 if hours else 1,)


def test_what_is_counted_tells_no_values(both: TwoWayProject) -> None:
    bouncing(both)
    go_round(both, 3)
    (counted,) = both.out.store.execute("select fields::text from syncbridge.bounce").fetchone() or ("",)
    assert "FirstName" in counted
    assert "There" not in counted


@pytest.mark.parametrize(("side", "value"), [("local", "Here"), ("remote", "There")])
def test_what_a_person_decides_moves_although_it_bounced(both: TwoWayProject, side: str, value: str) -> None:
    upsert = both.out.destination.upsert
    bouncing(both)
    go_round(both, ROUNDS + 6)
    held = both.held(1)
    assert held is not None
    both.out.writer.execute("drop trigger turn_back on people")
    both.out.destination.upsert = upsert  # type: ignore[method-assign]
    assert decisions.take(both.out.store, both.out.mapping_id, "1", held.revision, {"FirstName": side})
    both.poll()
    both.out.deliver()
    both.poll()
    assert (both.row(1, "first_name"), both.out.remote()["1"]["FirstName"]) == ((value,), value)
    assert both.held(1) is None
