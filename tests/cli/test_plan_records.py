"""`syncbridge plan --records`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.applying.test_apply import TOOLS, TOOLS_FILE, write
from tests.fix_cli import PEOPLE, CliProject, run_in


def test_before_anything_is_set_up_it_tells_what_the_first_sync_would_create(cli_folder: Path) -> None:
    ran = run_in(cli_folder, "plan", "--records", "people")
    assert ran.code == 1, ran
    assert ran.out.splitlines() == [
        "create people 1",
        "    FirstName: Ada",
        "    LastName: Lovelace",
        "    Email: ***",
        "create people 2",
        "    FirstName: Alan",
        "    LastName: Turing",
        "    Email: ***",
        "people: create 2. 3 of 3 rows looked at with 1 API call that only read.",
    ]


def test_it_goes_by_the_files_even_if_they_are_not_in_force(cli_project: CliProject) -> None:
    cli_project.source.execute(TOOLS)
    write(cli_project, "tools", TOOLS_FILE)
    write(cli_project, "people", PEOPLE.replace("FirstName: first_name", "FirstName: {constant: Anybody}"))
    lines = cli_project.run("plan", "--records", "--json").lines
    assert [each["key"] for each in lines if each["mapping"] == "tools" and "fate" in each] == ["1"]
    names = [f["after"] for each in lines for f in each.get("fields", ()) if f["field"] == "FirstName"]
    assert names == ["Anybody", "Anybody"]


def test_one_key_and_a_limit(cli_project: CliProject) -> None:
    one = cli_project.run("plan", "--records", "people", "--key", "002", "--json").lines
    assert [each.get("key") for each in one] == ["2", None]
    counted = cli_project.run("plan", "--records", "people", "--key", "2").out.splitlines()[-1]
    assert " 1 row looked at " in counted
    few = cli_project.run("plan", "--records", "people", "--limit", "1")
    assert few.out.splitlines()[-1] == (
        "people: create 1. 1 of 3 rows looked at with 1 API call that only read; --limit 0 looks at all."
    )


def test_equal_sides_are_code_0(cli_project: CliProject) -> None:
    cli_project.source.execute("delete from people")
    cli_project.source.execute("delete from parts")
    ran = cli_project.run("plan", "--records")
    assert (ran.code, ran.out.splitlines()[0]) == (
        0,
        "parts: no record. 0 of 0 rows looked at with 0 API calls that only read.",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plan", "people"], "go with --records"),
        (["plan", "--key", "1"], "go with --records"),
        (["plan", "--records", "--key", "1"], "--key needs the name of one mapping"),
        (["plan", "--records", "peeple"], "did you mean 'people'?"),
        (["plan", "--records", "people", "--key", "x"], "cannot be a key of people"),
    ],
)
def test_a_wrong_call_is_code_2(cli_project: CliProject, arguments: list[str], told: str) -> None:
    ran = cli_project.run(*arguments)
    assert ran.code == 2
    assert told in ran.err
