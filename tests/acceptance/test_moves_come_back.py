"""Records of Salesforce that are moved to another parent move their rows, and rows their records; formulas come too."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject, until

FIRMS = """
mapping: firms
destination: crm
object: Account
entity: {table: public.firms, key: id}
external_id: Firm_Key__c
fields:
  Name: name
  ParentId: {lookup: firms, key: owner_id}
direction: both
poll: {every: 1s}
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
  ReportsToId: {lookup: people, key: manager_id}
  Firm_Name__c: firm_name
direction: both
poll: {every: 1s, formulas: 1s}
guard: {deletes: "off"}
"""


@pytest.fixture
def moving(whole: WholeProject) -> WholeProject:
    """Firms and people in both directions, delivered and polled."""
    whole.salesforce.control.put_field("Contact", "Firm_Name__c", {"type": "string(80)", "formula": "Account.Name"})
    whole.sql("create table firms (id int primary key, name text not null, owner_id int references firms)")
    whole.sql("insert into firms select n, 'Firm ' || n from generate_series(1, 3) n")
    whole.sql(
        "alter table people add firm_id int references firms, add manager_id bigint references people,"
        " add firm_name text"
    )
    whole.sql("update people set firm_id = 1")
    whole.write_mapping("firms", FIRMS)
    whole.write_mapping("people", PEOPLE)
    whole.done("setup")
    whole.start()
    whole.wait()
    until(lambda: whole.sql("select 1 from syncbridge.watermark where polled_at is not null having count(*) = 2"))
    return whole


def ids(whole: WholeProject, object: str, key: str) -> dict[str, str]:
    return {r[key]: r["Id"] for r in whole.salesforce.control.records(object) if r[key]}


def edit(whole: WholeProject, key: int, **values: object) -> None:
    """Somebody changes a Contact through the API."""
    with whole.project() as project:
        remote_id = ids(whole, "Contact", "Person_Key__c")[str(key)]
        (result,) = project.destination("crm").update("Contact", [(remote_id, dict(values))])  # type: ignore[arg-type]
    assert not hasattr(result, "code"), result


def contact(whole: WholeProject, key: int) -> dict[str, object]:
    return {r["Person_Key__c"]: r for r in whole.salesforce.control.records("Contact")}[str(key)]


def row(whole: WholeProject, key: int, columns: str) -> tuple[object, ...]:
    return tuple(whole.sql(f"select {columns} from people where id = %s", key)[0])


def test_a_contact_that_is_moved_moves_its_row_and_a_row_its_contact(moving: WholeProject) -> None:
    firms, people = ids(moving, "Account", "Firm_Key__c"), ids(moving, "Contact", "Person_Key__c")
    edit(moving, 1, AccountId=firms["2"], ReportsToId=people["3"])
    until(lambda: row(moving, 1, "firm_id, manager_id") == (2, 3), what="the move reaches the row")
    moving.sql("update people set firm_id = 3, manager_id = 1 where id = 2")
    until(lambda: contact(moving, 2)["AccountId"] == firms["3"], what="the move reaches the record")
    edit(moving, 1, ReportsToId=None)
    until(lambda: row(moving, 1, "firm_id, manager_id") == (2, None), what="the lookup is cleared")
    moving.wait()
    assert contact(moving, 2)["ReportsToId"] == people["1"]
    assert row(moving, 2, "firm_id, manager_id") == (3, 1)
    sent = moving.sql(
        "select key from syncbridge.sync_log where direction = 'out' and outcome = 'delivered' and operation = 'update'"
    )
    assert sent == [("2",)]  # and nothing echoes


def test_a_formula_over_the_parent_reaches_the_rows_of_its_children(moving: WholeProject) -> None:
    until(lambda: row(moving, 1, "firm_name") == ("Firm 1",), what="the formula's first value")
    stamp = contact(moving, 1)["SystemModstamp"]
    moving.sql("update firms set name = 'Renamed' where id = 1")
    until(lambda: row(moving, 1, "firm_name") == ("Renamed",), what="the formula's next value")
    assert contact(moving, 1)["SystemModstamp"] == stamp
    moving.wait()
    assert moving.dead() == {}
