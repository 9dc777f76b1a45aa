"""`syncbridge conflicts show`, `take` and `retry`, against a Salesforce sandbox over HTTP."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import links
from tests.cli.conftest import StartCli
from tests.fix_cli import CliProject

PEOPLE = """
mapping: people
destination: salesforce
object: Contact
entity: {table: public.people, key: id, where: not is_test}
external_id: External_Key__c
direction: both
conflict: hold
fields:
  FirstName: first_name
  LastName: last_name
  Email: {column: email, sensitive: true}
"""


@pytest.fixture
def cli(start_cli: StartCli) -> CliProject:
    """Two people on both sides."""
    cli = start_cli({"people": PEOPLE})
    cli.enqueue("1", "2")
    cli.deliver()
    cli.poll()
    cli.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    return cli


def edit(cli: CliProject, key: str, **fields: str) -> None:
    """Somebody changes a record in the org."""
    link = links.read(cli.store, cli.applied().id, key)
    assert link is not None
    (result,) = cli.project.destination("salesforce").update("Contact", [(link.remote_id, dict(fields))])
    assert not hasattr(result, "code"), result


def row(cli: CliProject, key: int) -> tuple[str, str]:
    found = cli.source.execute("select first_name, email from people where id = %s", (key,)).fetchone()
    assert found is not None
    return found[0], found[1]


def name_there(org: SandboxServer, key: str) -> object:
    return next(each["FirstName"] for each in org.control.records("Contact") if each["External_Key__c"] == key)


@pytest.fixture
def held(cli: CliProject) -> CliProject:
    """Both sides changed name and email of person 1."""
    cli.source.execute("update people set first_name = 'Ours', email = 'ours@example.com' where id = 1")
    cli.enqueue("1")
    edit(cli, "1", FirstName="Theirs", Email="theirs@example.com")
    cli.poll()
    cli.deliver()
    return cli


def revision(cli: CliProject, key: str = "1") -> str:
    return str(cli.run("conflicts", "show", "people", key, "--json").json["revision"])


def test_both_sides_and_the_base_are_shown_with_the_commands_that_decide(held: CliProject) -> None:
    ran = held.run("conflicts", "show", "people", "1")
    assert ran.code == 0
    assert "both sides changed FirstName, Email" in ran.out
    assert ["FirstName", "Ada", "Ours", "Theirs"] in [line.split() for line in ran.out.splitlines()]
    assert ["Email", "***", "***", "***"] in [line.split() for line in ran.out.splitlines()]
    assert f"syncbridge conflicts take local people 1 --seen {revision(held)}" in ran.out
    assert "example.com" not in ran.out


def test_the_list_names_what_is_held_beside_its_kind(held: CliProject) -> None:
    (line,) = [line for line in held.run("conflicts", "people").out.splitlines() if line.startswith("people")]
    assert "conflict" in line
    assert "both sides changed FirstName, Email" in line
    (listed,) = held.run("conflicts", "--json").json
    assert listed["kind"] == "conflict"
    assert listed["fields"]["FirstName"] == {"base": "Ada", "local": "Ours", "remote": "Theirs"}
    assert listed["fields"]["Email"] == {"base": "***", "local": "***", "remote": "***"}


@pytest.mark.parametrize(("side", "name"), [("local", "Ours"), ("remote", "Theirs")])
def test_what_was_decided_is_carried_out_by_the_poller(
    held: CliProject, org: SandboxServer, side: str, name: str
) -> None:
    ran = held.run("conflicts", "take", side, "people", "1", "--seen", revision(held))
    assert (ran.code, ran.out) == (
        0, f"people: 1 held change decided: FirstName {side}, Email {side}; it is carried out in a moment.\n"
    )  # fmt: skip
    held.poll()
    held.deliver()
    held.poll()
    assert row(held, 1)[0] == name
    assert name_there(org, "1") == name
    assert held.run("conflicts").out == "nothing is held.\n"
    assert held.run("conflicts", "show", "people", "1").code == 1


def test_a_decision_without_a_worker_is_kept_and_shown(held: CliProject) -> None:
    held.store.execute("delete from syncbridge.worker")
    ran = held.run("conflicts", "take", "remote", "people", "1", "--field", "firstname", "--json")
    assert ran.json["decision"] == {"FirstName": "remote"}
    assert "FirstName remote" in held.run("conflicts").out
    assert "Decided" in held.run("conflicts", "show", "people", "1").out
    held.poll()
    assert row(held, 1) == ("Theirs", "ours@example.com")


def test_what_is_still_held_is_not_logged_as_kept(held: CliProject) -> None:
    held.run("conflicts", "take", "local", "people", "1", "--field", "FirstName")
    held.poll()
    (line,) = [line for line in held.run("log", "people", "--key", "1").out.splitlines() if " kept " in line]
    assert line.endswith("  FirstName")


def test_nothing_is_decided_about_values_that_were_not_seen(held: CliProject) -> None:
    seen = revision(held)
    edit(held, "1", FirstName="Newer")
    shown = held.run("conflicts", "show", "people", "1").out
    assert "Theirs, now Newer" in shown
    held.poll()
    ran = held.run("conflicts", "take", "remote", "people", "1", "--seen", seen)
    assert ran.code == 1
    assert "other values of people 1 are held by now: look again" in ran.out
    held.poll()
    assert row(held, 1)[0] == "Ours"


def test_all_of_a_mapping_is_decided_after_a_question(held: CliProject) -> None:
    assert held.run("conflicts", "take", "remote", "people", "--all").code == 2
    ran = held.run("conflicts", "take", "remote", "people", "--all", "--yes")
    assert (ran.code, ran.out) == (0, "people: 1 held change decided: remote; it is carried out in a moment.\n")
    held.poll()
    assert row(held, 1) == ("Theirs", "theirs@example.com")
    assert held.run("conflicts", "take", "remote", "people", "--all", "--yes").code == 1


def test_a_refused_change_is_tried_again_or_given_up(cli: CliProject, org: SandboxServer) -> None:
    cli.source.execute("alter table people add constraint no_smith check (first_name <> 'Smith')")
    edit(cli, "1", FirstName="Smith")
    edit(cli, "2", FirstName="Smith")
    cli.poll()
    shown = cli.run("conflicts", "show", "people", "1").out
    assert "no_smith" in shown
    assert "syncbridge conflicts retry people 1" in shown
    assert "refused, which remote does not decide" in cli.run("conflicts", "take", "remote", "people", "1").out
    assert cli.run("conflicts", "take", "local", "people", "1").code == 0
    cli.source.execute("alter table people drop constraint no_smith")
    assert cli.run("conflicts", "retry", "people").out.startswith("people: 1 held change decided: retry")
    cli.poll()
    cli.deliver()
    assert (row(cli, 1)[0], row(cli, 2)[0]) == ("Ada", "Smith")
    assert (name_there(org, "1"), name_there(org, "2")) == ("Ada", "Smith")


@pytest.mark.parametrize(
    "arguments", [["local", "people"], ["local", "people", "1", "--all"], ["both", "people", "1"]], ids=str
)
def test_what_to_decide_about_must_be_said(held: CliProject, arguments: list[str]) -> None:
    assert held.run("conflicts", "take", *arguments).code == 2


def test_a_field_that_is_not_held_is_told_with_the_nearest_name(held: CliProject) -> None:
    ran = held.run("conflicts", "take", "local", "people", "1", "--field", "FirstNam")
    assert ran.code == 2
    assert "did you mean 'FirstName'?" in ran.err


def test_what_is_not_held_is_told(cli: CliProject) -> None:
    ran = cli.run("conflicts", "take", "local", "people", "1")
    assert (ran.code, ran.out) == (
        1, "nothing is decided: people 1 is not held. See: syncbridge conflicts people\n"
    )  # fmt: skip


def test_the_log_tells_directions_and_decisions_in_words(held: CliProject) -> None:
    held.run("conflicts", "take", "local", "people", "1")
    held.poll()
    held.deliver()
    out = held.run("log", "people", "--key", "1").out
    assert "FirstName: both sides changed it; a person decided at" in out
    assert "the row has its way; agreed was Ada, row had Ours, record had Theirs" in out
    assert "values are sensitive" in out
    assert "example.com" not in out
    lines = held.run("log", "people", "--direction", "in", "--json").lines
    assert [(line["direction"], line["outcome"]) for line in lines] == [("in", "held"), ("in", "kept")]
    assert lines[1]["decision"]["FirstName"]["rule"] == "a person"
    assert {line["direction"] for line in held.run("log", "--direction", "out", "--json").lines} == {"out"}
    assert [line["outcome"] for line in held.run("log", "--outcome", "kept", "--json").lines] == ["kept"]


def test_show_tells_what_is_held_and_finds_an_entity_by_its_record(held: CliProject) -> None:
    link = links.read(held.store, held.applied().id, "1")
    assert link is not None
    ran = held.run("show", "people", "--remote-id", link.remote_id[:15])
    assert ran.code == 1
    assert "held: both sides changed FirstName, Email" in ran.out
    assert "Run: syncbridge conflicts show people 1" in ran.out
    assert "example.com" not in ran.out
    shown = held.run("show", "people", "--remote-id", link.remote_id, "--json").json
    assert (shown["key"], shown["held"]["kind"], shown["standing"]["in_order"]) == ("1", "conflict", False)
    held.run("conflicts", "take", "local", "people", "1")
    assert "it was decided, and a worker carries it out" in held.run("show", "people", "1").out
    assert held.run("show", "people", "--remote-id", link.remote_id[:14] + "9").code == 2
    assert held.run("show", "people").code == 2
