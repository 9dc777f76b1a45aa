"""Compiled mappings, run on a real server over rows with every difficulty."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge.errors import ConfigurationError, SchemaDrift
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping, restore_mapping
from syncbridge.mapping.keys import encode_key
from syncbridge.mapping.spec import Rate
from syncbridge.schemas import Column, Table, Watch
from syncbridge.source.catalog import describe_query, read_catalog

HEAD = "mapping: m\ndestination: d\nobject: O\nexternal_id: K\n"


def compiled(connection: Connection, table: str, rest: str, *, key: str = "id") -> CompiledMapping:
    spec = parse_mapping(f"{HEAD}entity: {{table: '{table}', key: {key}}}\n{rest}")
    return compile_mapping(spec, read_catalog(connection, [spec.entity.table_name]).tables[spec.entity.table_name])


def compose(connection: Connection, mapping: CompiledMapping, keys: list[str]) -> dict[str, tuple[object, ...]]:
    return {row[0]: row[1:] for row in connection.execute(mapping.compose_sql, [keys])}


def all_keys(connection: Connection, mapping: CompiledMapping, *, page: int, **choice: str | bool) -> list[str]:
    """Every key, page by page, as a resync visits them."""
    keys: list[str] = []
    while True:
        sql, parameters = mapping.keys_page(keys[-1] if keys else None, page, **choice)  # type: ignore[arg-type]
        found = [row[0] for row in connection.execute(sql, parameters)]
        if not found:
            return keys
        keys += found


@pytest.fixture
def people(connection: Connection) -> CompiledMapping:
    connection.execute(
        """
        create table people (id bigint primary key, email text, is_test boolean not null default false);
        insert into people select n, 'p' || n || '@x%y', n % 5 = 0 from generate_series(1, 25) n;
        """
    )
    rest = """
fields:
  Email: email
  C: {constant: 1}
  Half: {sql: people.id % 2}
  Like: {sql: "email like 'p1%'"}
"""
    spec = parse_mapping(f"{HEAD}entity: {{table: people, key: id, where: not is_test}}\n{rest}")
    return compile_mapping(spec, read_catalog(connection, [("public", "people")]).tables["public", "people"])


def test_entities_that_exist_and_pass_the_filter_are_composed(connection: Connection, people: CompiledMapping) -> None:
    found = compose(connection, people, ["1", "2", "5", "99"])
    assert found == {"1": ("p1@x%y", 1, True), "2": ("p2@x%y", 0, False)}


def test_fields_know_their_place_in_a_row(people: CompiledMapping) -> None:
    places = {field.remote: (field.source, field.position) for field in people.fields}
    assert places == {"Email": ("column", 1), "C": ("constant", None), "Half": ("sql", 2), "Like": ("sql", 3)}


def test_keys_come_in_pages_in_key_order(connection: Connection, people: CompiledMapping) -> None:
    assert all_keys(connection, people, page=4) == [str(n) for n in range(1, 26)]


def test_a_resync_visits_rows_that_no_longer_pass_the_filter_unless_it_is_asked_not_to(
    connection: Connection, people: CompiledMapping
) -> None:
    assert "5" in all_keys(connection, people, page=100)
    assert "5" not in all_keys(connection, people, page=100, filtered=True)
    assert connection.execute(people.count_sql(), ()).fetchone() == (25,)
    assert connection.execute(people.count_sql(filtered=True), ()).fetchone() == (20,)


def test_a_person_may_narrow_a_resync(connection: Connection, people: CompiledMapping) -> None:
    where = "email like 'p2%' -- the twenties"
    assert all_keys(connection, people, page=3, where=where) == ["2", "20", "21", "22", "23", "24", "25"]
    assert connection.execute(people.count_sql(where=where, filtered=True), ()).fetchone() == (5,)


def test_narrowing_by_no_expression_is_refused(people: CompiledMapping) -> None:
    with pytest.raises(ConfigurationError, match="where: this SQL holds a semicolon"):
        people.keys_page(None, 5, where="true; drop table people")


def test_composing_and_paging_use_the_key_index(connection: Connection, people: CompiledMapping) -> None:
    connection.execute("insert into people select n, 'x' from generate_series(26, 50000) n; analyze people")
    for sql, parameters in (
        (people.compose_sql, [["1", "2"]]),
        people.keys_page("40000", 100),
        people.keys_page(None, 100),
    ):
        plan = "\n".join(row[0] for row in connection.execute(f"explain {sql}", parameters))
        assert "people_pkey" in plan, plan
        assert "Seq Scan" not in plan, plan


def test_the_described_query_has_the_columns_of_a_composed_row(connection: Connection, people: CompiledMapping) -> None:
    columns = describe_query(connection, people.describe_sql)
    assert isinstance(columns, list)
    assert [column.base_type for column in columns] == ["text", "int8", "bool"]


def test_odd_names_are_quoted_everywhere(connection: Connection) -> None:
    connection.execute(
        """
        create schema "S %s.";
        create table "S %s."."T "" %" ("the ""key %(x)s" text, "B b" int, "_key" int, primary key ("the ""key %(x)s"));
        insert into "S %s."."T "" %" values ('a%', 7, 8)
        """
    )
    rest = 'fields:\n  A: B b\n  B: _key\n  C: {sql: \'"T "" %"."B b" + _key\'}\n'
    mapping = compiled(connection, '"S %s."."T "" %"', rest, key='the "key %(x)s')
    assert all_keys(connection, mapping, page=1) == ["a%"]
    assert compose(connection, mapping, ["a%"]) == {"a%": (7, 8, 15)}
    assert connection.execute(mapping.count_sql(where='"B b" % 7 = 0'), ()).fetchone() == (1,)
    assert mapping.watches(3) == (Watch(3, "S %s.", 'T " %', ('the "key %(x)s',)),)


KEY_TYPES = {
    "smallint": ["-5", "32767"],
    "integer": ["0", "-2147483648"],
    "bigint": ["1", "9223372036854775807"],
    "numeric": ["1.0", "1.00", "12345678901234567890.5"],
    "numeric(10,2)": ["1.00", "-3.50"],
    "text": ["", "a", "A", " a ", "é\t\n'\"\\", "%s"],
    "varchar(3)": ["abc", "ab"],
    "char(5)": ["ab   ", "cd   "],
    "citext": ["AB", "cd"],
    "uuid": ["0b0f6c0e-0000-4000-8000-00000000000a"],
    "date": ["2024-02-29", "0044-03-15 BC", "infinity"],
    "boolean": ["t", "f"],
    "mood": ["sad", "gl ad"],
    "short": ["x", "yyyyyyy"],
}


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_keys_of_every_type_find_their_rows(connection: Connection, kind: str) -> None:
    connection.execute(
        "create extension citext; create type mood as enum ('sad', 'gl ad'); create domain short varchar(7)"
    )
    unique = "" if kind == "numeric" else " unique"  # two spellings of one number, below
    connection.execute(f"create table t (id {kind} not null{unique}, n int)")
    texts = KEY_TYPES[kind]
    for number, text in enumerate(texts):
        connection.execute(f"insert into t values (%s::{kind}, %s)", [text, number])
    mapping = compiled(connection, "t", "fields: {N: n}")
    keys = all_keys(connection, mapping, page=100)
    assert sorted(keys) == sorted(texts)
    assert compose(connection, mapping, keys) == {text: (number,) for number, text in enumerate(texts)}


@pytest.mark.parametrize(
    ("kind", "stored", "asked"),
    [("numeric", "1.0", "1.00"), ("citext", "AB", "ab"), ("varchar(3)", "abc", "abcd"), ("char(3)", "ab ", "ab")],
)
def test_a_key_that_is_only_equal_finds_nothing(connection: Connection, kind: str, stored: str, asked: str) -> None:
    """The row has another key now, and the record of the old one has to go."""
    connection.execute(f"create extension citext; create table t (id {kind} primary key)")
    connection.execute("insert into t values (%s)", [stored])
    mapping = compiled(connection, "t", "fields: {Id: id}")
    assert list(compose(connection, mapping, [stored])) == [stored]
    assert compose(connection, mapping, [asked]) == {}


def test_keys_do_not_depend_on_the_sessions_time_zone(connection: Connection) -> None:
    connection.execute("create table t (id date primary key, n int); insert into t values ('2024-01-01', 1)")
    mapping = compiled(connection, "t", "fields: {N: n}")
    connection.execute("set timezone = 'Pacific/Kiritimati'")
    assert compose(connection, mapping, ["2024-01-01"]) == {"2024-01-01": (1,)}


@pytest.mark.parametrize("kind", ["timestamptz", "double precision", "bytea", "jsonb", "interval", "text[]"])
def test_a_key_whose_text_depends_on_settings_is_refused(connection: Connection, kind: str) -> None:
    connection.execute(f"create table t (id {kind} primary key)")
    with pytest.raises(SchemaDrift, match=r"mapping.yaml:5: id is .* cannot be a key: its text depends on settings"):
        compiled(connection, "t", "fields: {Id: {constant: 1}}")


ROWS = st.lists(st.tuples(st.integers(-3, 3), st.text('ab"\\,%é ', max_size=3)), min_size=1, max_size=12, unique=True)


@given(rows=ROWS, page=st.integers(1, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_composite_keys_are_paged_and_composed(connection: Connection, rows: list[tuple[int, str]], page: int) -> None:
    connection.execute('drop table if exists t; create table t (b text collate "C", a int, n int, primary key (a, b))')
    for number, (a, b) in enumerate(rows):
        connection.execute("insert into t values (%s, %s, %s)", [b, a, number])
    mapping = compiled(connection, "t", "fields: {N: n}", key="[a, b]")
    keys = all_keys(connection, mapping, page=page)
    by_bytes = sorted(rows, key=lambda row: (row[0], row[1].encode()))
    assert keys == [encode_key([str(a), b]) for a, b in by_bytes]
    composed = compose(connection, mapping, keys)
    assert composed == {encode_key([str(a), b]): (number,) for number, (a, b) in enumerate(rows)}


def test_partitioned_tables_are_composed_like_any_other(connection: Connection) -> None:
    connection.execute(
        """
        create table t (id int, day date, primary key (id, day)) partition by range (day);
        create table t1 partition of t for values from ('2024-01-01') to ('2025-01-01');
        insert into t values (1, '2024-06-01')
        """
    )
    mapping = compiled(connection, "t", "fields: {Day: day}", key="[id, day]")
    assert list(compose(connection, mapping, ['["1", "2024-06-01"]'])) == ['["1", "2024-06-01"]']


def table(**types: str) -> Table:
    columns = {name: Column(name, base, base_type=base) for name, base in types.items()}
    return Table("public", "t", columns)


def pure(rest: str, over: Table | None = None) -> CompiledMapping:
    text = f"{HEAD}entity: {{table: t, key: id}}\n{rest}"
    return compile_mapping(parse_mapping(text), over or table(id="int8", a="text", yes="bool"))


def test_a_column_that_is_gone_is_told_with_its_place_and_the_nearest_name() -> None:
    with pytest.raises(SchemaDrift, match=r"mapping.yaml:7: public.t has no column 'yess'; did you mean 'yes'\?"):
        pure("fields:\n  A: yess\n")
    with pytest.raises(SchemaDrift, match=r"mapping.yaml:5: public.t has no column 'id'"):
        pure("fields: {A: a}", table(a="text"))


def test_a_stored_mapping_names_itself_where_a_file_would_name_its_line() -> None:
    spec = restore_mapping(pure("fields: {A: a}").definition)
    with pytest.raises(SchemaDrift, match=r"^mapping m: public.t has no column 'a'"):
        compile_mapping(spec, table(id="int8"))


def test_booleans_are_translated_by_what_postgres_writes() -> None:
    mapping = pure("fields: {A: {column: yes, values: {true: Yes, false: No}}, B: {column: a, values: {true: Yes}}}")
    assert mapping.fields[0].values == {"true": "Yes", "false": "No", "t": "Yes", "f": "No"}
    assert mapping.fields[1].values == {"true": "Yes"}


def test_deletes_and_guards_are_compiled() -> None:
    fields = "fields: {A: a}\n"
    assert (pure(fields).deletes.action, pure(fields).deletes.fields) == ("delete", {})
    assert pure(fields + "deletes: {to_destination: ignore}").deletes.action == "ignore"
    kept = pure(fields + "deletes: {to_destination: {set: {Gone: true, B: null}}}").deletes
    assert (kept.action, kept.fields) == ("set", {"Gone": True, "B": None})
    assert pure(fields + "guard: {deletes: off, changes: 9 per day}").guard.changes == Rate(9, 86400)


def test_equal_mappings_have_equal_digests() -> None:
    one = pure("fields: {A: a, B: {constant: 1}}")
    other = pure("fields: {B: {constant: 1}, A: {column: a}}")
    assert one.digest == other.digest
    assert pure("fields: {A: a}").digest != one.digest


@pytest.mark.parametrize(
    ("rest", "same"),
    [
        ("fields: {A: {column: a, sensitive: true}}", True),
        ("fields: {A: a}\nguard: {changes: 5 per day}", True),
        ("fields: {A: a}\ndeletes: {to_destination: ignore}", True),
        ("fields: {A: {column: a, default: x}}", False),
        ("fields: {A: {sql: a}}", False),
        ("fields: {A: a, B: {constant: 1}}", False),
    ],
)
def test_the_payload_digest_moves_with_what_is_sent_and_with_nothing_else(rest: str, same: bool) -> None:
    base = pure("fields: {A: a}")
    assert (pure(rest).payload_digest == base.payload_digest) is same
    assert pure(rest).digest != base.digest


def test_compiling_again_gives_an_equal_value() -> None:
    assert pure("fields: {A: a}") == pure("fields: {A: a}")
    assert replace(pure("fields: {A: a}"), name="x") != pure("fields: {A: a}")
