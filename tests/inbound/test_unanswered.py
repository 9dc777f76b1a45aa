"""Our own value, of which no answer came, never comes back as somebody else's change."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.errors import RetryLater
from syncbridge.outbound.recording import Recorder
from tests.fix_store import make_due
from tests.fix_two_way import TwoWayProject


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
    (made,) = [id for id, each in both.out.destination.stored("Contact").items() if each["Person_Key__c"] == "3"]
    both.out.destination.update("Contact", [(made, {"FirstName": "Theirs"})])
    both.out.change("update people set last_name = 'Ours' where id = 3", 3)
    make_due(both.out.store)
    both.out.deliverer.step()
    assert both.out.remote()["3"]["FirstName"] == "Theirs"
    both.poll()
    make_due(both.out.store)
    both.out.deliverer.step()
    assert both.row(3, "first_name", "last_name") == ("Theirs", "Ours")
    assert both.out.remote()["3"].items() >= {"FirstName": "Theirs", "LastName": "Ours"}.items()
    (decision,) = both.decisions(3)  # nothing was agreed on so far, so it is decided by rule
    assert list(decision) == ["FirstName"]
    assert both.out.left() == []


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
