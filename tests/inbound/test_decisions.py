"""What a person decides about a held change is carried out once, for the values that they saw, and stays decided."""

from __future__ import annotations

import pytest

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.resolve import Side
from syncbridge.inbound.taking import taken
from syncbridge.model import Fields, Outcome, Reason
from syncbridge.store import decisions
from syncbridge.store.held_changes import WHOLE, HeldChange
from tests.fix_store import MOMENT
from tests.fix_two_way import StartTwoWay, TwoWayProject

HOLD = ("guard:", "conflict: hold\nguard:")
DELETES = ("deletes: {to_destination: delete}", "deletes: {to_destination: delete, to_postgres: delete}")


@pytest.fixture
def held(start_two_way: StartTwoWay) -> TwoWayProject:
    """Both sides changed the first name and the email of person 1 differently."""
    both = start_two_way(HOLD, DELETES)
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.out.change("update people set first_name = 'Ours', email = 'ours@example.org' where id = 1", 1)
    both.edit(1, FirstName="Theirs", Email="theirs@example.org")
    both.poll()
    both.out.deliver()
    assert set(both.held(1).fields) == {"FirstName", "Email"}  # type: ignore[union-attr]
    return both


def take(both: TwoWayProject, **sides: str) -> bool:
    """Decide about person 1 as it is held now: field -> side, `all` for all of it."""
    held = both.held(1)
    assert held is not None
    taken = {WHOLE: sides["all"]} if "all" in sides else sides
    return decisions.take(both.out.store, both.out.mapping_id, "1", held.revision, taken)


def both_sides(both: TwoWayProject) -> tuple[object, object]:
    """The first name in the row and in the record."""
    row = both.row(1, "first_name")
    assert row is not None
    return row[0], both.out.remote()["1"]["FirstName"]


def assert_decided(both: TwoWayProject, value: str) -> None:
    """Both sides hold the value, and neither a poll nor a resync asks again."""
    both.out.deliver()
    assert both_sides(both) == (value, value)
    for _ in range(2):
        both.out.touch(1, 2, reason=Reason.RESYNC)
        both.out.deliver()
        both.poll()
    assert both_sides(both) == (value, value)
    assert both.held(1) is None
    assert both.rechecks() == []


@pytest.mark.parametrize(("side", "value"), [("local", "Ours"), ("remote", "Theirs")])
def test_a_kept_decision_becomes_the_new_base(held: TwoWayProject, side: str, value: str) -> None:
    assert take(held, FirstName=side, Email=side)
    held.poll()
    base = held.base(1)
    assert base is not None
    assert base["FirstName"] == "Theirs"  # what the destination holds: what the row keeps differs from it and goes out
    assert_decided(held, value)
    assert len(held.log(1)) == 2


def test_fields_can_be_decided_apart(held: TwoWayProject) -> None:
    assert take(held, FirstName="local")
    assert take(held, Email="remote")
    held.poll()
    held.out.deliver()
    assert held.row(1) == ("Ours", "Last 1", "theirs@example.org")
    assert held.out.remote()["1"]["FirstName"] == "Ours"
    assert held.held(1) is None


def test_a_field_that_nobody_decided_on_stays_held(held: TwoWayProject) -> None:
    assert take(held, FirstName="remote")
    held.poll()
    assert held.row(1) == ("Theirs", "Last 1", "ours@example.org")
    left = held.held(1)
    assert left is not None
    assert set(left.fields) == {"Email"}
    assert not left.taken


@pytest.mark.parametrize("side", ["local", "remote"])
@pytest.mark.parametrize("where", ["row", "record"])
def test_a_decision_is_not_applied_to_values_that_nobody_looked_at(held: TwoWayProject, where: str, side: str) -> None:
    assert take(held, FirstName=side)
    if where == "row":
        held.out.change("update people set first_name = 'Newer' where id = 1", 1)
    else:
        held.edit(1, FirstName="Newer")
    before = both_sides(held)
    held.poll()
    held.out.deliver()
    assert both_sides(held) == before
    again = held.held(1)
    assert again is not None
    assert not again.taken
    assert "Newer" in again.fields["FirstName"].values()
    assert "what a person decided was about other values than these" in (held.log(1)[-1].message or "")


def test_a_decision_about_something_that_is_not_held_any_more_is_refused(held: TwoWayProject) -> None:
    first = held.held(1)
    assert first is not None
    held.edit(1, FirstName="Newer")
    held.poll()
    assert not decisions.take(held.out.store, held.out.mapping_id, "1", first.revision, {"FirstName": "local"})


def test_a_decision_is_logged_with_its_inputs_and_no_name(held: TwoWayProject) -> None:
    take(held, FirstName="local", Email="local")
    held.poll()
    entry = held.log(1)[-1]
    assert (entry.outcome, entry.fields) == (Outcome.KEPT, "FirstName, Email")
    decision = held.decisions(1)[-1]["FirstName"]
    assert decision.items() >= {
        "verdict": "postgres wins", "rule": "a person", "base": "First 1", "local": "Ours", "remote": "Theirs"
    }.items()  # fmt: skip
    assert {"modified", "decided"} <= decision.keys()


def test_a_row_that_changes_while_it_is_held_is_held_with_its_new_value(held: TwoWayProject) -> None:
    held.out.change("update people set first_name = 'Newer' where id = 1", 1)
    held.out.deliver()
    held.poll()
    assert held.held(1).fields["FirstName"]["local"] == "Newer"  # type: ignore[union-attr]


def test_a_row_that_goes_back_to_the_base_is_held_no_longer(held: TwoWayProject) -> None:
    held.out.change("update people set first_name = 'First 1', email = '1@example.org' where id = 1", 1)
    held.out.deliver()
    held.poll()
    assert held.held(1) is None
    assert held.row(1) == ("Theirs", "Last 1", "theirs@example.org")


def test_every_held_change_of_a_kind_is_decided_at_once(held: TwoWayProject) -> None:
    held.out.change("update people set first_name = 'Ours' where id = 2", 2)
    held.edit(2, FirstName="Theirs")
    held.poll()
    store, mapping_id = held.out.store, held.out.mapping_id
    count, until = decisions.undecided(store, mapping_id, ["conflict"])
    assert count == 2
    assert decisions.take_all(store, mapping_id, ["delete", "bounce"], "remote", until) == 0
    assert decisions.take_all(store, mapping_id, ["conflict"], "remote", until) == 2
    held.poll()
    assert [held.row(key, "first_name") for key in (1, 2)] == [("Theirs",), ("Theirs",)]


def test_what_was_decided_before_is_left_alone_by_a_decision_about_all(held: TwoWayProject) -> None:
    store, mapping_id = held.out.store, held.out.mapping_id
    assert take(held, FirstName="local", Email="local")
    seen = held.held(1)
    assert seen is not None
    assert decisions.take_all(store, mapping_id, ["conflict"], "remote", until=seen.revision) == 0
    assert held.held(1) == seen


def test_what_is_held_after_the_count_is_not_decided_with_it(held: TwoWayProject) -> None:
    store, mapping_id = held.out.store, held.out.mapping_id
    _, until = decisions.undecided(store, mapping_id, ["conflict"])
    held.edit(1, FirstName="Newer")
    held.poll()
    assert decisions.take_all(store, mapping_id, ["conflict"], "remote", until) == 0


# -- one side is gone -------------------------------------------------------------------------------------------------


@pytest.fixture
def deleted(start_two_way: StartTwoWay) -> TwoWayProject:
    """The record of person 1 was deleted while its row changed."""
    both = start_two_way(HOLD, DELETES)
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.drop(1)
    both.poll()
    both.out.deliver()
    assert "1" not in both.out.remote()  # held: the row must not make it anew
    assert both.held(1).kind == "delete"  # type: ignore[union-attr]
    return both


@pytest.mark.parametrize("side", ["local", "remote"])
def test_a_deleted_record_lives_again_or_takes_its_row_along(deleted: TwoWayProject, side: str) -> None:
    assert take(deleted, all=side)
    deleted.settle()
    assert (deleted.row(1) is not None) is (side == "local")
    assert ("1" in deleted.out.remote()) is (side == "local")
    assert deleted.held(1) is None
    (decision,) = [each["*"] for each in deleted.decisions(1) if each.get("*", {}).get("rule") == "a person"]
    assert decision.items() >= {"verdict": "revive" if side == "local" else "delete", "deleted": "destination"}.items()


def test_a_decision_about_a_delete_does_not_hold_for_another_row(deleted: TwoWayProject) -> None:
    assert take(deleted, all="remote")
    deleted.out.change("update people set first_name = 'Newer' where id = 1", 1)
    deleted.settle()
    assert deleted.row(1, "first_name") == ("Newer",)
    assert deleted.held(1).fields["FirstName"]["local"] == "Newer"  # type: ignore[union-attr]


def test_a_decision_about_a_delete_is_void_once_both_sides_are_there() -> None:
    ada: Fields = {"FirstName": "Ada"}
    merged = HeldChange("1", "003A", "delete", MOMENT, taken={WHOLE: decisions.REMOTE})  # nobody changed a field
    gone = taken(merged, ada, ada, RemoteChange("003A", MOMENT, {}, deleted=True))
    assert (gone.sides, gone.void) == ({WHOLE: Side.DESTINATION}, False)
    there = taken(merged, ada, ada, RemoteChange("003A", MOMENT, ada))
    assert (there.sides, there.void) == ({}, True)


@pytest.mark.parametrize("side", ["local", "remote"])
def test_a_deleted_row_stays_away_or_comes_back(start_two_way: StartTwoWay, side: str) -> None:
    both = start_two_way(HOLD, DELETES)
    both.out.add(1)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.edit(1, FirstName="Theirs")
    both.out.change("delete from people where id = 1", 1)
    both.poll()
    both.out.deliver()
    assert "1" in both.out.remote()  # held: the delete does not go out
    assert take(both, all=side)
    both.poll()
    both.out.deliver()
    both.poll()
    assert (both.row(1) is not None) is (side == "remote")
    assert ("1" in both.out.remote()) is (side == "remote")
    assert both.held(1) is None


def test_a_row_that_is_deleted_while_a_field_is_held_takes_no_record_along(held: TwoWayProject) -> None:
    held.out.change("delete from people where id = 1", 1)
    held.out.deliverer.step()
    held.poll()
    held.out.deliver()
    assert held.out.remote()["1"]["FirstName"] == "Theirs"
    assert held.held(1).kind == "delete"  # type: ignore[union-attr]


# -- what Postgres refuses --------------------------------------------------------------------------------------------


@pytest.fixture
def refused(both: TwoWayProject) -> TwoWayProject:
    """Postgres refuses the first name that person 1 has in the destination."""
    both.out.writer.execute("alter table people add constraint short_name check (length(first_name) < 12)")
    both.edit(1, FirstName="A very long name", LastName="King")
    both.poll()
    assert both.held(1).kind == "refused"  # type: ignore[union-attr]
    return both


def test_a_refused_change_is_tried_again_when_the_constraint_was_mended(refused: TwoWayProject) -> None:
    refused.out.writer.execute("alter table people drop constraint short_name")
    refused.poll()
    assert refused.row(1, "first_name") == ("First 1",)
    assert take(refused, all="retry")
    refused.poll()
    assert refused.row(1, "first_name", "last_name") == ("A very long name", "King")
    assert refused.held(1) is None


def test_a_change_that_is_refused_again_says_so(refused: TwoWayProject) -> None:
    assert take(refused, all="retry")
    refused.poll()
    assert [entry.outcome for entry in refused.log(1)] == [Outcome.REFUSED, Outcome.REFUSED]
    assert not refused.held(1).taken  # type: ignore[union-attr]
    refused.poll()
    assert len(refused.log(1)) == 2


def test_a_refused_value_can_be_given_up_and_the_others_come_in(refused: TwoWayProject) -> None:
    assert take(refused, FirstName="local")
    refused.poll()
    refused.out.deliver()
    refused.poll()
    assert refused.row(1, "first_name", "last_name") == ("First 1", "King")
    assert refused.out.remote()["1"].items() >= {"FirstName": "First 1", "LastName": "King"}.items()
    assert refused.held(1) is None
