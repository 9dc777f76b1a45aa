"""`show` and `plan --records` say what delivery would do: what is held, or undecided, does not go out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import held_changes
from syncbridge.store.held_changes import RECORD_DELETED, ROW_DELETED, HeldChange
from tests.applying.test_apply import write
from tests.cli.conftest import StartCli
from tests.cli.test_conflict_decisions import PEOPLE, cli, edit, held, name_there, row
from tests.fix_cli import CliProject

__all__ = ["cli", "held"]  # fixtures


def told(cli: CliProject, key: str = "1") -> dict[str, Any]:
    found: dict[str, Any] = cli.run("show", "people", key, "--json").json
    return found


def planned(cli: CliProject, key: str = "1") -> dict[str, Any]:
    """What `plan --records` says of a record."""
    first: dict[str, Any] = cli.run("plan", "--records", "people", "--key", key, "--json").lines[0]
    return first


def mark(cli: CliProject, field: str, key: str = "1") -> str:
    """What stands behind a field."""
    (line,) = [line for line in cli.run("show", "people", key).out.splitlines() if line.startswith(f"{field} ")]
    return line


def test_a_held_field_is_not_said_to_be_sent(held: CliProject, org: SandboxServer) -> None:
    held.source.execute("update people set last_name = 'Byron' where id = 1")
    assert mark(held, "FirstName").endswith("held")
    assert mark(held, "LastName").endswith("would be sent")
    story = told(held)
    assert (story["sends"], story["parked"]) == (["LastName"], ["Email", "FirstName"])
    assert story["operation"] == "update"
    plan = planned(held)
    assert plan["fate"] == "update"
    assert [(each["field"], each["sent"], each["held"]) for each in plan["fields"]] == [
        ("FirstName", False, True), ("LastName", True, False), ("Email", False, True)
    ]  # fmt: skip
    held.enqueue("1")
    held.deliver()
    assert name_there(org, "1") == "Theirs"


def test_a_pair_that_is_held_altogether_names_the_command_that_decides(held: CliProject) -> None:
    story = told(held)
    assert (story["operation"], story["sends"]) == ("nothing", [])
    assert "now       nothing is sent before a person has decided" in held.run("show", "people", "1").out
    plan = planned(held)
    assert plan["fate"] == "held"
    assert plan["message"] == "both sides changed FirstName, Email; to decide: syncbridge conflicts show people 1"
    assert "example.com" not in str(plan)
    held.store.execute("delete from syncbridge.worker")
    held.run("conflicts", "take", "local", "people", "1")
    assert planned(held)["message"].endswith("it was decided, and a worker carries it out")


@pytest.mark.parametrize("gone", ["row", "record"])
def test_a_pair_of_which_one_side_is_gone_is_held_and_neither_made_nor_deleted(
    cli: CliProject, org: SandboxServer, gone: str
) -> None:
    if gone == "row":
        edit(cli, "1", FirstName="Theirs")
        cli.source.execute("delete from people where id = 1")
    else:
        cli.source.execute("update people set first_name = 'Ours' where id = 1")
        (record,) = [each for each in org.control.records("Contact") if each["External_Key__c"] == "1"]
        cli.project.destination("salesforce").delete("Contact", [str(record["Id"])])
    cli.enqueue("1")
    cli.deliver()
    cli.poll()
    story = told(cli)
    assert (story["operation"], story["sends"]) == ("nothing", [])
    assert "Run: syncbridge conflicts show people 1" in cli.run("show", "people", "1").out
    assert planned(cli)["fate"] == "held"


def test_what_both_sides_changed_is_left_to_the_next_poll(cli: CliProject) -> None:
    cli.source.execute("update people set first_name = 'Ours', last_name = 'Ours too' where id = 1")
    edit(cli, "1", FirstName="Theirs")
    shown = cli.run("show", "people", "1")
    assert shown.out.splitlines()[1] == "was changed on both sides: FirstName; the next poll decides"
    assert mark(cli, "FirstName").endswith("changed on both sides")
    assert told(cli)["sends"] == []
    plan = planned(cli)
    assert (plan["fate"], plan["message"]) == ("changed there", "the next poll decides")
    assert not any(each["sent"] for each in plan["fields"])


def test_a_poll_that_does_not_come_is_not_promised(cli: CliProject) -> None:
    edit(cli, "1", FirstName="Theirs")
    assert cli.run("show", "people", "1").code == 0
    cli.run("pause", "people", "--direction", "in", "--reason", "audit")
    shown = cli.run("show", "people", "1")
    assert shown.code == 1
    words = "was changed at the destination: FirstName; nothing is decided while the way back is paused: audit"
    assert shown.out.splitlines()[1:3] == [words, "Run: syncbridge resume people --direction in"]
    asked = cli.run("resync", "people", "--from", "destination", "--key", "1")
    assert "The way back of people is paused: nothing is read until `syncbridge resume people --dir" in asked.out
    cli.run("resume", "people", "--direction", "in")
    cli.poll()
    assert row(cli, 1)[0] == "Theirs"


TO_POSTGRES = PEOPLE.replace("direction: both\nconflict: hold", "direction: to_postgres")


def test_an_edited_row_of_a_mapping_that_sends_nothing_gets_a_command_that_works(
    start_cli: StartCli, org: SandboxServer
) -> None:
    cli = start_cli({"people": TO_POSTGRES})
    cli.poll()
    cli.project.destination("salesforce").upsert(
        "Contact", "External_Key__c", [{"External_Key__c": "1", "FirstName": "Ada", "LastName": "Lovelace"}]
    )
    cli.poll()
    cli.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    cli.source.execute("update people set first_name = 'Ours' where id = 1")
    shown = cli.run("show", "people", "1")
    assert shown.out.splitlines()[1] == "differs in Postgres until its record changes: FirstName"
    assert "would" not in shown.out
    (remedy,) = [line for line in shown.out.splitlines() if "syncbridge resync" in line]
    command = remedy.partition(": syncbridge ")[2].split()
    assert command == ["resync", "people", "--from", "destination", "--key", "1"]
    assert cli.run(*command).code == 0
    cli.poll()
    assert row(cli, 1)[0] == "Ada"


@pytest.mark.parametrize(
    ("deletes", "gone", "says"),
    [
        ("{to_postgres: delete}", "record", "the row is deleted too"),
        ("{to_postgres: ignore}", "record", "the row stays as it is"),
        ("{to_postgres: {set: {is_test: true}}}", "record", "the row is marked as `deletes` says"),
        ("{to_destination: delete}", "row", "the record is deleted too"),
        ("{to_destination: {set: {FirstName: Gone}}}", "row", "the record is marked as `deletes` says"),
    ],
)
def test_what_becomes_of_the_side_that_is_left_is_said_before_it_is_decided(
    cli: CliProject, deletes: str, gone: str, says: str
) -> None:
    write(cli, "people", PEOPLE + f"deletes: {deletes}\n")
    assert cli.run("apply", "--yes").code == 0
    why = ROW_DELETED if gone == "row" else RECORD_DELETED
    change = HeldChange("1", "003", "delete", datetime.now(UTC), message=why)
    held_changes.hold(cli.store, cli.applied().id, [change])
    assert says in cli.run("conflicts", "show", "people", "1", "--offline").out
