"""What gets through in smaller calls does, and what does not costs its neighbours nothing. No HTTP here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.destinations.base import Delivered, Rejected
from syncbridge.destinations.salesforce.client import CallRejected
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.smaller import LOCK_PAUSES, SMALLER_CALLS, send_all
from syncbridge.destinations.salesforce.writes import upserts
from syncbridge.errors import QuotaExhausted, Remedy, RetryLater
from syncbridge.model import Fields

KEY = "Key__c"
UNREADABLE = Rejected("JSON_PARSER_ERROR", "no", Remedy.RECORD)
GACK = Rejected("UNKNOWN_EXCEPTION", "gack", Remedy.RETRY_SMALLER)
TOO_LONG = Rejected("REQUEST_RUNNING_TOO_LONG", "too long", Remedy.RETRY_SMALLER)
LOCK = {"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain exclusive access to this record"}
TRIGGER = {
    "statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "message": "People: execution of BeforeUpdate caused by: System.NullPointerException: Attempt to de-reference",
}
APEX_LIMIT = {"statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "message": "People: Too many SOQL queries: 101"}
WRONG = {"statusCode": "STRING_TOO_LONG", "message": "City: data value too large: x (max length=4)"}

#: What is wrong with a call: an error of every row, or the refusal of the whole call.
Fault = Callable[[Sequence[str]], Rejected | dict[str, str] | None]


class Remote:
    """Answers upserts. `fault` says what is wrong with a whole call, `rows` with single records."""

    def __init__(self, fault: Fault = lambda keys: None, rows: dict[str, dict[str, str]] | None = None) -> None:
        self.fault = fault
        self.rows = rows or {}
        self.calls: list[list[str]] = []
        self.paused: list[int] = []

    def __call__(self, request: Request) -> Any:
        keys = [record[KEY] for record in orjson.loads(request.body or b"")["records"]]
        self.calls.append(keys)
        fault = self.fault(keys)
        if isinstance(fault, Rejected):
            raise CallRejected(fault)
        return [_row(key, fault or self.rows.get(key)) for key in keys]

    def pause(self, round: int) -> bool:
        self.paused.append(round)
        return True


def _row(key: str, error: dict[str, str] | None) -> dict[str, Any]:
    if error is not None:
        return {"success": False, "errors": [error]}
    return {"id": f"id-{key}", "success": True, "errors": [], "created": False}


def records(count: int) -> list[Fields]:
    return [{KEY: f"k{number}"} for number in range(count)]


def send(remote: Callable[[Request], Any], count: int = 200) -> list[Any]:
    pause = remote.pause if isinstance(remote, Remote) else lambda round: False
    return send_all(upserts("Contact", KEY), records(count), remote, pause)


def refused_at(results: Sequence[Any]) -> list[int]:
    return [at for at, result in enumerate(results) if isinstance(result, Rejected)]


@pytest.mark.parametrize("position", [0, 1, 99, 100, 127, 198, 199])
@pytest.mark.parametrize("refusal", [UNREADABLE, GACK, TRIGGER], ids=["unreadable", "gack", "trigger"])
def test_one_record_that_spoils_its_call_is_found_and_its_neighbours_get_through(
    position: int, refusal: Rejected | dict[str, str]
) -> None:
    remote = Remote(lambda keys: refusal if f"k{position}" in keys else None)
    results = send(remote)
    assert refused_at(results) == [position]
    refused = results[position]
    code = refusal.code if isinstance(refusal, Rejected) else refusal["statusCode"]
    assert (refused.code, refused.remedy) == (code, Remedy.RETRY if refusal is GACK else Remedy.RECORD)
    stored = [key for keys in remote.calls for key in keys if f"k{position}" not in keys]
    assert sorted(stored) == sorted(f"k{at}" for at in range(200) if at != position)  # each of them once
    extra = 3 if refusal is GACK else 2  # a look whether it was only too many of them
    assert len(remote.calls) - 1 <= math.ceil(math.log2(200)) + extra


@given(st.sets(st.integers(0, 199), min_size=2, max_size=2))
def test_two_records_that_spoil_their_call_are_found(spoiling: set[int]) -> None:
    keys = {f"k{at}" for at in spoiling}
    remote = Remote(lambda sent: UNREADABLE if keys & set(sent) else None)
    assert set(refused_at(send(remote))) == spoiling
    assert len(remote.calls) <= SMALLER_CALLS + 1


def test_records_of_a_call_that_nothing_gets_through_of_are_not_given_up() -> None:
    remote = Remote(lambda keys: TRIGGER)
    results = send(remote)
    alone = [keys[0] for keys in remote.calls if len(keys) == 1]
    assert len(remote.calls) == SMALLER_CALLS + 1
    for at, result in enumerate(results):
        assert result.remedy is (Remedy.RECORD if f"k{at}" in alone else Remedy.RETRY_SMALLER)


def test_a_record_that_is_wrong_for_itself_is_sent_once() -> None:
    remote = Remote(rows={"k3": WRONG, "k7": WRONG})
    results = send(remote)
    assert refused_at(results) == [3, 7]
    assert {results[at].remedy for at in (3, 7)} == {Remedy.RECORD}
    assert len(remote.calls) == 1


@pytest.mark.parametrize("fault", [TOO_LONG, APEX_LIMIT], ids=["whole call", "rows"])
def test_a_call_that_was_only_too_large_gets_through_in_two(fault: Rejected | dict[str, str]) -> None:
    remote = Remote(lambda keys: fault if len(keys) > 100 else None)
    assert refused_at(send(remote)) == []
    assert [len(keys) for keys in remote.calls] == [200, 100, 100]


def test_rows_over_an_apex_limit_are_sent_again_without_the_others() -> None:
    remote = Remote(rows={"k5": APEX_LIMIT, "k6": APEX_LIMIT})
    results = send(remote)
    assert refused_at(results) == [5, 6]
    assert [sorted(keys) for keys in remote.calls[1:]] == [["k5"], ["k6"]]


def test_locked_rows_are_sent_again_in_smaller_calls_after_a_pause() -> None:
    locked = {f"k{at}": LOCK for at in range(8)}
    remote = Remote(rows=dict(locked))

    def released(round: int) -> bool:
        remote.rows = {}
        return True

    remote.pause = released  # type: ignore[method-assign]
    assert refused_at(send(remote)) == []
    assert [len(keys) for keys in remote.calls] == [200, 4, 4]


@pytest.mark.parametrize("count", [1, 2, 200])
def test_rows_that_stay_locked_are_left_for_later_after_a_few_pauses(count: int) -> None:
    remote = Remote(lambda keys: LOCK)
    results = send(remote, count)
    assert {(result.code, result.remedy) for result in results} == {("UNABLE_TO_LOCK_ROW", Remedy.RETRY_SMALLER)}
    assert remote.paused[:LOCK_PAUSES] == [1, 2, 3]
    assert len(remote.calls) <= 1 + 2 * LOCK_PAUSES


def test_without_time_for_a_pause_locked_rows_are_left_for_later() -> None:
    remote = Remote(rows={"k1": LOCK})
    remote.pause = lambda round: False  # type: ignore[method-assign]
    assert refused_at(send(remote)) == [1]
    assert len(remote.calls) == 1


def test_a_lost_answer_is_not_sent_again_in_smaller_calls() -> None:
    lost = Rejected("TIMEOUT", "lost", Remedy.RETRY, uncertain=True)
    remote = Remote(lambda keys: lost)
    assert send(remote, 4) == [lost] * 4
    assert len(remote.calls) == 1


def test_what_concerns_every_call_is_raised_before_anything_was_answered() -> None:
    def spent(request: Request) -> Any:
        raise QuotaExhausted("spent")

    with pytest.raises(QuotaExhausted):
        send(spent, 4)


def test_what_was_answered_is_kept_when_smaller_calls_are_cut_short() -> None:
    remote = Remote(lambda keys: UNREADABLE if "k0" in keys else None)

    def spent_after_three(request: Request) -> Any:
        if len(remote.calls) == 3:
            raise QuotaExhausted("spent")
        return remote(request)

    results = send(spent_after_three)
    assert {result.remedy for result in results} == {Remedy.RETRY_SMALLER}
    assert len(results) == 200


def test_records_of_a_smaller_call_whose_answer_was_lost_are_uncertain() -> None:
    remote = Remote(lambda keys: UNREADABLE if "k0" in keys else None)

    def lost_after_one(request: Request) -> Any:
        if remote.calls:
            raise RetryLater("busy", code="HTTP_503", uncertain=True)
        return remote(request)

    results = send(lost_after_one)
    assert [result.uncertain for result in results] == [True] * 100 + [False] * 100


def test_a_defect_of_the_org_on_a_single_record_is_for_later() -> None:
    assert send(Remote(lambda keys: GACK), 1) == [Rejected("UNKNOWN_EXCEPTION", "gack", Remedy.RETRY)]


@given(st.lists(st.sampled_from(["ok", "wrong", "locked", "limit", "spoils"]), min_size=1, max_size=60))
def test_whatever_is_wrong_with_some_records_the_others_are_stored(kinds: list[str]) -> None:
    errors = {"wrong": WRONG, "locked": LOCK, "limit": APEX_LIMIT}
    rows = {f"k{at}": errors[kind] for at, kind in enumerate(kinds) if kind in errors}
    spoiling = {f"k{at}" for at, kind in enumerate(kinds) if kind == "spoils"}
    remote = Remote(lambda keys: TRIGGER if spoiling & set(keys) else None, rows)
    results = send(remote, len(kinds))
    assert len(remote.calls) <= SMALLER_CALLS + 1
    for kind, result in zip(kinds, results, strict=True):
        assert isinstance(result, Delivered | Rejected)
        if kind != "ok":
            assert isinstance(result, Rejected)
        elif isinstance(result, Rejected):  # the calls were used up before its turn came: it is not given up
            assert len(remote.calls) == SMALLER_CALLS + 1
            assert result.remedy is Remedy.RETRY_SMALLER
