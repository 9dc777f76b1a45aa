"""A commit can be decoded before other sessions see it; its keys wait until they do."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import psycopg
import pytest

from syncbridge.errors import RetryLater
from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.source.visibility import all_visible, await_visible
from tests.fix_source import CapturedDatabase


def _transaction(connection: psycopg.Connection) -> int:
    row = connection.execute("select (pg_current_xact_id()::text::int8 % (1::int8 << 32))").fetchone()
    assert row is not None
    return int(row[0])


def test_a_running_transaction_is_not_visible_and_a_committed_one_is(dsn: str, connection: psycopg.Connection) -> None:
    with psycopg.connect(dsn) as writer:
        number = _transaction(writer)
        assert not all_visible(connection, {number})
        writer.commit()
    assert all_visible(connection, {number})
    assert all_visible(connection, set())


def test_ids_that_wrapped_around_are_compared_as_postgres_does(connection: psycopg.Connection) -> None:
    row = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    assert row is not None
    newest = int(row[0]) & 0xFFFFFFFF
    assert all_visible(connection, {(newest - 1) & 0xFFFFFFFF, (newest - 1_000_000) & 0xFFFFFFFF})
    assert not all_visible(connection, {newest})
    assert not all_visible(connection, {(newest + 5) & 0xFFFFFFFF})


def test_waiting_for_ever_is_given_up_and_tried_again(dsn: str, connection: psycopg.Connection) -> None:
    times = iter(range(0, 1000, 20))
    pauses: list[float] = []
    with psycopg.connect(dsn) as writer, pytest.raises(RetryLater, match="cannot be seen yet"):
        await_visible(connection, {_transaction(writer)}, pause=pauses.append, clock=lambda: float(next(times)))
    assert pauses == sorted(pauses)


def test_a_commit_that_waits_for_a_synchronous_standby_is_enqueued_only_when_it_is_visible() -> None:
    """With synchronous replication the stream shows a commit long before any session does."""
    with LocalPostgres(settings={"synchronous_commit": "local"}) as server, ExitStack() as opened:
        admin = opened.enter_context(psycopg.connect(server.dsn, autocommit=True))
        captured = CapturedDatabase(server.dsn, admin, opened)
        admin.execute("create table people (id bigint primary key, name text)")
        captured.watch("people", "id")
        captured.provide()
        capture = captured.capture()
        captured.catch_up(capture)
        admin.execute("alter system set synchronous_standby_names = 'nobody'")
        admin.execute("select pg_reload_conf()")

        writer = opened.enter_context(psycopg.connect(server.dsn, autocommit=True))
        writer.execute("set synchronous_commit = on")
        commit = threading.Thread(target=writer.execute, args=("insert into people values (1, 'Ada')",))
        commit.start()
        before = capture.figures().changes
        while capture.figures().changes == before:
            capture.step(0.05)
        for _ in range(5):
            capture.step(0.05)
        assert admin.execute("select count(*) from people").fetchone() == (0,)
        assert captured.outbox() == set()

        admin.execute("alter system reset synchronous_standby_names")
        admin.execute("select pg_reload_conf()")
        commit.join()
        while captured.outbox() != {"1"}:
            capture.step(0.05)
        assert admin.execute("select count(*) from people").fetchone() == (1,)
