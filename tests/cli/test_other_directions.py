"""A mapping in force gets a way back, or loses it: what `plan` says of it, and what `apply` forgets."""

from __future__ import annotations

from syncbridge.store import held_changes
from tests.applying.test_apply import write
from tests.cli.conftest import StartCli
from tests.cli.test_conflict_decisions import PEOPLE, cli, held
from tests.fix_cli import CliProject

__all__ = ["cli", "held"]  # fixtures

ONE_WAY = PEOPLE.replace("direction: both\nconflict: hold\n", "")


def means(cli: CliProject) -> list[str]:
    (step,) = cli.run("plan", "--json").json["steps"]
    found: list[str] = step["means"]
    return found


def test_what_is_held_is_forgotten_with_the_way_back(held: CliProject) -> None:
    write(held, "people", ONE_WAY)
    told = means(held)
    assert "direction: both -> to_destination" in told
    assert any("does not come into the rows any more" in each for each in told)
    assert held_changes.read(held.store, held.applied().id, ["1"])
    assert held.run("apply", "--yes").code == 0
    assert not held_changes.read(held.store, held.applied().id, ["1"])
    assert held.run("conflicts").out == "nothing is held.\n"


def test_a_new_way_back_says_that_all_records_are_read_and_rows_may_change(start_cli: StartCli) -> None:
    one_way = start_cli({"people": ONE_WAY})
    write(one_way, "people", PEOPLE)
    told = means(one_way)
    assert "direction: to_destination -> both" in told
    assert any("all records of Contact are read first and merged with their rows" in each for each in told)
