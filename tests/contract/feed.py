"""What every destination's feed of changes promises (`Destination.changes`, `current`), as a suite to subclass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from syncbridge.destinations.feed import RemoteChange
from syncbridge.errors import RetryLater
from tests.contract.destination import Remote, delivered


class FeedContract:
    """Give a `remote` fixture, and `pass_time` where the destination's clock has to be moved."""

    def pass_time(self, remote: Remote, seconds: float) -> None:
        """Let the destination's clock go on."""

    def begin(self, remote: Remote) -> str:
        page = remote.destination.changes(remote.object, [remote.text], None, lane="people")
        assert (page.changes, page.more) == ((), False)
        return page.position

    def read(self, remote: Remote, position: str, *fields: str) -> tuple[list[RemoteChange], str]:
        """All changes up to now, and where to go on."""
        changes: list[RemoteChange] = []
        for _ in range(100):
            page = remote.destination.changes(remote.object, fields or [remote.text], position, lane="people")
            changes += page.changes
            position = page.position
            if not page.more:
                return changes, position
        raise AssertionError("the feed does not come to an end")

    def last(self, changes: Sequence[RemoteChange]) -> dict[str, RemoteChange]:
        """What the feed told last of each record."""
        return {change.remote_id: change for change in changes}

    def test_what_is_created_and_changed_comes_with_its_fields_and_time(self, remote: Remote) -> None:
        position = self.begin(remote)
        one, two = remote.create("k1", "k2")
        changes, position = self.read(remote, position, remote.text, remote.key)
        assert {id: each.fields for id, each in self.last(changes).items()} == {
            one: {remote.text: "Ada", remote.key: "k1"},
            two: {remote.text: "Ada", remote.key: "k2"},
        }
        self.pass_time(remote, 5)
        remote.destination.update(remote.object, [(two, {remote.text: "Grace"})])
        later = self.last(self.read(remote, position)[0])[two]
        assert later.fields == {remote.text: "Grace"}
        assert later.modified > self.last(changes)[two].modified
        assert later.modified - self.last(changes)[two].modified < timedelta(minutes=1)
        assert later.modified.tzinfo is not None

    def test_what_was_there_before_the_feed_began_comes_only_when_it_changes(self, remote: Remote) -> None:
        (old,) = remote.create("k1")
        self.pass_time(remote, 60)
        position = self.begin(remote)
        assert self.read(remote, position)[0] == []
        remote.destination.update(remote.object, [(old, {remote.text: "Grace"})])
        assert [each.remote_id for each in self.read(remote, position)[0]] == [old]

    def test_a_deleted_record_comes_as_deleted(self, remote: Remote) -> None:
        one, two = remote.create("k1", "k2")
        position = self.begin(remote)
        remote.destination.delete(remote.object, [one])
        change = self.last(self.read(remote, position)[0])[one]
        assert (change.deleted, change.fields, change.merged_into) == (True, {}, None)
        gone, there = remote.destination.current(remote.object, [one, two], [remote.text])
        assert (gone.deleted, there.deleted) == (True, False)

    def test_more_changes_than_a_page_takes_come_in_pages_none_left_out(self, remote: Remote) -> None:
        position = self.begin(remote)
        ids = remote.create(*(f"k{number}" for number in range(remote.destination.batch_size * 2 + 3)))
        changes, position = self.read(remote, position)
        assert set(self.last(changes)) == set(ids)
        self.pass_time(remote, 60)
        assert self.read(remote, self.read(remote, position)[1])[0] == []

    def test_the_feed_goes_on_from_any_position_in_another_process(self, remote: Remote) -> None:
        position = self.begin(remote)
        remote.create(*(f"k{number}" for number in range(remote.destination.batch_size + 3)))
        first = remote.destination.changes(remote.object, [remote.text], position)
        again, _ = self.read(remote, first.position)
        whole, _ = self.read(remote, position)
        assert self.last([*first.changes, *again]) == self.last(whole)

    def test_an_idle_poll_costs_one_call(self, remote: Remote) -> None:
        position = self.begin(remote)
        _, position = self.read(remote, position)
        before = remote.calls()
        self.read(remote, position)
        assert remote.calls() - before == 1
        assert remote.destination.calls_made()

    def test_current_values_come_in_order_and_agree_with_the_feed(self, remote: Remote) -> None:
        position = self.begin(remote)
        ids = remote.create("k1", "k2", "k3")
        known = self.last(self.read(remote, position)[0])
        assert remote.destination.current(remote.object, ids[::-1], [remote.text]) == [known[id] for id in ids[::-1]]
        assert remote.destination.current(remote.object, [], [remote.text]) == []

    def test_what_is_undeleted_or_created_anew_comes_as_it_is(self, remote: Remote) -> None:
        position = self.begin(remote)
        (first,) = remote.create("k1")
        remote.destination.delete(remote.object, [first])
        second = delivered(remote.upsert(remote.record("k1"))[0]).remote_id
        last = self.last(self.read(remote, position)[0])
        assert (last[first].deleted, last[second].deleted) == (True, False)

    def test_a_feed_that_is_down_is_read_later_from_the_same_place(self, remote: Remote) -> None:
        position = self.begin(remote)
        remote.create("k1")
        remote.go_down()
        with pytest.raises(RetryLater):
            self.read(remote, position)
        remote.recover()
        assert len(self.read(remote, position)[0]) == 1
