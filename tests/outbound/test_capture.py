"""Capture from a real server into a real outbox: what is saved and confirmed, and what must stop it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection, conninfo

from syncbridge.errors import SourceUnusable
from syncbridge.model import Lsn
from syncbridge.outbound.capture import save
from syncbridge.outbound.capture_session import Batch, Pace
from syncbridge.source import publication
from syncbridge.store import claims, database
from tests.fix_source import NEVER, CapturedDatabase, execute_all, insert, numbers, step_until


def test_committed_keys_and_the_checkpoint_become_durable_and_then_confirmed(people: CapturedDatabase) -> None:
    insert(people, 1, 3)
    people.admin.execute("update people set id = 4 where id = 3")
    people.admin.execute("delete from people where id = 1")
    capture = people.capture()
    people.catch_up(capture)
    assert people.outbox() == numbers(1, 4)
    assert capture.figures().confirmed == people.checkpoint()
    capture.close()
    people.released()
    assert people.confirmed() == people.checkpoint()


def test_a_row_of_the_outbox_carries_its_commit(people: CapturedDatabase) -> None:
    before = datetime.now(UTC)
    insert(people, 1, 1)
    capture = people.capture()
    people.catch_up(capture)
    row = people.admin.execute("select lsn::text, commit_time, reason from syncbridge.outbox").fetchone()
    assert row is not None
    assert Lsn.parse(row[0]) < people.checkpoint()
    assert before - timedelta(minutes=1) < row[1] < datetime.now(UTC) + timedelta(minutes=1)
    assert row[2] == "change"
    seen = capture.figures().last_commit_time
    assert seen is not None
    assert seen >= row[1]  # a heartbeat may have come after it


def test_many_changes_of_one_row_are_one_row_of_the_outbox(people: CapturedDatabase) -> None:
    batches: list[Batch] = []
    insert(people, 1, 1)
    with people.admin.transaction():
        for number in range(100):
            people.admin.execute("update people set name = %s", (str(number),))

    def counting(connection: Connection, slot: str, batch: Batch) -> None:
        batches.append(batch)
        save(connection, slot, batch)

    capture = people.capture(save=counting)
    people.catch_up(capture)
    assert sum(len(batch.touched) for batch in batches) <= len(batches)
    assert capture.figures().changes == 101


# --- truncate ---


def test_truncate_enqueues_every_linked_entity(people: CapturedDatabase) -> None:
    people.admin.execute(
        "insert into syncbridge.link (mapping_id, key, remote_id, base)"
        " values (1, '7', 'r7', '{}'), (1, '8', 'r8', '{}')"
    )
    people.admin.execute("truncate people")
    insert(people, 9, 9)
    people.catch_up(people.capture())
    reasons = people.admin.execute("select key, reason from syncbridge.outbox order by key").fetchall()
    assert reasons == [("7", "truncate"), ("8", "truncate"), ("9", "change")]


# --- positions without keys ---


def test_traffic_that_concerns_nobody_is_confirmed_when_idle(people: CapturedDatabase) -> None:
    capture = people.capture(people.settings(pace=Pace(idle_save=0.0)))
    people.admin.execute("create table elsewhere as select generate_series(1, 5000)")
    end = people.end_of_log()
    step_until(capture, lambda: capture.figures().confirmed >= end)
    assert people.checkpoint() >= end
    assert people.outbox() == set()


def test_a_position_far_ahead_is_saved_at_once(people: CapturedDatabase) -> None:
    capture = people.capture(people.settings(pace=Pace(idle_save=NEVER, idle_bytes=100_000)))
    people.admin.execute("create table elsewhere as select generate_series(1, 5000)")
    end = people.end_of_log()
    step_until(capture, lambda: capture.figures().confirmed >= end)


def test_our_own_writes_do_not_make_us_write(people: CapturedDatabase) -> None:
    """The checkpoint lies in the log that we follow: saving each of its own changes would never end."""
    saves: list[Batch] = []

    def counting(connection: Connection, slot: str, batch: Batch) -> None:
        saves.append(batch)
        save(connection, slot, batch)

    capture = people.capture(people.settings(pace=Pace(idle_save=NEVER, idle_bytes=10**9)), save=counting)
    insert(people, 1, 1)
    people.catch_up(capture)
    first = len(saves)
    people.catch_up(capture)
    people.catch_up(capture)
    assert len(saves) == first == 1


# --- publications that do not fit the watches ---


def test_a_column_taken_out_of_the_publication_stops_capture(captured: CapturedDatabase) -> None:
    if captured.admin.info.server_version < 150000:
        pytest.skip("column lists came with Postgres 15")
    captured.admin.execute("create table orders (id int primary key, person int)")
    captured.watch("orders", "person")
    captured.provide()
    capture = captured.capture()
    capture.step(0.0)
    captured.admin.execute("alter publication syncbridge set table orders (id)")
    captured.admin.execute("insert into orders values (1, 2)")
    with pytest.raises(SourceUnusable, match=r"public\.orders\.person"):
        step_until(capture, lambda: False)


def test_rows_from_before_a_publication_was_widened_do_not_stop_capture(captured: CapturedDatabase) -> None:
    """A new mapping's first sync reads them; stopping for them would stop for ever."""
    captured.admin.execute("create table orders (id int primary key, person int)")
    captured.watch("orders", "id", mapping_id=1)
    captured.provide()
    captured.admin.execute("insert into orders values (1, 20)")
    captured.watch("orders", "person", mapping_id=2)
    captured.publish()
    captured.admin.execute("insert into orders values (2, 30)")
    captured.catch_up(captured.capture())
    assert captured.outbox(1) == {"1", "2"}
    assert captured.outbox(2) >= {"30"}


def test_new_watches_hold_from_their_announcement_on(captured: CapturedDatabase) -> None:
    execute_all(captured.admin, ["create table a (id int primary key)", "create table b (id int primary key)"])
    captured.watch("a", "id", mapping_id=1)
    captured.provide()
    capture = captured.capture()
    capture.step(0.0)
    captured.watch("b", "id", mapping_id=2)
    captured.publish()
    execute_all(captured.admin, ["insert into a values (1)", "insert into b values (1)"])
    publication.announce(captured.admin)
    execute_all(captured.admin, ["insert into a values (2)", "insert into b values (2)"])
    captured.catch_up(capture)
    assert captured.outbox(1) == {"1", "2"}
    assert captured.outbox(2) == {"2"}  # the first row is the first sync's


# --- state elsewhere ---


def test_the_state_may_lie_in_another_database(people: CapturedDatabase) -> None:
    name = f"{people.slot}_state"
    people.admin.execute(f"create database {name}".encode())
    elsewhere = conninfo.make_conninfo(people.dsn, dbname=name)
    try:
        with database.connect(elsewhere, purpose="test") as state:
            database.setup(state)
            state.execute(
                "insert into syncbridge.checkpoint (slot, end_lsn, system_id, timeline)"
                " select %s, %s::text::pg_lsn, system_identifier::text, 1 from pg_control_system()",
                (people.slot, str(people.checkpoint())),
            )
            insert(people, 1, 2)
            capture = people.capture(people.settings(state=elsewhere))
            people.catch_up(capture)
            capture.close()
            assert {row.key for row in outbox_rows(state)} == numbers(1, 2)
    finally:
        people.admin.execute(f"drop database {name} with (force)".encode())
    assert people.outbox() == set()


def outbox_rows(state: Connection) -> list[claims.Claimed]:
    state.execute(
        "insert into syncbridge.mapping (name, destination, object, definition, digest)"
        " values ('p', 'd', 'o', '{}', '')"
    )
    return claims.claim(state, 1, limit=10, lease=60.0)[1]
