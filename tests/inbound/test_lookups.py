"""A remote record that is moved to another parent moves its row, and a row that is moved moves its record."""

from __future__ import annotations

import pytest

from syncbridge.model import Outcome
from tests.fix_family_both import BOTH, COMPANIES, PEOPLE, SHOPS, TILLS, FamilyBoth, StartFamilyBoth


def test_a_record_that_is_moved_to_another_parent_moves_its_row_and_nothing_else(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.edit("people", 1, AccountId=both.id("companies", 2))
    both.poll()
    assert both.row("people", 1, "name, company_id") == ("Ada", 2)
    assert both.row("people", 2, "company_id") == (1,)
    (entry,) = both.log("people", 1)
    assert (entry.outcome, entry.fields) == (Outcome.WRITTEN, "AccountId")
    sent = len(both.family.crm.sent)
    both.settle()
    assert len(both.family.crm.sent) == sent
    assert len(both.log("people", 1)) == 1


def test_a_lookup_that_is_cleared_clears_the_key(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.edit("people", 1, AccountId=None)
    both.poll()
    assert both.row("people", 1, "company_id") == (None,)


def test_a_row_that_is_moved_goes_out_and_does_not_come_back(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.family.sql("update people set company_id = 3 where id = 1")
    both.family.touch("people", 1)
    both.family.deliver()
    assert both.record("people", 1)["AccountId"] == both.id("companies", 3)
    both.settle()
    assert both.log("people", 1) == []


@pytest.mark.parametrize(("conflict", "company"), [("destination", 2), ("postgres", 3), ("hold", 3)])
def test_both_sides_move_it_and_the_rule_decides(
    start_family_both: StartFamilyBoth, conflict: str, company: int
) -> None:
    both = start_family_both(COMPANIES, PEOPLE + BOTH + f"conflict: {conflict}\n")
    both.family.sql("insert into companies (id, name) values (1, 'one'), (2, 'two'), (3, 'three')")
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1)")
    both.family.touch("companies", 1, 2, 3)
    both.family.touch("people", 1)
    both.settle()
    both.family.sql("update people set company_id = 3 where id = 1")
    both.family.touch("people", 1)
    both.edit("people", 1, AccountId=both.id("companies", 2))
    both.settle()
    assert both.row("people", 1, "company_id") == (company,)
    there = 2 if conflict == "hold" else company
    assert both.record("people", 1)["AccountId"] == both.id("companies", there)
    held = both.held("people", 1)
    assert (held is not None) == (conflict == "hold")
    if held is not None:
        ids = {side: both.id("companies", key) for side, key in (("base", 1), ("local", 3), ("remote", 2))}
        assert held.fields == {"AccountId": ids}


def test_a_key_of_several_columns_is_written_and_cleared_in_whole(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(SHOPS, TILLS)
    both.family.sql("insert into shops values ('de', 1, 'Berlin'), ('fr', 1, 'Paris, \"1\"')")
    both.family.sql("insert into tills values (1, 'Till', 'de', 1)")
    both.family.touch("shops", '["de", "1"]', '["fr", "1"]')
    both.family.touch("tills", 1)
    both.settle()
    both.edit("tills", 1, ShopId=both.id("shops", '["fr", "1"]'))
    both.poll()
    assert both.row("tills", 1, "country, shop_no") == ("fr", 1)
    both.edit("tills", 1, ShopId=None)
    both.poll()
    assert both.row("tills", 1, "country, shop_no") == (None, None)
    both.settle()
    assert both.record("tills", 1)["ShopId"] is None


def test_a_part_of_a_key_that_may_not_be_null_stays_when_the_lookup_is_cleared(
    start_family_both: StartFamilyBoth,
) -> None:
    both = start_family_both(SHOPS, TILLS, tables="alter table tills alter country set not null;")
    both.family.sql("insert into shops values ('de', 1, 'Berlin')")
    both.family.sql("insert into tills values (1, 'Till', 'de', 1)")
    both.family.touch("shops", '["de", "1"]')
    both.family.touch("tills", 1)
    both.settle()
    both.edit("tills", 1, ShopId=None)
    both.settle()
    assert both.row("tills", 1, "country, shop_no") == ("de", None)
    assert both.record("tills", 1)["ShopId"] is None


def test_a_lookup_that_may_not_be_null_is_held_when_it_is_cleared(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(COMPANIES, PEOPLE, tables="alter table people alter company_id set not null;")
    both.family.sql("insert into companies (id, name) values (1, 'one')")
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1)")
    both.family.touch("companies", 1)
    both.family.touch("people", 1)
    both.settle()
    both.edit("people", 1, AccountId=None)
    both.poll()
    held = both.held("people", 1)
    assert held is not None
    assert (held.code, held.message) == ("NULL_NOT_ALLOWED", "AccountId: company_id may not be null")
    assert both.row("people", 1, "company_id") == (1,)


@pytest.mark.parametrize(
    "lookup",
    [
        "{lookup: companies, key: company_id, owner: postgres}",
        "{lookup: companies, key: boss.company_id}",
    ],
)
def test_a_lookup_that_postgres_owns_or_that_is_of_another_table_is_put_back(
    start_family_both: StartFamilyBoth, lookup: str
) -> None:
    people = PEOPLE.replace("{lookup: companies, key: company_id}", lookup).replace(
        "key: id}", "key: id, related: {boss: {table: public.people, on: boss.id = people.manager_id}}}"
    )
    both = start_family_both(COMPANIES, people)
    both.family.sql("insert into companies (id, name) values (1, 'one'), (2, 'two')")
    both.family.sql(
        "insert into people (id, name, company_id, manager_id) values (1, 'Ada', 1, null), (2, 'Bob', 1, 1)"
    )
    both.family.touch("companies", 1, 2)
    both.family.touch("people", 1, 2)
    both.settle()
    both.edit("people", 2, AccountId=both.id("companies", 2))
    both.settle()
    assert both.row("people", 2, "company_id") == (1,)
    assert both.record("people", 2)["AccountId"] == both.id("companies", 1)


def test_a_plain_copy_of_the_key_follows_the_row_and_is_put_back_by_itself(
    start_family_both: StartFamilyBoth,
) -> None:
    both = start_family_both(COMPANIES, PEOPLE.replace("  Name: name\n", "  Email: company_id\n  Name: name\n"))
    both.family.sql("insert into companies (id, name) values (1, 'one'), (2, 'two'), (3, 'three')")
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1)")
    both.family.touch("companies", 1, 2, 3)
    both.family.touch("people", 1)
    both.settle()
    both.edit("people", 1, AccountId=both.id("companies", 2), Email="3")
    both.settle()
    assert both.row("people", 1, "company_id") == (2,)
    assert both.record("people", 1)["Email"] == 2


def test_a_row_whose_parent_has_no_record_yet_keeps_its_key_until_the_rule_decides(both_sides: FamilyBoth) -> None:
    both = both_sides
    both.family.sql("insert into companies (id, name) values (9, 'nine')")
    both.family.sql("update people set company_id = 9 where id = 1")  # committed here, captured later
    both.edit("people", 1, Name="Theirs")
    both.poll()
    assert both.row("people", 1, "name, company_id") == ("Theirs", 9)
    both.edit("people", 1, AccountId=both.id("companies", 2))
    both.poll()  # it has not been captured, so that it is the newer one
    assert both.row("people", 1, "company_id") == (9,)
    both.family.touch("people", 1)
    both.family.deliver("people")
    assert both.record("people", 1)["AccountId"] == both.id("companies", 2)
    both.family.touch("companies", 9)
    both.settle()
    assert both.record("people", 1)["AccountId"] == both.id("companies", 9)
    assert both.row("people", 1, "company_id") == (9,)


def test_a_parent_that_is_made_anew_takes_its_children_along(both_sides: FamilyBoth) -> None:
    both = both_sides
    before = both.id("companies", 1)
    both.family.crm.delete("Account", [before])
    both.family.sql("update companies set name = 'renamed' where id = 1")
    both.family.touch("companies", 1)
    both.family.store.execute("update syncbridge.outbox set changed_at = now() + interval '1 hour'")
    both.settle()
    assert both.id("companies", 1) != before
    assert [both.row("people", key, "company_id") for key in (1, 2)] == [(1,), (1,)]
    assert [both.record("people", key)["AccountId"] for key in (1, 2)] == [both.id("companies", 1)] * 2


def test_children_of_a_merged_parent_follow_it_even_if_its_link_is_gone(both_sides: FamilyBoth) -> None:
    both = both_sides
    survivor = both.id("companies", 2)
    both.family.store.execute("delete from syncbridge.link where key = '1' and base ->> 'Name' = 'one'")
    both.edit("people", 1, AccountId=survivor)  # the destination itself points it to the survivor
    both.poll("people")
    assert both.row("people", 1, "company_id") == (2,)
    assert both.row("people", 2, "company_id") == (1,)
