"""Seam 2: answers become links, outbox rows and log entries, all of them or none, and only those that are ours."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from psycopg import Connection

from syncbridge.destinations.base import Delivered, Rejected
from syncbridge.errors import RecordRejected, Remedy
from syncbridge.model import Fields, Operation, Outcome
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.settle import Settlement, give_back, settle, take, take_nothing, take_refusal
from syncbridge.store import backlog, claims, links, sync_log
from syncbridge.store.claims import Claimed
from tests.fix_store import Open, end_leases, enqueue, make_due


def _row(key: str = "1", *, attempts: int = 0, remote_id: str | None = None, version: int = 1) -> Claimed:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Claimed(key, version, "0/64", now, "change", attempts, False, remote_id, None)


def _planned(
    operation: Operation, fields: Fields | None = None, *, row: Claimed | None = None, full: bool = True
) -> Planned:
    fields = fields or {}
    return Planned(row or _row(), operation, fields, {"Old": 1, **fields}, full=full)


def _take(planned: Planned, result: Delivered | Rejected) -> Settlement:
    settlement = Settlement()
    take(settlement, planned, result, max_attempts=12, rng=random.Random(1))
    return settlement


def test_a_stored_record_is_linked_with_its_new_base() -> None:
    settlement = _take(_planned(Operation.UPDATE, {"A": 1}), Delivered("m1"))
    assert settlement.linked == {"1": ("m1", {"Old": 1, "A": 1})}
    assert settlement.done == {"1": 1}
    (entry,) = settlement.log
    assert (entry.operation, entry.outcome, entry.fields) == (Operation.UPDATE, Outcome.DELIVERED, "A")


def test_the_log_says_create_when_the_destination_created_it() -> None:
    assert _take(_planned(Operation.CREATE, {"A": 1}), Delivered("m1", created=True)).log[0].operation == "create"
    assert _take(_planned(Operation.CREATE, {"A": 1}), Delivered("m1")).log[0].operation == "update"


def test_a_part_that_created_a_record_is_linked_as_far_as_it_goes_and_followed_by_the_rest() -> None:
    settlement = _take(_planned(Operation.UPDATE, {"A": 1}, full=False), Delivered("m2", created=True))
    assert settlement.linked == {"1": ("m2", {"A": 1, "Old": None})}  # what was not sent is empty there
    assert settlement.done == {}
    (kept,) = settlement.kept
    assert (kept.delay, kept.tried, kept.dead) == (0.0, False, False)


def test_a_deleted_record_is_unlinked() -> None:
    settlement = _take(_planned(Operation.DELETE, row=_row(remote_id="m1")), Delivered("m1"))
    assert (settlement.unlinked, settlement.linked, settlement.done) == (["1"], {}, {"1": 1})


def test_a_refused_record_becomes_a_dead_letter_with_its_code() -> None:
    settlement = _take(_planned(Operation.CREATE, {"A": 1}), Rejected("TOO_LONG", "too long", Remedy.RECORD))
    (kept,) = settlement.kept
    assert (kept.dead, kept.code, kept.message) == (True, "TOO_LONG", "too long")
    assert settlement.log[0].outcome is Outcome.DEAD
    assert settlement.last_error == ("TOO_LONG: too long", "1")


def test_a_refused_part_is_sent_again_in_full_once() -> None:
    refusal = Rejected("REQUIRED", "missing", Remedy.RECORD)
    (kept,) = _take(_planned(Operation.UPDATE, {"A": 1}, full=False), refusal).kept
    assert (kept.dead, kept.resend, kept.delay) == (False, True, 0.0)
    (kept,) = _take(_planned(Operation.UPDATE, {"A": 1}, row=_row(attempts=1)), refusal).kept
    assert kept.dead


def test_a_lost_answer_is_kept_for_a_full_resend() -> None:
    lost = Rejected("TIMEOUT", "lost", Remedy.RETRY, uncertain=True)
    (kept,) = _take(_planned(Operation.CREATE, {"A": 1}, row=_row(attempts=1000)), lost).kept
    assert (kept.dead, kept.resend) == (False, True)


@pytest.mark.parametrize("remedy", [Remedy.WAIT, Remedy.SCHEMA])
def test_what_concerns_the_whole_mapping_is_told_and_counts_no_attempt(remedy: Remedy) -> None:
    settlement = _take(_planned(Operation.CREATE), Rejected("X", "x", remedy))
    assert settlement.worst is not None
    assert (settlement.kept[0].tried, settlement.kept[0].dead) == (False, False)


def test_a_refusal_before_sending_is_a_dead_letter() -> None:
    settlement = Settlement()
    planned = Planned(_row(), Operation.NOTHING, {}, {}, refusal=RecordRejected("no", code="X"))
    take_refusal(settlement, planned, max_attempts=12, rng=random.Random(1))
    assert settlement.kept[0].dead
    assert settlement.dead == 1


def test_nothing_to_do_is_done_and_not_logged() -> None:
    settlement = Settlement()
    take_nothing(settlement, _planned(Operation.NOTHING))
    assert (settlement.done, settlement.log, settlement.unlinked) == ({"1": 1}, [], [])


def test_rows_given_back_are_sent_in_full_when_they_were_perhaps_sent() -> None:
    settlement = Settlement()
    give_back(settlement, [_row("1"), _row("2")], {"2"})
    assert [(kept.key, kept.resend, kept.tried) for kept in settlement.kept] == [
        ("1", False, False),
        ("2", True, False),
    ]


def _delivered(claimed: list[Claimed]) -> Settlement:
    settlement = Settlement()
    for row in claimed:
        planned = Planned(row, Operation.CREATE, {"A": row.key}, {"A": row.key})
        take(settlement, planned, Delivered(f"m{row.key}", created=True), max_attempts=12, rng=random.Random(1))
    return settlement


def test_a_settlement_is_written_whole(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "1", "2", "3")
    number, claimed = claims.claim(store, mapping_id, limit=10, lease=60)
    settlement = _delivered([row for row in claimed if row.key != "3"])
    rejection = Rejected("X", "x", Remedy.RECORD)
    planned = Planned(next(row for row in claimed if row.key == "3"), Operation.CREATE, {"A": 1}, {"A": 1})
    take(settlement, planned, rejection, max_attempts=12, rng=random.Random(1))
    settle(store, mapping_id, number, settlement)
    assert links.count(store, mapping_id) == 2
    assert [letter.key for letter in backlog.dead_letters(store)] == ["3"]
    assert {(entry.key, entry.outcome) for entry in sync_log.read(store)} == {
        ("1", "delivered"),
        ("2", "delivered"),
        ("3", "dead"),
    }


def test_a_settlement_that_fails_in_the_midst_changes_nothing(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "1")
    number, claimed = claims.claim(store, mapping_id, limit=10, lease=60)
    store.execute("alter table syncbridge.sync_log add constraint broken check (false) not valid")
    with pytest.raises(Exception, match="broken"):
        settle(store, mapping_id, number, _delivered(claimed))
    assert links.count(store, mapping_id) == 0
    waiting = backlog.waiting(store, mapping_id, "1")
    assert waiting is not None
    assert waiting.claimed


def test_what_another_claim_took_over_is_left_out(store: Connection, open_store: Open, mapping_id: int) -> None:
    enqueue(store, mapping_id, "1", "2")
    number, claimed = claims.claim(store, mapping_id, limit=10, lease=60)
    store.execute("update syncbridge.outbox set lease_until = now() where key = '1'")
    claims.claim(open_store(), mapping_id, limit=10, lease=60)
    settle(store, mapping_id, number, _delivered(claimed))
    assert links.read(store, mapping_id, "1") is None
    assert links.read(store, mapping_id, "2") is not None
    assert [entry.key for entry in sync_log.read(store)] == ["2"]


def test_an_answer_after_the_lease_still_counts_while_nobody_else_claimed_the_row(
    store: Connection, mapping_id: int
) -> None:
    enqueue(store, mapping_id, "1")
    number, claimed = claims.claim(store, mapping_id, limit=10, lease=60)
    end_leases(store)
    settle(store, mapping_id, number, _delivered(claimed))
    assert links.count(store, mapping_id) == 1
    make_due(store)
    assert claims.claim(store, mapping_id, limit=10, lease=60)[1] == []
