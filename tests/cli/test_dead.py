"""`syncbridge dead`, `requeue` and `discard`."""

from __future__ import annotations

import sys

import pytest

from syncbridge.store import backlog, sync_log
from tests.fix_cli import CliProject


@pytest.fixture
def letters(cli_project: CliProject) -> CliProject:
    """Two dead letters of people with different codes, and one of parts."""
    cli_project.kill_off("1", "STRING_TOO_LONG")
    cli_project.kill_off("2", "DUPLICATE_VALUE")
    cli_project.kill_off('["acme", "7"]', "STRING_TOO_LONG", mapping="parts")
    return cli_project


def dead_keys(cli: CliProject) -> list[str]:
    return sorted(letter.key for letter in backlog.dead_letters(cli.store))


def test_dead_lists_them_with_code_and_message_and_what_to_do(letters: CliProject) -> None:
    ran = letters.run("dead")
    assert ran.code == 0
    assert "STRING_TOO_LONG: refused: STRING_TOO_LONG" in ran.out
    assert "people: 1 x DUPLICATE_VALUE. To try again: syncbridge requeue people --code DUPLICATE_VALUE" in ran.out


def test_dead_can_be_narrowed_and_limited(letters: CliProject) -> None:
    assert [letter["key"] for letter in letters.run("dead", "parts", "--json").json] == ['["acme", "7"]']
    ran = letters.run("dead", "people", "--limit", "1")
    assert "1 of 2 are shown." in ran.out


def test_dead_says_when_there_are_none(cli_project: CliProject) -> None:
    ran = cli_project.run("dead")
    assert (ran.code, ran.out) == (0, "no dead letters.\n")


def test_dead_refuses_an_unknown_mapping(cli_project: CliProject) -> None:
    assert "did you mean 'people'?" in cli_project.run("dead", "poeple").err


def test_requeued_they_are_delivered_again(letters: CliProject) -> None:
    ran = letters.run("requeue", "people", "1")
    assert (ran.code, ran.out) == (0, "people: 1 dead letter will be tried again.\n")
    assert letters.deliver() == 1
    assert dead_keys(letters) == ["2", '["acme", "7"]']
    assert len(letters.destination.stored("Contact")) == 1


def test_those_of_a_code_can_be_requeued(letters: CliProject) -> None:
    letters.run("requeue", "people", "--code", "DUPLICATE_VALUE")
    assert dead_keys(letters) == ["1", '["acme", "7"]']


def test_all_of_a_mapping_can_be_requeued(letters: CliProject) -> None:
    assert "people: 2 dead letters will be tried again." in letters.run("requeue", "people", "--all").out
    assert dead_keys(letters) == ['["acme", "7"]']


def test_a_key_of_several_columns_can_be_requeued(letters: CliProject) -> None:
    assert letters.run("requeue", "parts", '["acme","7"]').code == 0
    assert dead_keys(letters) == ["1", "2"]


def test_what_is_no_dead_letter_is_told_and_fails(letters: CliProject) -> None:
    ran = letters.run("requeue", "people", "1", "99")
    assert ran.code == 1
    assert ran.out.splitlines() == ["people: 1 dead letter will be tried again.", "No dead letter: 99."]


@pytest.mark.parametrize("arguments", [[], ["1", "--all"]])
def test_which_ones_must_be_said(letters: CliProject, arguments: list[str]) -> None:
    assert letters.run("requeue", "people", *arguments).code == 2
    assert letters.run("discard", "people", "--yes", *arguments).code == 2
    assert len(dead_keys(letters)) == 3


def test_discarded_they_are_gone_for_good_and_on_record(letters: CliProject) -> None:
    ran = letters.run("discard", "people", "1", "--yes")
    assert (ran.code, ran.out) == (0, "people: 1 dead letter dropped.\n")
    assert dead_keys(letters) == ["2", '["acme", "7"]']
    assert letters.deliver() == 0
    last = sync_log.read(letters.store, key="1")[-1]
    assert (last.outcome, last.message) == ("ignored", "discarded by a person")


def test_a_later_change_of_a_discarded_row_is_delivered(letters: CliProject) -> None:
    letters.run("discard", "people", "--all", "--yes")
    letters.enqueue("1")
    assert letters.deliver() == 1


def test_without_a_terminal_discard_wants_to_be_told_yes(letters: CliProject) -> None:
    ran = letters.run("discard", "people", "--all")
    assert ran.code == 2
    assert "give --yes" in ran.err
    assert len(dead_keys(letters)) == 3


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 130, 3)])
def test_on_a_terminal_discard_asks(
    letters: CliProject, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ran = letters.run("discard", "people", "--all")
    assert ran.code == code
    assert "Drop 2 dead letters of people for good?" in ran.out
    assert len(dead_keys(letters)) == left


class Terminal:
    """A terminal at which somebody types one line."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self._answer


def test_discarding_nothing_fails_without_a_question(cli_project: CliProject) -> None:
    ran = cli_project.run("discard", "people", "--all")
    assert (ran.code, ran.out) == (1, "people: 0 dead letters dropped.\n")
