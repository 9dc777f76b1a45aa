"""`conflict: newest` goes by when the row itself changed: what only asks for a look at it makes it no newer."""

from __future__ import annotations

import pytest

from syncbridge.model import Reason
from tests.fix_two_way import TwoWayProject

#: Of what is found after a lost slot it is known by when it changed: tests/inbound/test_recovery.py.
CHANGES = (Reason.CHANGE, Reason.TRUNCATE, Reason.RECOVERY)
BY_THE_WAY = [reason for reason in Reason if reason not in CHANGES]


@pytest.mark.parametrize("reason", BY_THE_WAY)
def test_a_look_at_a_row_does_not_make_its_older_change_win(both: TwoWayProject, reason: Reason) -> None:
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.after(+60)
    both.edit(1, FirstName="Theirs")
    both.out.touch(1, reason=reason, moment=both.now.replace(hour=23))
    both.poll()
    assert both.row(1, "first_name") == ("Theirs",)
    assert both.decisions(1)[0]["FirstName"]["verdict"] == "destination wins"


@pytest.mark.parametrize("reason", BY_THE_WAY)
def test_a_look_at_a_row_that_did_not_change_keeps_no_remote_change_out(both: TwoWayProject, reason: Reason) -> None:
    both.after(-60)
    both.edit(1, FirstName="Theirs")
    both.out.touch(1, reason=reason)
    both.poll()
    both.out.deliver()
    assert both.row(1, "first_name") == ("Theirs",)
    assert both.out.remote()["1"]["FirstName"] == "Theirs"
    assert both.decisions(1) == []


def test_a_difference_that_no_captured_change_explains_counts_as_the_newer_one(both: TwoWayProject) -> None:
    both.out.writer.execute("update people set first_name = 'Ours' where id = 1")
    both.out.touch(1, reason=Reason.RESYNC)
    both.after(+3600)
    both.edit(1, FirstName="Theirs")
    both.poll()
    both.out.deliver()
    assert both.row(1, "first_name") == ("Ours",)
    assert both.out.remote()["1"]["FirstName"] == "Ours"


def test_a_change_after_a_run_asked_for_its_row_has_its_own_time(both: TwoWayProject) -> None:
    both.out.touch(1, reason=Reason.RESYNC, moment=both.now.replace(hour=23))
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.after(+60)
    both.edit(1, FirstName="Theirs")
    both.poll()
    assert both.row(1, "first_name") == ("Theirs",)
