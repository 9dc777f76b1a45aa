"""`syncbridge conflicts`, against a Salesforce sandbox over HTTP."""

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
match_on: [LastName, Email]
fields:
  FirstName: first_name
  LastName: last_name
  Email: {column: email, sensitive: true}
"""


@pytest.fixture
def cli(start_cli: StartCli) -> CliProject:
    """People are matched by name and email."""
    return start_cli({"people": PEOPLE})


def put(org: SandboxServer, *records: dict[str, object]) -> list[str]:
    """Records that somebody created in the org."""
    sandbox = org.sandbox
    contact = sandbox.org.objects["contact"]
    with sandbox.lock:
        outcomes = sandbox.writes.create([(contact, record) for record in records])
    assert all(outcome.refusal is None for outcome in outcomes)
    return [str(outcome.id) for outcome in outcomes]


@pytest.fixture
def ids(cli: CliProject, org: SandboxServer) -> list[str]:
    """Two Adas are in the org, so that ours is held; Alan is delivered."""
    made = put(
        org,
        {"LastName": "LOVELACE", "Email": "Ada@Example.com"},
        {"LastName": "Lovelace", "Email": "ada@example.com", "FirstName": "Augusta"},
        {"LastName": "Byron", "Email": "ada@example.com"},
    )
    cli.enqueue("1", "2")
    cli.deliver()
    return made


def linked(cli: CliProject, key: str) -> str | None:
    link = links.read(cli.store, cli.applied().id, key)
    return None if link is None else link.remote_id


def test_held_entities_are_listed_with_their_candidates(cli: CliProject, ids: list[str]) -> None:
    ran = cli.run("conflicts")
    assert ran.code == 0
    assert "2 existing records agree in LastName, Email" in ran.out
    assert f"{ids[0]}, {ids[1]}" in ran.out
    assert "syncbridge conflicts resolve MAPPING KEY --link REMOTE_ID" in ran.out
    (listed,) = cli.run("conflicts", "people", "--json").json
    assert (listed["mapping"], listed["key"], listed["candidates"]) == ("people", "1", ids[:2])
    assert cli.run("conflicts", "--limit", "1").out == ran.out


def test_without_details_nothing_is_asked_of_the_destination(
    cli: CliProject, ids: list[str], org: SandboxServer
) -> None:
    before = org.control.calls()
    cli.run("conflicts")
    assert org.control.calls() == before


def test_details_tell_candidates_apart_live_and_sensitive_values_are_masked(
    cli: CliProject, ids: list[str], org: SandboxServer
) -> None:
    org.control.set_values("Contact", ids[1], {"LastName": "King", "External_Key__c": "77"})
    ran = cli.run("conflicts", "--details")
    assert f"{ids[0]}: LastName LOVELACE, Email ***\n" in ran.out
    assert f"{ids[1]}: LastName King, Email ***, FirstName Augusta; belongs to 77\n" in ran.out
    assert "example.com" not in ran.out.lower()
    org.sandbox.deletes.delete([ids[0]])
    assert f"{ids[0]}: gone\n" in cli.run("conflicts", "--details").out
    (listed,) = cli.run("conflicts", "--details", "--json").json
    assert listed["candidates"][0] == {"remote_id": ids[0], "fields": None, "owner": None}
    assert listed["candidates"][1]["fields"] == {"LastName": "King", "Email": "***", "FirstName": "Augusta"}


def test_nothing_held_and_unknown_mappings_are_told(cli: CliProject) -> None:
    assert cli.run("conflicts").out == "nothing is held.\n"
    assert cli.run("conflicts", "--json").json == []
    assert "did you mean 'people'?" in cli.run("conflicts", "poeple").err


def test_the_record_that_was_decided_on_is_linked_by_the_worker(
    cli: CliProject, ids: list[str], org: SandboxServer
) -> None:
    ran = cli.run("conflicts", "resolve", "people", "1", "--link", ids[1][:15])
    assert (ran.code, ran.out) == (0, f"people 1: will be linked to {ids[1]}.\n")
    cli.deliver()
    assert linked(cli, "1") == ids[1]
    record = next(each for each in org.control.records("Contact") if each["Id"] == ids[1])
    assert (record["External_Key__c"], record["FirstName"]) == ("1", "Ada")
    assert cli.run("conflicts").out == "nothing is held.\n"
    history = cli.run("log", "people", "--key", "1").out.splitlines()
    assert any("held" in line and "SEVERAL_MATCHES: 2 existing records agree" in line for line in history)
    assert f"{ids[1]}  FirstName, LastName, Email  linked an existing record, chosen by a person" in history[-1]


def test_a_new_record_can_be_decided_on(cli: CliProject, ids: list[str]) -> None:
    ran = cli.run("conflicts", "resolve", "people", "1", "--create")
    assert (ran.code, ran.out) == (0, "people 1: will get a new record.\n")
    cli.deliver()
    assert linked(cli, "1") not in (None, *ids)


def test_a_record_that_cannot_be_taken_is_refused_in_words(cli: CliProject, ids: list[str], org: SandboxServer) -> None:
    alan = linked(cli, "2")
    assert alan is not None
    org.control.set_values("Contact", ids[0], {"External_Key__c": "99"})
    unknown = ids[0][:12] + "ZZZ"
    for remote_id, why in (
        (unknown, f"there is no Contact {unknown}, or the login may not see it"),
        (alan, f"{alan} is linked to 2 already"),
        (ids[0], f"{ids[0]} carries the key 99 of another entity"),
    ):
        ran = cli.run("conflicts", "resolve", "people", "1", "--link", remote_id)
        assert (ran.code, ran.out) == (1, "")
        assert f"{why}; nothing was decided" in ran.err
    assert len(cli.run("conflicts", "--json").json) == 1


def test_what_is_not_held_cannot_be_decided(cli: CliProject, ids: list[str]) -> None:
    ran = cli.run("conflicts", "resolve", "people", "2", "--create")
    assert (ran.code, ran.out) == (1, "Not held: people 2. See: syncbridge conflicts people\n")


@pytest.mark.parametrize("options", [[], ["--create", "--link", "003"]])
def test_what_to_decide_must_be_said_once(cli: CliProject, ids: list[str], options: list[str]) -> None:
    assert cli.run("conflicts", "resolve", "people", "1", *options).code == 2


def test_status_counts_what_is_held_and_names_the_command(cli: CliProject, ids: list[str]) -> None:
    ran = cli.run("status", "people")
    assert ran.code == 1
    assert "people: 1 held: more than one existing record could be meant" in ran.out
    assert "Run: syncbridge conflicts people" in ran.out
    assert cli.run("status", "--json").json["mappings"][0]["held"] == 1


def test_show_tells_why_and_what_to_do(cli: CliProject, ids: list[str]) -> None:
    ran = cli.run("show", "people", "1")
    assert ran.code == 1
    assert f"held: 2 existing records agree in LastName, Email: {ids[0]}, {ids[1]}" in ran.out
    assert "syncbridge conflicts resolve people 1 --link REMOTE_ID" in ran.out
    assert cli.run("show", "people", "1", "--json").json["conflict"]["candidates"] == ids[:2]


def test_wait_reports_what_is_held_and_does_not_wait_for_it(cli: CliProject, ids: list[str]) -> None:
    cli.skip_capture()
    ran = cli.run("wait", "people", "--timeout", "20s")
    assert ran.code == 1
    assert "people: 1 held" in ran.out
    assert "Decide what is held: syncbridge conflicts people" in ran.out


def test_requeue_looks_for_records_anew(cli: CliProject, ids: list[str], org: SandboxServer) -> None:
    org.sandbox.deletes.delete([ids[0]])
    ran = cli.run("requeue", "people", "1")
    assert (ran.code, ran.out) == (0, "people: 1 held: existing records are looked for anew.\n")
    cli.deliver()
    assert linked(cli, "1") == ids[1]


def test_discard_gives_a_held_entity_up_until_its_row_changes(cli: CliProject, ids: list[str]) -> None:
    assert cli.run("discard", "people", "1", "--yes").code == 0
    assert cli.run("conflicts").out == "nothing is held.\n"
    assert cli.deliver() == 0
    cli.enqueue("1")
    cli.deliver()
    assert len(cli.run("conflicts", "--json").json) == 1
