"""What is told of records that wait for others: by `show`, `status` and `wait`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from syncbridge.answers.waiting import Verdict, Waited, wait_until_delivered
from syncbridge.model import MappingStatus
from syncbridge.store import mappings
from tests.fix_cli import CliProject, open_cli_project

FIRMS = """
mapping: firms
destination: memory
object: Part
entity: {table: public.firms, key: id}
external_id: Part_Key__c
fields: {Name: name}
"""
STAFF = """
mapping: staff
destination: memory
object: Contact
entity: {table: public.staff, key: id}
external_id: Person_Key__c
fields:
  LastName: name
  FirstName: {lookup: firms, key: firm_id}
  Email: {column: mail, sensitive: true}
"""


@pytest.fixture
def cli(state: None, cli_folder: Path, dsn: str) -> Iterator[CliProject]:
    """Staff of firms in force; Ada waits for firm 7, of which there is no row."""
    (cli_folder / "mappings" / "firms.yaml").write_text(FIRMS)
    (cli_folder / "mappings" / "staff.yaml").write_text(STAFF)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table firms (id int primary key, name text)")
        connection.execute("create table staff (id int primary key, name text, firm_id int, mail text)")
        connection.execute("insert into staff values (1, 'Ada', 7, 'ada@secret.example')")
    with open_cli_project(cli_folder, dsn) as made:
        made.skip_capture()
        made.worker()
        made.enqueue("1", mapping="staff")
        made.deliver("staff")
        yield made


def _add_firm(cli: CliProject) -> None:
    cli.source.execute("insert into firms values (7, 'Acme')")
    cli.enqueue("7", mapping="firms")


def _wait(cli: CliProject, *, mapping: str | None = None, meanwhile: object = None) -> Waited:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += 1
        if callable(meanwhile):
            meanwhile()

    with cli.project.source_admin("test") as source:
        return wait_until_delivered(
            cli.store,
            source,
            slot=cli.project.settings.source.slot,
            mapping=mapping,
            timeout=20,
            pause=pause,
            clock=lambda: now[0],
        )


def _said(cli: CliProject) -> tuple[int, str]:
    ran = cli.run("show", "staff", "1", "--offline")
    return ran.code, ran.out.splitlines()[1].rstrip()


def test_show_says_that_there_is_no_such_row(cli: CliProject) -> None:
    assert _said(cli) == (
        1,
        "waits for firms 7, which has no record and no change that could make one: is there such a row?",
    )


def test_show_says_that_the_parent_is_a_dead_letter(cli: CliProject) -> None:
    _add_firm(cli)
    cli.kill_off("7", "TOO_LONG", mapping="firms")
    assert _said(cli) == (1, "waits for firms 7, which is a dead letter: TOO_LONG: refused: TOO_LONG")


def test_show_says_that_the_parent_is_on_its_way_or_its_mapping_stands_still(cli: CliProject) -> None:
    _add_firm(cli)
    assert _said(cli) == (0, "waits for firms 7, which is on its way")
    mappings.set_status(cli.store, cli.applied("firms").id, MappingStatus.PAUSED)
    assert _said(cli) == (1, "waits for firms 7, whose mapping is paused")


def test_show_compares_what_is_looked_up_and_masks_what_is_sensitive(cli: CliProject) -> None:
    _add_firm(cli)
    cli.deliver("firms")
    cli.deliver("staff")
    ran = cli.run("show", "staff", "1", "--json")
    story = ran.json
    assert story["sources"]["FirstName"] == "lookup firms"
    assert story["row"]["FirstName"] == "7"
    (remote_id,) = cli.destination.stored("Part")
    assert story["record"]["FirstName"] == story["base"]["FirstName"] == remote_id
    assert "secret" not in ran.out
    assert story["record"]["Email"] == "***"


def test_status_says_who_waits_for_what_cannot_come(cli: CliProject) -> None:
    ran = cli.run("status", "--json")
    assert ran.code == 1
    (state,) = [each for each in ran.json["mappings"] if each["name"] == "staff"]
    assert state["waits"] == [{"parent": "firms", "state": "gone", "entities": 1, "example": "7"}]
    told = [finding["message"] for finding in ran.json["findings"] if finding["where"] == "staff"]
    assert told == ["1 record waits for firms that are not in Postgres, or left out by the filter, such as 7"]
    assert "1 waits for firms (gone, such as 7)" in cli.run("status").out


def test_wait_does_not_hang_on_what_cannot_come(cli: CliProject) -> None:
    waited = _wait(cli)
    assert (waited.verdict, waited.waiting, waited.seconds) == (Verdict.UNSOUND, 1, 0)
    ran = cli.run("wait")
    assert ran.code == 1
    assert "staff: 1 waiting for other records" in ran.out


@pytest.mark.parametrize("mapping", [None, "staff"])
def test_wait_goes_on_while_the_parent_is_on_its_way(cli: CliProject, mapping: str | None) -> None:
    _add_firm(cli)
    steps = iter(["firms", "staff"])
    waited = _wait(cli, mapping=mapping, meanwhile=lambda: cli.deliver(next(steps)))
    assert (waited.verdict, waited.seconds) == (Verdict.DELIVERED, 2)
    assert [record["LastName"] for record in cli.destination.stored("Contact").values()] == ["Ada"]


def test_wait_says_when_the_parents_mapping_stands_still(cli: CliProject) -> None:
    _add_firm(cli)
    mappings.set_status(cli.store, cli.applied("firms").id, MappingStatus.PAUSED)
    waited = _wait(cli, mapping="staff")
    assert waited.verdict is Verdict.STUCK
    assert "firms is paused" in waited.why


def test_a_lookup_of_no_mapping_is_not_put_in_force(cli: CliProject) -> None:
    (cli.folder / "mappings" / "staff.yaml").write_text(STAFF.replace("lookup: firms", "lookup: frims"))
    ran = cli.run("apply")
    assert ran.code == 2
    assert "there is no mapping 'frims', which fields.FirstName looks up" in ran.err


def _waits(cli: CliProject) -> list[str]:
    return [
        status
        for (status,) in cli.store.execute(
            "select status from syncbridge.outbox where mapping_id = %s", (cli.applied("staff").id,)
        )
    ]


def test_discard_gives_up_what_waits_for_a_parent_that_never_comes_also_when_it_comes_after_all(
    cli: CliProject,
) -> None:
    ran = cli.run("discard", "staff", "1", "--yes")
    assert (ran.code, ran.err) == (0, "")
    _add_firm(cli)
    cli.deliver("firms")
    assert cli.deliver("staff") == 0
    assert _waits(cli) == []
    assert cli.destination.stored("Contact") == {}
    assert "discarded by a person" in cli.run("log", "staff", "--json").out
    cli.enqueue("1", mapping="staff")  # its row changes
    cli.deliver("staff")
    assert len(cli.destination.stored("Contact")) == 1


def test_requeue_lets_what_waits_look_again_for_its_parent(cli: CliProject) -> None:
    cli.source.execute("update staff set firm_id = null")  # nobody told of it
    ran = cli.run("requeue", "staff", "1")
    assert (ran.code, ran.out.strip()) == (0, "staff: 1 waiting: the records they refer to are looked for anew.")
    assert _waits(cli) == ["pending"]
    cli.deliver("staff")
    assert [record["LastName"] for record in cli.destination.stored("Contact").values()] == ["Ada"]


def test_requeue_of_all_dead_letters_leaves_what_waits_alone(cli: CliProject) -> None:
    assert cli.run("requeue", "staff", "--all").code == 1
    assert cli.run("discard", "staff", "--all", "--yes").code == 1
    assert _waits(cli) == ["waiting"]
