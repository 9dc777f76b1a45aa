"""Where a record stands, in plain words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from syncbridge.answers.standing import stand
from syncbridge.answers.story import Story
from syncbridge.model import MappingStatus, Operation
from syncbridge.store.backlog import Waiting

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def story(**changes: Any) -> Story:
    """Of a record that is in sync, but for the changes."""
    values: dict[str, Any] = {
        "mapping": "people",
        "key": "2",
        "destination": "salesforce",
        "object": "Contact",
        "at": NOW,
        "status": MappingStatus.ACTIVE,
        "reason": "",
        "hint": "",
        "until": None,
        "delivering": True,
        "run_pending": False,
        "waiting": None,
        "history": (),
        "remote_id": "003x",
        "delivered_at": NOW,
        "base": {"Name": "Alan"},
        "row": {"Name": "Alan"},
        "record": {"Name": "Alan"},
        "operation": Operation.NOTHING,
        "remote": {"Name": "Alan"},
        "remote_read": True,
    }
    return Story(**{**values, **changes})


def waiting(**changes: Any) -> Waiting:
    values: dict[str, Any] = {
        "mapping": "people",
        "key": "2",
        "status": "pending",
        "reason": "change",
        "since": NOW,
        "attempts": 0,
        "available_at": NOW,
        "claimed": False,
        "resend": False,
        "code": None,
        "message": None,
        "error_at": None,
    }
    return Waiting(**{**values, **changes})


def test_what_agrees_on_all_sides_is_in_sync() -> None:
    assert (stand(story()).words, stand(story()).in_order) == ("in sync", True)
    assert stand(story(remote=None, remote_read=False)).words == "in sync with what was delivered last"


def test_waiting_is_told_with_what_it_waits_for() -> None:
    cases: list[tuple[dict[str, Any], str, bool]] = [
        ({"waiting": waiting(claimed=True)}, "is being sent now", True),
        (
            {"waiting": waiting(attempts=2, code="UNABLE_TO_LOCK_ROW", message="row lock")},
            "waits: refused 2 times, and tried again by itself: UNABLE_TO_LOCK_ROW: row lock",
            True,
        ),
        ({"waiting": waiting(), "delivering": False}, "waits: no worker runs that could deliver it", False),
        (
            {"waiting": waiting(), "status": MappingStatus.PAUSED, "reason": "audit"},
            "waits: people is paused: audit",
            False,
        ),
        (
            {"waiting": waiting(), "status": MappingStatus.WAITING, "reason": "quota"},
            "waits: people waits for its destination, and goes on by itself: quota",
            True,
        ),
    ]
    for changes, words, in_order in cases:
        standing = stand(story(**changes))
        assert (standing.words, standing.in_order) == (words, in_order)


def test_a_record_that_was_marked_instead_of_deleted_is_in_order() -> None:
    marked = stand(story(row=None, record=None, operation=Operation.NOTHING, sends=()))
    assert (marked.words, marked.in_order) == ("no such row; the remote record is marked so", True)


def test_a_row_whose_record_was_deleted_there_says_how_to_make_it_anew() -> None:
    kept = stand(story(kept=NOW, remote_id=None, delivered_at=None, base=None, remote=None))
    assert kept.in_order
    assert kept.words == "its record was deleted at the destination, which the mapping ignores: it is not sent"
    assert kept.remedy == "To create it again: syncbridge resync people --key 2 --force"


def test_keys_are_quoted_for_the_shell() -> None:
    dead = story(key='["a", "b"]', waiting=waiting(status="dead", code="X", message="y"))
    assert stand(dead).remedy.endswith("""syncbridge requeue people '["a", "b"]'""")


def test_what_waits_for_the_first_load_says_so() -> None:
    told = stand(story(waiting=waiting(), loading=True))
    assert told.in_order
    assert "before the first load is over" in told.words
