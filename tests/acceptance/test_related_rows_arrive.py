"""A change of any table that entities are made of reaches exactly the records that it touches, as `wait` says."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject

TABLES = """
create table regions (id int primary key, name text);
create table companies (id int primary key, name text, region int references regions);
create table orders (id int primary key, person bigint, total int);
alter table orders replica identity full;
create index on orders (person);
alter table people add company int references companies;
create index on people (company);
insert into regions values (1, 'North'), (2, 'South');
insert into companies values (10, 'Acme', 1), (20, 'Blue', 2), (30, 'Cold', null);
insert into orders values (100, 1, 5), (101, 1, 6), (102, 2, 7);
update people set company = case when id <= 3 then 10 when id = 4 then 20 end;
"""

PEOPLE = """
mapping: people
destination: crm
object: Contact
entity:
  table: public.people
  key: id
  where: company.name is distinct from 'Gone'
  related:
    company: {table: companies, on: company.id = people.company}
    region: {table: regions, on: region.id = company.region}
    orders: {table: orders, on: orders.person = people.id, rollup: {number: count(*), value: sum(orders.total)}}
external_id: Person_Key__c
fields:
  LastName: last_name
  Department: company.name
  MailingState: region.name
  Description: {sql: "orders.number || ' orders, ' || coalesce(orders.value, 0)"}
deletes: {to_destination: delete}
guard: {deletes: "off"}
"""

NOW = """
select p.id::text, p.last_name, c.name, r.name,
       (select count(*) || ' orders, ' || coalesce(sum(total), 0) from orders o where o.person = p.id)
  from people p left join companies c on c.id = p.company left join regions r on r.id = c.region
 where c.name is distinct from 'Gone' order by p.id
"""


@pytest.fixture
def shop(whole: WholeProject) -> WholeProject:
    """People with companies and orders in force, delivered, and a worker that runs."""
    whole.sql(TABLES)
    whole.write_mapping("people", PEOPLE)
    whole.done("setup")
    whole.start()
    whole.wait()
    assert_equal(whole)
    return whole


def assert_equal(shop: WholeProject) -> None:
    """Every record is what a plain query says."""
    names = ("Person_Key__c", "LastName", "Department", "MailingState", "Description")
    there = sorted(tuple(record.get(name) for name in names) for record in shop.records())
    assert there == sorted(shop.sql(NOW))


def updated_at(shop: WholeProject) -> dict[str, object]:
    """Key -> how often its record was written, as the log has it."""
    rows = shop.sql("select key, count(*) from syncbridge.sync_log where outcome = 'delivered' group by key")
    return dict(rows)


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ("update companies set name = 'Acme & Co' where id = 10", "123"),
        ("update regions set name = 'Far south' where id = 2", "4"),
        ("update companies set region = 2 where id = 10", "123"),
        ("update people set company = 20 where id = 1", "1"),
        ("insert into orders values (103, 3, 8)", "3"),
        ("update orders set total = 9 where id = 102", "2"),
        ("update orders set person = 4 where id = 101", "14"),
        ("delete from orders where person = 1", "1"),
        ("update orders set person = null where id = 102", "2"),
        ("truncate orders", "12"),
        ("update companies set name = 'Gone' where id = 10", "123"),
        ("update regions set id = 3 where false", ""),
    ],
)
def test_a_change_of_any_contributing_row_reaches_exactly_the_records_it_touches(
    shop: WholeProject, change: str, touched: str
) -> None:
    before = updated_at(shop)
    shop.sql(change)
    shop.wait()
    assert_equal(shop)
    after = updated_at(shop)
    assert {key for key in after if after[key] != before.get(key)} == set(touched)


def test_a_row_that_comes_and_goes_with_its_company_is_found_again(shop: WholeProject) -> None:
    shop.sql("update companies set name = 'Gone' where id = 10")
    shop.wait()
    assert [record["Person_Key__c"] for record in shop.records()] == ["4", "5"]
    shop.sql("update companies set name = 'Here again' where id = 10")  # its people are not linked any more
    shop.wait()
    assert len(shop.records()) == 5
    assert_equal(shop)


def test_a_truncated_table_reaches_entities_that_have_no_record(shop: WholeProject) -> None:
    shop.sql("update companies set name = 'Gone'")
    shop.wait()
    assert [record["Person_Key__c"] for record in shop.records()] == ["5"]
    shop.sql("truncate companies cascade")  # companies is what people refer to, so they go with it
    shop.wait()
    assert shop.records() == []
    shop.sql("alter table people drop constraint people_company_fkey")
    shop.sql("insert into companies values (10, 'Gone', 1)")
    shop.sql("insert into people (id, last_name, company) select n, 'Last ' || n, 10 from generate_series(1, 3) n")
    shop.wait()
    assert shop.records() == []
    shop.sql("truncate companies")
    shop.wait()
    assert len(shop.records()) == 3
    assert_equal(shop)


def test_what_happens_in_one_transaction_to_rows_of_a_chain_arrives_as_it_ended(shop: WholeProject) -> None:
    with shop.postgres.transaction():
        shop.sql("insert into regions values (7, 'West')")
        shop.sql("insert into companies values (70, 'New', 7)")
        shop.sql("update people set company = 70 where id in (1, 5)")
        shop.sql("update companies set region = 7 where id = 20")
        shop.sql("delete from orders where id = 100")
        shop.sql("insert into orders values (110, 5, 50)")
        shop.sql("update regions set name = 'Wild West' where id = 7")
    shop.wait()
    assert_equal(shop)
    assert {record["MailingState"] for record in shop.records()} == {"North", "Wild West"}


def test_a_related_change_while_no_worker_runs_is_delivered_by_the_next(shop: WholeProject) -> None:
    shop.workers[0].stop()
    shop.sql("update companies set name = 'While away' where id = 10")
    shop.start()
    shop.wait()
    assert_equal(shop)
    reasons = shop.sql("select distinct reason from syncbridge.sync_log where reason <> 'first_sync'")
    assert reasons == [("related",)]


def test_a_paused_mapping_keeps_its_related_changes(shop: WholeProject) -> None:
    shop.done("pause", "people")
    shop.sql("update companies set name = 'Later' where id = 10")
    ended = shop.run("wait", "--timeout", "20s")
    assert ended.code != 0
    assert "paused" in ended.out + ended.err
    shop.done("resume", "people")
    shop.wait()
    assert_equal(shop)
