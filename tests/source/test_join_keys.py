"""Rows of related tables make join keys: from real rows of every kind of change, and from bytes alone."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.errors import SourceUnusable
from syncbridge.schemas import Watch
from syncbridge.source.pgoutput import Committed, Decoder, Touched
from tests.fix_source import CapturedDatabase, execute_all, texts
from tests.source.test_pgoutput_bytes import BEGIN, COMMIT, INSERT, relation, tuple_of


def joined(touched: Touched, name: str, mapping_id: int = 1) -> set[str]:
    return {key.decode() for key in touched.related.get((mapping_id, name), {})}


IDENTITIES = ["replica identity full", "replica identity using index orders_person_id"]


@pytest.fixture(params=IDENTITIES)
def orders(captured: CapturedDatabase, request: pytest.FixtureRequest) -> CapturedDatabase:
    """Orders of people, rolled up; the table tells old rows' persons."""
    execute_all(
        captured.admin,
        [
            "create table orders (note text, id int primary key, person int not null, total int)",
            "create unique index orders_person_id on orders (person, id)",
            f"alter table orders {request.param}",
        ],
    )
    captured.watch("orders", "person", relation="orders")
    captured.provide()
    return captured


def test_a_child_touches_its_parent_and_one_that_moves_touches_both(orders: CapturedDatabase) -> None:
    orders.admin.execute("insert into orders values ('', 1, 10, 5), ('', 2, 20, 5)")
    assert joined(orders.decoded()[0], "orders") == {"10", "20"}
    orders.admin.execute("update orders set total = 6 where id = 1")
    assert joined(orders.decoded()[0], "orders") == {"10"}
    orders.admin.execute("update orders set person = 30 where id = 1")
    assert joined(orders.decoded()[0], "orders") == {"10", "30"}
    orders.admin.execute("delete from orders where id = 2")
    assert joined(orders.decoded()[0], "orders") == {"20"}


def test_one_table_serves_keys_and_join_keys_of_several_mappings(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table companies (id int primary key, region int, name text)")
    captured.admin.execute("alter table companies replica identity full")
    captured.watch("companies", "id", mapping_id=1)
    captured.watch("companies", "id", mapping_id=2, relation="company")
    captured.watch("companies", "region", mapping_id=2, relation="of_region")
    captured.watch("companies", "id", "region", mapping_id=3, relation="company")
    captured.provide()
    captured.admin.execute("insert into companies values (7, 1, 'x'), (8, null, 'y')")
    touched, _ = captured.decoded()
    assert texts(touched, 1) == {"7", "8"}
    assert touched.keys.keys() == {1}
    assert joined(touched, "company", 2) == {"7", "8"}
    assert joined(touched, "of_region", 2) == {"1"}  # null refers to nobody
    assert joined(touched, "company", 3) == {'["7", "1"]'}
    assert len(touched) == 6


def test_entities_keys_may_come_from_several_tables_and_twice_from_one(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table people (id int primary key, twin int)")
    captured.admin.execute("create table profiles (person int primary key)")
    captured.watch("people", "id")
    captured.watch("people", "twin")
    captured.watch("profiles", "person", related=True)
    captured.provide()
    captured.admin.execute("insert into people values (1, 2), (3, null)")
    captured.admin.execute("insert into profiles values (9)")
    assert captured.touched() == {"1", "2", "3", "9"}


def test_truncate_tells_a_mappings_own_table_from_its_related_ones(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table people (id int primary key, boss int)",
            "create table orders (id int primary key, person int)",
            "create table notes (id int primary key, person int)",
        ],
    )
    captured.watch("people", "id", mapping_id=1)
    captured.watch("orders", "person", mapping_id=1, relation="orders")
    captured.watch("notes", "person", mapping_id=2, related=True)  # join keys that are entity keys
    captured.watch("people", "id", mapping_id=3)
    captured.watch("people", "boss", mapping_id=3, relation="boss")
    captured.provide()
    captured.admin.execute("truncate people, orders, notes")
    touched, events = captured.decoded()
    (commit,) = [(event.lsn, event.time_us) for event in events if isinstance(event, Committed)]
    assert touched.truncated == {1: commit, 3: commit}
    assert touched.related_truncated == {1: commit, 2: commit, 3: commit}
    assert (len(touched), bool(touched)) == (5, True)


def test_a_table_that_does_not_tell_old_rows_tells_the_new_one(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table orders (id int primary key, person int)")
    captured.watch("orders", "person", relation="orders")
    captured.provide()
    captured.admin.execute("insert into orders values (1, 10)")
    captured.messages()
    captured.admin.execute("update orders set person = 20, id = 2")
    assert joined(captured.decoded()[0], "orders") == {"20"}
    captured.admin.execute("delete from orders")
    assert not captured.decoded()[0]


CHANGE = st.tuples(
    st.sampled_from(["insert", "update", "move", "delete"]), st.integers(1, 6), st.integers(1, 4) | st.none()
)


@settings(max_examples=25)
@given(transactions=st.lists(st.lists(CHANGE, min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_parent_whose_children_changed_is_touched_and_no_other(
    family: CapturedDatabase, transactions: list[list[tuple[str, int, int | None]]]
) -> None:
    execute = family.admin.execute
    before: dict[int, int | None] = dict(execute("select id, parent from child").fetchall())
    expected: set[int | None] = set()
    family.messages()
    for changes in transactions:
        with family.admin.transaction():
            for kind, id, parent in changes:
                if kind == "insert":
                    execute("insert into child values (%s, %s) on conflict do nothing", (id, parent))
                elif kind == "update":
                    execute("update child set note = note || 'x' where id = %s", (id,))
                elif kind == "move":
                    execute("update child set parent = %s where id = %s", (parent, id))
                else:
                    execute("delete from child where id = %s", (id,))
                after: dict[int, int | None] = dict(execute("select id, parent from child").fetchall())
                if kind != "insert" or id not in before:
                    expected |= {before.get(id), after.get(id)}
                before = after
    assert joined(family.decoded()[0], "child") == {str(parent) for parent in expected if parent is not None}


@pytest.fixture
def family(captured: CapturedDatabase) -> CapturedDatabase:
    execute_all(
        captured.admin,
        [
            "create table child (id int primary key, parent int, note text not null default '')",
            "alter table child replica identity full",
        ],
    )
    captured.watch("child", "parent", relation="child")
    captured.provide()
    return captured


# --- bytes alone ---


def decoder_of(*messages: bytes) -> Decoder:
    decoder = Decoder([Watch(1, "public", "t", ("id",)), Watch(1, "public", "t", ("other",), "parent")])
    for message in messages:
        decoder.decode(message)
    return decoder


def test_taking_leaves_no_join_key_behind_and_collecting_goes_on() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN, INSERT)
    assert len(decoder) == 2
    taken = decoder.take()
    assert (taken.keys, taken.related) == ({1: {b"1": (100, 5_000)}}, {(1, "parent"): {b"x": (100, 5_000)}})
    assert not decoder.take()
    decoder.decode(INSERT)
    assert decoder.take().related == taken.related


def test_the_first_commit_that_may_have_touched_what_is_collected_is_known() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN, COMMIT)  # touched nothing
    later, last = (b"B" + pack(">QqI", lsn, 9_000, 2) for lsn in (200, 300))
    for message in (later, INSERT, COMMIT, last, INSERT):
        decoder.decode(message)
    taken = decoder.take()
    assert taken.since == (200, 9_000)
    assert set(taken.keys[1].values()) == {(300, 9_000)}
    decoder.decode(INSERT)
    assert decoder.take().since == (300, 9_000)  # the rest of the same transaction


def test_join_keys_alone_are_something() -> None:
    assert Touched(related={(1, "parent"): {b"x": (1, 1)}})
    assert Touched(related_truncated={1: (1, 1)})
    assert not Touched(related={(1, "parent"): {}})


def test_an_unchanged_toast_value_outside_of_the_identity_stops_instead_of_being_passed_over() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN)
    update = b"U" + pack(">I", 7) + b"K" + tuple_of("1", None) + b"N" + pack(">H", 2)
    with pytest.raises(SourceUnusable, match="TOAST"):
        decoder.decode(update + b"t" + pack(">I", 1) + b"2" + b"u")
