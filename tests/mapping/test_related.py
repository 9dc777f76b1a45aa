"""Entities over several tables: composed, paged, watched and looked up on a real server."""

from __future__ import annotations

from decimal import Decimal

import pytest
from psycopg import Connection

from syncbridge.mapping.compile import CompiledMapping
from syncbridge.schemas import Watch
from syncbridge.source.catalog import describe_query
from tests.mapping.fix_related import ENTITY, TABLES, compiled, compose, keys, looked_up

FIELDS = """
fields:
  Name: name
  Company: company.name
  Region: region.name
  Value: orders.lifetime_value
  Said: {sql: "people.name || ' has ' || orders.order_count"}
"""


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
        Watch(7, "public", "companies", ("id",), "company"),
        Watch(7, "public", "regions", ("id",), "region"),
        Watch(7, "public", "orders", ("person_id",)),  # its texts are the entity's key
        Watch(7, "public", "products", ("id",), "product"),
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
