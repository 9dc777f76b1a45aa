"""The first minute of a new user: the quickstart as a process, with its own Postgres, sandbox and worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder for temporary files; open to all, as /tmp is, since Postgres may run as another user."""
    folder = Path(tempfile.mkdtemp(prefix="quickstart-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def summary(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of the quickstart in an empty folder: its JSON summary."""
    folder = tmp_path_factory.mktemp("anywhere")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SYNCBRIDGE_")}
    command = [sys.executable, "-m", "syncbridge", "quickstart", "--once", "--json"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_both_sides_agree_record_by_record(summary: dict[str, Any]) -> None:
    assert summary["agree"] is True
    sides = {side["mapping"]: side for side in summary["both_sides"]}
    assert sides.keys() == {"companies", "people", "orders"}
    assert all(side["agree"] == side["entities"] == side["records"] > 0 for side in sides.values())
    assert not any(side["drift"] or side["held"] or side["on_its_way"] for side in sides.values())


def test_the_first_sync_takes_one_api_call_for_200_records_and_a_handful(summary: dict[str, Any]) -> None:
    first = summary["first_sync"]
    assert first["records"] == 2960
    polls = 2 * (ceil(first["seconds"]) + 4)  # two mappings ask every second, after a load
    assert first["api_calls"] <= 2960 // 200 + 3 + 12 + polls


def test_every_change_is_shown_with_what_reached_salesforce(summary: dict[str, Any]) -> None:
    reached = [change["reached"] for change in summary["changes"]]
    assert reached[:2] == ["update: Name", "update: Industry"]
    assert reached.count("delete") == 2
    assert reached.count("create") == 1
    assert reached[-1].startswith("nothing: equal")


def test_a_change_of_a_related_row_is_shown_with_the_records_that_follow(summary: dict[str, Any]) -> None:
    followed = {change["mapping"]: change for change in summary["changes"] if change["what"].startswith("... and")}
    assert followed["people"]["reached"] == "update: Department"
    assert followed["people"]["key"] == "10 keys"
    assert followed["companies"]["reached"] == "update: Description"


def test_refused_rows_are_shown_with_the_reason_and_mend_by_themselves(summary: dict[str, Any]) -> None:
    codes = [refused["code"] for refused in summary["refused"]]
    assert codes == ["INVALID_EMAIL_ADDRESS", "STRING_TOO_LONG", "VALUE_NOT_MAPPED"]
    assert all(refused["mended"] for refused in summary["refused"])
    assert not any("call me instead" in refused["message"] for refused in summary["refused"])


def test_nothing_is_left_running_or_lying_about(summary: dict[str, Any], temporary: Path) -> None:
    assert list(temporary.iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(summary["salesforce"], trust_env=False)


def test_edits_in_salesforce_reach_their_rows(summary: dict[str, Any]) -> None:
    reached = {edit["what"]: edit["reached"] for edit in summary["edits_in_salesforce"]}
    assert reached == {
        "sales corrects a job title": "update: Title",
        "sales closes a deal": "update: StageName",
        "sales moves somebody to another company": "update: AccountId",
        "sales deletes a contact": "delete",
        "sales enters a new contact": "create",
    }


def test_one_conflict_is_decided_by_its_rule_and_one_is_held_for_a_person(summary: dict[str, Any]) -> None:
    by_rule, held = summary["conflicts"]
    assert (by_rule["row"], by_rule["record"], by_rule["decided"]) == (
        "Lead Buyer",
        "Chief Buyer",
        "newest: postgres wins",
    )
    assert (held["row"], held["record"], held["decided"]) == (3900, 4200, "held; a person took the record's")
