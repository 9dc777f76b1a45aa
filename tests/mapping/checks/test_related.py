"""Check of related tables on a real server: each thing that can be wrong, with the words and the SQL that mend it."""

from __future__ import annotations

import pytest
from psycopg import Connection

from syncbridge.errors import Finding, SchemaDrift
from syncbridge.mapping.checks.check import Subject, check_mappings, fragments
from syncbridge.mapping.files import parse_mapping
from syncbridge.schemas import Column, QueryFault
from syncbridge.source.catalog import describe_query, read_catalog
from tests.mapping.fix_related import ENTITY, HEAD, TABLES, compiled

FIELDS = "fields: {Name: name, Company: company.name, Value: orders.lifetime_value}\n"

#: What TABLES lack for ENTITY to be without a finding.
MENDED = """
create index on people (company_id);
create index on companies (region_id);
create index on orders (product_id);
create index on orders (person_id);
alter table orders replica identity full;
"""


def check(connection: Connection, *entities: str, rest: str = FIELDS) -> list[Finding]:
    """As `syncbridge check` does, without a destination."""
    specs = [
        parse_mapping(HEAD.replace("mapping: m", f"mapping: m{n}") + entity.lstrip("\n") + rest, "m.yaml")
        for n, entity in enumerate(entities)
    ]
    catalog = read_catalog(connection, [table for spec in specs for table in spec.tables])
    subjects = []
    for spec in specs:
        described: dict[tuple[str, ...], Column | QueryFault | None] = {}
        for route, sql in fragments(spec, catalog).items():
            outcome = describe_query(connection, sql)
            described[route] = outcome if isinstance(outcome, QueryFault) else next(iter(outcome), None)
        subjects.append(Subject(spec, described))
    found = check_mappings(subjects, catalog, publication="p")
    return [finding for finding in found if "writes O by K too" not in finding.message]


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def shop(connection: Connection) -> Connection:
    connection.execute(TABLES + MENDED)
    return connection


def test_related_tables_that_fit_have_no_findings(shop: Connection) -> None:
    assert check(shop, ENTITY) == []


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "remedy"),
    [
        (
            "table: regions",
            "table: region",
            "m.yaml:10",
            "there is no table public.region; did you mean public.regions?",
            "",
        ),
        (
            "company.region_id",
            "company.regoin_id",
            "m.yaml:10",
            "entity.related.region.on: public.companies has no column 'regoin_id'; did you mean 'region_id'?",
            "",
        ),
        (
            "on: company.id =",
            "on: company.idd =",
            "m.yaml:11",
            "entity.related.company.on: public.companies has no column 'idd'; did you mean 'id'?",
            "",
        ),
        (
            "on: company.id =",
            "on: company.name =",
            "m.yaml:11",
            "company.name is text, but people.company_id is bigint: they cannot be compared",
            "Give both columns the same type.",
        ),
        (
            "on: company.id = people.company_id",
            "on: company.region_id = people.company_id",
            "m.yaml:11",
            "region_id is not unique in public.companies, so one of m0 could have several company",
            "Roll them up with `rollup:`, or join by a unique key.",
        ),
        (
            "sum(orders.total * product.factor)",
            "orders.total",
            "m.yaml:16",
            'entity.related.orders.rollup.lifetime_value: column "orders.total" must appear in the GROUP BY clause',
            "A roll-up makes one value of many rows: write an aggregate",
        ),
        (
            "sum(orders.total * product.factor)",
            "unnest(array_agg(orders.total))",
            "m.yaml:16",
            "entity.related.orders.rollup.lifetime_value: set-returning functions are not allowed in CASE",
            "",
        ),
        (
            "sum(orders.total * product.factor)",
            "sum(orders.totl)",
            "m.yaml:16",
            "entity.related.orders.rollup.lifetime_value: column orders.totl does not exist",
            'Perhaps you meant to reference the column "orders.total".',
        ),
        (
            "orders.stage <> 'cancelled'",
            "count(*) > 1",
            "m.yaml:15",
            "entity.related.orders.where: aggregate functions are not allowed in WHERE",
            "",
        ),
        (
            "orders.stage <> 'cancelled'",
            "company.is_customer",
            "m.yaml:15",
            'entity.related.orders.where: missing FROM-clause entry for table "company"',
            "",
        ),
    ],
)
def test_a_relation_that_cannot_be_read_is_an_error(
    shop: Connection, old: str, new: str, place: str, message: str, remedy: str
) -> None:
    assert old in ENTITY
    errors = [finding for finding in check(shop, ENTITY.replace(old, new)) if finding.severity == "error"]
    assert message in errors[0].message
    assert errors[0].where == place
    assert remedy in errors[0].remedy


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("company.nmae", "fields.X: company (public.companies) has no column 'nmae'; did you mean 'name'?"),
        ("orders.lifetime", "fields.X: orders has no roll-up 'lifetime'; did you mean 'lifetime_value'?"),
        ("orders.total", "fields.X: orders has no roll-up 'total'"),
        ("product.factor", "fields.X: product is joined inside the roll-up orders, and can be used in orders.rollup"),
        ("compny.name", "fields.X: public.people has no column 'compny.name'; did you mean 'company.name'?"),
        ("nam", "fields.X: public.people has no column 'nam'; did you mean 'name'?"),
    ],
)
def test_a_column_of_a_relation_that_is_not_there_is_told_with_the_nearest(
    shop: Connection, column: str, message: str
) -> None:
    assert message in only(check(shop, ENTITY, rest=f"fields: {{X: {column}}}\n")).message


def test_sql_may_speak_of_relations_and_an_ambiguous_column_is_told(shop: Connection) -> None:
    assert check(shop, ENTITY, rest='fields: {X: {sql: "company.name || orders.order_count"}}\n') == []
    found = only(check(shop, ENTITY, rest="fields: {X: {sql: upper(name)}}\n"))
    assert found.message == 'fields.X: column reference "name" is ambiguous'


def test_a_subselect_is_a_warning_that_names_related(shop: Connection) -> None:
    found = only(check(shop, ENTITY, rest="fields: {X: {sql: (select max(id) from orders)}}\n"))
    assert found.severity == "warning"
    assert "Name their table under entity.related" in found.remedy


def test_what_is_wrong_with_a_relation_is_told_once_and_not_of_every_field(shop: Connection) -> None:
    entity = ENTITY.replace("orders.stage <>", "orders.stge <>")
    found = only(check(shop, entity, rest="fields: {X: {sql: company.name}, Y: {sql: region.name}}\n"))
    assert found.message == "entity.related.orders.where: column orders.stge does not exist"


@pytest.mark.parametrize(
    ("undo", "message", "sql"),
    [
        (
            "drop index people_company_id_idx",
            "no index finds the rows of public.people that a changed company concerns: all of it is read",
            'CREATE INDEX CONCURRENTLY ON "public"."people" ("company_id");',
        ),
        (
            "drop index companies_region_id_idx",
            "no index finds the rows of public.companies that a changed region concerns",
            'CREATE INDEX CONCURRENTLY ON "public"."companies" ("region_id");',
        ),
        (
            "drop index orders_person_id_idx",
            "no index finds the orders of an entity: composing reads all of public.orders",
            'CREATE INDEX CONCURRENTLY ON "public"."orders" ("person_id");',
        ),
        (
            "alter table people alter company_id type numeric",
            "company.id is bigint and people.company_id is numeric: no index can find one by the other",
            "",
        ),
    ],
)
def test_an_index_that_is_missing_is_a_warning_with_the_statement(
    shop: Connection, undo: str, message: str, sql: str
) -> None:
    shop.execute(undo)
    found = only(check(shop, ENTITY))
    assert found.severity == "warning"
    assert message in found.message
    assert found.sql == sql
    shop.execute(found.sql or "alter table people alter company_id type bigint")
    assert check(shop, ENTITY) == []


def test_one_index_is_asked_for_where_two_would_differ_in_the_order_of_columns_only(shop: Connection) -> None:
    shop.execute("drop index orders_person_id_idx, orders_product_id_idx")
    entity = "entity: {table: people, key: id, related: {orders: {table: orders, on: ON, rollup: {n: count(*)}}}}\n"
    pairs = ["orders.person_id = people.id", "orders.product_id = people.manager_id"]
    shop.execute("alter table people alter manager_id type int")
    entities = [entity.replace("ON", " and ".join(order)) for order in (pairs, pairs[::-1])]
    found = check(shop, *entities, rest="fields: {Name: name, N: orders.n}\n")
    asked = [each for each in found if "no index finds the orders" in each.message]
    statement = 'CREATE INDEX CONCURRENTLY ON "public"."orders" ("person_id", "product_id");'
    assert [each.sql for each in asked] == [statement, ""]
    assert asked[1].remedy == "The index that another finding asks for is enough."
    shop.execute(statement)
    found = check(shop, *entities, rest="fields: {Name: name, N: orders.n}\n")
    assert not any("no index finds the orders" in each.message for each in found)


def test_an_index_that_the_columns_do_not_lead_is_of_no_use(shop: Connection) -> None:
    shop.execute("drop index people_company_id_idx; create index on people (name, company_id)")
    shop.execute("create index on people (company_id) where company_id > 5; create index on people ((company_id + 1))")
    assert "no index finds the rows of public.people" in only(check(shop, ENTITY)).message
    shop.execute("create index on people (company_id, name)")
    assert check(shop, ENTITY) == []


def test_the_replica_identity_must_tell_whom_a_row_leaves(shop: Connection) -> None:
    shop.execute("alter table orders replica identity default")
    found = only(check(shop, ENTITY))
    assert found.message == (
        "a row of public.orders that is deleted, or moves to another people, does not tell its old person_id:"
        " the replica identity does not hold it"
    )
    assert found.severity == "error"
    assert found.sql == 'ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;'
    assert "If person_id can be NOT NULL" in found.remedy
    shop.execute("delete from orders where person_id is null; alter table orders alter person_id set not null")
    found = only(check(shop, ENTITY))
    assert found.sql == (
        'CREATE UNIQUE INDEX CONCURRENTLY "orders_sync_identity" ON "public"."orders" ("id", "person_id");\n'
        'ALTER TABLE "public"."orders" REPLICA IDENTITY USING INDEX "orders_sync_identity";'
    )
    create, use = found.sql.splitlines()
    shop.execute(create)
    assert only(check(shop, ENTITY)).sql == use.replace('"orders_sync_identity"', "orders_sync_identity")
    shop.execute(use)
    assert check(shop, ENTITY) == []


def test_one_replica_identity_serves_every_mapping(shop: Connection) -> None:
    shop.execute("delete from orders where person_id is null or product_id is null")
    shop.execute("alter table orders alter person_id set not null, alter product_id set not null")
    shop.execute("alter table orders replica identity default")
    products = """
entity:
  table: products
  key: id
  related:
    orders: {table: orders, on: orders.product_id = products.id, rollup: {n: count(*)}}
"""
    orders = "entity: {table: orders, key: id}\n"
    rest = "fields: {X: {constant: 1}}\n"
    entities = (ENTITY, products, orders)
    found = check(shop, *entities, rest=rest)
    assert len(found) == 2
    assert len({finding.sql for finding in found}) == 1
    assert '("id", "person_id", "product_id")' in found[0].sql
    for statement in found[0].sql.splitlines():
        shop.execute(statement)
    assert check(shop, *entities, rest=rest) == []


def test_an_identity_that_serves_another_mapping_is_kept_when_it_is_widened(shop: Connection) -> None:
    shop.execute(
        """
        delete from orders where person_id is null or product_id is null;
        alter table orders alter person_id set not null, alter product_id set not null;
        create unique index taken on orders (id, product_id);
        alter table orders replica identity using index taken
        """
    )
    assert '("id", "product_id", "person_id")' in only(check(shop, ENTITY)).sql


@pytest.mark.parametrize(
    ("undo", "message"),
    [
        ("alter table regions set unlogged", "public.regions is unlogged; its changes are not in the log"),
        (
            "drop table regions; create view regions as select 1 as id, 'x' as name",
            "public.regions is a view; it has no changes to read",
        ),
    ],
)
def test_a_related_table_must_write_changes_to_the_log(shop: Connection, undo: str, message: str) -> None:
    shop.execute(undo)
    assert message in check(shop, ENTITY)[0].message
    assert check(shop, ENTITY)[0].where == "m.yaml:10"


def test_a_related_table_must_be_readable_and_publishable(shop: Connection) -> None:
    shop.execute("create role poor; grant select on people, companies, products, orders to poor")
    shop.execute("grant usage on schema public to poor; set role poor")
    try:
        messages = [finding.message for finding in check(shop, ENTITY)]
    finally:
        shop.execute("reset role; drop owned by poor; drop role poor")
    assert "the login poor may not read public.regions" in messages
    unpublished = "public.companies, public.orders, public.people, public.products, public.regions"
    assert f"the login poor does not own {unpublished}, so it cannot publish them" in messages


def test_a_column_that_a_relation_cannot_be_looked_up_by_is_refused(shop: Connection) -> None:
    shop.execute("alter table regions alter id type float8; alter table companies alter region_id type float8")
    found = only(check(shop, ENTITY))
    assert "region.id is double precision, which cannot be looked up: its text depends on settings" in found.message
    assert "Join by integers" in found.remedy


def test_what_check_finds_broken_does_not_compile_either(shop: Connection) -> None:
    shop.execute("alter table companies drop constraint companies_pkey")
    with pytest.raises(SchemaDrift, match=r"mapping.yaml:11: entity.related.company.on: id is not unique"):
        compiled(shop, FIELDS)


def test_partitions_are_told_of_where_an_index_cannot_serve(shop: Connection) -> None:
    shop.execute(
        """
        drop table orders;
        create table orders (id int, person_id bigint not null, product_id int, total numeric, stage text,
                             primary key (id, stage)) partition by list (stage);
        create table orders_won partition of orders for values in ('won');
        """
    )
    found = check(shop, ENTITY)
    identity = only([finding for finding in found if finding.severity == "error"])
    assert "made later" in identity.remedy
    shop.execute(identity.sql)
    assert not [finding for finding in check(shop, ENTITY) if finding.severity == "error"]
    shop.execute("create table orders_lost partition of orders for values in ('lost')")
    later = only([finding for finding in check(shop, ENTITY) if finding.severity == "error"])
    assert later.message.startswith("1 partition has another replica identity than public.orders, such as orders_lost")
    shop.execute(later.sql)
    assert not [finding for finding in check(shop, ENTITY) if finding.severity == "error"]
    statements = {finding.sql for finding in found if finding.severity == "warning"}
    assert 'CREATE INDEX ON "public"."orders" ("person_id");' in statements
