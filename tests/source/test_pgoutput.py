"""The decoder against rows really written."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.errors import SourceUnusable
from syncbridge.schemas import Watch
from syncbridge.source.pgoutput import Committed, Decoder, LogicalMessage
from tests.fix_source import CapturedDatabase, execute_all, texts

KEYS = {
    "bigint": ["-9223372036854775808", "0", "42"],
    "uuid": ["6f1c9a52-8d3e-4b7f-a1c2-3d4e5f607182"],
    "text": ["", "Zoë", 'O\'Neill "x"', "tab\there", "日本語", "a\\b"],
    "numeric": ["0.10", "-12345678901234567890.5"],
    "timestamptz": ["2026-03-01 12:00:00.25+02"],
    "date": ["2026-03-01"],
    "char(5)": ["ab"],
    "boolean": ["true", "false"],
    "inet": ["10.0.0.1", "10.0.0.0/8"],
    "double precision": ["0.1", "1e300"],
    "interval": ["1 day 02:03:04"],
    "bytea": ["\\xdeadbeef"],
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_the_text_that_the_output_function_gives(captured: CapturedDatabase, kind: str) -> None:
    captured.admin.execute(f"create table t (k {kind} primary key, note text)".encode())
    captured.watch("t", "k")
    captured.provide()
    captured.admin.cursor().executemany("insert into t values (%s, 'x')", [(key,) for key in KEYS[kind]])
    shown = {key for (key,) in captured.admin.execute("select concat(k) from t")}
    assert captured.touched() == shown
    captured.admin.execute("update t set note = 'y'")
    assert captured.touched() == shown
    captured.admin.execute("delete from t")
    assert captured.touched() == shown


@settings(max_examples=25)
@given(rows=st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.integers(0, 9)))
def test_every_row_written_is_touched_and_no_other(people_by_name: CapturedDatabase, rows: dict[str, int]) -> None:
    people_by_name.admin.execute("delete from t")
    people_by_name.messages()
    people_by_name.admin.cursor().executemany("insert into t values (%s, %s)", list(rows.items()))
    assert people_by_name.touched() == set(rows)


@pytest.fixture
def people_by_name(captured: CapturedDatabase) -> CapturedDatabase:
    captured.admin.execute("create table t (name text primary key, n int)")
    captured.watch("t", "name")
    captured.provide()
    return captured


def test_a_key_of_several_columns_is_the_json_list_that_postgres_writes(captured: CapturedDatabase) -> None:
    captured.admin.execute('create table t (a int, note text, "B c" text, primary key ("B c", a))')
    captured.watch("t", "B c", "a")
    captured.provide()
    captured.admin.execute("""insert into t values (1, 'x', 'é"\\/'), (-2, 'y', '')""")
    query = """select jsonb_build_array(concat("B c"), concat(a))::text from t"""
    assert captured.touched() == {key for (key,) in captured.admin.execute(query)}


def test_a_changed_key_touches_the_old_and_the_new_one(people: CapturedDatabase) -> None:
    people.admin.execute("insert into people values (1, 'x')")
    people.messages()
    people.admin.execute("update people set id = 2")
    assert people.touched() == {"1", "2"}


@pytest.mark.parametrize("identity", ["default", "full", "using index t_code_key"])
def test_updates_and_deletes_are_seen_under_every_replica_identity(captured: CapturedDatabase, identity: str) -> None:
    execute_all(
        captured.admin,
        [
            "create table t (note text, id int primary key, code text not null unique, big text)",
            f"alter table t replica identity {identity}",
            "alter table t alter big set storage external",
        ],
    )
    column = "code" if "index" in identity else "id"
    captured.watch("t", column)
    captured.provide()
    captured.admin.execute("insert into t select '', i, 'c' || i, repeat('x', 9000) from generate_series(1, 3) i")
    before = captured.touched()
    captured.admin.execute("update t set note = 'changed' where id = 1")  # `big` is unchanged TOAST
    assert captured.touched() == {"1" if column == "id" else "c1"}
    captured.admin.execute("delete from t")
    assert captured.touched() == before
    assert len(before) == 3


def test_a_table_without_replica_identity_still_shows_its_inserts(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table t (id int primary key)",
            "alter table t replica identity nothing",
            "create publication syncbridge for table t with (publish = 'insert')",
        ],
    )
    captured.watch("t", "id")
    captured.admin.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (captured.slot,))
    captured.admin.execute("insert into t values (7)")
    assert captured.touched() == {"7"}


def test_a_key_that_is_unchanged_toast_comes_from_the_old_tuple(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        ["create table t (k text primary key, n int)", "alter table t alter k set storage external"],
    )
    captured.watch("t", "k")
    captured.provide()
    key = secrets.token_hex(1250)
    captured.admin.execute("insert into t values (%s, 1)", (key,))
    captured.messages()
    captured.admin.execute("update t set n = 2")
    assert captured.touched() == {key}


def test_a_child_that_moves_touches_both_parents_only_under_full_identity(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table orders (id int primary key, person int)")
    captured.watch("orders", "person")
    captured.provide()
    captured.admin.execute("insert into orders values (1, 10), (2, null)")
    assert captured.touched() == {"10"}  # null refers to nobody
    captured.admin.execute("update orders set person = 20 where id = 1")
    assert captured.touched() == {"20"}
    captured.admin.execute("alter table orders replica identity full")
    assert captured.publish() == ['ALTER PUBLICATION "syncbridge" SET TABLE "public"."orders";'] * (
        captured.admin.info.server_version >= 150000
    )
    captured.admin.execute("update orders set person = 30 where id = 1")
    assert captured.touched() == {"20", "30"}
    captured.admin.execute("delete from orders")
    assert captured.touched() == {"30"}


def test_the_rows_of_one_copy_are_all_there(people: CapturedDatabase) -> None:
    with people.admin.cursor().copy("copy people (id) from stdin") as copy:
        for number in range(5):
            copy.write_row((number,))
    assert people.touched() == {"0", "1", "2", "3", "4"}


def test_what_was_rolled_back_to_a_savepoint_is_not_there(people: CapturedDatabase) -> None:
    with people.admin.transaction():
        people.admin.execute("insert into people values (1)")
        with people.admin.transaction(force_rollback=True):
            people.admin.execute("insert into people values (2)")
        people.admin.execute("insert into people values (3)")
    assert people.touched() == {"1", "3"}


def test_rows_of_partitions_come_as_their_root(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table t (note text, region int, id int, primary key (region, id)) partition by list (region)",
            "create table t_one partition of t for values in (1)",
            "create table t_two (id int, note text, region int not null, primary key (region, id))",  # other order
            "alter table t attach partition t_two for values in (2)",
        ],
    )
    captured.watch("t", "id")
    captured.provide()
    captured.admin.execute("insert into t values ('', 1, 11), ('', 2, 22)")
    assert captured.touched() == {"11", "22"}
    captured.admin.execute("update t set region = 2 where id = 11")
    assert captured.touched() == {"11"}
    captured.admin.execute("delete from t where id = 22")
    assert captured.touched() == {"22"}


def test_truncate_marks_every_mapping_of_every_truncated_table(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table parent (id int primary key)",
            "create table child (id int primary key, parent int references parent)",
            "create table other (id int primary key)",
        ],
    )
    captured.watch("parent", "id", mapping_id=1)
    captured.watch("child", "id", mapping_id=2)
    captured.watch("other", "id", mapping_id=3)
    captured.provide()
    captured.admin.execute("truncate parent cascade")
    touched, events = captured.decoded()
    (commit,) = [event for event in events if isinstance(event, Committed)]
    assert touched.truncated == {1: (commit.lsn, commit.time_us), 2: (commit.lsn, commit.time_us)}


def test_every_watch_of_a_table_gets_its_key_and_unwatched_tables_none(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table t (a int, b text, id int primary key)",
            "create table quiet (id int primary key)",
            "create publication syncbridge for all tables",
        ],
    )
    captured.watch("t", "id", mapping_id=1)
    captured.watch("t", "b", mapping_id=2)
    captured.watch("t", "a", "b", mapping_id=3)
    captured.admin.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (captured.slot,))
    captured.admin.execute("insert into t values (1, 'x', 9)")
    captured.admin.execute("insert into quiet values (1)")
    touched, _ = captured.decoded()
    assert {mapping: texts(touched, mapping) for mapping in touched.keys} == {1: {"9"}, 2: {"x"}, 3: {'["1", "x"]'}}


def test_a_generated_key_column_is_published_where_the_server_can(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table t (n int, k int generated always as (n * 2) stored primary key)")
    captured.watch("t", "k")
    if captured.admin.info.server_version < 180000:
        with pytest.raises(SourceUnusable, match="generated"):
            captured.provide()
        return
    captured.provide()
    captured.admin.execute("insert into t values (21)")
    assert captured.touched() == {"42"}
    captured.admin.execute("delete from t")
    assert captured.touched() == {"42"}


def test_odd_names_need_no_care(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        ['create schema "Odd.Name"', 'create table "Odd.Name"."ta""ble, x" ("Id ()" int primary key)'],
    )
    captured.watches.append(Watch(1, "Odd.Name", 'ta"ble, x', ("Id ()",)))
    captured.provide()
    captured.admin.execute('insert into "Odd.Name"."ta""ble, x" values (5)')
    assert captured.touched() == {"5"}


def test_a_table_that_changes_shape_between_rows_is_followed(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        ["create table t (a int, id int primary key)", "alter table t replica identity full"],
    )
    captured.watch("t", "id")
    captured.provide()
    execute_all(
        captured.admin,
        [
            "insert into t values (1, 10)",
            "alter table t add column c text default 'fast'",
            "insert into t values (1, 11, 'x')",
            "alter table t drop column a",
            "insert into t values (12, 'x')",
            "update t set c = 'y' where id = 10",
        ],
    )
    assert captured.touched() == {"10", "11", "12"}


def test_commits_carry_their_positions_and_keys_their_commit(people: CapturedDatabase) -> None:
    people.admin.execute("insert into people values (1)")
    people.admin.execute("insert into people values (2)")
    touched, events = people.decoded()
    first, second = (event for event in events if isinstance(event, Committed))
    assert touched.keys == {1: {b"1": (first.lsn, first.time_us), b"2": (second.lsn, second.time_us)}}
    assert first.lsn < first.end_lsn <= second.lsn < second.end_lsn


def test_logical_messages_come_out_and_origins_are_passed_over(people: CapturedDatabase) -> None:
    admin = people.admin
    admin.execute("select pg_replication_origin_create(%s)", (people.slot,))
    admin.execute("select pg_replication_origin_session_setup(%s)", (people.slot,))
    admin.execute("insert into people values (1)")
    admin.execute("select pg_replication_origin_session_reset()")
    admin.execute("select pg_replication_origin_drop(%s)", (people.slot,))
    admin.execute("select pg_logical_emit_message(false, 'now', 'bytes')")
    admin.execute("select pg_logical_emit_message(true, 'a prefix', 'content')")
    touched, events = people.decoded()
    assert texts(touched) == {"1"}
    assert LogicalMessage("a prefix", b"content", True) in events
    assert LogicalMessage("now", b"bytes", False) in events


def test_a_watched_column_that_is_not_published_is_reported_not_guessed(captured: CapturedDatabase) -> None:
    if captured.admin.info.server_version < 150000:
        pytest.skip("column lists came with Postgres 15")
    execute_all(
        captured.admin,
        ["create table t (id int primary key, other int)", "create publication syncbridge for table t (id)"],
    )
    captured.admin.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (captured.slot,))
    captured.admin.execute("insert into t values (1, 2)")
    decoder = Decoder([Watch(1, "public", "t", ("other",)), Watch(2, "public", "t", ("id",))])
    for message in captured.messages():
        decoder.decode(message)
    assert decoder.absent == {("public.t", "other"): "public.t"}
    assert texts(decoder.take(), 2) == {"1"}
