"""Decisions of the sync log in words."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.cli.decided import in_words

VALUES: dict[str, Any] = {"base": "A", "local": "B", "remote": None}
TIMES = {"modified": "2020-03-01T10:02:07+00:00", "committed": "2020-03-01T10:01:55+00:00"}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"verdict": "destination wins", "rule": "destination", **VALUES},
            "Name: both sides changed it; conflict: destination: the record has its way;"
            " agreed was A, row had B, record had null",
        ),
        (
            {"verdict": "postgres wins", "rule": "postgres owns it", "base": "A", "local": "A", "remote": True},
            "Name: the record changed; Postgres owns it: the row has its way;"
            " agreed was A, row had A, record had true",
        ),
        (
            {"verdict": "held", "rule": "hold", **VALUES},
            "Name: both sides changed it; held until a person decides; agreed was A, row had B, record had null",
        ),
        (
            {"verdict": "destination wins", "rule": "destination", "values": "(sensitive)"},
            "Name: both sides differ; conflict: destination: the record has its way; values are sensitive",
        ),
        (
            {"verdict": "postgres wins", "rule": "a person", **VALUES},
            "Name: both sides changed it; a person decided: the row has its way;"
            " agreed was A, row had B, record had null",
        ),
    ],
)  # fmt: skip
def test_a_field_is_told_with_what_was_met_the_rule_and_the_values(told: dict[str, Any], words: str) -> None:
    assert list(in_words({"Name": told})) == [words]


def test_newest_tells_both_times() -> None:
    (line,) = in_words({"Name": {"verdict": "destination wins", "rule": "newest", **VALUES, **TIMES}})
    assert "newest: record of 2020-03-01" in line
    assert line.index(":07 beats row of") < line.index(":55;")
    (line,) = in_words(
        {"Name": {"verdict": "postgres wins", "rule": "newest", **VALUES, "modified": TIMES["modified"]}}
    )
    assert "newest: row, whose change was just made, beats record of 2020-03-01" in line


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"verdict": "delete", "deleted": "destination"},
            "the record was deleted; nobody changed the other side, so the delete stands",
        ),
        (
            {"verdict": "revive", "deleted": "destination", "rule": "postgres"},
            "the record was deleted and the row changed; conflict: postgres: the record is made anew",
        ),
        (
            {"verdict": "hold", "deleted": "postgres", "rule": "hold"},
            "the row was deleted and the record changed; held until a person decides",
        ),
        (
            {"verdict": "delete", "deleted": "postgres", "rule": "a person"},
            "the row was deleted and the record changed; a person decided: the delete stands",
        ),
    ],
)
def test_a_pair_of_which_one_side_was_deleted_is_told(told: dict[str, Any], words: str) -> None:
    assert list(in_words({"*": told})) == [words]


def test_what_was_not_decided_says_nothing() -> None:
    assert list(in_words(None)) == []
