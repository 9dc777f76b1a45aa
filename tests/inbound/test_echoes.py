"""Rows that hold what was agreed on are settled by the write itself; any other goes out as after every change."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest

from syncbridge import arrays
from syncbridge.inbound.parents import LookupWay, Parents
from syncbridge.model import Outcome
from tests.fix_two_way import StartTwoWay, TwoWayProject

_SLOT = "select pg_create_logical_replication_slot('told', 'test_decoding')"
_TOLD = "select data from pg_logical_slot_get_changes('told', null, null)"

FUNCTION = "create function meddle() returns trigger language plpgsql as $$ begin {} return new; end $$;"
BEFORE = FUNCTION.format("new.first_name = upper(new.first_name);") + (
    " create trigger meddle before insert or update on people for each row execute function meddle()"
)
AFTER = FUNCTION.format("update people set first_name = upper(first_name) where id = new.id;") + (
    " create trigger meddle after insert or update of last_name on people for each row execute function meddle()"
)
AT_THE_END = AFTER.replace("create trigger meddle after", "create constraint trigger meddle after").replace(
    " for each row", " deferrable initially deferred for each row"
)
ANOTHER_ROW = FUNCTION.format("update people set first_name = 'Meddled' where id = 1;") + (
    " create trigger meddle after insert or update of last_name on people for each row when (new.id = 2)"
    " execute function meddle()"
)
OUT_OF_SIGHT = FUNCTION.format("new.is_test = true;") + (
    " create trigger meddle before update on people for each row execute function meddle()"
)


def settled(project: TwoWayProject) -> list[str]:
    """Keys that writes of the way back settled, as the log tells them."""
    lines = [line for (line,) in project.out.writer.execute(_TOLD) if "prefix: syncbridge.settled" in line]
    told = [orjson.loads(line.partition("content:")[2]) for line in lines]
    assert all(mapping_id == project.out.mapping_id for mapping_id, _ in told)
    return [key for _, keys in told for key in keys]


def watched(project: TwoWayProject) -> TwoWayProject:
    """With two people on both sides, from now on."""
    project.out.add(1, 2)
    project.out.deliver()
    project.poll()
    project.age_links()
    project.out.writer.execute(_SLOT)
    return project


def edit_both(project: TwoWayProject) -> None:
    project.edit(1, FirstName="Ada", LastName="Lovelace", Born__c="1815-12-10", Score__c=1.5)
    project.edit(2, FirstName="Ben", LastName="Lind", Email=None)
    project.poll()


def test_rows_that_hold_what_was_agreed_on_are_settled_by_the_write(both: TwoWayProject) -> None:
    both.out.writer.execute(_SLOT)
    edit_both(both)
    assert both.row(1, "first_name", "score::text", "born::text") == ("Ada", "1.5", "1815-12-10")
    assert settled(both) == ["1", "2"]


def test_new_rows_are_settled_too(both: TwoWayProject) -> None:
    both.out.writer.execute(_SLOT)
    both.out.destination.put("Contact", {"Person_Key__c": "7", "FirstName": "Eve", "LastName": "Holt"})
    both.poll()
    assert both.row(7, "first_name") == ("Eve",)
    assert settled(both) == ["7"]


@pytest.mark.parametrize(
    ("trigger", "left"),
    [(BEFORE, []), (AFTER, []), (AT_THE_END, []), (ANOTHER_ROW, ["2"]), (OUT_OF_SIGHT, [])],
    ids=["before", "after", "deferred", "of another row", "out of the filter"],
)
def test_a_row_that_a_trigger_changes_goes_out(both: TwoWayProject, trigger: str, left: list[str]) -> None:
    both.out.writer.execute(trigger.encode())
    both.out.writer.execute(_SLOT)
    edit_both(both)
    assert settled(both) == left


@pytest.mark.parametrize(
    "more", ["  Share__c: {sql: score / 2}\n", "  Active__c: {constant: true}\n", "  Share__c: {column: id}\n"]
)
def test_a_row_of_which_a_field_says_more_than_its_columns_goes_out(start_two_way: StartTwoWay, more: str) -> None:
    project = watched(start_two_way(("  Email: email\n", f"  Email: email\n{more}")))
    edit_both(project)
    assert project.row(1, "first_name") == ("Ada",)
    assert settled(project) == []


def test_a_null_for_which_a_default_is_sent_goes_out(both: TwoWayProject) -> None:
    both.out.writer.execute(_SLOT)
    both.edit(1, LastName=None)
    both.poll()
    assert both.row(1, "last_name") == (None,)
    assert settled(both) == []
    both.out.touch(1)
    both.out.deliver()
    assert both.out.remote()["1"]["LastName"] == "Unknown"


def test_a_field_that_is_held_keeps_its_row_from_being_settled(start_two_way: StartTwoWay) -> None:
    project = watched(start_two_way(("guard:", "conflict: hold\nguard:")))
    project.out.change("update people set first_name = 'Mine' where id = 1", 1)
    project.edit(1, FirstName="Theirs", Email="new@example.org")
    project.poll()
    assert project.held(1) is not None
    assert project.row(1, "first_name", "email") == ("Mine", "new@example.org")
    assert settled(project) == []


def test_what_postgres_refuses_is_not_settled(both: TwoWayProject) -> None:
    both.out.writer.execute("alter table people add constraint short check (first_name <> 'Augusta')")
    both.out.writer.execute(_SLOT)
    both.edit(1, FirstName="Augusta")
    both.edit(2, FirstName="Ben")
    both.poll()
    assert [entry.outcome for entry in both.log(1)] == [Outcome.REFUSED]
    assert settled(both) == ["2"]


def test_nothing_is_settled_where_the_state_has_a_connection_of_its_own(
    start_two_way: StartTwoWay, connection: psycopg.Connection[Any]
) -> None:
    """Two databases have two commits: capture may see the rows before there are links."""
    arrays.register(connection)
    project = watched(start_two_way(own_store=connection))
    edit_both(project)
    assert project.row(1, "first_name") == ("Ada",)
    assert settled(project) == []


def test_nothing_is_settled_by_a_version_that_is_not_in_force_any_more(both: TwoWayProject) -> None:
    both.out.writer.execute(_SLOT)
    both.out.store.execute("update syncbridge.mapping set digest = 'a later one'")
    edit_both(both)
    assert both.row(1, "first_name") == ("Ada",)
    assert settled(both) == []


def test_a_write_does_not_wait_for_whoever_puts_another_version_in_force(both: TwoWayProject) -> None:
    both.out.writer.execute(_SLOT)
    applying = both.out.stores()
    with applying.transaction():
        applying.execute("update syncbridge.mapping set digest = 'a later one'")
        edit_both(both)
        assert both.row(1, "first_name") == ("Ada",)
    assert settled(both) == []


def test_references_are_part_of_what_was_agreed_on() -> None:
    """Whether a row's parent is the agreed one is told by the links, as they were when the page was decided."""
    way = LookupWay("AccountId", "companies", (), lambda value: value)  # type: ignore[arg-type,return-value]
    parents = Parents(keys={("companies", "001"): "7"})
    assert parents.refers(way, "7", "001")
    assert parents.refers(way, None, None)
    assert not parents.refers(way, "8", "001")
    assert not parents.refers(way, None, "001")
    assert not parents.refers(way, "7", None)
    assert not parents.refers(way, "7", "002")
