"""Join keys of related tables: which are entity keys as they are, which are looked up, and by which indexes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import Connection, connect

from syncbridge.mapping.compile import compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.schemas import Column, Table
from tests.fix_postgres import Databases
from tests.mapping.fix_related import FIELDS, HEAD, TABLES, compiled, compose, keys, looked_up

#: Type of the entity's key, of the relation's column, whether the texts of the one are surely the other's.
PAIRS = [
    ("bigint", "smallint", True),
    ("text", "varchar(5)", True),
    ("uuid", "uuid", True),
    ("date", "date", True),
    ("boolean", "boolean", True),
    ("mood", "mood", True),
    ("bigint", "numeric", False),
    ("numeric", "integer", False),
    ("numeric", "numeric", False),
    ("citext", "citext", False),
    ("citext", "text", False),
    ("text", "char(5)", False),
]
TEXTS = {"uuid": "0b0f6c0e-0000-4000-8000-00000000000a", "date": "2024-02-29", "boolean": "t", "mood": "sad"}


@pytest.mark.parametrize(("key", "own", "direct"), PAIRS)
def test_join_keys_are_entity_keys_only_where_equal_values_have_equal_texts(
    connection: Connection, key: str, own: str, direct: bool
) -> None:
    connection.execute("create extension citext; create type mood as enum ('sad', 'glad')")
    connection.execute(f"create table r (id {key} primary key); create table x (r {own}, n int)")
    text = TEXTS.get(key, "12")
    connection.execute(f"insert into r values ('{text}'); insert into x values ('{text}', 1), ('{text}', 2)")
    entity = "entity: {table: r, key: id, related: {x: {table: x, on: x.r = r.id, rollup: {n: sum(x.n)}}}}\n"
    mapping = compiled(connection, "fields: {N: x.n}\n", entity)
    assert compose(connection, mapping, keys(connection, mapping)) == {text: (3,)}
    assert mapping.watches(1)[1].relation == ("" if direct else "x")
    told = [row[0] for row in connection.execute("select format('%s', r) from x")]
    assert looked_up(connection, mapping, "x", told) == [text]


def test_join_keys_are_looked_up_where_a_collation_takes_different_texts_for_equal() -> None:
    spec = parse_mapping(
        f"{HEAD}entity: {{table: r, key: id, related: {{x: {{table: x, on: x.r = r.id, rollup: {{n: count(*)}}}}}}}}\n"
        "fields: {N: x.n}\n"
    )
    root = Table("public", "r", {"id": Column("id", "text", base_type="text")}, primary_key=("id",))
    for deterministic, relation in ((True, ""), (False, "x")):
        column = Column("r", "text", base_type="text", deterministic=deterministic)
        mapping = compile_mapping(spec, root, {"x": Table("public", "x", {"r": column})})
        assert mapping.watches(1)[1].relation == relation


def test_join_keys_that_are_equal_in_other_spellings_are_found(connection: Connection) -> None:
    connection.execute(
        """
        create extension citext;
        create table r (id int primary key, code citext, price numeric);
        create table x (code citext primary key); create table y (price numeric primary key);
        insert into r values (1, 'AB', 1.00), (2, 'ab', 1.0), (3, 'c', 2);
        insert into x values ('Ab'); insert into y values (1.000)
        """
    )
    entity = """
entity:
  table: r
  key: id
  related: {x: {table: x, on: x.code = r.code}, y: {table: y, on: y.price = r.price}}
"""
    mapping = compiled(connection, "fields: {A: x.code, B: y.price}\n", entity)
    assert list(compose(connection, mapping, ["1", "2", "3"])) == ["1", "2", "3"]
    assert looked_up(connection, mapping, "x", ["Ab", "aB"]) == ["1", "2"]
    assert looked_up(connection, mapping, "y", ["1.000"]) == ["1", "2"]


MANY = """
insert into regions select n, 'r' || n from generate_series(3, 500) n;
insert into companies select n, 'c' || n, 1 + n % 500 from generate_series(100, 2000) n;
insert into people select n, 'p' || n, case when n % 2 = 0 then 100 else 100 + n % 1900 end
    from generate_series(100, 200000) n;
create index on people (company_id); create index on companies (region_id);
create index on orders (person_id); create index on orders (product_id);
insert into orders select n, n, n % 5000, 1, 'open' from generate_series(1000, 100000) n;
insert into products select n, 1 from generate_series(10, 5000) n;
analyze
"""


@pytest.fixture(scope="module")
def many(databases: Databases) -> Iterator[str]:
    """Conninfo of a database with so many rows that it pays to use indexes; tests only read."""
    with databases.new() as dsn, connect(dsn, autocommit=True) as connection:
        connection.execute(TABLES + MANY)
        yield dsn


@pytest.fixture
def crowd(many: str) -> Iterator[Connection]:
    with connect(many, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("relation", "join_keys", "indexes"),
    [
        ("company", ["100"], ["people_company_id_idx"]),  # of 100,000 people
        ("company", ["101", "102", "103"], ["people_company_id_idx"]),
        ("region", ["2"], ["companies_region_id_idx", "people_company_id_idx"]),
        ("product", ["17"], ["orders_product_id_idx", "people_pkey"]),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("after", [None, "150000"])
def test_join_keys_are_looked_up_by_indexes(
    crowd: Connection, relation: str, join_keys: list[str], indexes: list[str], mode: str, after: str | None
) -> None:
    mapping = compiled(crowd, FIELDS)
    crowd.execute(f"set plan_cache_mode = {mode}")
    sql, parameters = mapping.fan_out_page(relation, after, 1000)
    rows = crowd.execute(f"explain (costs off) {sql}", [join_keys, *parameters], prepare=True)
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    assert all(index in plan for index in indexes), plan


def test_a_page_of_keys_is_a_plain_range_and_a_batch_is_composed_by_indexes(crowd: Connection) -> None:
    mapping = compiled(crowd, FIELDS)
    sql, parameters = mapping.keys_page("150000", 1000)
    plan = "\n".join(row[0] for row in crowd.execute(f"explain (costs off) {sql}", parameters))
    assert plan.splitlines()[:2] == ["Limit", "  ->  Index Only Scan using people_pkey on people"], plan
    keys = [str(n) for n in range(1000, 1200)]
    for mode in ("force_custom_plan", "force_generic_plan"):
        crowd.execute(f"set plan_cache_mode = {mode}")
        rows = crowd.execute(f"explain (costs off) {mapping.compose_sql}", [keys], prepare=True)
        plan = "\n".join(row[0] for row in rows)
        assert "people_pkey" in plan, plan
        assert "orders_person_id_idx" in plan, plan
        assert "Seq Scan on people" not in plan, plan
        assert "Seq Scan on orders" not in plan, plan
