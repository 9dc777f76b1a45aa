"""`syncbridge pause` and `syncbridge resume`."""

from __future__ import annotations

from syncbridge.model import MappingStatus
from syncbridge.store import mappings
from tests.fix_cli import CliProject


def test_a_paused_mapping_delivers_nothing_until_it_is_resumed(cli_project: CliProject) -> None:
    cli_project.enqueue("1")
    ran = cli_project.run("pause", "people", "--reason", "audit")
    assert (ran.code, ran.out) == (
        0,
        "people: paused; 1 change waits now. To go on: syncbridge resume people\n",
    )
    assert (cli_project.applied().status, cli_project.applied().reason) == (MappingStatus.PAUSED, "audit")
    assert cli_project.deliver() == 0
    ran = cli_project.run("resume", "people")
    assert (ran.code, ran.out) == (0, "people: active, was paused; 1 change waits.\n")
    assert cli_project.deliver() == 1


def test_all_mappings_at_once(cli_project: CliProject) -> None:
    assert cli_project.run("pause", "--all").out.count("paused") == 2
    assert cli_project.run("resume", "--all").out.count("active") == 2
    assert {mapping.status for mapping in mappings.read_all(cli_project.store).values()} == {MappingStatus.ACTIVE}


def test_pausing_again_keeps_it_paused_and_takes_the_new_reason(cli_project: CliProject) -> None:
    cli_project.run("pause", "people")
    assert "paused already; nothing waits" in cli_project.run("pause", "people", "--reason", "second").out
    assert cli_project.applied().reason == "second"


def test_resuming_what_is_active_changes_nothing_and_says_so(cli_project: CliProject) -> None:
    ran = cli_project.run("resume", "people")
    assert (ran.code, ran.out) == (0, "people: is active already; nothing waits.\n")


def test_resuming_from_the_guard_tells_how_many_it_lets_through(cli_project: CliProject) -> None:
    cli_project.enqueue("1", "2")
    mappings.set_status(cli_project.store, cli_project.applied().id, MappingStatus.GUARD, reason="many deletes")
    assert cli_project.run("resume", "people").out == "people: active; its guard lets through the 2 that wait now.\n"


def test_an_unknown_name_changes_nothing(cli_project: CliProject) -> None:
    ran = cli_project.run("pause", "people", "party")
    assert ran.code == 2
    assert "no mapping named 'party' is in force; did you mean 'parts'?" in ran.err
    assert cli_project.applied().status is MappingStatus.ACTIVE


def test_names_or_all_must_be_said(cli_project: CliProject) -> None:
    assert cli_project.run("pause").code == 2
    assert cli_project.run("resume", "people", "--all").code == 2
