"""Many records as few calls, and their answers back as results in order. No HTTP here."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.destinations.base import Delivered, Rejected
from syncbridge.destinations.salesforce.client import CallRejected
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.writes import SMALLER_CALLS, calls_for, deletes, send_all, upserts
from syncbridge.errors import QuotaExhausted, Remedy, RetryLater, SyncbridgeError
from syncbridge.model import Fields

KEY = "Key__c"


class Remote:
    """Answers upserts; refuses a whole call that holds `poison`."""

    def __init__(self, *, poison: str = "", refused: Rejected | None = None, quota: int = 1000) -> None:
        self.poison = poison
        self.refused = refused or Rejected("JSON_PARSER_ERROR", "no", Remedy.RECORD)
        self.quota = quota
        self.calls: list[list[str]] = []

    def __call__(self, request: Request) -> Any:
        keys = [record[KEY] for record in orjson.loads(request.body or b"")["records"]]
        if len(self.calls) >= self.quota:
            raise QuotaExhausted("spent")
        self.calls.append(keys)
        if self.poison in keys:
            raise CallRejected(self.refused)
        return [{"id": f"id-{key}", "success": True, "errors": [], "created": False} for key in keys]


def records(count: int) -> list[Fields]:
    return [{KEY: f"k{number}"} for number in range(count)]


@given(st.lists(st.sampled_from("abcde"), max_size=40), st.integers(1, 7))
def test_every_record_is_in_one_call_and_equal_keys_never_together(keys: list[str], size: int) -> None:
    waves = list(calls_for(keys, size))
    calls = [call for wave in waves for call in wave]
    assert sorted(position for call in calls for position in call) == list(range(len(keys)))
    assert all(len(call) <= size for call in calls)
    order: dict[str, list[int]] = {}
    for wave in waves:
        in_flight = [position for call in wave for position in call]
        assert len({keys[position] for position in in_flight}) == len(in_flight)
        for position in in_flight:
            order.setdefault(keys[position], []).append(position)
    assert all(positions == sorted(positions) for positions in order.values())


def test_results_come_in_the_order_of_the_records() -> None:
    results = send_all(upserts("Contact", KEY), records(5), Remote())
    assert results == [Delivered(f"id-k{number}") for number in range(5)]


@pytest.mark.parametrize("position", [0, 99, 199])
def test_one_record_that_spoils_its_call_is_found_and_its_neighbours_get_through(position: int) -> None:
    remote = Remote(poison=f"k{position}")
    results = send_all(upserts("Contact", KEY), records(200), remote)
    refused = [at for at, result in enumerate(results) if isinstance(result, Rejected)]
    assert refused == [position]
    assert results[position] == Rejected("JSON_PARSER_ERROR", "no", Remedy.RECORD)
    assert len(remote.calls) <= SMALLER_CALLS + 1


def test_a_lost_answer_is_not_sent_again_in_smaller_calls() -> None:
    remote = Remote(poison="k1", refused=Rejected("TIMEOUT", "lost", Remedy.RETRY, uncertain=True))
    results = send_all(upserts("Contact", KEY), records(4), remote)
    assert results == [remote.refused] * 4
    assert len(remote.calls) == 1


def test_what_concerns_every_call_is_raised_before_anything_was_answered() -> None:
    with pytest.raises(QuotaExhausted):
        send_all(upserts("Contact", KEY), records(4), Remote(quota=0))


def test_what_was_answered_is_kept_when_smaller_calls_are_cut_short() -> None:
    remote = Remote(poison="k0", quota=3)
    results = send_all(upserts("Contact", KEY), records(200), remote)
    assert len(results) == 200
    assert {result.remedy for result in results if isinstance(result, Rejected)} == {Remedy.RETRY_SMALLER}


def test_an_answer_that_is_refused_for_good_ends() -> None:
    def refuse(request: Request) -> Any:
        raise CallRejected(Rejected("UNKNOWN_EXCEPTION", "gack", Remedy.RETRY_SMALLER))

    results = send_all(upserts("Contact", KEY), records(1), refuse)
    assert results == [Rejected("UNKNOWN_EXCEPTION", "gack", Remedy.RETRY)]


def test_several_errors_of_one_row_are_told_together() -> None:
    errors = [
        {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"]},
        {
            "statusCode": "STRING_TOO_LONG",
            "message": "City: data value too large: x (max length=4)",
            "fields": ["City"],
        },
    ]
    (result,) = send_all(upserts("Contact", KEY), records(1), lambda _: [{"success": False, "errors": errors}])
    assert isinstance(result, Rejected)
    assert result.fields == ("Name", "City")
    assert result.code == "REQUIRED_FIELD_MISSING"


def test_a_delete_of_what_is_gone_is_delivered_and_of_what_is_protected_is_not() -> None:
    rows = [
        {"success": False, "errors": [{"statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}]},
        {"success": False, "errors": [{"statusCode": "INSUFFICIENT_ACCESS_OR_READONLY", "message": "no access"}]},
    ]
    gone, kept = send_all(deletes(), ["003a", "003b"], lambda _: rows)
    assert gone == Delivered("003a")
    assert isinstance(kept, Rejected)
    assert kept.remedy is Remedy.RECORD


def test_errors_of_other_kinds_are_not_swallowed() -> None:
    def fail(request: Request) -> Any:
        raise RetryLater("down")

    with pytest.raises(SyncbridgeError):
        send_all(deletes(), ["003a"], fail)
