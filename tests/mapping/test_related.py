"""Entities over several tables: composed, paged and watched on a real server."""

from __future__ import annotations

from decimal import Decimal

import pytest
from psycopg import Connection

from syncbridge.errors import SettingsError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.keys import encode_key
from syncbridge.project import compile_over
from syncbridge.schemas import Watch
from syncbridge.source.catalog import describe_query, read_catalog
from tests.mapping.fix_related import ENTITY, FIELDS, HEAD, TABLES, compiled, compose, keys, looked_up


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """TABLES, filled."""
    connection.execute(TABLES)
    return connection


@pytest.fixture
def people(shop: Connection) -> CompiledMapping:
    """ENTITY with FIELDS; its `name` is of three tables."""
    return compiled(shop, FIELDS)


def test_related_rows_and_roll_ups_are_composed_with_the_entity(shop: Connection, people: CompiledMapping) -> None:
    assert compose(shop, people, ["1", "2", "3", "4", "5", "6"]) == {
        "1": ("Ann", "Acme", "north", Decimal(80), "Ann has 2"),
        "2": ("Bob", "Acme", "north", None, "Bob has 1"),
        "3": ("Cid", "Blue", "south", None, "Cid has 0"),
        "4": ("Dee", "Cold", None, None, "Dee has 0"),
        "5": ("Eve", None, None, None, "Eve has 0"),
    }


def test_the_described_query_has_the_columns_of_a_composed_row(shop: Connection, people: CompiledMapping) -> None:
    columns = describe_query(shop, people.describe_sql)
    assert isinstance(columns, list)
    assert [column.base_type for column in columns] == ["text", "text", "text", "numeric", "text"]


def test_the_filter_may_speak_of_relations_and_roll_ups(shop: Connection) -> None:
    entity = ENTITY.replace("key: id", "key: id\n  where: company.is_customer and orders.order_count > 0")
    mapping = compiled(shop, FIELDS, entity)
    shop.execute("update companies set is_customer = false where id = 11")
    assert list(compose(shop, mapping, ["1", "2", "3", "5"])) == ["1", "2"]
    assert keys(shop, mapping) == ["1", "2", "3", "4", "5"]
    assert keys(shop, mapping, filtered=True) == ["1", "2"]
    assert shop.execute(mapping.count_sql(filtered=True), ()).fetchone() == (2,)
    assert shop.execute(mapping.count_sql(), ()).fetchone() == (5,)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("company.name = 'Acme'", ["1", "2"]),
        ("region.name = 'south' -- by two hops", ["3"]),
        ("not is_customer or company_id is null", ["5"]),  # a column that only companies have
        ("order_count = 2", ["1"]),
        ('"company"."id" % 2 = 0', ["1", "2", "4"]),
        ("people.id = 4", ["4"]),
        ("company is null", ["5"]),
    ],
)
def test_a_person_may_narrow_by_related_tables(
    shop: Connection, people: CompiledMapping, where: str, found: list[str]
) -> None:
    assert keys(shop, people, where=where) == found
    assert shop.execute(people.count_sql(where=where), ()).fetchone() == (len(found),)


def test_a_page_of_keys_joins_nothing_unless_a_condition_speaks_of_it(people: CompiledMapping) -> None:
    assert "join" not in people.keys_sql(after=True, filtered=True)
    assert "join" not in people.keys_sql(after=True, where="people.name like 'A%'")
    assert people.keys_sql(after=True, where="region.id = 1").count("join") == 2
    assert people.count_sql(where="lifetime_value > 1").count("lateral") == 1


def test_watches_name_the_columns_that_rows_are_joined_by(people: CompiledMapping) -> None:
    assert set(people.watches(7)) == {
        Watch(7, "public", "people", ("id",)),
        Watch(7, "public", "companies", ("id",), "company", related=True),
        Watch(7, "public", "regions", ("id",), "region", related=True),
        Watch(7, "public", "orders", ("person_id",), related=True),  # its texts are the entity's key
        Watch(7, "public", "products", ("id",), "product", related=True),
    }
    assert people.watches(7)[0] == Watch(7, "public", "people", ("id",))


@pytest.mark.parametrize(
    ("relation", "join_keys", "found"),
    [
        ("company", ["10"], ["1", "2"]),
        ("company", ["11", "12", "11", "99"], ["3", "4"]),
        ("region", ["1"], ["1", "2"]),
        ("region", ["1", "2"], ["1", "2", "3"]),
        ("product", ["1"], ["1"]),  # two orders of one person, and one of nobody
        ("orders", ["2"], ["2"]),
        ("company", [], []),
    ],
)
def test_join_keys_are_looked_up_to_the_entities_they_concern(
    shop: Connection, people: CompiledMapping, relation: str, join_keys: list[str], found: list[str]
) -> None:
    assert looked_up(shop, people, relation, join_keys) == found
    assert looked_up(shop, people, relation, join_keys, page=1) == found


def test_a_look_up_of_an_unknown_relation_is_refused(people: CompiledMapping) -> None:
    with pytest.raises(KeyError, match="compny"):
        people.fan_out_page("compny", None, 5)


ODD = """
create schema "S %s.";
create table "S %s."."R ""%" ("a key" text, "B.b" uuid, "to %(x)s" text, n int, primary key ("B.b", "a key"));
create table "S %s."."C ""%" ("Id" text primary key, "a.b" text, "Up" text);
create table "S %s."."D ""%" ("Id" int primary key, "A" text, "B" uuid, v int);
insert into "S %s."."C ""%" values ('c%', 'in C', 'top'), ('top', 'top of C', null);
insert into "S %s."."R ""%" values ('k"1', '0b0f6c0e-0000-4000-8000-00000000000a', 'c%', 1),
    ('k, 2', '0b0f6c0e-0000-4000-8000-00000000000a', null, 2);
insert into "S %s."."D ""%" values (1, 'k"1', '0b0f6c0e-0000-4000-8000-00000000000a', 5),
    (2, 'k"1', '0b0f6c0e-0000-4000-8000-00000000000a', 6), (3, 'k"1', null, 7);
"""

ODD_ENTITY = """
entity:
  table: '"S %s."."R ""%"'
  key: [B.b, a key]
  related:
    parent: {table: '"S %s."."C ""%"', on: 'parent."Id" = "R ""%"."to %(x)s"'}
    above: {table: '"S %s."."C ""%"', on: 'above."Id" = parent."Up"', where: above."Id" like '%o%'}
    children:
      table: '"S %s."."D ""%"'
      on: 'children."A" = "R ""%"."a key" and children."B" = "R ""%"."B.b"'
      where: children.v % 2 = 1 or "R ""%".n = 2
      rollup: {total: sum(children.v), odd: "string_agg(children.v || '%', ',')"}
"""


def test_odd_names_composite_keys_and_percent_signs_hold_everywhere(connection: Connection) -> None:
    connection.execute(ODD)
    fields = "fields: {A: parent.a.b, B: above.a.b, T: children.total, O: children.odd, N: n}\n"
    mapping = compiled(connection, fields, ODD_ENTITY)
    uuid = "0b0f6c0e-0000-4000-8000-00000000000a"
    first, second = encode_key([uuid, 'k"1']), encode_key([uuid, "k, 2"])
    assert compose(connection, mapping, [first, second]) == {
        first: ("in C", "top of C", 5, "5%", 1),
        second: (None, None, None, None, 2),
    }
    assert mapping.watches(1) == (
        Watch(1, "S %s.", 'R "%', ("B.b", "a key")),
        Watch(1, "S %s.", 'C "%', ("Id",), "parent", related=True),
        Watch(1, "S %s.", 'D "%', ("B", "A"), related=True),  # in the order of the entity's key
        Watch(1, "S %s.", 'C "%', ("Id",), "above", related=True),
    )
    assert looked_up(connection, mapping, "parent", ["c%", "x"], page=1) == [first]
    assert looked_up(connection, mapping, "above", ["top"]) == [first]
    assert looked_up(connection, mapping, "children", [encode_key(['k"1', uuid])]) == [first]
    assert keys(connection, mapping, where="children.total % 5 = 0 and parent.\"a.b\" like '%C'") == [first]
    assert isinstance(describe_query(connection, mapping.describe_sql), list)


def test_a_table_may_be_related_to_itself_and_several_times(shop: Connection) -> None:
    entity = """
entity:
  table: people
  key: id
  related:
    boss: {table: people, on: boss.id = people.manager_id}
    boss_of_boss: {table: people, on: boss_of_boss.id = boss.manager_id}
    reports:
      table: people
      on: reports.manager_id = people.id
      rollup: {n: count(*), names: "string_agg(reports.name, ',' order by reports.id)"}
    boss_reports: {table: people, on: boss_reports.manager_id = boss.id, rollup: {n: count(*)}}
    self: {table: people, on: self.id = people.id}
"""
    fields = (
        "fields: {B: boss.name, BB: boss_of_boss.name, N: reports.n, R: reports.names, P: boss_reports.n, S: self.name}"
    )
    mapping = compiled(shop, fields, entity)
    assert compose(shop, mapping, ["1", "4", "5"]) == {
        "1": (None, None, 2, "Bob,Cid", 0, "Ann"),
        "4": ("Bob", "Ann", 0, None, 1, "Dee"),
        "5": ("Eve", "Eve", 1, "Eve", 1, "Eve"),
    }
    watches = mapping.watches(1)
    assert len(set(watches)) == len(watches)
    assert Watch(1, "public", "people", ("manager_id",), related=True) in watches  # whose reports changed
    assert looked_up(shop, mapping, "boss", ["1"]) == ["2", "3"]
    assert looked_up(shop, mapping, "boss_of_boss", ["1"]) == ["4"]
    assert looked_up(shop, mapping, "boss_reports", ["1"]) == ["2", "3"]


def test_a_look_up_that_two_relations_share_is_watched_once(shop: Connection) -> None:
    entity = """
entity:
  table: people
  key: id
  related:
    company: {table: companies, on: company.id = people.company_id}
    customer: {table: companies, on: customer.id = people.company_id, where: customer.is_customer}
    open_orders:
      table: orders
      on: open_orders.person_id = people.id
      where: open_orders.stage = 'open'
      rollup: {n: count(*)}
    won_orders:
      table: orders
      on: won_orders.person_id = people.id
      where: won_orders.stage = 'won'
      rollup: {n: count(*)}
"""
    mapping = compiled(shop, "fields: {A: company.name, B: customer.name, C: open_orders.n, D: won_orders.n}\n", entity)
    shop.execute("update companies set is_customer = false where id = 11")
    assert compose(shop, mapping, ["1", "3"]) == {"1": ("Acme", "Acme", 1, 1), "3": ("Blue", None, 0, 0)}
    assert mapping.watches(1) == (
        Watch(1, "public", "people", ("id",)),
        Watch(1, "public", "companies", ("id",), "company", related=True),
        Watch(1, "public", "orders", ("person_id",), related=True),
    )


def test_a_roll_up_gives_one_row_whatever_it_says(shop: Connection) -> None:
    entity = ENTITY.replace("count(*)", "length('x')")
    entity = entity.replace("sum(orders.total * product.factor)", "max(2)")
    mapping = compiled(shop, "fields: {A: orders.order_count, B: orders.lifetime_value}\n", entity)
    assert compose(shop, mapping, ["1", "5"]) == {"1": (1, 2), "5": (1, None)}


def test_a_roll_up_may_hang_on_a_relation_that_is_not_there(shop: Connection) -> None:
    entity = """
entity:
  table: people
  key: id
  related:
    company: {table: companies, on: company.id = people.company_id}
    colleagues:
      table: people
      on: colleagues.company_id = company.id
      where: colleagues.id <> 1
      rollup: {n: count(*)}
"""
    mapping = compiled(shop, "fields: {N: colleagues.n}\n", entity)
    assert compose(shop, mapping, ["1", "3", "5"]) == {"1": (1,), "3": (1,), "5": (0,)}
    assert looked_up(shop, mapping, "colleagues", ["10"]) == ["1", "2"]


def test_several_rows_may_hang_on_a_rolled_up_one(shop: Connection) -> None:
    shop.execute("create table lines (order_id int, n int); insert into lines values (100, 1), (100, 2), (101, 4)")
    entity = ENTITY + "    lines: {table: lines, on: lines.order_id = orders.id, where: lines.n > 1}\n"
    entity = entity.replace("sum(orders.total * product.factor)", "sum(lines.n)").replace(
        "count(*)", "count(distinct orders.id)"
    )
    mapping = compiled(shop, "fields: {A: orders.order_count, B: orders.lifetime_value}\n", entity)
    assert compose(shop, mapping, ["1", "2"]) == {"1": (2, 6), "2": (1, None)}
    assert looked_up(shop, mapping, "lines", ["100", "101"]) == ["1"]


def test_a_column_that_has_the_name_of_a_relations_column_wins(shop: Connection) -> None:
    shop.execute("""alter table people add "company.name" text; update people set "company.name" = 'mine'""")
    mapping = compiled(shop, "fields: {A: company.name}\n")
    assert compose(shop, mapping, ["1"]) == {"1": ("mine",)}


def test_partitioned_tables_are_joined_and_looked_up_like_any_other(shop: Connection) -> None:
    shop.execute(
        """
        create table visits (person_id bigint, day date, primary key (person_id, day)) partition by range (day);
        create table visits1 partition of visits for values from ('2024-01-01') to ('2025-01-01');
        create table visits2 partition of visits for values from ('2025-01-01') to ('2026-01-01');
        insert into visits values (1, '2024-06-01'), (1, '2025-06-01'), (2, '2025-06-01')
        """
    )
    entity = ENTITY + "    visits: {table: visits, on: visits.person_id = people.id, rollup: {last: max(visits.day)}}\n"
    mapping = compiled(shop, 'fields: {L: {sql: "visits.last::text"}}\n', entity)
    assert compose(shop, mapping, ["1", "3"]) == {"1": ("2025-06-01",), "3": (None,)}


def test_what_is_related_is_part_of_what_decides_the_values(shop: Connection) -> None:
    mapping = compiled(shop, FIELDS)
    again = compiled(shop, FIELDS, ENTITY.replace("'cancelled'", "'lost'"))
    assert mapping.definition["entity"]["related"]["orders"]["on"] == "orders.person_id = people.id"
    assert mapping.digest != again.digest
    assert mapping.payload_digest != again.payload_digest


def test_a_table_that_is_gone_is_told_with_its_place(shop: Connection) -> None:
    shop.execute("drop table regions")
    spec = parse_mapping(HEAD + ENTITY.lstrip("\n") + FIELDS)
    tables = read_catalog(shop, spec.tables).tables
    with pytest.raises(SettingsError, match=r"mapping.yaml:10: there is no table regions"):
        compile_over(spec, tables)
