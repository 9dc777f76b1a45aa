"""A record that brings the key of its row along moves the sequence of that key: a later local insert meets it not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection, sql

from syncbridge.store import database, held_records
from tests.fix_delivery import TABLE
from tests.fix_two_way import IDENTITY, StartNew, TwoWayProject

BY_DEFAULT = IDENTITY.replace("always", "by default")


def put(both: TwoWayProject, *keys: int) -> list[str]:
    """Somebody creates records that carry keys."""
    return [both.out.destination.put("Contact", {"LastName": "New", "Person_Key__c": str(key)}) for key in keys]


def insert(both: TwoWayProject) -> int:
    """The key of a row that is made here."""
    (key,) = both.out.writer.execute("insert into people (first_name) values ('Local') returning id").fetchone() or (0,)
    return int(key)


def keys(both: TwoWayProject) -> list[int]:
    return [key for (key,) in both.out.writer.execute("select id from people order by id")]


@pytest.mark.parametrize("table", [IDENTITY, BY_DEFAULT, TABLE.replace("bigint", "serial")])
@pytest.mark.parametrize("key", [1, 3, 70_000])
def test_a_local_insert_after_it_gets_a_key_past_it(start_new: StartNew, table: str, key: int) -> None:
    both = start_new(table=table)
    put(both, key)
    both.poll()
    assert keys(both) == [key]
    assert insert(both) > key
    both.poll()
    assert insert(both) > key + 1


def test_many_keys_move_it_once_to_the_highest(start_new: StartNew) -> None:
    both = start_new()
    put(both, 5, 900, 20)
    both.poll()
    assert [insert(both), insert(both)] == [901, 902]


def test_a_sequence_that_draws_ahead_is_moved_too(start_new: StartNew) -> None:
    both = start_new(table=IDENTITY.replace("as identity", "as identity (increment 3 cache 20)"))
    both.out.destination.put("Contact", {"LastName": "Without"})  # what is left of its cache is of lower keys
    both.poll()
    put(both, 100)
    both.poll()
    assert insert(both) > 100


def test_a_key_below_it_leaves_it_alone(start_new: StartNew) -> None:
    both = start_new(table=IDENTITY.replace("as identity", "as identity (start 50)"))
    assert insert(both) == 50
    put(both, 7)
    both.poll()
    assert insert(both) == 51


def test_the_highest_key_of_all_does_not_use_it_up(start_new: StartNew) -> None:
    both = start_new(table=TABLE.replace("bigint", "serial"))
    put(both, 2**31 - 1)
    both.poll()
    assert keys(both) == [2**31 - 1]
    assert insert(both) == 1


@pytest.fixture
def clerk(dsn: str) -> Iterator[Connection]:
    """A connection of a login that may write rows, and nothing else."""
    role = sql.Identifier(f"clerk_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(dsn, autocommit=True) as admin, database.connect(dsn, purpose="write") as connection:
        admin.execute(sql.SQL("create role {}").format(role))
        admin.execute(
            sql.SQL("alter default privileges grant select, insert, update, delete on tables to {}").format(role)
        )
        connection.execute(sql.SQL("set role {}").format(role))
        yield connection
        connection.execute("reset role")
        admin.execute(sql.SQL("drop owned by {}").format(role))
        admin.execute(sql.SQL("drop role {}").format(role))


def test_a_login_that_may_not_move_it_holds_the_record_and_says_what_to_grant(
    start_new: StartNew, clerk: Connection
) -> None:
    both = start_new(own_store=clerk)
    (one,) = put(both, 5)
    both.poll()
    assert keys(both) == []
    held = held_records.read(both.out.store, both.out.mapping_id)[one]
    assert held.code == "SEQUENCE_STAYS"
    statement = "GRANT USAGE, UPDATE ON SEQUENCE public.people_id_seq TO "
    assert statement in held.message
    role = clerk.execute("select quote_ident(current_user)").fetchone()
    assert role is not None
    both.out.writer.execute(f"{statement}{role[0]}".encode())
    both.out.destination.update("Contact", [(one, {"FirstName": "Ada"})])
    both.poll()
    assert keys(both) == [5]
    assert insert(both) == 6
