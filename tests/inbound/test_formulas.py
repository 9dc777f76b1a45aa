"""Fields that the destination calculates come into their columns on a schedule of their own, and are never sent."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.inbound import formulas
from syncbridge.store import formula_rounds
from tests.fix_family_both import COMPANIES, FamilyBoth, StartFamilyBoth

PEOPLE = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
fields: {Name: name, Grade__c: grade}
guard: {deletes: off}
"""
TABLES = "alter table people add grade numeric(6,2);"
IDLE = [("changes", "Contact")]


def start(start_family_both: StartFamilyBoth, text: str = PEOPLE, people: int = 3) -> FamilyBoth:
    both = start_family_both(text, tables=TABLES)
    both.family.sql("insert into people (id, name) select n, 'P' || n from generate_series(1, %s) n", people)
    both.family.touch("people", *range(1, people + 1))
    both.family.deliver()
    both.poll()
    both.age_links()
    return both


def compute(both: FamilyBoth, key: int, grade: float) -> None:
    """The formula gives something else now, and the record does not change."""
    both.family.crm.compute("Contact", both.id("people", key), {"Grade__c": grade})


def an_hour_passes(both: FamilyBoth) -> None:
    both.family.store.execute("update syncbridge.formula_round set began_at = began_at - interval '1 hour'")


def test_a_formula_that_changed_by_itself_comes_with_the_next_round(start_family_both: StartFamilyBoth) -> None:
    both = start(start_family_both)
    compute(both, 2, 7.5)
    assert both.calls(both.poll) == IDLE  # none is due
    assert both.row("people", 2, "grade") == (None,)
    an_hour_passes(both)
    assert both.calls(both.poll) == [*IDLE, ("read", "Contact"), ("read", "Contact")]
    assert both.row("people", 2, "name, grade") == ("P2", 7.5)
    assert [(entry.outcome, entry.fields) for entry in both.log("people", 2)][-1] == ("written", "Grade__c")
    an_hour_passes(both)
    assert both.calls(both.poll) == [*IDLE, ("read", "Contact")]  # all agree
    sent = len(both.family.crm.sent)
    both.settle()
    assert len(both.family.crm.sent) == sent


def test_it_comes_along_with_a_change_of_its_record_and_is_never_sent(start_family_both: StartFamilyBoth) -> None:
    both = start(start_family_both)
    compute(both, 1, 3)
    both.edit("people", 1, Name="Theirs")
    both.poll()
    assert both.row("people", 1, "name, grade") == ("Theirs", 3)
    both.family.sql("update people set name = 'Ours', grade = 9 where id = 1")
    both.family.touch("people", 1)
    both.family.store.execute("update syncbridge.outbox set resend = true")
    both.settle()
    assert both.record("people", 1) | {"Name": "Ours", "Grade__c": 3} == both.record("people", 1)
    assert all("Grade__c" not in record for _, record in both.family.crm.sent)


def test_what_somebody_writes_into_its_column_is_put_back(start_family_both: StartFamilyBoth) -> None:
    both = start(start_family_both)
    compute(both, 1, 3)
    an_hour_passes(both)
    both.poll()
    both.family.sql("update people set grade = 9 where id = 1")
    both.family.touch("people", 1)
    both.family.deliver()
    both.poll()
    assert both.row("people", 1, "grade") == (3,)


def test_a_round_reads_pages_and_goes_on_after_a_crash_where_it_was(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Died

    monkeypatch.setattr(formulas, "PAGE", 2)
    both = start(start_family_both, people=5)
    for key in range(1, 6):
        compute(both, key, key)
    an_hour_passes(both)
    poller = both.pollers["people"]
    assert both.calls(poller.step) == [*IDLE, ("read", "Contact"), ("read", "Contact")]
    with monkeypatch.context() as patched:
        patched.setattr(formula_rounds, "advance", die)
        with pytest.raises(Died):
            poller.step()
    assert [grade for (grade,) in both.family.sql("select grade from people order by id")] == [1, 2, None, None, None]
    before = len(both.family.crm.calls)
    both.poll()
    reads = [many for operation, _, many in both.family.crm.calls[before:] if operation == "read"]
    assert reads == [2, 2, 1, 1]  # pages of the round, and what differs in each
    assert [grade for (grade,) in both.family.sql("select grade from people order by id")] == [1, 2, 3, 4, 5]


def test_polls_keep_their_interval_while_a_long_round_is_read(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formulas, "PAGE", 1)
    both = start(start_family_both)
    an_hour_passes(both)
    calls = both.calls(both.poll)
    assert calls.count(("changes", "Contact")) == 1
    assert calls.count(("read", "Contact")) == 3


def test_off_never_reads_them_by_themselves(start_family_both: StartFamilyBoth) -> None:
    both = start(start_family_both, PEOPLE + "poll: {formulas: off}\n")
    compute(both, 1, 3)
    assert both.calls(both.poll) == IDLE
    assert both.family.store.execute("select * from syncbridge.formula_round").fetchall() == []


def test_a_mapping_without_such_fields_has_no_rounds(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(COMPANIES)
    assert both.calls(both.poll) == [("changes", "Account")]
    assert both.family.store.execute("select * from syncbridge.formula_round").fetchall() == []


def test_a_value_that_the_column_would_not_hold_is_held_once(start_family_both: StartFamilyBoth) -> None:
    both = start(start_family_both)
    compute(both, 1, 1.23456)
    for _ in range(2):
        an_hour_passes(both)
        both.poll()
    held = both.held("people", 1)
    assert held is not None
    assert (held.kind, list(held.fields)) == ("refused", ["Grade__c"])
    assert [entry.outcome for entry in both.log("people", 1)].count("refused") == 1
    compute(both, 1, 1.25)
    an_hour_passes(both)
    both.poll()
    assert [float(grade) for grade in both.row("people", 1, "grade")] == [1.25]
    assert both.held("people", 1) is None
