"""One side deletes, the other changed or did not: what stands is decided by rule, and nothing comes back by itself."""

from __future__ import annotations

import pytest

from syncbridge.model import Outcome
from tests.fix_two_way import StartTwoWay, TwoWayProject


def project(start: StartTwoWay, deletes: str, conflict: str = "newest") -> TwoWayProject:
    given = f"deletes: {{to_destination: delete, to_postgres: {deletes}}}\nconflict: {conflict}"
    both = start(("deletes: {to_destination: delete}", given))
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    return both


def test_a_remote_delete_takes_the_row_along_where_the_mapping_says_so(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "delete")
    both.drop(1)
    both.poll()
    assert both.row(1) is None
    assert both.row(2) is not None
    assert [(entry.operation, entry.outcome) for entry in both.log(1)] == [("delete", Outcome.WRITTEN)]
    both.settle()
    assert list(both.out.remote()) == ["2"]


def test_a_remote_delete_can_be_ignored_or_marked(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "{set: {last_name: Gone}}")
    both.drop(1)
    both.poll()
    both.poll()
    assert both.row(1, "last_name") == ("Gone",)
    assert len(both.log(1)) == 1


def test_an_ignored_delete_is_told_once(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "ignore")
    both.drop(1)
    both.poll()
    both.poll()
    assert both.row(1, "last_name") == ("Last 1",)
    assert [entry.outcome for entry in both.log(1)] == [Outcome.IGNORED]


def test_an_edit_of_what_the_destination_owns_is_told_where_its_row_goes(start_two_way: StartTwoWay) -> None:
    """It keeps no row, and is put back by the next poll; here there is none."""
    both = start_two_way(
        ("Email: email", "Email: {column: email, owner: destination}"),
        ("deletes: {to_destination: delete}", "deletes: {to_destination: delete, to_postgres: delete}"),
    )
    both.out.add(1)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.out.change("update people set email = 'ours@example.org' where id = 1", 1)
    both.drop(1)
    both.poll()
    assert both.row(1) is None
    (told,) = both.decisions(1)
    assert told["Email"]["local"] == "ours@example.org"
    assert told["Email"]["rule"] == "destination owns it"


@pytest.mark.parametrize(("seconds", "there"), [(-60, True), (+60, False)])
def test_a_delete_against_a_change_of_the_row_goes_to_the_newer_one(
    start_two_way: StartTwoWay, seconds: int, there: bool
) -> None:
    both = project(start_two_way, "delete")
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.after(seconds)
    both.drop(1)
    both.poll()
    both.out.deliver()
    both.poll()
    assert (both.row(1) is not None) is there
    assert ("1" in both.out.remote()) is there
    if there:
        assert both.out.remote()["1"]["FirstName"] == "Ours"


def test_a_delete_against_a_change_can_be_held(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "delete", "hold")
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.drop(1)
    both.poll()
    held = both.held(1)
    assert held is not None
    assert held.kind == "delete"
    assert both.row(1, "first_name") == ("Ours",)


@pytest.mark.parametrize(("seconds", "there"), [(-60, False), (+60, True)])
def test_a_deleted_row_against_a_remote_change_goes_to_the_newer_one(
    start_two_way: StartTwoWay, seconds: int, there: bool
) -> None:
    both = project(start_two_way, "delete")
    both.out.change("delete from people where id = 1", 1)
    both.after(seconds)
    both.edit(1, FirstName="Theirs")
    both.poll()
    both.out.deliver()
    both.poll()
    assert (both.row(1) is not None) is there
    assert ("1" in both.out.remote()) is there
    if there:
        assert both.row(1) == ("Theirs", "Last 1", "1@example.org")


def test_a_row_that_something_refers_to_is_not_deleted_and_says_why(start_two_way: StartTwoWay) -> None:
    both = project(start_two_way, "delete")
    both.out.writer.execute("create table orders (person bigint references people); insert into orders values (1)")
    both.drop(1)
    both.drop(2)
    both.poll()
    assert both.row(1) is not None
    assert both.row(2) is None
    held = both.held(1)
    assert held is not None
    assert held.code == "23503"
    assert "orders" in (held.message or "")
