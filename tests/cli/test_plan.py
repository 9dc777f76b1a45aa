"""`syncbridge plan` and `syncbridge apply`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.applying.test_apply import TOOLS, TOOLS_FILE, WITHOUT_EMAIL, in_force, write
from tests.fix_cli import PEOPLE, CliProject, run_in


def deliver(cli: CliProject) -> None:
    cli.enqueue("1", "2")
    cli.deliver()


def test_with_everything_in_force_there_is_nothing_to_do(cli_project: CliProject) -> None:
    ran = cli_project.run("plan")
    assert (ran.code, ran.out) == (0, "everything is in force already.\n")
    assert cli_project.run("apply").code == 0


def test_before_the_first_time_it_shows_everything_that_will_be_made(cli_folder: Path) -> None:
    ran = run_in(cli_folder, "plan", "--json")
    assert ran.code == 1, ran
    kinds = [step["kind"] for step in ran.json["steps"]]
    assert kinds[0] == "state_schema"
    assert kinds[-4:] == ["publication", "slot", "mapping_new", "mapping_new"]
    people = ran.json["steps"][-1]
    assert (people["records"], people["about"], people["calls"]) == (2, False, 1)


def test_only_what_differs_in_a_part_of_a_mapping_is_told(cli_project: CliProject) -> None:
    deliver(cli_project)
    write(cli_project, "people", PEOPLE.replace("deletes: 2 per hour", "deletes: 2 per hour, changes: 5 per hour"))
    (step,) = cli_project.run("plan", "--json").json["steps"]
    assert [each for each in step["means"] if "guard" in each] == ["guard.changes: off -> 5 per hour"]


def test_a_changed_mapping_is_told_field_by_field(cli_project: CliProject) -> None:
    deliver(cli_project)
    text = (
        WITHOUT_EMAIL.replace("{column: last_name, default: Unknown}", "last_name")
        .replace("FirstName: first_name", "FirstName: {sql: 'null::text'}")
        .replace("where: not is_test", "where: id = 1")
        .replace("external_id: Person_Key__c", "external_id: person_key__c")
    )
    write(cli_project, "people", text)
    before = in_force(cli_project)
    ran = cli_project.run("plan", "--json")
    assert ran.code == 1
    assert in_force(cli_project) == before
    (step,) = ran.json["steps"]
    told = {each["field"]: (each["change"], each["means"]) for each in step["fields"]}
    assert told["FirstName"] == ("changed", "will be cleared remotely, in every record")
    assert told["LastName"] == ("changed", "will be cleared remotely where its source is null")
    assert told["Email"][0] == "removed"
    assert told["Email"][1].startswith("is no longer sent; its remote values stay as they are")
    assert "entity.where: not is_test -> id = 1" in step["means"]
    assert "2 records linked now, 1 row within the new filter" in step["means"]
    assert "at least 1 remote record will be deleted; the guard counts deletes" in step["means"]
    assert (step["records"], step["calls"]) == (3, 1)


def test_for_people_each_field_is_a_line(cli_project: CliProject) -> None:
    write(cli_project, "people", WITHOUT_EMAIL)
    assert cli_project.run("apply", "--yes").code == 0
    write(cli_project, "people", PEOPLE)
    out = cli_project.run("plan").out.splitlines()
    assert out == [
        "mapping people: changed",
        "  + Email column email, sensitive true: is filled for existing records",
        "    3 records will be composed and compared again; only differences are sent: at most 1 API call of memory",
    ]


def test_bulk_jobs_are_told_of_where_there_are_records_for_one(cli_project: CliProject) -> None:
    settings = cli_project.folder / "syncbridge.toml"
    settings.write_text(settings.read_text().replace('type = "memory"', 'type = "memory"\nbulk_from = 3'))
    write(cli_project, "people", WITHOUT_EMAIL)
    out = " ".join(cli_project.run("plan").out.split())
    assert "at most 1 API call of memory, or few for 1 bulk job" in out


def test_apply_asks_and_where_nobody_can_be_asked_does_nothing(cli_project: CliProject) -> None:
    write(cli_project, "people", WITHOUT_EMAIL)
    before = in_force(cli_project)
    ran = cli_project.run("apply")
    assert ran.code == 2
    assert "syncbridge apply --yes" in ran.err
    assert in_force(cli_project) == before


class Terminal(io.StringIO):
    """A person at a keyboard."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 130)])
def test_at_a_terminal_a_person_is_asked(
    cli_project: CliProject, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    write(cli_project, "people", WITHOUT_EMAIL)
    before = in_force(cli_project)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    ran = cli_project.run("apply")
    assert ran.code == code
    assert "Put this in force?" in ran.out
    assert (in_force(cli_project) == before) is (code != 0)


def test_apply_with_yes_says_what_it_does_as_it_does_it(cli_project: CliProject) -> None:
    cli_project.source.execute(TOOLS)
    write(cli_project, "tools", TOOLS_FILE)
    ran = cli_project.run("apply", "--yes")
    assert ran.code == 0, ran
    done = [line for line in ran.out.splitlines() if line.startswith("done: ")]
    assert done[1:] == ["done: mapping tools: new, public.tools -> Part", "done: mapping tools: first sync asked for"]
    assert cli_project.run("plan").code == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("FirstName: first_name", "FristName: first_name", "did you mean 'FirstName'?"),
        ("FirstName: first_name", "FirstName: frist_name", "did you mean 'first_name'?"),
        ("table: public.people", "table: public.peeple", "public.peeple"),
    ],
)
def test_errors_of_check_block_it(cli_project: CliProject, old: str, new: str, told: str) -> None:
    write(cli_project, "people", PEOPLE.replace(old, new))
    before = in_force(cli_project)
    planned = cli_project.run("plan")
    assert planned.code == 2
    assert told in planned.out
    applied = cli_project.run("apply", "--yes")
    assert applied.code == 2
    assert told in applied.out
    assert "not put in force: " in applied.err
    assert in_force(cli_project) == before


def test_an_error_in_a_mapping_that_is_not_changed_blocks_nothing(cli_project: CliProject) -> None:
    settings = cli_project.folder / "syncbridge.toml"
    settings.write_text(
        settings.read_text().replace('Part_Key__c = "string"\nName = "string"', 'Part_Key__c = "string"')
    )
    write(cli_project, "people", WITHOUT_EMAIL)
    ran = cli_project.run("apply", "--yes")
    assert ran.code == 0, ran


def test_a_table_without_replica_identity_is_told_with_its_sql(cli_project: CliProject) -> None:
    cli_project.source.execute("create table tools (id int not null unique, name text)")
    write(cli_project, "tools", TOOLS_FILE)
    ran = cli_project.run("plan")
    assert ran.code == 2
    assert "REPLICA IDENTITY" in ran.out


def test_a_mapping_without_a_file_is_in_the_way_until_it_is_decided(cli_project: CliProject) -> None:
    write(cli_project, "parts", None)
    planned = cli_project.run("plan")
    assert planned.code == 2
    assert "in the way: no file for mapping parts" in planned.out
    assert cli_project.run("apply", "--yes").code == 2
    ran = cli_project.run("apply", "--yes", "--remove", "parts")
    assert ran.code == 0, ran
    assert "its 0 remote records stay as they are" in ran.out
    assert [name for name, *_ in in_force(cli_project)["mappings"]] == ["people"]


def test_relink_is_shown_before_it_is_done(cli_project: CliProject) -> None:
    deliver(cli_project)
    write(
        cli_project,
        "people",
        PEOPLE.replace("external_id: Person_Key__c", "external_id: FirstName").replace("  FirstName: first_name\n", ""),
    )
    assert "external_id of mapping people changed" in cli_project.run("plan").out
    ran = cli_project.run("apply", "--relink", "people")
    assert "the 2 Contact records that it is linked to stay as they are" in ran.out
    assert "external_id: Person_Key__c -> FirstName" in ran.out


def test_a_worker_refuses_to_run_with_files_that_are_not_in_force(cli_project: CliProject) -> None:
    write(cli_project, "people", WITHOUT_EMAIL)
    ran = cli_project.run("run")
    assert ran.code == 2
    assert "(changed: people)" in ran.err
    assert "syncbridge apply" in ran.err


def test_a_worker_refuses_to_run_while_apply_was_interrupted(cli_project: CliProject) -> None:
    cli_project.store.execute("update syncbridge.run set status = 'asked'")
    ran = cli_project.run("run")
    assert ran.code == 2
    assert "(interrupted: parts, people)" in ran.err
    assert cli_project.run("plan").code == 1


def test_setup_leaves_changes_to_apply(cli_project: CliProject) -> None:
    write(cli_project, "people", WITHOUT_EMAIL)
    ran = cli_project.run("setup")
    assert ran.code == 2
    assert "syncbridge apply" in ran.err
