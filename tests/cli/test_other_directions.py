"""A mapping in force gets a way back, or loses it: what `plan` says of it, and what `apply` forgets."""

from __future__ import annotations

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import held_changes
from tests.applying.test_apply import write
from tests.cli.conftest import StartCli
from tests.cli.test_conflict_decisions import PEOPLE, cli, edit, held, name_there
from tests.fix_cli import CliProject

__all__ = ["cli", "held"]  # fixtures

ONE_WAY = PEOPLE.replace("direction: both\nconflict: hold\n", "")


def means(cli: CliProject) -> list[str]:
    steps = cli.run("plan", "--json").json["steps"]
    return [each for step in steps for each in step["means"]]


def test_what_is_held_is_forgotten_with_the_way_back(held: CliProject) -> None:
    write(held, "people", ONE_WAY)
    told = means(held)
    assert "direction: both -> to_destination" in told
    assert any("do not come into the rows any more" in each for each in told)
    assert held_changes.read(held.store, held.applied().id, ["1"])
    assert held.run("apply", "--yes").code == 0
    assert not held_changes.read(held.store, held.applied().id, ["1"])
    assert held.run("conflicts").out == "nothing is held.\n"


def test_rows_that_were_held_go_out_when_the_way_back_ends(held: CliProject, org: SandboxServer) -> None:
    held.source.execute("update people set first_name = 'Not told', is_test = is_test where id = 2")
    write(held, "people", ONE_WAY)
    assert "the row of which a change is held goes out as it is: Postgres has its way" in means(held)
    assert held.run("apply", "--yes").code == 0
    assert means(held) == []
    held.deliver()
    assert name_there(org, "1") == "Ours"
    assert name_there(org, "2") == "Alan"  # of which nothing was held


def test_a_pair_of_which_the_row_is_gone_is_ended_with_the_way_back(cli: CliProject, org: SandboxServer) -> None:
    edit(cli, "1", FirstName="Theirs")
    cli.source.execute("delete from people where id = 1")
    cli.enqueue("1")
    cli.poll()
    cli.deliver()
    assert held_changes.read(cli.store, cli.applied().id, ["1"])
    write(cli, "people", ONE_WAY)
    assert cli.run("apply", "--yes").code == 0
    cli.deliver()
    assert [each["External_Key__c"] for each in org.control.records("Contact")] == ["2"]


def test_a_part_that_was_not_written_is_told_by_what_it_means(cli: CliProject) -> None:
    write(cli, "people", PEOPLE.replace("conflict: hold\n", "poll: {formulas: 2h}\n"))
    assert means(cli)[:2] == ["poll.formulas: 1h -> 2h", "conflict: hold -> newest"]


def test_a_new_way_back_says_that_all_records_are_read_and_rows_may_change(start_cli: StartCli) -> None:
    one_way = start_cli({"people": ONE_WAY})
    write(one_way, "people", PEOPLE)
    told = means(one_way)
    assert "direction: to_destination -> both" in told
    assert any("all records of Contact are read first and merged with their rows" in each for each in told)
