"""The laws of the three-way merge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.inbound.resolve import Fate, Merge, Rule, Side, Verdict, after_delete, merge, newer
from syncbridge.model import Fields

NAMES = ("A", "B", "C")
VALUES = st.sampled_from([None, "", "a", "b", 0, 1.5])  # few, so that sides often agree
RECORDS = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))
BASES = st.none() | RECORDS | st.dictionaries(st.sampled_from(NAMES), VALUES)
RULES = st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from(Rule)))
SIDES = st.sampled_from(Side)
CONFLICT_RULES = [Rule.POSTGRES, Rule.DESTINATION, Rule.NEWEST, Rule.HOLD]

Case = tuple[Fields | None, Fields, Fields, dict[str, Rule], Side]
CASES = st.tuples(BASES, RECORDS, RECORDS, RULES, SIDES)


def sent(merged: Merge, local: Fields, remote: Fields) -> tuple[Fields, Fields]:
    """Both sides after the row took what it was given, and outbound sent what then differs from the new base."""
    row = {**local, **merged.write}
    held = set(merged.held)
    changed = {n: v for n, v in row.items() if n not in held and not (n in merged.base and merged.base[n] == v)}
    return row, {**remote, **changed}


@given(CASES)
def test_both_sides_end_equal_in_all_that_is_not_held(case: Case) -> None:
    base, local, remote, rules, last = case
    merged = merge(base, local, remote, rules, last)
    row, record = sent(merged, local, remote)
    assert {n: v for n, v in row.items() if n not in merged.held} == {
        n: v for n, v in record.items() if n not in merged.held
    }
    assert merged.send == (record != remote)


@given(CASES)
def test_no_value_is_made_up_and_none_is_lost_without_a_verdict(case: Case) -> None:
    base, local, remote, rules, last = case
    merged = merge(base, local, remote, rules, last)
    row, record = sent(merged, local, remote)
    for name in NAMES:
        assert row[name] in (local[name], remote[name])
        assert record[name] in (local[name], remote[name])
        if row[name] != local[name] and not (base and name in base and base[name] == local[name]):
            assert merged.verdicts[name] is Verdict.DESTINATION_WINS
        if record[name] != remote[name] and not (base and name in base and base[name] == remote[name]):
            assert merged.verdicts[name] is Verdict.POSTGRES_WINS


@given(CASES)
def test_a_second_look_finds_nothing_left_to_decide(case: Case) -> None:
    base, local, remote, rules, last = case
    first = merge(base, local, remote, rules, last)
    row, record = sent(first, local, remote)
    before_sending = merge(first.base, row, remote, rules, last)
    assert (before_sending.write, before_sending.decided) == ({}, ())
    assert before_sending.base == first.base
    after_sending = merge({**first.base, **record}, row, record, {n: rules[n] for n in record}, last)
    settled = [verdict for name, verdict in after_sending.verdicts.items() if name not in first.held]
    assert set(settled) <= {Verdict.SAME}


@given(CASES)
def test_what_is_held_moves_on_neither_side_and_its_base_stays(case: Case) -> None:
    base, local, remote, rules, last = case
    merged = merge(base, local, remote, rules, last)
    row, record = sent(merged, local, remote)
    for name in merged.held:
        assert rules[name] is Rule.HOLD
        assert (row[name], record[name]) == (local[name], remote[name])
        assert (name in merged.base) == (name in (base or {}))
        assert merged.base.get(name) == (base or {}).get(name)


@given(CASES)
def test_each_field_is_decided_by_itself(case: Case) -> None:
    base, local, remote, rules, last = case
    merged = merge(base, local, remote, rules, last)
    for name in NAMES:
        alone = merge(base, {name: local[name]}, {name: remote[name]}, rules, last)
        assert alone.verdicts[name] is merged.verdicts[name]


@given(RECORDS, RECORDS, st.sampled_from(CONFLICT_RULES), SIDES)
def test_what_one_side_alone_changed_survives_whatever_the_rule_of_conflicts(
    base: Fields, changed: Fields, rule: Rule, last: Side
) -> None:
    rules = dict.fromkeys(NAMES, rule)
    inward = merge(base, base, changed, rules, last)
    assert {**base, **inward.write} == changed
    assert (inward.send, inward.decided, inward.held) == (False, (), ())
    outward = merge(base, changed, base, rules, last)
    assert (outward.write, outward.base, outward.decided) == ({}, base, ())
    assert outward.send == (changed != base)


@given(BASES, RECORDS, RULES, SIDES)
def test_what_both_hold_is_agreement_and_becomes_the_base(
    base: Fields | None, same: Fields, rules: dict[str, Rule], last: Side
) -> None:
    merged = merge(base, same, same, rules, last)
    assert (merged.write, merged.send, merged.decided, merged.held) == ({}, False, (), ())
    assert {name: merged.base[name] for name in NAMES} == same


@given(BASES, RECORDS, RECORDS, SIDES)
def test_an_owner_always_has_its_way(base: Fields | None, local: Fields, remote: Fields, last: Side) -> None:
    for rule, winner in ((Rule.POSTGRES_OWNS, local), (Rule.DESTINATION_OWNS, remote)):
        merged = merge(base, local, remote, dict.fromkeys(NAMES, rule), last)
        assert sent(merged, local, remote) == (winner, winner)


@given(RECORDS, RECORDS, RECORDS, SIDES)
def test_a_conflict_goes_to_the_side_that_the_rule_names(
    base: Fields, local: Fields, remote: Fields, last: Side
) -> None:
    for rule, winner in ((Rule.POSTGRES, Side.POSTGRES), (Rule.DESTINATION, Side.DESTINATION), (Rule.NEWEST, last)):
        merged = merge(base, local, remote, dict.fromkeys(NAMES, rule), last)
        for name in NAMES:
            if len({base[name], local[name], remote[name]}) == 3:
                assert merged.verdicts[name] == f"{winner} wins"


def test_two_sides_that_meet_for_the_first_time_are_in_conflict_only_where_they_differ() -> None:
    rules = {"A": Rule.DESTINATION, "B": Rule.DESTINATION}
    merged = merge(None, {"A": "x", "B": "ours"}, {"A": "x", "B": "theirs"}, rules, Side.POSTGRES)
    assert merged.verdicts == {"A": Verdict.AGREED, "B": Verdict.DESTINATION_WINS}
    assert merged.write == {"B": "theirs"}


def test_a_local_value_without_a_normal_form_is_no_agreement() -> None:
    rules = {"A": Rule.DESTINATION}
    assert merge({"A": None}, {}, {"A": None}, rules, Side.POSTGRES).verdicts == {"A": Verdict.LOCAL}
    assert merge({"A": None}, {}, {"A": "x"}, rules, Side.POSTGRES).write == {"A": "x"}


def test_newer_gives_ties_and_what_was_not_captured_to_postgres() -> None:
    at = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
    assert newer(at, at + timedelta(seconds=1)) is Side.DESTINATION
    assert newer(at, at) is Side.POSTGRES
    assert newer(at + timedelta(milliseconds=300), at) is Side.POSTGRES
    assert newer(None, at) is Side.POSTGRES


@pytest.mark.parametrize(
    ("rule", "deleted", "last", "fate"),
    [
        (Rule.POSTGRES, Side.POSTGRES, Side.DESTINATION, Fate.DELETE),
        (Rule.POSTGRES, Side.DESTINATION, Side.DESTINATION, Fate.REVIVE),
        (Rule.DESTINATION, Side.DESTINATION, Side.POSTGRES, Fate.DELETE),
        (Rule.DESTINATION, Side.POSTGRES, Side.POSTGRES, Fate.REVIVE),
        (Rule.NEWEST, Side.DESTINATION, Side.DESTINATION, Fate.DELETE),
        (Rule.NEWEST, Side.DESTINATION, Side.POSTGRES, Fate.REVIVE),
        (Rule.HOLD, Side.DESTINATION, Side.POSTGRES, Fate.HOLD),
    ],
)
def test_a_delete_against_a_change_is_decided_by_rule(rule: Rule, deleted: Side, last: Side, fate: Fate) -> None:
    assert after_delete(rule, deleted=deleted, other_changed=True, last=last) is fate
    assert after_delete(rule, deleted=deleted, other_changed=False, last=last) is Fate.DELETE
