"""`syncbridge show`: one record's story, against a Salesforce sandbox over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.model import MappingStatus, Reason
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import mappings, runs
from tests.cli.conftest import StartCli
from tests.fix_cli import PARTS, CliProject

PEOPLE = """
mapping: people
destination: salesforce
object: Contact
entity: {table: public.people, key: id, where: not is_test}
external_id: External_Key__c
fields:
  FirstName: first_name
  LastName: {column: last_name, default: Unknown}
  Email: {column: email, sensitive: true}
  Title: {sql: 10 / (id - 5)}
require: {somebody: last_name <> 'Nobody'}
deletes: {to_destination: delete}
"""


MEMORY = """
[destinations.memory]
type = "memory"
[destinations.memory.objects]
Part = {Part_Key__c = "string"}
"""


@pytest.fixture
def cli(start_cli: StartCli) -> CliProject:
    """People go to Salesforce; parts, of which a field is misspelt, to the memory."""
    parts = PARTS.replace("fields:\n  Name: name", "fields: {Nome: name}")
    return start_cli({"people": PEOPLE, "parts": parts}, settings=MEMORY)


@pytest.fixture
def delivered(cli: CliProject) -> CliProject:
    """Alan was delivered."""
    cli.enqueue("2")
    cli.deliver()
    return cli


def only_record(org: SandboxServer) -> dict[str, Any]:
    (record,) = org.control.records("Contact")
    return record


def headline(cli: CliProject, key: str, *options: str) -> tuple[int, list[str]]:
    """The exit code, and what is said before the details."""
    ran = cli.run("show", "people", key, *options)
    assert ran.err == ""
    return ran.code, [line.rstrip() for line in ran.out.split("\n\n")[0].splitlines()]


def test_a_delivered_record_is_in_sync(delivered: CliProject, org: SandboxServer) -> None:
    assert headline(delivered, "2") == (
        0,
        [f"people 2 -> salesforce Contact {only_record(org)['Id']}", "in sync"],
    )


def test_each_side_is_shown_field_by_field_and_sensitive_values_are_masked(delivered: CliProject) -> None:
    ran = delivered.run("show", "people", "2")
    rows = {
        line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line[:5] in ("Email", "First", "LastN")
    }
    assert rows == {
        "Email": ["email", "***", "***", "***", "***"],
        "FirstName": ["first_name", "Alan", "Alan", "Alan", "Alan"],
        "LastName": ["last_name", "Turing", "Turing", "Turing", "Turing"],
    }
    assert "create  delivered" in ran.out
    assert "example.com" not in ran.out


def test_json_holds_the_whole_story_masked(delivered: CliProject) -> None:
    ran = delivered.run("show", "people", "2", "--json")
    assert ran.json["standing"] == {"words": "in sync", "in_order": True, "remedy": ""}
    assert ran.json["remote"]["Email"] == ran.json["base"]["Email"] == ran.json["row"]["Email"] == "***"
    assert [entry["operation"] for entry in ran.json["history"]] == ["create"]
    assert "example.com" not in ran.out


def test_a_change_that_waits_shows_what_would_be_sent(delivered: CliProject) -> None:
    delivered.source.execute("update people set last_name = 'Mathison' where id = 2")
    delivered.enqueue("2")
    ran = delivered.run("show", "people", "2")
    assert ran.code == 0
    assert "waits: it is sent in a moment" in ran.out
    assert "would update LastName" in ran.out
    assert "outbox  pending, change of " in ran.out


def test_a_difference_that_nothing_waits_for_is_told_with_the_command_to_run(delivered: CliProject) -> None:
    delivered.source.execute("update people set last_name = 'Mathison', email = 'new@example.com' where id = 2")
    code, lines = headline(delivered, "2")
    assert code == 1
    assert lines[1] == "differs in Postgres from what was delivered, and nothing waits: LastName, Email"
    assert lines[2].endswith("run: syncbridge resync people --key 2")


def test_what_somebody_changed_at_the_destination_is_told(delivered: CliProject, org: SandboxServer) -> None:
    org.control.set_values("Contact", only_record(org)["Id"], {"FirstName": "Bertrand"})
    code, lines = headline(delivered, "2")
    assert code == 1
    assert lines[1:] == [
        "was changed at the destination: FirstName",
        "To send ours again: syncbridge resync people --key 2 --force",
    ]


def test_a_remote_record_that_was_deleted_there_is_told(delivered: CliProject, org: SandboxServer) -> None:
    delivered.project.destination("salesforce").delete("Contact", [only_record(org)["Id"]])
    code, lines = headline(delivered, "2")
    assert code == 1
    assert lines[1].startswith("the remote record is gone")


def test_a_dead_letter_is_told_with_its_code_and_what_to_do(cli: CliProject) -> None:
    cli.source.execute("update people set last_name = repeat('x', 200) where id = 2")
    cli.enqueue("2")
    cli.deliver()
    code, lines = headline(cli, "2")
    assert code == 1
    assert lines[1].startswith("dead: STRING_TOO_LONG: ")
    assert lines[2].endswith("run: syncbridge requeue people 2")


def test_a_row_that_breaks_a_rule_is_told_as_delivery_would(cli: CliProject) -> None:
    cli.source.execute("update people set last_name = 'Nobody' where id = 2")
    code, lines = headline(cli, "2")
    assert code == 1
    assert lines[1].startswith("cannot be delivered as it is: RULE_NOT_HELD: ")
    assert lines[1].endswith(": somebody")


def test_an_expression_that_fails_on_the_row_is_told(cli: CliProject) -> None:
    cli.source.execute("insert into people (id, last_name) values (5, 'Five')")
    code, lines = headline(cli, "5")
    assert code == 1
    assert lines[1:] == [
        "cannot be delivered as it is: EXPRESSION_FAILED: division by zero",
        "Mend the row or the mapping.",
    ]


def test_a_row_that_does_not_pass_the_filter_is_told_apart_from_one_that_is_not_there(cli: CliProject) -> None:
    assert headline(cli, "3") == (
        0,
        ["people 3 -> salesforce Contact", "the row does not pass the mapping's filter, and no remote record"],
    )
    assert headline(cli, "99") == (1, ["people 99 -> salesforce Contact", "no such row, and no remote record"])


def test_a_record_that_was_never_delivered_is_told(cli: CliProject) -> None:
    assert headline(cli, "1")[1][1:] == [
        "was never delivered, and nothing waits",
        "Run: syncbridge resync people --key 1",
    ]
    runs.request(cli.store, cli.applied().id, Reason.RESYNC)
    assert headline(cli, "1") == (
        0,
        ["people 1 -> salesforce Contact", "waits: the first sync or resync has not come to it yet"],
    )


def test_a_remote_record_without_a_link_is_found_by_its_key(cli: CliProject, org: SandboxServer) -> None:
    cli.project.destination("salesforce").upsert(
        "Contact", "External_Key__c", [{"External_Key__c": "1", "LastName": "Byron"}]
    )
    found = only_record(org)["Id"]
    code, lines = headline(cli, "1")
    assert lines[1] == f"was never delivered, and nothing waits; a remote record has its key: {found}"
    cli.source.execute("delete from people where id = 1")
    code, lines = headline(cli, "1")
    assert (code, lines[1]) == (1, f"no such row, but a remote record has its key: {found}")


def test_a_deleted_row_whose_remote_record_is_still_there_is_told(delivered: CliProject) -> None:
    delivered.source.execute("delete from people where id = 2")
    code, lines = headline(delivered, "2")
    assert code == 1
    assert lines[1] == "no such row, but its remote record is still there, and nothing waits"


def test_offline_asks_nothing_of_the_destination(delivered: CliProject, org: SandboxServer) -> None:
    org.control.reset_stats()
    code, lines = headline(delivered, "2", "--offline")
    assert (code, lines[1]) == (0, "delivered, and nothing waits; it was not compared with the destination")
    assert org.control.calls() == 0


def test_a_destination_that_is_away_is_a_line_not_a_failure(delivered: CliProject) -> None:
    settings = delivered.folder / "syncbridge.toml"
    text = settings.read_text()
    before = text.split('instance_url = "')[1].split('"')[0]
    settings.write_text(
        text.replace(before, "http://127.0.0.1:9").replace("client_id", "connect_timeout = 1\nclient_id")
    )
    ran = delivered.run("show", "people", "2")
    assert ran.code == 0
    assert "remote  not known: " in ran.out
    assert "Turing" in ran.out


def test_a_mapping_that_no_longer_fits_its_table_is_part_of_the_story(delivered: CliProject) -> None:
    delivered.source.execute("alter table people rename first_name to given_name")
    code, lines = headline(delivered, "2")
    assert code == 1
    assert "the row could not be read: " in lines[1]
    assert "'first_name'" in lines[1]


def test_a_field_that_the_object_does_not_have_is_a_line(cli: CliProject) -> None:
    ran = cli.run("show", "parts", '["acme", 7]')
    assert "remote  not known: Part has no field Nome" in ran.out


def test_a_key_is_spelled_as_the_source_spells_it(delivered: CliProject) -> None:
    assert headline(delivered, "002")[1][1] == "in sync"


def test_an_unknown_mapping_is_refused_with_the_nearest_name(cli: CliProject) -> None:
    ran = cli.run("show", "poeple", "1")
    assert ran.code == 2
    assert "did you mean 'people'?" in ran.err


def test_the_hint_of_a_halted_mapping_is_the_remedy(delivered: CliProject) -> None:
    delivered.enqueue("2")
    mappings.set_status(
        delivered.store, delivered.applied().id, MappingStatus.HALTED, reason="no field X", hint="Mend the mapping."
    )
    assert headline(delivered, "2")[1][1:] == ["waits: people is halted: no field X", "Mend the mapping."]


def test_what_was_not_sent_is_not_said_to_be_an_operation_and_no_line_ends_with_blanks(cli: CliProject) -> None:
    cli.source.execute("update people set last_name = 'Nobody' where id = 1")
    tried = cli.run("test", "people", "--key", "1")
    assert "dead, not sent: RULE_NOT_HELD: the mapping requires what does not hold: somebody" in tried.out
    shown = cli.run("show", "people", "1")
    (history,) = (line for line in shown.out.splitlines() if line.startswith("history"))
    assert "dead" in history
    assert "nothing" not in history
    for ran in (tried, shown, cli.run("status"), cli.run("log"), cli.run("dead")):
        assert [line for line in ran.out.splitlines() if line.endswith(" ")] == []
