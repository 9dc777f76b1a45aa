"""The catalog as it really is: on a real server, whatever its version."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import Connection

from syncbridge.schemas import Column, QueryFault
from syncbridge.source.catalog import describe_query, near_tables, read_catalog


@pytest.fixture
def odd(connection: Connection) -> Connection:
    """A table with one column of every sort that a mapping can meet."""
    connection.execute(
        """
        create type mood as enum ('sad', 'ok', 'glad');
        create domain short as varchar(7);
        create domain shorter as short check (value <> '');
        create table odd (
            id bigint generated always as identity primary key,
            code varchar(80) not null unique,
            fixed char(3),
            price numeric(12, 2) default 0,
            free numeric,
            mood mood,
            moods mood[],
            tags text[],
            brief shorter,
            born timestamptz(3),
            total numeric generated always as (price * 2) stored,
            "Odd""name" text
        )
        """
    )
    return connection


def test_columns_are_described_with_types_lengths_and_labels(odd: Connection) -> None:
    columns = read_catalog(odd, [("public", "odd")]).tables["public", "odd"].columns
    assert {name: column.base_type for name, column in columns.items()} == {
        "id": "int8",
        "code": "varchar",
        "fixed": "bpchar",
        "price": "numeric",
        "free": "numeric",
        "mood": "enum",
        "moods": "enum[]",
        "tags": "text[]",
        "brief": "varchar",
        "born": "timestamptz",
        "total": "numeric",
        'Odd"name': "text",
    }
    assert columns["id"].not_null
    assert columns["id"].has_default
    assert (columns["code"].type, columns["code"].length) == ("character varying(80)", 80)
    assert columns["fixed"].length == 3
    assert (columns["price"].precision, columns["price"].scale) == (12, 2)
    assert (columns["free"].precision, columns["free"].scale) == (None, None)
    assert columns["mood"].options == ("sad", "ok", "glad")
    assert columns["brief"].length == 7
    assert columns["total"].generated
    assert not columns["total"].has_default


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("default", ("id",)),
        ("nothing", ()),
        ("using index odd_code_key", ("code",)),
        (
            "full",
            ("id", "code", "fixed", "price", "free", "mood", "moods", "tags", "brief", "born", "total", 'Odd"name'),
        ),
    ],
)
def test_old_keys_carry_what_the_replica_identity_says(
    odd: Connection, identity: str, expected: tuple[str, ...]
) -> None:
    odd.execute(f"alter table odd replica identity {identity}")
    assert read_catalog(odd, [("public", "odd")]).tables["public", "odd"].identity_columns == expected


def test_a_deferrable_primary_key_gives_no_old_keys(connection: Connection) -> None:
    connection.execute("create table late (id int primary key deferrable)")
    table = read_catalog(connection, [("public", "late")]).tables["public", "late"]
    assert table.primary_key == ("id",)
    assert table.identity_columns == ()


def test_unique_keys_are_whole_valid_indexes_over_plain_columns(connection: Connection) -> None:
    connection.execute(
        """
        create table keyed (a int, b int, c text, primary key (b, a));
        create unique index "Odd index" on keyed (c) include (a);
        create unique index on keyed (lower(c));
        create unique index on keyed (a) where a > 0;
        create index on keyed (b);
        """
    )
    table = read_catalog(connection, [("public", "keyed")]).tables["public", "keyed"]
    assert table.primary_key == ("b", "a")
    assert table.unique_keys == (("b", "a"), ("c",))
    assert table.index_names == {("b", "a"): "keyed_pkey", ("c",): '"Odd index"'}


def test_every_index_that_finds_rows_by_its_columns_is_told(connection: Connection) -> None:
    connection.execute(
        """
        create table found (id int primary key, a int, b int, c text, d int[]);
        create index on found (b, a); create index on found using hash (c);
        create index on found (lower(c)); create index on found (a) where a > 0; create index on found using gin (d);
        """
    )
    table = read_catalog(connection, [("public", "found")]).tables["public", "found"]
    assert table.indexed == (("b", "a"), ("c",), ("id",))
    assert table.unique_keys == (("id",),)


def test_an_index_of_another_schema_is_named_as_a_replica_identity_wants_it(connection: Connection) -> None:
    connection.execute("create schema s; create table s.t (a int not null); create unique index one on s.t (a)")
    table = read_catalog(connection, [("s", "t")]).tables["s", "t"]
    connection.execute(f"alter table s.t replica identity using index {table.index_names[('a',)]}")
    assert read_catalog(connection, [("s", "t")]).tables["s", "t"].identity_columns == ("a",)


def test_texts_of_ordinary_collations_are_equal_only_when_they_are_the_same(connection: Connection) -> None:
    connection.execute('create table t (a text, b text collate "C", c int)')
    table = read_catalog(connection, [("public", "t")]).tables["public", "t"]
    assert all(column.deterministic for column in table.columns.values())


@pytest.mark.parametrize(
    ("sql", "kind", "persistence"),
    [
        ("create table thing (id int)", "r", "p"),
        ("create unlogged table thing (id int)", "r", "u"),
        ("create view thing as select 1 as id", "v", "p"),
        ("create materialized view thing as select 1 as id", "m", "p"),
        ("create table thing (id int) partition by range (id)", "p", "p"),
    ],
)
def test_kinds_of_relation_are_told_apart(connection: Connection, sql: str, kind: str, persistence: str) -> None:
    connection.execute(sql)
    table = read_catalog(connection, [("public", "thing")]).tables["public", "thing"]
    assert (table.kind, table.persistence) == (kind, persistence)


def test_a_missing_table_is_left_out_and_similar_names_are_told(connection: Connection) -> None:
    connection.execute("create schema crm; create table crm.people (id int); create table public.peoples (id int)")
    catalog = read_catalog(connection, [("public", "people"), ("public", "peoples")])
    assert list(catalog.tables) == [("public", "peoples")]
    assert catalog.near["public", "people"][:2] == ("crm.people", "public.peoples")


def test_no_table_is_near_when_none_is_missing(connection: Connection) -> None:
    assert near_tables(connection, []) == {}


def test_privileges_are_told_per_table_and_column(connection: Connection, dsn: str) -> None:
    connection.execute(
        """
        create table open_one (id int, secret text); create table closed_one (id int generated always as identity);
        create role reader_of_catalog login password 'x';
        grant select (id), update (secret), insert (id) on open_one to reader_of_catalog;
        grant delete on closed_one to reader_of_catalog;
        alter table open_one enable row level security;
        """
    )
    try:
        connection.execute("set role reader_of_catalog")
        catalog = read_catalog(connection, [("public", "open_one"), ("public", "closed_one")])
    finally:
        connection.execute("reset role; drop owned by reader_of_catalog; drop role reader_of_catalog")
    open_one = catalog.tables["public", "open_one"]
    assert open_one.readable
    assert not open_one.owned
    assert open_one.row_security
    assert open_one.columns["id"].readable
    assert not open_one.columns["secret"].readable
    assert (open_one.columns["id"].insertable, open_one.columns["id"].updatable) == (True, False)
    assert (open_one.columns["secret"].insertable, open_one.columns["secret"].updatable) == (False, True)
    identity = catalog.tables["public", "closed_one"].columns["id"]
    assert (identity.sequence, identity.drawable) == ("public.closed_one_id_seq", False)
    assert (open_one.columns["id"].sequence, open_one.columns["id"].drawable) == ("", True)
    assert (open_one.deletable, catalog.tables["public", "closed_one"].deletable) == (False, True)
    assert not catalog.tables["public", "closed_one"].readable
    assert not catalog.tables["public", "closed_one"].row_security
    assert (catalog.can_replicate, catalog.can_create, catalog.user) == (False, False, "reader_of_catalog")


def test_the_server_is_described(connection: Connection) -> None:
    before = read_catalog(connection, [])
    connection.execute("select pg_create_logical_replication_slot('catalog_slot_' || pg_backend_pid(), 'pgoutput')")
    connection.execute("create table t (id int primary key); create publication p for table t; create publication q")
    after = read_catalog(connection, [])
    assert after.server_version == connection.info.server_version
    assert after.wal_level == "logical"
    assert after.can_replicate
    assert after.can_create
    assert after.database == connection.info.dbname
    assert after.free_replication_slots == before.free_replication_slots - 1
    assert after.slots == {f"catalog_slot_{connection.info.backend_pid}"}
    assert after.publications == {"p": {("public", "t")}, "q": frozenset()}
    assert "wal_sender_timeout" in after.settings


def test_a_query_is_described_without_being_run(odd: Connection) -> None:
    columns = describe_query(odd, "select id % 2 as half, brief, mood, 1 / 0 as never, tags, price from public.odd")
    assert isinstance(columns, list)
    assert [(column.name, column.base_type) for column in columns] == [
        ("half", "int8"),
        ("brief", "varchar"),
        ("mood", "enum"),
        ("never", "int4"),
        ("tags", "text[]"),
        ("price", "numeric"),
    ]
    assert columns[2].options == ("sad", "ok", "glad")
    assert (columns[5].precision, columns[5].scale) == (12, 2)


def test_a_fault_of_a_query_has_its_position_and_leaves_the_transaction_usable(odd: Connection) -> None:
    with odd.transaction():
        odd.execute("create temporary table kept (id int)")
        fault = describe_query(odd, "select idd from public.odd")
        assert fault == QueryFault(
            message='column "idd" does not exist',
            position=8,
            hint='Perhaps you meant to reference the column "odd.id".',
            code="42703",
        )
        assert odd.execute("select count(*) from kept").fetchone() == (0,)


def test_what_a_query_would_change_is_not_changed(odd: Connection) -> None:
    assert isinstance(describe_query(odd, "delete from public.odd returning id"), list)
    assert isinstance(describe_query(odd, "select 1; select 2"), QueryFault)


def test_a_catalog_is_read_on_a_connection_that_is_not_autocommit(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        assert read_catalog(connection, [("public", "none")]).tables == {}
        described = describe_query(connection, "select 1 as one")
        assert described == [Column("one", "integer", 23, "int4")]


def test_lengths_of_elements_and_digits_of_seconds_are_described(connection: Connection) -> None:
    connection.execute(
        "create table sized (codes varchar(5)[], pads char(2)[], at time(0), seen timestamptz(3), free time)"
    )
    columns = read_catalog(connection, [("public", "sized")]).tables["public", "sized"].columns
    assert (columns["codes"].length, columns["pads"].length) == (5, 2)
    assert [columns[name].scale for name in ("at", "seen", "free")] == [0, 3, None]
