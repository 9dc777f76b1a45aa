"""A mapping over several tables on a real server, compiled, composed and looked up."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection

from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.source.catalog import read_catalog

HEAD = "mapping: m\ndestination: d\nobject: O\nexternal_id: K\n"

TABLES = """
create table regions (id int primary key, name text);
create table companies (id bigint primary key, name text, region_id int, is_customer boolean not null default true);
create table people (id bigint primary key, name text, company_id bigint, manager_id bigint);
create table products (id int primary key, factor numeric not null);
create table orders (id int primary key, person_id bigint, product_id int, total numeric, stage text);
insert into regions values (1, 'north'), (2, 'south');
insert into companies values (10, 'Acme', 1), (11, 'Blue', 2), (12, 'Cold', null);
insert into people values (1, 'Ann', 10, null), (2, 'Bob', 10, 1), (3, 'Cid', 11, 1), (4, 'Dee', 12, 2),
    (5, 'Eve', null, 5);
insert into products values (1, 2), (2, 10);
insert into orders values (100, 1, 1, 5, 'open'), (101, 1, 2, 7, 'won'), (102, 1, 1, 1, 'cancelled'),
    (103, 2, null, 3, 'open'), (104, null, 1, 9, 'open');
"""

ENTITY = """
entity:
  table: people
  key: id
  related:
    product: {table: products, on: product.id = orders.product_id}
    region: {table: regions, on: region.id = company.region_id}
    company: {table: companies, on: company.id = people.company_id}
    orders:
      table: orders
      on: orders.person_id = people.id
      where: orders.stage <> 'cancelled' -- those do not count
      rollup: {order_count: count(*), lifetime_value: sum(orders.total * product.factor)}
"""

FIELDS = """
fields:
  Name: name
  Company: company.name
  Region: region.name
  Value: orders.lifetime_value
  Said: {sql: "people.name || ' has ' || orders.order_count"}
"""


def compiled(connection: Connection, rest: str, entity: str = ENTITY) -> CompiledMapping:
    """The mapping of these parts, compiled over the tables as they are."""
    spec = parse_mapping(HEAD + entity.lstrip("\n") + rest)
    tables = read_catalog(connection, spec.tables).tables
    related = {name: tables[relation.table_name] for name, relation in spec.entity.related.items()}
    return compile_mapping(spec, tables[spec.entity.table_name], related)


def compose(connection: Connection, mapping: CompiledMapping, keys: Sequence[str]) -> dict[str, tuple[object, ...]]:
    """Values by key; a key that composes twice is a fault of the query."""
    rows = connection.execute(mapping.compose_sql, [list(keys)]).fetchall()
    assert len({row[0] for row in rows}) == len(rows), rows
    return {row[0]: row[1:] for row in rows}


def keys(connection: Connection, mapping: CompiledMapping, **choice: str | bool) -> list[str]:
    """Every key that keys_page gives."""
    sql, parameters = mapping.keys_page(None, 1_000_000, **choice)  # type: ignore[arg-type]
    return [row[0] for row in connection.execute(sql, parameters)]


def looked_up(
    connection: Connection, mapping: CompiledMapping, relation: str, join_keys: Sequence[str], *, page: int = 100
) -> list[str]:
    """Keys of the entities that join keys concern, page by page."""
    found: list[str] = []
    while True:
        sql, parameters = mapping.fan_out_page(relation, found[-1] if found else None, page)
        rows = [row[0] for row in connection.execute(sql, [list(join_keys), *parameters])]
        if not rows:
            return found
        found += rows
