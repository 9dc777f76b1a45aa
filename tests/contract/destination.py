"""What every destination promises (`syncbridge/destinations/base.py`), as a suite that each one subclasses.

A subclass gives a `remote` fixture: the destination under test with one object that has the named fields, and the ways
in which that remote system can be made to fail. Values are given as Postgres gives them and pass through the
destination's own normal form, as they do in a delivery.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from syncbridge.destinations.base import Delivered, Destination, Rejected, Result, Traced
from syncbridge.destinations.registry import normaliser_of
from syncbridge.errors import NeedsOperator, OtherSystem, Remedy, RetryLater, SchemaDrift
from syncbridge.model import Fields, Value


@dataclass(kw_only=True)
class Remote(ABC):
    """A destination with the object that the suite works on, and its faults."""

    destination: Destination
    object: str
    key: str  # the external id field: text
    text: str  # an ordinary text field
    required: str  # a text field that a new record must have
    number: str  # a number with two digits after the point
    moment: str  # a datetime
    secrets: tuple[str, ...] = ()  # what must be shown nowhere

    @abstractmethod
    def calls(self) -> int:
        """Requests that reached the remote system so far."""

    @abstractmethod
    def refuse(self, key: str) -> None:
        """Let the remote system refuse the record with this external id."""

    @abstractmethod
    def rate_limit(self) -> None:
        """Let the remote system ask to slow down until `recover`."""

    @abstractmethod
    def go_down(self) -> None:
        """Make the remote system unavailable until `recover`."""

    @abstractmethod
    def recover(self) -> None:
        """Let everything work again."""

    @abstractmethod
    def lose_answer(self) -> None:
        """Let the remote system apply the next write but lose its answer."""

    @abstractmethod
    def refuse_login(self) -> None:
        """Let the remote system refuse the credentials."""

    def normal(self, values: dict[str, Value]) -> Fields:
        """A record in the destination's normal form."""
        fields = self.destination.describe(self.object).fields
        return {name: self.destination.normaliser(fields[name])(value) for name, value in values.items()}

    def record(self, key: str, text: str = "Ada") -> Fields:
        """A record that can be created."""
        return self.normal({self.key: key, self.required: "Lovelace", self.text: text})

    def upsert(self, *records: Fields) -> list[Result]:
        """Upsert into the suite's object."""
        return self.destination.upsert(self.object, self.key, records, lane="people")

    def create(self, *keys: str) -> list[str]:
        """Create records and return their remote ids."""
        return [delivered(result).remote_id for result in self.upsert(*(self.record(key) for key in keys))]

    def read(self, remote_ids: Sequence[str], *fields: str) -> list[Fields | None]:
        """The fields of these records."""
        records = self.destination.read(self.object, remote_ids, fields)
        return [record.fields if record else None for record in records]


def delivered(result: Result) -> Delivered:
    assert isinstance(result, Delivered), result
    return result


def rejected(result: Result) -> Rejected:
    assert isinstance(result, Rejected), result
    return result


class DestinationContract:
    """Subclass this and give a `remote` fixture."""

    # -- at-least-once --------------------------------------------------------------------------------------------

    def test_an_upsert_creates_and_the_same_again_changes_nothing(self, remote: Remote) -> None:
        first = delivered(remote.upsert(remote.record("k1"))[0])
        second = delivered(remote.upsert(remote.record("k1"))[0])
        assert (first.created, second.created) == (True, False)
        assert first.remote_id == second.remote_id
        found = remote.destination.find(remote.object, remote.key, ["k1"])
        assert [record.remote_id for record in found["k1"]] == [first.remote_id]

    def test_an_external_id_in_another_case_is_the_same_record(self, remote: Remote) -> None:
        first, second = remote.upsert(remote.record("Key-1", "one"), remote.record("KEY-1", "two"))
        assert delivered(first).remote_id == delivered(second).remote_id
        assert remote.read([delivered(first).remote_id], remote.text) == [{remote.text: "two"}]

    def test_a_lost_answer_is_uncertain_and_the_retry_makes_no_second_record(self, remote: Remote) -> None:
        remote.destination.describe(remote.object)
        remote.lose_answer()
        lost = rejected(remote.upsert(remote.record("k1"))[0])
        assert (lost.remedy, lost.uncertain) == (Remedy.RETRY, True)
        again = delivered(remote.upsert(remote.record("k1"))[0])
        assert not again.created
        assert len(remote.destination.find(remote.object, remote.key, ["k1"])["k1"]) == 1

    def test_deleting_twice_and_deleting_a_missing_record_succeed(self, remote: Remote) -> None:
        (remote_id,) = remote.create("k1")
        for _ in range(2):
            assert delivered(remote.destination.delete(remote.object, [remote_id])[0]).remote_id == remote_id
        assert remote.read([remote_id], remote.text) == [None]

    # -- writing by remote id -------------------------------------------------------------------------------------

    def update(self, remote: Remote, *records: tuple[str, Fields]) -> list[Result]:
        return remote.destination.update(remote.object, records, lane="people")

    def test_an_update_writes_what_it_is_given_and_leaves_the_rest(self, remote: Remote) -> None:
        one, two = remote.create("k1", "k2")
        results = self.update(remote, (two, {remote.text: "Two"}), (one, {remote.required: "Byron"}))
        assert [delivered(result).remote_id for result in results] == [two, one]
        assert not any(delivered(result).created for result in results)
        assert remote.read([one, two], remote.text, remote.required) == [
            {remote.text: "Ada", remote.required: "Byron"},
            {remote.text: "Two", remote.required: "Lovelace"},
        ]

    def test_an_update_may_set_the_external_id_which_upserts_then_go_by(self, remote: Remote) -> None:
        (remote_id,) = remote.create("k1")
        for _ in range(2):
            delivered(self.update(remote, (remote_id, remote.normal({remote.key: "k2"})))[0])
        upserted = delivered(remote.upsert(remote.record("k2", "Grace"))[0])
        assert (upserted.remote_id, upserted.created) == (remote_id, False)
        assert remote.destination.find(remote.object, remote.key, ["k1"]) == {}

    def test_an_external_id_that_another_record_has_is_refused_and_names_the_other(self, remote: Remote) -> None:
        one, two = remote.create("Key-1", "k2")
        refused = rejected(self.update(remote, (two, {remote.key: "KEY-1", remote.text: "no"}))[0])
        assert (refused.remedy, refused.remote_id) == (Remedy.ADOPT, one)
        assert remote.read([two], remote.key, remote.text) == [{remote.key: "k2", remote.text: "Ada"}]

    def test_an_update_of_a_record_that_is_gone_says_so_and_creates_none(self, remote: Remote) -> None:
        one, two = remote.create("k1", "k2")
        remote.destination.delete(remote.object, [one])
        gone, kept = self.update(remote, (one, remote.record("k1")), (two, remote.record("k2", "Two")))
        assert rejected(gone).remedy is Remedy.GONE
        assert delivered(kept).remote_id == two
        assert remote.destination.find(remote.object, remote.key, ["k1"]) == {}

    def test_more_updates_than_one_call_takes_are_split(self, remote: Remote) -> None:
        ids = remote.create(*(f"k{number}" for number in range(remote.destination.batch_size + 1)))
        before = remote.calls()
        written = remote.normal({remote.text: "New"})
        results = self.update(remote, *((remote_id, written) for remote_id in ids))
        assert [delivered(result).remote_id for result in results] == ids
        assert remote.calls() - before <= 2
        assert self.update(remote) == []

    # -- one result per record, in order --------------------------------------------------------------------------

    def test_results_match_the_records_in_number_and_order(self, remote: Remote) -> None:
        keys = [f"k{number}" for number in range(25)]
        ids = remote.create(*keys)
        assert len(set(ids)) == 25
        assert [fields and fields[remote.key] for fields in remote.read(ids, remote.key)] == keys
        assert [fields and fields[remote.key] for fields in remote.read(ids[::-1], remote.key)] == keys[::-1]

    def test_a_refused_record_does_not_fail_its_neighbours(self, remote: Remote) -> None:
        remote.refuse("k2")
        one, two, three = remote.upsert(*(remote.record(key) for key in ("k1", "k2", "k3")))
        assert rejected(two).code
        assert not rejected(two).uncertain
        assert delivered(one).remote_id != delivered(three).remote_id

    def test_more_records_than_one_call_takes_are_split(self, remote: Remote) -> None:
        count = remote.destination.batch_size * 2 + 1
        results = remote.upsert(*(remote.record(f"k{number}") for number in range(count)))
        assert len({delivered(result).remote_id for result in results}) == count
        deleted = remote.destination.delete(remote.object, [delivered(result).remote_id for result in results])
        assert [delivered(result).remote_id for result in deleted] == [delivered(r).remote_id for r in results]

    def test_nothing_to_do_makes_no_call(self, remote: Remote) -> None:
        remote.destination.describe(remote.object)
        before = remote.calls()
        assert remote.upsert() == []
        assert remote.destination.delete(remote.object, []) == []
        assert remote.destination.read(remote.object, [], [remote.text]) == []
        assert remote.destination.find(remote.object, remote.key, []) == {}
        assert remote.calls() == before

    def test_a_trace_sees_what_is_sent_and_answered_and_no_secret(self, remote: Remote) -> None:
        traced: list[Traced] = []
        remote.destination.trace = traced.append
        remote_id = delivered(remote.upsert(remote.record("k1", "Grace"))[0]).remote_id
        remote.destination.trace = None
        remote.upsert(remote.record("k2"))
        (call,) = [each for each in traced if "Grace" in str(each.request)]
        assert remote_id in str(call.answer)
        assert "k2" not in str(traced)
        assert not [secret for secret in remote.secrets if secret in str(traced)]

    def test_a_record_without_its_external_id_is_refused_and_never_created(self, remote: Remote) -> None:
        assert rejected(remote.upsert({**remote.record("k1"), remote.key: None})[0]).remedy is Remedy.RECORD

    def test_a_field_that_does_not_exist_is_named(self, remote: Remote) -> None:
        unknown = {**remote.record("k1"), "No_Such_Field": "x"}
        result = rejected(remote.upsert(unknown)[0])
        assert result.remedy is Remedy.SCHEMA
        assert "No_Such_Field" in result.fields

    # -- normal form ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "text", ["Łódź", "東京", "e\u0301", "👩🏽‍🚀", "O'Hara", 'say "hi"', "a\\b", "50% & <b>", "a\nb"]
    )
    def test_text_comes_back_in_normal_form(self, remote: Remote, text: str) -> None:
        sent = remote.record("k1", text)
        (result,) = remote.upsert(sent)
        assert remote.read([delivered(result).remote_id], remote.text) == [{remote.text: sent[remote.text]}]

    def test_the_type_alone_gives_the_same_normal_form_without_a_login(self, remote: Remote) -> None:
        fields = remote.destination.describe(remote.object).fields
        normaliser = normaliser_of("any", remote.destination.type)
        given: dict[str, Value] = {
            remote.text: "  Ada ",
            remote.number: Decimal("1.25"),
            remote.moment: datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        }
        assert {name: normaliser(fields[name])(value) for name, value in given.items()} == remote.normal(given)

    def test_null_clears_a_field_and_absent_leaves_it(self, remote: Remote) -> None:
        (remote_id,) = remote.create("k1")
        remote.upsert({remote.key: "k1", remote.required: "Byron"})
        assert remote.read([remote_id], remote.text) == [{remote.text: "Ada"}]
        remote.upsert({remote.key: "k1", remote.text: None})
        assert remote.read([remote_id], remote.text, remote.required) == [{remote.text: None, remote.required: "Byron"}]

    def test_what_is_read_is_in_normal_form_already(self, remote: Remote) -> None:
        values: dict[str, Value] = {
            remote.key: "k1",
            remote.required: "  Lovelace ",
            remote.text: "",
            remote.number: Decimal("1234.50"),
            remote.moment: datetime(2026, 5, 1, 7, 25, 37, 123456, tzinfo=UTC),
        }
        sent = remote.normal(values)
        (result,) = remote.upsert(sent)
        (stored,) = remote.read([delivered(result).remote_id], *sent)
        assert stored == sent
        assert remote.normal(dict(stored)) == sent

    # -- reading --------------------------------------------------------------------------------------------------

    def test_reading_a_record_that_is_gone_gives_none_in_its_place(self, remote: Remote) -> None:
        one, two, three = remote.create("k1", "k2", "k3")
        remote.destination.delete(remote.object, [two])
        assert remote.read([one, two, three], remote.key) == [{remote.key: "k1"}, None, {remote.key: "k3"}]

    def test_find_gives_all_records_of_each_value_and_leaves_out_the_others(self, remote: Remote) -> None:
        results = remote.upsert(remote.record("k1", "Same"), remote.record("k2", "same"), remote.record("k3", "O'Ne"))
        one, two, three = (delivered(result).remote_id for result in results)
        found = remote.destination.find(remote.object, remote.text, ["Same", "O'Ne", "nobody", None], [remote.key])
        assert set(found) == {"Same", "O'Ne"}
        assert {record.remote_id for record in found["Same"]} == {one, two}
        assert [(record.remote_id, record.fields[remote.key]) for record in found["O'Ne"]] == [(three, "k3")]

    def test_describe_knows_the_object_and_names_near_ones(self, remote: Remote) -> None:
        described = remote.destination.describe(remote.object)
        assert {remote.key, remote.text, remote.required, remote.number, remote.moment} <= set(described.fields)
        assert described.name in remote.destination.objects()
        with pytest.raises(SchemaDrift) as drift:
            remote.destination.describe(remote.object + "x")
        assert remote.object in drift.value.hint

    # -- whole calls ----------------------------------------------------------------------------------------------

    def test_a_rate_limit_is_retried_later_and_then_works(self, remote: Remote) -> None:
        remote.destination.describe(remote.object)
        remote.rate_limit()
        with pytest.raises(RetryLater) as limited:
            remote.upsert(remote.record("k1"))
        assert limited.value.delay is None or limited.value.delay > 0
        remote.recover()
        assert delivered(remote.upsert(remote.record("k1"))[0]).created

    def test_a_destination_that_is_down_is_retried_later_and_then_works(self, remote: Remote) -> None:
        remote.destination.describe(remote.object)
        remote.go_down()
        with pytest.raises(RetryLater):
            remote.upsert(remote.record("k1"))
        remote.recover()
        assert delivered(remote.upsert(remote.record("k1"))[0])

    def test_a_refused_login_needs_a_person_and_shows_no_secret(self, remote: Remote) -> None:
        remote.refuse_login()
        with pytest.raises(NeedsOperator) as refused:
            remote.upsert(remote.record("k1"))
        findings = remote.destination.verify()
        assert [finding.severity for finding in findings] == ["error"]
        shown = f"{refused.value!r} {refused.value} {refused.value.hint} {findings} {remote.destination!r}"
        assert not [secret for secret in remote.secrets if secret in shown]

    def test_a_ready_destination_has_no_errors_to_report(self, remote: Remote) -> None:
        assert [finding for finding in remote.destination.verify() if finding.severity == "error"] == []

    # -- which system it is -------------------------------------------------------------------------------------------

    def test_it_tells_which_system_it_is_and_always_the_same(self, remote: Remote) -> None:
        told: list[str] = []
        remote.destination.admit = told.append
        assert remote.destination.verify() == []
        identity = remote.destination.identity()
        assert identity
        assert told == [identity]
        remote.create("k1")
        assert told == [identity]

    def test_a_system_that_is_not_let_in_is_not_written_to(self, remote: Remote) -> None:
        record = remote.record("k1")

        def refuse(identity: str) -> None:
            raise OtherSystem("another org", hint="Mend it.")

        remote.destination.admit = refuse
        assert [(finding.severity, finding.message) for finding in remote.destination.verify()] == [
            ("error", "another org")
        ]
        for _ in range(2):
            with pytest.raises(OtherSystem):
                remote.upsert(record)
        remote.destination.admit = None
        assert remote.destination.find(remote.object, remote.key, ["k1"]) == {}
        remote.upsert(record)
        assert len(remote.destination.find(remote.object, remote.key, ["k1"])) == 1

    # -- life -----------------------------------------------------------------------------------------------------

    def test_limits_are_known_without_a_call(self, remote: Remote) -> None:
        remote.create("k1")
        before = remote.calls()
        limits = remote.destination.limits()
        assert limits.state == "ok"
        assert limits.calls > 0
        assert remote.calls() == before

    def test_time_limits_are_finite(self, remote: Remote) -> None:
        assert 0 < remote.destination.call_seconds < 3600
        assert remote.destination.calls_in_flight >= 1

    def test_several_threads_may_call_at_once(self, remote: Remote) -> None:
        results: dict[int, list[Result]] = {}

        def deliver(number: int) -> None:
            records = [remote.record(f"k{number}-{index}") for index in range(20)]
            results[number] = remote.destination.upsert(remote.object, remote.key, records, lane=f"lane{number}")

        threads = [threading.Thread(target=deliver, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({delivered(result).remote_id for many in results.values() for result in many}) == 120

    def test_close_twice_leaves_no_thread(self, remote: Remote) -> None:
        before = set(threading.enumerate())
        remote.create("k1")
        remote.destination.close()
        remote.destination.close()
        assert set(threading.enumerate()) <= before
