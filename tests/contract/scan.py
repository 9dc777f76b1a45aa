"""What every destination's scan of all records promises (`Destination.scan`), as a suite to subclass."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from syncbridge.destinations.feed import RemoteChange, ScanLost
from syncbridge.errors import RetryLater, SchemaDrift
from tests.contract.destination import Remote


class ScanContract:
    """Give a `remote` fixture."""

    def scan(self, remote: Remote, *fields: str, position: str | None = None) -> list[RemoteChange]:
        """All records from a position on."""
        records: list[RemoteChange] = []
        for _ in range(200):
            page = remote.destination.scan(remote.object, fields or [remote.text], position, lane="people")
            records += page.records
            position = page.position
            if not page.more:
                return records
        raise AssertionError("the scan does not come to an end")

    def test_all_records_come_once_as_current_shows_them(self, remote: Remote) -> None:
        ids = remote.create(*(f"k{number}" for number in range(remote.destination.batch_size * 2 + 3)))
        records = self.scan(remote, remote.text, remote.key)
        assert sorted(each.remote_id for each in records) == sorted(ids)
        names = [each.remote_id for each in records]
        assert records == remote.destination.current(remote.object, names, [remote.text, remote.key])

    def test_values_are_in_normal_form_whatever_their_type(self, remote: Remote) -> None:
        values = remote.normal(
            {
                remote.key: "k1",
                remote.required: ' a "quoted",\r\nlong näme',
                remote.text: None,
                remote.number: Decimal("-12.50"),
                remote.moment: datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
            }
        )
        remote.upsert(values, remote.record("k2"))
        found = {each.fields[remote.key]: each for each in self.scan(remote, *values)}
        assert found["k1"].fields == values
        assert (found["k2"].fields[remote.number], found["k2"].fields[remote.moment]) == (None, None)
        assert found["k1"].modified.tzinfo is not None

    def test_records_that_hold_something_in_a_field_are_counted(self, remote: Remote) -> None:
        assert remote.destination.count(remote.object, remote.key) == 0
        one, _, _ = remote.create("k1", "k2", "k3")
        remote.destination.update(remote.object, [(one, {remote.key: None})])
        before = sum(remote.destination.calls_made().values())
        assert remote.destination.count(remote.object, remote.key, lane="people") == 2
        assert sum(remote.destination.calls_made().values()) == before + 1
        with pytest.raises(SchemaDrift):
            remote.destination.count(remote.object, "No_Such_Field__c")

    def test_an_object_without_records_has_one_empty_page(self, remote: Remote) -> None:
        assert self.scan(remote) == []

    def test_deleted_records_do_not_come(self, remote: Remote) -> None:
        one, two = remote.create("k1", "k2")
        remote.destination.delete(remote.object, [one])
        assert [each.remote_id for each in self.scan(remote)] == [two]

    def test_a_scan_goes_on_from_any_position_and_shows_the_same_page_again(self, remote: Remote) -> None:
        remote.create(*(f"k{number}" for number in range(remote.destination.batch_size + 3)))
        whole = sorted(self.scan(remote), key=lambda each: each.remote_id)
        seen: list[RemoteChange] = []
        position = None
        for _ in range(200):
            page = remote.destination.scan(remote.object, [remote.text], position)
            rest = self.scan(remote, position=page.position) if page.more else []
            seen += page.records
            assert sorted([*seen, *rest], key=lambda each: each.remote_id) == whole
            if not page.more:
                break
            again = remote.destination.scan(remote.object, [remote.text], page.position)
            assert remote.destination.scan(remote.object, [remote.text], page.position).records == again.records
            position = page.position
        assert len(seen) == len(whole)

    def test_the_total_is_told_by_the_last_page(self, remote: Remote) -> None:
        remote.create("k1", "k2", "k3")
        page = remote.destination.scan(remote.object, [remote.text], None)
        while page.more:
            page = remote.destination.scan(remote.object, [remote.text], page.position)
        assert page.total == 3

    def test_an_unknown_field_is_drift(self, remote: Remote) -> None:
        with pytest.raises(SchemaDrift, match="Nosuch__c"):
            remote.destination.scan(remote.object, ["Nosuch__c"], None)

    def test_a_scan_that_nobody_goes_on_with_can_be_stopped(self, remote: Remote) -> None:
        remote.create("k1")
        page = remote.destination.scan(remote.object, [remote.text], None)
        for _ in range(2):
            remote.destination.stop_scan(remote.object, page.position)
        assert len(self.scan(remote)) == 1

    def test_a_scan_that_is_down_goes_on_later_from_the_same_place(self, remote: Remote) -> None:
        remote.create("k1")
        remote.go_down()
        with pytest.raises(RetryLater):
            self.scan(remote)
        remote.recover()
        assert len(self.scan(remote)) == 1


class WorkedScanContract(ScanContract):
    """For those that do something of their own for a scan; say how that is held, and lost."""

    def hold(self, remote: Remote) -> None:
        """Let the destination's own work for a scan wait until `release`."""
        raise NotImplementedError

    def release(self, remote: Remote) -> None:
        """Let it go on, and wait until it is done."""
        raise NotImplementedError

    def lose(self, remote: Remote) -> None:
        """Let the destination forget all scans."""
        raise NotImplementedError

    def test_while_the_destination_works_a_page_is_empty_and_says_when_to_ask_again(self, remote: Remote) -> None:
        (one,) = remote.create("k1")
        self.hold(remote)
        page = remote.destination.scan(remote.object, [remote.text], None)
        page = remote.destination.scan(remote.object, [remote.text], page.position)
        assert (page.records, page.more) == ((), True)
        assert page.delay > 0
        self.release(remote)
        assert [each.remote_id for each in self.scan(remote, position=page.position)] == [one]

    def test_a_scan_that_the_destination_lost_says_so_and_can_be_begun_anew(self, remote: Remote) -> None:
        remote.create(*(f"k{number}" for number in range(remote.destination.batch_size + 3)))
        page = remote.destination.scan(remote.object, [remote.text], None)
        self.lose(remote)
        with pytest.raises(ScanLost) as lost:
            self.scan(remote, position=page.position)
        assert isinstance(lost.value, RetryLater)
        assert lost.value.code == "SCAN_LOST"
        assert len(self.scan(remote)) == remote.destination.batch_size + 3
