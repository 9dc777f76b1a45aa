"""Our own value, of which no answer came, never comes back as somebody else's change."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.errors import RetryLater
from syncbridge.outbound.recording import Recorder
from tests.fix_store import make_due
from tests.fix_two_way import StartTwoWay, TwoWayProject


class Died(BaseException):
    """The process is gone."""


def send_without_an_answer(both: TwoWayProject, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is made and what it says is stored, but nothing of that is known here."""
    if how == "lost answer":
        both.out.destination.faults.fail_after_write()
        both.out.deliverer.step()
        return

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "record", die)
        with pytest.raises(Died):
            both.out.deliverer.step()
    both.out.kill()


def made(both: TwoWayProject, key: int) -> str:
    """The record that carries the key of an entity."""
    stored = both.out.destination.stored("Contact")
    (found,) = [remote_id for remote_id, each in stored.items() if each["Person_Key__c"] == str(key)]
    return found


@pytest.mark.parametrize("how", ["lost answer", "killed worker"])
def test_a_newer_local_value_wins_over_our_own_older_one(
    both: TwoWayProject, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.out.change("update people set first_name = 'Older' where id = 1", 1)
    send_without_an_answer(both, how, monkeypatch)
    assert both.out.remote()["1"]["FirstName"] == "Older"
    both.out.change("update people set first_name = 'Newer' where id = 1", 1)
    both.poll()
    assert both.row(1, "first_name") == ("Newer",)
    make_due(both.out.store)
    both.out.deliverer.step()
    assert both.out.remote()["1"]["FirstName"] == "Newer"
    both.settle()
    assert both.row(1, "first_name") == ("Newer",)
    assert both.log(1) == []


@pytest.mark.parametrize("how", ["lost answer", "killed worker"])
def test_a_record_that_we_perhaps_made_takes_no_newer_value_from_its_row(
    both: TwoWayProject, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.out.add(3)
    send_without_an_answer(both, how, monkeypatch)
    both.out.change("update people set first_name = 'Newer' where id = 3", 3)
    both.poll()
    both.settle()
    assert both.row(3, "first_name") == ("Newer",)
    assert both.out.remote()["3"]["FirstName"] == "Newer"
    assert both.log(3) == []


@pytest.mark.parametrize("how", ["lost answer", "killed worker"])
def test_what_somebody_changed_in_a_record_that_we_perhaps_made_is_not_written_over(
    both: TwoWayProject, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.out.add(3)
    send_without_an_answer(both, how, monkeypatch)
    both.after(-60)  # by their times the row is the newer one
    both.out.destination.update("Contact", [(made(both, 3), {"FirstName": "Theirs"})])
    both.out.change("update people set last_name = 'Ours' where id = 3", 3)
    make_due(both.out.store)
    both.out.deliverer.step()
    assert both.out.remote()["3"]["FirstName"] == "Theirs"
    both.poll()
    make_due(both.out.store)
    both.out.deliverer.step()
    assert both.row(3, "first_name", "last_name") == ("Theirs", "Ours")
    assert both.out.remote()["3"].items() >= {"FirstName": "Theirs", "LastName": "Ours"}.items()
    assert both.decisions(3) == []  # each side changed another field since the record was made
    assert [(entry.outcome, entry.fields) for entry in both.log(3)] == [("written", "FirstName")]
    assert both.out.left() == []


def test_what_both_sides_changed_in_a_record_that_we_perhaps_made_is_decided_with_what_was_sent(
    both: TwoWayProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.out.add(3)
    send_without_an_answer(both, "killed worker", monkeypatch)
    both.out.destination.update("Contact", [(made(both, 3), {"FirstName": "Theirs"})])
    both.out.change("update people set first_name = 'Ours' where id = 3", 3)
    both.poll()
    (decision,) = both.decisions(3)
    assert list(decision) == ["FirstName"]
    assert decision["FirstName"].items() >= {"base": "First 3", "local": "Ours", "remote": "Theirs"}.items()
    assert both.row(3, "first_name") == ("Theirs",)


def test_what_never_arrived_at_a_record_that_was_there_before_is_no_base(
    start_two_way: StartTwoWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start_two_way(("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email"))
    there = both.out.destination.put("Contact", {"FirstName": "Theirs", "LastName": "Last 3", "Email": "a@example.com"})
    both.out.change(
        "insert into people (id, first_name, last_name, email) values (3, 'Ours', 'Last 3', 'a@example.com')", 3
    )

    def later(*_: Any, **__: Any) -> Any:
        raise RetryLater("no answer in time")

    with monkeypatch.context() as patched:
        patched.setattr(both.out.destination, "upsert", later)
        patched.setattr(both.out.destination, "update", later)
        both.out.deliverer.step()
    both.poll()
    assert both.remote_id(3) == there
    (decision,) = both.decisions(3)  # nobody edited anything after the two met: it is decided by rule
    assert decision["FirstName"]["verdict"] == "destination wins"
    assert "base" not in decision["FirstName"]


def test_a_new_record_that_never_came_there_is_sent_again(both: TwoWayProject) -> None:
    both.out.add(3)
    both.out.touch(3, resend=True)
    both.out.deliver()
    assert both.out.remote()["3"]["FirstName"] == "First 3"
    assert both.out.left() == []


def test_of_two_that_were_sent_without_an_answer_either_is_ours(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'First' where id = 1", 1)
    upsert = both.out.destination.upsert

    def later(*_: Any, **__: Any) -> Any:
        raise RetryLater("no answer in time")

    both.out.destination.upsert = later  # type: ignore[method-assign]
    both.out.deliverer.step()
    both.out.destination.upsert = upsert  # type: ignore[method-assign]
    both.out.change("update people set first_name = 'Second' where id = 1", 1)
    both.out.destination.faults.fail_after_write()
    both.out.wake()
    make_due(both.out.store)
    both.out.deliverer.step()
    assert both.out.remote()["1"]["FirstName"] == "Second"
    both.out.change("update people set first_name = 'Third' where id = 1", 1)
    both.edit(1, FirstName="First")  # the first call came to its end after the second
    both.poll()
    both.settle()
    assert both.row(1, "first_name") == ("Third",)
    assert both.out.remote()["1"]["FirstName"] == "Third"
    assert both.log(1) == []


def test_what_somebody_else_changed_after_it_is_decided_by_rule(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Older' where id = 1", 1)
    both.out.destination.faults.fail_after_write()
    both.out.deliverer.step()
    both.out.change("update people set first_name = 'Newer' where id = 1", 1)
    both.edit(1, FirstName="Theirs")
    both.poll()
    assert both.row(1, "first_name") == ("Theirs",)
    assert both.decisions(1)[0]["FirstName"]["verdict"] == "destination wins"


def test_what_was_answered_is_not_ours_any_more(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Older' where id = 1", 1)
    upsert = both.out.destination.upsert

    def meanwhile(*args: Any, **options: Any) -> Any:
        both.out.change("update people set first_name = 'Newer' where id = 1", 1)
        return upsert(*args, **options)

    both.out.destination.upsert = meanwhile  # type: ignore[method-assign]
    both.out.deliverer.step()
    both.out.destination.upsert = upsert  # type: ignore[method-assign]
    assert both.out.left() == ["1"]
    assert both.out.store.execute("select sent from syncbridge.outbox").fetchall() == [(None,)]
