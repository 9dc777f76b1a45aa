"""Fields of the destination's own: given to new records, never sent again, never compared."""

from __future__ import annotations

import pytest

from tests.fix_family import Family, StartFamily

PEOPLE = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
fields:
  Name: name
  Email: {column: email, owner: destination}
guard: {deletes: off}
"""


@pytest.fixture
def owned(start_family: StartFamily) -> Family:
    family = start_family(PEOPLE)
    family.sql("insert into people (id, name, email) values (1, 'Ada', 'ada@first')")
    family.touch("people", 1)
    family.deliver()
    return family


def _change(family: Family, sql: str) -> None:
    family.sql(sql)
    family.touch("people", 1)
    family.deliver()


def test_a_new_record_gets_it(owned: Family) -> None:
    assert owned.crm.sent == [("Contact", {"Key__c": "1", "Name": "Ada", "Email": "ada@first"})]


def test_a_change_of_it_alone_sends_nothing(owned: Family) -> None:
    _change(owned, "update people set email = 'ada@second'")
    assert len(owned.crm.sent) == 1


def test_an_update_leaves_it_out(owned: Family) -> None:
    _change(owned, "update people set email = 'ada@second', name = 'Augusta'")
    assert owned.crm.sent[1:] == [("Contact", {"Key__c": "1", "Name": "Augusta"})]


def test_what_is_sent_in_full_leaves_it_out(owned: Family) -> None:
    owned.crm.faults.fail_after_write()
    _change(owned, "update people set email = 'ada@second', name = 'Augusta'")
    assert owned.crm.sent[2:] == [("Contact", {"Key__c": "1", "Name": "Augusta"})]


def test_a_record_that_is_made_again_gets_it_again(owned: Family) -> None:
    old = owned.remote_id("people", 1)
    assert old is not None
    owned.crm.delete("Contact", [old])
    _change(owned, "update people set email = 'ada@second', name = 'Augusta'")
    record = owned.remote("Contact")["1"]
    assert (record["Name"], record["Email"]) == ("Augusta", "ada@second")
    assert owned.statuses() == {}
    assert owned.remote_id("people", 1) not in (None, old)


def test_a_refused_update_of_part_of_a_record_ends_as_a_dead_letter(owned: Family) -> None:
    owned.crm.faults.reject("1", "NO")
    _change(owned, "update people set name = 'Augusta'")
    assert owned.statuses() == {"1": "dead"}
