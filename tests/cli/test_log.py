"""`syncbridge log`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from syncbridge.cli.log import Wanted, following
from syncbridge.model import Operation, Outcome
from syncbridge.store import sync_log
from syncbridge.store.sync_log import Entry, Logged
from tests.fix_cli import CliProject


@pytest.fixture
def logged(cli_project: CliProject) -> CliProject:
    """A record that was delivered, one that was refused, and a part."""
    cli_project.enqueue("1")
    cli_project.deliver()
    cli_project.kill_off("2")
    cli_project.enqueue('["acme", "7"]', mapping="parts")
    cli_project.deliver("parts")
    return cli_project


def words(line: str) -> list[str]:
    return line.split()[1:]  # without the time


def test_it_shows_what_happened_newest_last(logged: CliProject) -> None:
    ran = logged.run("log")
    assert ran.code == 0
    assert [words(line) for line in ran.out.splitlines()] == [
        ["people", "1", "out", "create", "delivered", "m00000001", "FirstName,", "LastName,", "Email"],
        ["people", "2", "out", "create", "dead", "STRING_TOO_LONG:", "refused:", "STRING_TOO_LONG"],
        ["parts", '["acme",', '"7"]', "out", "create", "delivered", "m00000002", "Name"],
    ]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["people"], ["1", "2"]),
        (["people", "--key", "2"], ["2"]),
        (["parts", "--key", '["acme","7"]'], ['["acme", "7"]']),
        (["--outcome", "dead"], ["2"]),
        (["--limit", "1"], ['["acme", "7"]']),
        (["--since", "1h"], ["1", "2", '["acme", "7"]']),
        (["--since", "0s"], []),
    ],
)
def test_it_can_be_narrowed(logged: CliProject, arguments: list[str], keys: list[str]) -> None:
    assert [entry["key"] for entry in logged.run("log", "--json", *arguments).lines] == keys


def test_json_is_one_document_a_line_and_holds_no_values_of_rows(logged: CliProject) -> None:
    ran = logged.run("log", "--json", "people", "--key", "1")
    assert {name: ran.lines[0][name] for name in ("mapping", "operation", "outcome", "fields", "reason")} == {
        "mapping": "people",
        "operation": "create",
        "outcome": "delivered",
        "fields": "FirstName, LastName, Email",
        "reason": "change",
    }
    assert "Ada" not in ran.out


def test_an_outcome_that_does_not_exist_is_refused_with_the_nearest(logged: CliProject) -> None:
    ran = logged.run("log", "--outcome", "deliverd")
    assert ran.code == 2
    assert "no such outcome 'deliverd'; did you mean 'delivered'?" in ran.err


def test_an_unknown_mapping_is_refused_with_the_nearest_name(logged: CliProject) -> None:
    ran = logged.run("log", "poeple")
    assert ran.code == 2
    assert "did you mean 'people'?" in ran.err


def test_a_key_means_nothing_without_its_mapping(logged: CliProject) -> None:
    assert logged.run("log", "--key", "1").code == 2


def test_an_empty_log_says_so_where_programs_do_not_read(cli_project: CliProject) -> None:
    ran = cli_project.run("log")
    assert (ran.code, ran.out, ran.err) == (0, "", "nothing is logged that fits.\n")
    assert cli_project.run("log", "--json").err == ""


def append(cli: CliProject, key: str, *, ago: timedelta = timedelta(0)) -> None:
    sync_log.append(cli.store, cli.applied().id, [Entry(key, Operation.UPDATE, Outcome.DELIVERED)])
    cli.store.execute("update syncbridge.sync_log set at = at - %s where key = %s", (ago, key))


def test_following_gives_each_entry_once_even_those_that_become_visible_late(cli_project: CliProject) -> None:
    append(cli_project, "before")
    known = sync_log.read(cli_project.store)
    pauses: Iterator[Callable[[], None]] = iter(
        [
            lambda: append(cli_project, "first"),
            lambda: append(cli_project, "late", ago=timedelta(milliseconds=1)),
            lambda: None,
            lambda: append(cli_project, "last"),
        ]
    )
    found: list[Logged] = []
    begin = known[0].at - timedelta(seconds=1)
    looks = following(cli_project.store, Wanted("people"), known, begin, lambda seconds: next(pauses)())
    while len(found) < 3:
        found += next(looks)
    assert [entry.key for entry in found] == ["first", "late", "last"]


def test_following_does_not_reach_back_behind_what_was_shown(cli_project: CliProject) -> None:
    append(cli_project, "old", ago=timedelta(seconds=5))
    append(cli_project, "shown")
    known = [entry for entry in sync_log.read(cli_project.store) if entry.key == "shown"]
    pauses = iter([lambda: append(cli_project, "new")])
    looks = following(cli_project.store, Wanted(), known, known[0].at, lambda seconds: next(pauses)())
    assert [entry.key for entry in next(looks)] == ["new"]


def test_following_from_nothing_begins_with_what_comes(cli_project: CliProject) -> None:
    pauses = iter([lambda: append(cli_project, "new")])
    looks = following(cli_project.store, Wanted(), [], datetime.now(UTC), lambda seconds: next(pauses)())
    assert [entry.key for entry in next(looks)] == ["new"]
