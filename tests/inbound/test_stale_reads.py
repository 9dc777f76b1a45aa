"""What a poll reads may be older than what was sent: no older value comes into a row, and no change is lost for it."""

from __future__ import annotations

from typing import Any

from syncbridge.destinations.feed import ChangesPage, RemoteChange
from syncbridge.store import claims
from tests.fix_store import end_leases, make_due
from tests.fix_two_way import TwoWayProject


def show_earlier(both: TwoWayProject, key: int, **fields: Any) -> None:
    """Let the next page also show a record with older values, as a query may for some seconds."""
    changes = both.out.destination.changes
    remote_id = both.remote_id(key)

    def once(*args: Any, **options: Any) -> ChangesPage:
        page = changes(*args, **options)
        (now,) = both.out.destination.current("Contact", [remote_id], args[1])
        old = RemoteChange(remote_id, now.modified, {**now.fields, **fields})
        both.out.destination.changes = changes  # type: ignore[method-assign]
        return ChangesPage((*page.changes, old), page.position, page.more)

    both.out.destination.changes = once  # type: ignore[method-assign]


def test_a_page_that_shows_the_state_before_our_own_write_changes_nothing(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Newer' where id = 1", 1)
    both.out.deliver()
    show_earlier(both, 1, FirstName="First 1")
    both.poll()
    assert both.row(1, "first_name") == ("Newer",)
    assert (both.base(1) or {})["FirstName"] == "Newer"
    assert both.rechecks() == []
    assert both.log(1) == []


def test_a_change_right_after_our_own_write_comes_with_the_same_poll(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.deliver()
    both.edit(1, Email="theirs@example.org")
    both.poll()
    assert both.row(1, "first_name", "email") == ("Ours", "theirs@example.org")
    assert both.rechecks() == []


def test_a_record_that_is_just_being_sent_waits_until_that_is_settled(both: TwoWayProject) -> None:
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    claims.claim(both.out.store, both.out.mapping_id, limit=10, lease=60)
    both.edit(1, FirstName="Theirs")
    both.poll()
    assert both.row(1, "first_name") == ("First 1",)
    assert both.rechecks() == [both.remote_id(1)]
    end_leases(both.out.store)
    both.poll()
    assert both.row(1, "first_name", "last_name") == ("Theirs", "Ours")
    assert both.rechecks() == []


def test_an_update_does_not_write_over_a_change_that_was_not_polled_yet(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Ours', last_name = 'Ours too' where id = 1", 1)
    both.after(+60)
    both.edit(1, FirstName="Theirs")
    both.out.deliverer.step()
    assert both.out.remote()["1"]["FirstName"] == "Theirs"
    assert both.out.remote()["1"]["LastName"] == "Last 1"
    assert both.rechecks() == [both.remote_id(1)]
    assert both.out.left() == ["1"]
    both.poll()
    assert both.row(1, "first_name") == ("Theirs",)
    assert both.decisions(1)[0]["FirstName"]["verdict"] == "destination wins"
    both.out.deliver()
    assert both.out.left() == []
    assert both.out.remote()["1"]["FirstName"] == "Theirs"
    assert both.out.remote()["1"]["LastName"] == "Ours too"


def test_what_goes_out_of_a_record_makes_no_older_change_of_it_newer(both: TwoWayProject) -> None:
    both.after(-60)
    both.edit(1, FirstName="Theirs")
    both.out.change("update people set first_name = 'Ours', last_name = 'Ours too' where id = 1", 1)
    both.after(+60)  # by the time of our own write the record would be newer than the row
    both.out.deliverer.step()
    both.poll()
    both.out.deliver()
    both.settle()
    assert both.row(1, "first_name", "last_name") == ("Ours", "Ours too")
    assert both.out.remote()["1"]["FirstName"] == "Ours"
    assert both.decisions(1)[0]["FirstName"]["verdict"] == "postgres wins"


def test_an_update_that_is_newer_goes_out_once_the_poll_has_decided(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.after(-60)
    both.edit(1, FirstName="Theirs")
    both.out.deliverer.step()
    assert both.out.remote()["1"]["FirstName"] == "Theirs"
    both.poll()
    assert both.out.deliverer.step() == 1  # it need not wait any longer
    assert both.out.remote()["1"]["FirstName"] == "Ours"
    both.settle()
    assert both.row(1, "first_name") == ("Ours",)
    assert both.out.remote()["1"]["FirstName"] == "Ours"


def test_what_both_sides_changed_alike_is_not_sent_and_becomes_the_base(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Same' where id = 1", 1)
    both.edit(1, FirstName="Same")
    sent = len(both.out.destination.sent)
    both.out.deliverer.step()
    assert len(both.out.destination.sent) == sent
    assert both.out.left() == []
    assert (both.base(1) or {})["FirstName"] == "Same"


def test_a_batch_of_updates_costs_one_read(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'X'", 1, 2)
    before = len(both.out.destination.calls)
    both.out.deliverer.step()
    assert [call[0] for call in both.out.destination.calls[before:]] == ["read", "upsert"]


def test_a_killed_lane_and_a_remote_change_meet_without_loss(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.destination.faults.fail_after_write()
    both.out.deliverer.step()  # it was stored, but the answer is lost
    both.edit(1, Email="theirs@example.org")
    both.age_links()
    both.poll()
    make_due(both.out.store)
    both.settle()
    assert both.row(1, "first_name", "email") == ("Ours", "theirs@example.org")
    assert both.out.remote()["1"]["FirstName"] == "Ours"
    assert both.out.remote()["1"]["Email"] == "theirs@example.org"
