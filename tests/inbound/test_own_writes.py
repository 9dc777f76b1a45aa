"""What we wrote ourselves is read again by the polls after it. That costs pages, and nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from syncbridge.store import claims, rechecks
from tests.fix_store import end_leases
from tests.fix_two_way import StartTwoWay, TwoWayProject


def calls(both: TwoWayProject, since: int) -> Counter[str]:
    return Counter(call[0] for call in both.out.destination.calls[since:])


def test_a_burst_of_our_own_writes_is_read_by_pages_and_leaves_nothing_to_look_at(start_two_way: StartTwoWay) -> None:
    both = start_two_way()
    both.out.add(*range(1, 1001))
    both.out.deliver()
    both.poll()
    both.out.change("update people set first_name = 'Ours'", *range(1, 1001))
    both.out.deliver()
    before = len(both.out.destination.calls)
    both.poll()
    pages = -(-1000 // both.out.destination.batch_size)
    assert calls(both, before) == {"changes": pages}
    assert both.rechecks() == []
    before = len(both.out.destination.calls)
    both.poll()
    assert calls(both, before) == {"changes": 1}
    assert both.out.left() == []


def test_what_is_on_its_way_is_not_asked_for_before_it_is_settled(both: TwoWayProject) -> None:
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    claims.claim(both.out.store, both.out.mapping_id, limit=10, lease=60)
    both.edit(1, LastName="Ours")
    before = len(both.out.destination.calls)
    both.poll()
    both.poll()
    assert calls(both, before) == {"changes": 2}
    assert both.rechecks() == [both.remote_id(1)]


def test_what_turns_out_to_be_our_own_write_is_not_asked_for_at_all(both: TwoWayProject) -> None:
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    claims.claim(both.out.store, both.out.mapping_id, limit=10, lease=60)
    both.edit(1, LastName="Ours")
    both.poll()
    end_leases(both.out.store)
    both.out.deliver()
    assert (both.base(1) or {})["LastName"] == "Ours"
    before = len(both.out.destination.calls)
    both.poll()
    assert calls(both, before) == {"changes": 1}
    assert both.rechecks() == []


def test_somebody_elses_change_behind_our_own_write_is_looked_at(both: TwoWayProject) -> None:
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    claims.claim(both.out.store, both.out.mapping_id, limit=10, lease=60)
    both.edit(1, FirstName="Theirs", LastName="Ours")
    both.poll()
    end_leases(both.out.store)
    both.out.deliverer.step()
    both.poll()
    assert both.row(1, "first_name", "last_name") == ("Theirs", "Ours")
    assert both.rechecks() == []


def test_a_look_that_was_asked_for_is_taken_whatever_was_seen(both: TwoWayProject) -> None:
    store, id, remote_id = both.out.store, both.out.mapping_id, both.remote_id(1)
    seen = both.base(1)
    rechecks.postpone(store, id, [rechecks.Postponed(remote_id, "1", seen)])
    assert rechecks.due(store, id, 10) == []
    for first in (True, False):
        if first:
            rechecks.add(store, id, [remote_id])
        rechecks.postpone(store, id, [rechecks.Postponed(remote_id, "1", seen)])
        if not first:
            rechecks.add(store, id, [remote_id])
        assert rechecks.due(store, id, 10) == [remote_id]
        rechecks.remove(store, id, [remote_id])


def test_more_than_one_look_takes_are_looked_at_in_the_same_poll(
    both: TwoWayProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncbridge.inbound.poll.RECHECKED", 1)
    rechecks.add(both.out.store, both.out.mapping_id, [both.remote_id(1), both.remote_id(2)])
    both.poll()
    assert both.rechecks() == []
