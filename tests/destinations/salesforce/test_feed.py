"""The feed of changes from an org: late visibility, merges, undeletes, emptied bins, and the cost of all that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from syncbridge.destinations.salesforce.feed import OVERLAP, WIDE, Place, first_place, next_round
from syncbridge.errors import NeedsOperator, SchemaDrift
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.contract.destination import Remote
from tests.contract.feed import FeedContract
from tests.destinations.salesforce.fix_salesforce import FakeTime
from tests.destinations.salesforce.test_contract import SalesforceRemote, remote_on


class TestSalesforceFeed(FeedContract):
    @pytest.fixture
    def remote(self, server: SandboxServer, fake_time: FakeTime) -> Iterator[Remote]:
        remote = remote_on(server, fake_time)
        remote.destination.describe(remote.object)
        yield remote
        remote.destination.close()

    def pass_time(self, remote: Remote, seconds: float) -> None:
        assert isinstance(remote, SalesforceRemote)
        remote.server.control.advance_clock(seconds)

    def test_records_that_become_visible_late_are_not_left_out(self, remote: Remote, server: SandboxServer) -> None:
        position = self.begin(remote)
        server.control.set_late_visibility(3, 3)
        (late,) = remote.create("k1")
        server.control.set_late_visibility(0, 0)
        self.pass_time(remote, 2)
        (later,) = remote.create("k2")
        changes, position = self.read(remote, position)
        assert [each.remote_id for each in changes] == [later]
        self.pass_time(remote, 2)
        assert late in self.last(self.read(remote, position)[0])

    def test_what_a_long_transaction_shows_after_minutes_comes_with_a_wide_round(
        self, remote: Remote, server: SandboxServer
    ) -> None:
        position = self.begin(remote)
        server.control.set_late_visibility(300, 300)
        (late,) = remote.create("k1")
        server.control.set_late_visibility(0, 0)
        seen: set[str] = set()
        for _ in range(8):
            self.pass_time(remote, 150)
            changes, position = self.read(remote, position)
            seen.update(each.remote_id for each in changes)
        assert seen == {late}

    def test_more_records_of_one_second_than_a_page_are_all_read(self, remote: Remote, server: SandboxServer) -> None:
        position = self.begin(remote)
        server.control.set_page_size(200)
        ids = remote.create(*(f"k{number}" for number in range(450)))
        changes, _ = self.read(remote, position)
        assert sorted(each.remote_id for each in changes) == sorted(ids)

    def test_the_loser_of_a_merge_names_the_record_that_took_it_over(
        self, remote: Remote, server: SandboxServer
    ) -> None:
        master, loser = remote.create("k1", "k2")
        position = self.begin(remote)
        server.control.merge("Contact", master, [loser], FirstName="Grace")
        last = self.last(self.read(remote, position)[0])
        assert (last[loser].deleted, last[loser].merged_into) == (True, master)
        assert last[master].fields == {"FirstName": "Grace"}
        (gone,) = remote.destination.current("Contact", [loser], ["FirstName"])
        assert gone == last[loser]

    def test_an_undeleted_record_comes_again(self, remote: Remote, server: SandboxServer) -> None:
        (one,) = remote.create("k1")
        remote.destination.delete("Contact", [one])
        self.pass_time(remote, 60)
        position = self.begin(remote)
        server.control.undelete("Contact", [one])
        (change,) = self.read(remote, position)[0]
        assert (change.remote_id, change.deleted, change.fields) == (one, False, {"FirstName": "Ada"})

    def test_a_page_asks_for_the_fields_that_are_mapped_and_no_others(
        self, remote: Remote, server: SandboxServer
    ) -> None:
        position = self.begin(remote)
        server.control.reset_stats()
        self.read(remote, position, "FirstName", "external_key__c")
        (request,) = server.control.requests()
        assert (
            "q=SELECT+Id%2C+FirstName%2C+External_Key__c%2C+SystemModstamp%2C+IsDeleted%2C+MasterRecordId+FROM"
            in (request["path"])
        )

    def test_an_object_without_a_time_of_change_cannot_be_polled(self, remote: Remote, server: SandboxServer) -> None:
        server.control.remove_field("Contact", "SystemModstamp")
        remote.destination.describe("Contact", refresh=True)
        with pytest.raises(SchemaDrift, match="SystemModstamp"):
            remote.destination.changes("Contact", ["FirstName"], None)


NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def after(place: Place, seconds: float) -> Place:
    """The round after this one, which is read so many seconds after NOW."""
    began = (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return next_round(Place(**{**_parts(place), "began": began}))


def _parts(place: Place) -> dict[str, str]:
    return {name: getattr(place, name) for name in ("since", "after", "began", "wide", "deletes_since")}


def test_rounds_leave_no_second_out_whatever_their_rhythm() -> None:
    place = first_place(NOW)
    seconds = 0.0
    for step in (1, 30, 30, 400, 200, 5, 3600, 1):
        before, seconds = seconds, seconds + step
        place = after(place, seconds)
        since = datetime.fromisoformat(place.since)
        assert since <= NOW + timedelta(seconds=seconds) - OVERLAP
        assert (place.after, place.began) == ("", "")
        if place.deletes_since:
            assert since <= NOW + timedelta(seconds=before) - WIDE + timedelta(seconds=step)
        assert Place.read(str(place)) == place


def test_a_wide_round_comes_every_ten_minutes_and_reaches_behind_the_last() -> None:
    place = first_place(NOW)
    assert not after(place, 599).deletes_since
    wide = after(place, 600)
    assert wide.since == wide.deletes_since == "2026-03-01T11:50:00Z"
    following = after(wide, 630)
    assert (following.deletes_since, following.wide) == ("", "2026-03-01T12:10:00Z")


def test_a_position_that_is_none_needs_a_person() -> None:
    with pytest.raises(NeedsOperator, match="position"):
        Place.read("7")
