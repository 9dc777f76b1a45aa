"""Lookups: parents first, children wait and go out once, circles get out, deletes go the other way."""

from __future__ import annotations

from itertools import count

import pytest

from syncbridge.model import MappingStatus, Operation, Outcome, Reason
from syncbridge.outbound.deliver import Limits
from syncbridge.store import mappings
from tests.fix_family import COMPANIES, PEOPLE, Family, StartFamily

EMPTY = PEOPLE.replace("key: company_id}", "key: company_id, missing: empty}")
MANAGED = PEOPLE.replace(
    "  AccountId: {lookup: companies, key: company_id}", "  ReportsToId: {lookup: people, key: manager_id}"
)


def test_a_lookup_sends_the_remote_id_of_the_other_mapping_s_record(family: Family) -> None:
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1), (11, 'Eve', null)")
    family.touch("companies", 1)
    family.touch("people", 10, 11)
    family.deliver("companies")
    family.deliver("people")
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert family.remote("Contact")["11"]["AccountId"] is None
    assert family.crm.times("Contact", 10) == 1
    assert (family.statuses(), family.awaited()) == ({}, [])


def test_a_child_waits_for_its_parent_without_attempts_and_then_goes_out_once(family: Family) -> None:
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.deliver()
    row = family.waiting("people", 10)
    assert row is not None
    assert (row.status, row.attempts, row.message) == ("waiting", 0, "waits for companies 1")
    assert family.crm.sent == []
    family.sql("insert into companies values (1, 'Acme')")
    family.touch("companies", 1)
    family.deliver()
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert [len(family.crm.sent), family.crm.times("Contact", 10)] == [2, 1]
    assert (family.statuses(), family.awaited()) == ({}, [])
    outcomes = [(entry.outcome, entry.message) for entry in family.log("people", 10)]
    assert outcomes == [(Outcome.WAITING, "waits for companies 1"), (Outcome.DELIVERED, None)]


def test_a_waiting_row_is_not_claimed_again_by_itself(family: Family) -> None:
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    assert family.step("people") == 1
    assert [family.step("people") for _ in range(3)] == [0, 0, 0]


def test_an_empty_lookup_is_sent_without_and_once_more_when_the_parent_is_there(start_family: StartFamily) -> None:
    family = start_family(COMPANIES, EMPTY)
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.deliver()
    assert family.remote("Contact")["10"]["AccountId"] is None
    assert family.statuses() == {}
    family.sql("insert into companies values (1, 'Acme')")
    family.touch("companies", 1)
    family.deliver()
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert family.crm.times("Contact", 10) == 2
    assert family.crm.sent[-1] == ("Contact", {"Key__c": "10", "AccountId": family.remote_id("companies", 1)})
    assert family.log("people", 10)[-1].reason == Reason.PARENT
    assert family.awaited() == []


def test_a_waiting_child_whose_row_changes_waits_for_what_it_names_now(family: Family) -> None:
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.deliver()
    family.sql("update people set company_id = 2")
    family.touch("people", 10)
    assert family.statuses() == {"10": "pending"}
    family.deliver()
    assert family.awaited() == [("2", "10")]
    family.sql("insert into companies values (1, 'Acme')")
    family.touch("companies", 1)
    family.deliver()
    assert family.statuses() == {"10": "waiting"}
    family.sql("update people set company_id = null")
    family.touch("people", 10)
    family.deliver()
    assert family.remote("Contact")["10"]["AccountId"] is None
    assert (family.statuses(), family.awaited()) == ({}, [])


def test_a_resync_of_waiting_rows_is_harmless(family: Family) -> None:
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.deliver()
    family.touch("people", 10, reason=Reason.RESYNC)
    family.deliver()
    assert (family.statuses(), family.awaited()) == ({"10": "waiting"}, [("1", "10")])


def test_a_child_of_a_dead_letter_goes_out_when_that_is_mended(family: Family) -> None:
    family.crm.faults.reject("1", "TOO_LONG")
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("companies", 1)
    family.touch("people", 10)
    family.deliver()
    assert family.statuses() == {"1": "dead", "10": "waiting"}
    family.crm.faults.clear()
    family.touch("companies", 1)
    family.deliver()
    assert family.statuses() == {}
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)


def test_a_key_of_several_columns(start_family: StartFamily) -> None:
    shops = (
        COMPANIES.replace("companies", "shops")
        .replace("Account", "Shop")
        .replace("key: id, where: is_customer", "key: [country, no]")
    )
    tills = (
        PEOPLE.replace("people", "tills")
        .replace("Contact", "Till")
        .replace("AccountId: {lookup: companies, key: company_id}", "ShopId: {lookup: shops, key: [country, shop_no]}")
    )
    family = start_family(shops, tills)
    family.sql("insert into shops values ('eu', 7, 'Corner')")
    family.sql("insert into tills values (1, 'a', 'eu', 7), (2, 'b', null, 7), (3, 'c', 'eu', 8)")
    family.touch("shops", '["eu", "7"]')
    family.touch("tills", 1, 2, 3)
    family.deliver()
    assert family.remote("Till")["1"]["ShopId"] == family.remote_id("shops", '["eu", "7"]')
    assert family.remote("Till")["2"]["ShopId"] is None
    assert family.statuses() == {"3": "waiting"}


@pytest.mark.parametrize("batch", [3, 1000])
def test_a_chain_sends_each_record_once_however_it_is_ordered(start_family: StartFamily, batch: int) -> None:
    family = start_family(MANAGED, limits=Limits(batch=batch))
    family.sql("insert into people (id, name, manager_id) select n, 'P', n + 1 from generate_series(1, 12) n")
    family.sql("insert into people (id, name) values (13, 'Top')")
    family.touch("people", *range(1, 14), reason=Reason.FIRST_SYNC)
    family.deliver()
    assert len(family.crm.sent) == 13
    assert (family.statuses(), family.awaited()) == ({}, [])
    records = family.remote("Contact")
    assert all(records[str(n)]["ReportsToId"] == family.remote_id("people", n + 1) for n in range(1, 13))
    composed = len(family.store.execute("select from syncbridge.sync_log").fetchall())
    assert composed <= 2 * 13  # each looked at twice at most: once to wait, once to be sent


def test_a_circle_gets_out_by_one_record_that_is_sent_twice(start_family: StartFamily) -> None:
    family = start_family(MANAGED)
    family.sql("insert into people (id, name, manager_id) values (1, 'A', 2), (2, 'B', 3), (3, 'C', 1), (4, 'D', 1)")
    family.touch("people", 1, 2, 3, 4)
    family.deliver()
    records = family.remote("Contact")
    assert {key: record["ReportsToId"] for key, record in records.items()} == {
        "1": family.remote_id("people", 2),
        "2": family.remote_id("people", 3),
        "3": family.remote_id("people", 1),
        "4": family.remote_id("people", 1),
    }
    assert len(family.crm.sent) == 5
    assert (family.statuses(), family.awaited()) == ({}, [])


def test_a_circle_that_closes_batch_by_batch_gets_out_too(start_family: StartFamily) -> None:
    family = start_family(MANAGED, limits=Limits(batch=1))
    family.sql("insert into people (id, name, manager_id) values (1, 'A', 2), (2, 'B', 3), (3, 'C', 1)")
    for key in (2, 1, 3):
        family.touch("people", key)
        family.step("people")
    assert "pending" in family.statuses().values()  # whoever closes a circle leaves no moment in which all of it rests
    family.deliver()
    assert len(family.crm.sent) == 4
    assert family.remote("Contact")["3"]["ReportsToId"] == family.remote_id("people", 1)


def test_a_row_that_refers_to_itself(start_family: StartFamily) -> None:
    family = start_family(MANAGED)
    family.sql("insert into people (id, name, manager_id) values (1, 'A', 1)")
    family.touch("people", 1)
    family.deliver()
    assert family.remote("Contact")["1"]["ReportsToId"] == family.remote_id("people", 1)
    assert len(family.crm.sent) == 2
    assert (family.statuses(), family.awaited()) == ({}, [])


def test_mappings_that_look_each_other_up_get_out_of_a_circle(start_family: StartFamily) -> None:
    companies = COMPANIES.replace("{Name: name}", "{Name: name, OwnerId: {lookup: people, key: parent_id}}")
    family = start_family(companies, PEOPLE)
    family.sql("insert into companies values (1, 'Acme', 10)")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("companies", 1)
    family.touch("people", 10)
    family.deliver()
    assert family.remote("Account")["1"]["OwnerId"] == family.remote_id("people", 10)
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert len(family.crm.sent) == 3
    assert (family.statuses(), family.awaited()) == ({}, [])


def test_children_of_a_record_that_was_made_again_name_the_new_one(family: Family) -> None:
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1), (11, 'Eve', null)")
    family.touch("companies", 1)
    family.touch("people", 10, 11)
    family.deliver()
    before = family.remote_id("companies", 1)
    assert before is not None
    family.crm.delete("Account", [before])
    family.sql("update companies set name = 'Acme Ltd'")
    family.touch("companies", 1)
    family.deliver()
    assert family.remote_id("companies", 1) != before
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert [family.crm.times("Contact", 10), family.crm.times("Contact", 11)] == [2, 1]


def test_children_of_a_parent_that_is_gone_wait_until_it_comes_back(family: Family) -> None:
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("companies", 1)
    family.touch("people", 10)
    family.deliver()
    family.sql("update companies set is_customer = false")
    family.touch("companies", 1)
    family.deliver()
    assert family.remote("Account") == {}
    assert family.statuses() == {"10": "waiting"}
    family.sql("update companies set is_customer = true")
    family.touch("companies", 1)
    family.deliver()
    assert family.statuses() == {}
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)


def test_a_record_is_deleted_after_those_that_look_it_up(family: Family) -> None:
    family.sql("insert into companies values (1, 'Acme'), (2, 'Other')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1), (11, 'Eve', 1)")
    family.touch("companies", 1, 2)
    family.touch("people", 10, 11)
    family.deliver()
    company = family.remote_id("companies", 1)
    family.sql("delete from people where id = 10")
    family.sql("update people set company_id = 2")
    family.sql("delete from companies where id = 1")
    family.touch("people", 10, 11)
    family.touch("companies", 1)
    family.step("companies")
    row = family.waiting("companies", 1)
    assert row is not None
    assert (row.status, row.attempts) == ("pending", 0)
    assert row.message in {f"waits for people {key}, which refers to it and is changed first" for key in (10, 11)}
    assert family.crm.deleted == []
    family.deliver()
    assert family.crm.deleted[-1] == ("Account", company)
    assert family.statuses() == {}


def test_a_delete_rests_the_longer_the_longer_it_took_to_find_out_that_others_go_first(family: Family) -> None:
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("companies", 1)
    family.touch("people", 10)
    family.deliver()
    family.sql("delete from people")
    family.sql("delete from companies")
    family.touch("people", 10)
    family.touch("companies", 1)
    ticks = count(0, 100)
    family.lane("companies", clock=lambda: float(next(ticks))).step()
    (rests,) = family.store.execute(
        "select available_at > now() + interval '900 s' from syncbridge.outbox where key = '1' and status = 'pending'"
    ).fetchall()
    assert rests == (True,)


@pytest.mark.parametrize("status", [MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.GUARD])
def test_a_delete_does_not_wait_for_a_mapping_that_stands_still(family: Family, status: MappingStatus) -> None:
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("companies", 1)
    family.touch("people", 10)
    family.deliver()
    family.sql("delete from people")
    family.sql("delete from companies")
    family.touch("people", 10)
    family.touch("companies", 1)
    mappings.set_status(family.store, family.id("people"), status)
    family.deliver("companies")
    assert family.remote("Account") == {}


def test_people_who_manage_each_other_can_be_deleted(start_family: StartFamily) -> None:
    family = start_family(MANAGED)
    family.sql("insert into people (id, name, manager_id) values (1, 'A', 2), (2, 'B', 1), (3, 'C', 1)")
    family.touch("people", 1, 2, 3)
    family.deliver()
    family.sql("delete from people")
    family.touch("people", 1, 2, 3)
    family.deliver()
    assert family.remote("Contact") == {}
    assert family.statuses() == {}


def test_a_lookup_of_a_mapping_that_is_not_in_force_halts(start_family: StartFamily) -> None:
    family = start_family(PEOPLE)
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.deliver()
    applied = mappings.read(family.store, "people")
    assert applied.status is MappingStatus.HALTED
    assert applied.reason == "people looks up the mapping companies, which is not in force"


def test_what_was_linked_by_others_is_found_after_a_while(start_family: StartFamily) -> None:
    """As when links are taken over, or a worker delivers that does not know of this mapping yet."""
    family = start_family(COMPANIES, PEOPLE)
    now = [0.0]
    family.lanes["people"] = family.lane("people", clock=lambda: now[0])
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.deliver()
    family.store.execute(
        "insert into syncbridge.link (mapping_id, key, remote_id, base) values (%s, '1', 'a1', '{}')",
        (family.id("companies"),),
    )
    family.deliver()
    assert family.statuses() == {"10": "waiting"}
    now[0] += 61
    assert family.lane("people", clock=lambda: now[0], first=False).step() == 0  # one lane is enough for that
    assert family.statuses() == {"10": "waiting"}
    family.deliver()
    assert family.remote("Contact")["10"]["AccountId"] == "a1"


def test_a_first_sync_in_any_order_makes_the_calls_that_parents_first_would(family: Family) -> None:
    family.sql("insert into companies select n, 'C' from generate_series(1, 50) n")
    family.sql("insert into people (id, name, company_id) select n, 'P', n % 50 + 1 from generate_series(1, 400) n")
    family.touch("people", *range(1, 401), reason=Reason.FIRST_SYNC)
    family.touch("companies", *range(1, 51), reason=Reason.FIRST_SYNC)
    family.deliver("people")
    family.deliver()
    assert len(family.crm.sent) == 450
    assert [count for operation, _, count in family.crm.calls if operation == "upsert"] == [50, 400]
    entry = family.log("people", 1)[-1]
    assert (entry.outcome, entry.operation, entry.reason) == (Outcome.DELIVERED, Operation.CREATE, Reason.FIRST_SYNC)
