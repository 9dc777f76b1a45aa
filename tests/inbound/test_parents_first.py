"""A remote record that refers to one without a row: other fields are written, the lookup when the parent comes."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.model import Outcome
from syncbridge.store import parent_waits
from tests.fix_family_both import COMPANIES, PEOPLE, FamilyBoth, StartFamilyBoth


def test_the_lookup_waits_other_fields_do_not_and_it_is_written_when_its_parent_comes(both_sides: FamilyBoth) -> None:
    both = both_sides
    stranger = both.make("Account", Name="new there")
    both.edit("people", 1, Name="Theirs", AccountId=stranger)
    both.poll()
    assert both.row("people", 1, "name, company_id") == ("Theirs", 1)
    assert both.base("people", 1)["AccountId"] == both.id("companies", 1)
    waiting, written = sorted(both.log("people", 1), key=lambda entry: entry.outcome)
    assert (waiting.outcome, waiting.fields) == (Outcome.WAITING, "AccountId")
    assert stranger in (waiting.message or "")
    assert "companies" in (waiting.message or "")
    assert (written.outcome, written.fields) == (Outcome.WRITTEN, "Name")
    both.family.sql("insert into companies (id, name) values (7, 'new there')")
    both.link("companies", 7, stranger)
    both.poll("people")
    assert both.row("people", 1, "company_id") == (7,)
    assert both.base("people", 1)["AccountId"] == stranger
    both.settle()
    assert both.row("people", 1, "company_id") == (7,)
    assert both.record("people", 1)["AccountId"] == stranger


def test_waiting_for_a_parent_costs_no_call_and_is_told_once(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.edit("people", 1, AccountId=both.make("Account", Name="new there"))
    both.poll("people")
    for _ in range(3):
        assert both.calls(lambda: both.poll("people")) == [("changes", "Contact")]
    assert [entry.outcome for entry in both.log("people", 1)] == [Outcome.WAITING]


def test_nothing_of_ours_overwrites_a_lookup_that_waits(both_sides: FamilyBoth) -> None:
    both = both_sides
    stranger = both.make("Account", Name="new there")
    both.edit("people", 1, AccountId=stranger)
    both.poll("people")
    both.family.sql("update people set name = 'Ours' where id = 1")
    both.family.touch("people", 1)
    both.family.store.execute("update syncbridge.outbox set resend = true")  # everything is sent again
    both.family.deliver()
    assert both.record("people", 1)["Name"] == "Ours"
    assert both.record("people", 1)["AccountId"] == stranger
    assert both.family.statuses() == {}


def test_a_row_that_is_moved_meanwhile_is_newer_than_what_waits(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.edit("people", 1, AccountId=both.make("Account", Name="new there"))
    both.poll("people")
    both.family.sql("update people set company_id = 3 where id = 1")
    both.family.touch("people", 1)
    both.family.store.execute("update syncbridge.outbox set changed_at = now() + interval '1 hour'")
    both.family.step("people")  # it reads before it writes, and leaves the decision to the poller
    both.settle()
    assert both.record("people", 1)["AccountId"] == both.id("companies", 3)
    assert both.row("people", 1, "company_id") == (3,)
    assert both.family.store.execute("select count(*) from syncbridge.parent_wait").fetchone() == (0,)


def test_a_parent_that_never_comes_is_held_with_its_mapping_and_id_and_costs_one_call(both_sides: FamilyBoth) -> None:
    both = both_sides
    stranger = both.make("Account", Name="of nobody")
    both.edit("people", 1, Name="Theirs", AccountId=stranger)
    both.poll("people")
    assert both.held("people", 1) is None
    both.age_waits()
    assert both.calls(lambda: both.poll("people")) == [("read", "Contact"), ("changes", "Contact")]
    held = both.held("people", 1)
    assert held is not None
    assert (held.kind, held.code) == ("refused", "PARENT_WITHOUT_ROW")
    assert held.message == f"AccountId refers to {stranger}, which no row of the mapping companies has yet"
    assert both.calls(lambda: both.poll("people")) == [("changes", "Contact")]
    both.edit("people", 1, Name="Theirs again")
    both.poll("people")
    assert both.row("people", 1, "name") == ("Theirs again",)
    assert both.held("people", 1) is not None
    both.family.sql("insert into companies (id, name) values (7, 'of somebody')")
    both.link("companies", 7, stranger)
    both.poll("people")
    assert both.row("people", 1, "company_id") == (7,)
    assert both.held("people", 1) is None


def test_what_it_waited_for_is_forgotten_when_it_is_moved_back(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.edit("people", 1, AccountId=both.make("Account", Name="of nobody"))
    both.poll("people")
    both.edit("people", 1, AccountId=both.id("companies", 1))
    both.poll("people")
    both.age_waits()
    both.poll("people")
    assert both.held("people", 1) is None
    assert both.row("people", 1, "company_id") == (1,)


def test_a_sensitive_lookup_names_no_id(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(COMPANIES, PEOPLE.replace("key: company_id}", "key: company_id, sensitive: true}"))
    both.family.sql("insert into people (id, name) values (1, 'Ada')")
    both.family.touch("people", 1)
    both.settle()
    stranger = both.make("Account", Name="of nobody")
    both.edit("people", 1, AccountId=stranger)
    both.poll("people")
    both.age_waits()
    both.poll("people")
    held = both.held("people", 1)
    assert held is not None
    assert held.message == "AccountId refers to a record, which no row of the mapping companies has yet"
    assert stranger not in str(both.log("people", 1))


def test_people_who_manage_each_other_are_written(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.edit("people", 1, ReportsToId=both.id("people", 2))
    both.edit("people", 2, ReportsToId=both.id("people", 1))
    both.poll()
    assert [both.row("people", key, "manager_id") for key in (1, 2)] == [(2,), (1,)]
    both.edit("people", 1, ReportsToId=both.id("people", 1))
    both.settle()
    assert both.row("people", 1, "manager_id") == (1,)


def test_a_death_between_the_rows_and_what_waits_leaves_neither(
    both_sides: FamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Died

    both = both_sides
    both.edit("people", 1, Name="Theirs", AccountId=both.make("Account", Name="new there"))
    with monkeypatch.context() as patched:
        patched.setattr(parent_waits, "record", die)
        with pytest.raises(Died):
            both.poll("people")
    assert both.row("people", 1, "name") == ("Ada",)
    assert both.family.store.execute("select count(*) from syncbridge.parent_wait").fetchone() == (0,)
    both.poll("people")
    assert both.row("people", 1, "name") == ("Theirs",)
    assert both.family.store.execute("select count(*) from syncbridge.parent_wait").fetchone() == (1,)


def deleted_here_and_changed_there(start: StartFamilyBoth, tables: str) -> FamilyBoth:
    """A person whose row is gone, and whose record was changed since to one of a company without a row."""
    both = start(COMPANIES, PEOPLE, tables=tables)
    both.family.sql("insert into companies (id, name) values (1, 'one')")
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1)")
    both.family.touch("companies", 1)
    both.family.touch("people", 1)
    both.settle()
    both.family.sql("delete from people")
    both.family.touch("people", 1)
    both.edit("people", 1, Name="Theirs", AccountId=both.make("Account", Name="new there"))
    both.poll("people")
    return both


def test_a_row_that_is_made_gets_its_lookup_later(start_family_both: StartFamilyBoth) -> None:
    both = deleted_here_and_changed_there(start_family_both, "")
    assert both.row("people", 1, "name, company_id") == ("Theirs", None)
    both.family.sql("insert into companies (id, name) values (7, 'new there')")
    both.link("companies", 7, str(both.record("people", 1)["AccountId"]))
    both.poll("people")
    assert both.row("people", 1, "company_id") == (7,)


def test_a_row_that_cannot_be_made_without_its_parent_waits_in_whole(start_family_both: StartFamilyBoth) -> None:
    both = deleted_here_and_changed_there(start_family_both, "alter table people alter company_id set not null;")
    assert both.family.sql("select * from people") == []
    assert both.held("people", 1) is None
    both.family.sql("insert into companies (id, name) values (7, 'new there')")
    both.link("companies", 7, str(both.record("people", 1)["AccountId"]))
    both.poll("people")
    assert both.row("people", 1, "name, company_id") == ("Theirs", 7)
