"""Records of Salesforce that refer to each other: parents first, whatever is committed in which order."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject

FIRMS = """
mapping: firms
destination: crm
object: Account
entity: {table: public.firms, key: id}
external_id: Firm_Key__c
fields:
  Name: name
  ParentId: {lookup: firms, key: owner_id}
guard: {deletes: "off"}
"""
PEOPLE = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Person_Key__c
fields:
  LastName: last_name
  AccountId: {lookup: firms, key: firm_id}
  ReportsToId: {lookup: people, key: manager_id, missing: empty}
guard: {deletes: "off"}
"""


@pytest.fixture
def referring(whole: WholeProject) -> WholeProject:
    """Firms that own each other, and people of firms; nothing is in force yet."""
    whole.sql("alter table people add firm_id int, add manager_id bigint")
    whole.sql("create table firms (id int primary key, name text not null, owner_id int)")
    whole.sql("insert into firms select n, 'Firm ' || n, nullif(n / 2, 0) from generate_series(1, 40) n")
    whole.sql("update firms set owner_id = 40 where id = 1")  # a circle
    whole.sql("insert into people (id, last_name) select n, 'P' from generate_series(10, 300) n")
    whole.sql("update people set firm_id = id % 40 + 1, manager_id = 300 where id < 300")
    whole.write_mapping("firms", FIRMS)
    whole.write_mapping("people", PEOPLE)
    return whole


def _assert_both_sides_agree(project: WholeProject) -> None:
    accounts = {r["Firm_Key__c"]: r for r in project.salesforce.control.records("Account") if r["Firm_Key__c"]}
    contacts = {r["Person_Key__c"]: r for r in project.salesforce.control.records("Contact") if r["Person_Key__c"]}
    firms, people = (
        project.sql("select id, owner_id from firms"),
        project.sql("select id, firm_id, manager_id from people"),
    )
    assert (len(accounts), len(contacts)) == (len(firms), len(people))
    for key, owner in firms:
        assert accounts[str(key)]["ParentId"] == (accounts[str(owner)]["Id"] if owner else None), key
    for key, firm, manager in people:
        assert contacts[str(key)]["AccountId"] == (accounts[str(firm)]["Id"] if firm else None), key
        assert contacts[str(key)]["ReportsToId"] == (contacts[str(manager)]["Id"] if manager else None), key


def test_a_first_sync_and_live_changes_keep_every_reference_right(referring: WholeProject) -> None:
    referring.done("setup")
    referring.start()
    referring.wait()
    _assert_both_sides_agree(referring)
    (sent,) = referring.sql(
        "select count(*) from syncbridge.sync_log l join syncbridge.mapping m on m.id = l.mapping_id"
        " where outcome = 'delivered' and m.name = 'firms'"
    )
    assert sent[0] == 41  # each once, but for the one that breaks the circle

    referring.sql("insert into people (id, last_name, firm_id) values (1000, 'Early', 500)")
    ended = referring.run("wait", "--timeout", "60s")
    assert ended.code == 1
    assert "1 waiting for other records" in ended.out
    referring.sql("insert into firms values (500, 'Late', null)")
    referring.wait()
    _assert_both_sides_agree(referring)


def test_a_person_who_moves_survives_the_delete_of_the_old_firm(referring: WholeProject) -> None:
    """Salesforce deletes the contacts of an account with it."""
    referring.done("setup")
    referring.start()
    referring.wait()
    before = {r["Person_Key__c"]: r["Id"] for r in referring.records("people")}
    with referring.postgres.transaction():
        referring.sql("update people set firm_id = 3 where firm_id = 39")
        referring.sql("delete from firms where id = 39")
    referring.wait()
    _assert_both_sides_agree(referring)
    assert {r["Person_Key__c"]: r["Id"] for r in referring.records("people")} == before
