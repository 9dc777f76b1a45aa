"""The replication slot on a real server."""

from __future__ import annotations

import os

import psycopg
import pytest

from syncbridge.errors import RetryLater, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.sandbox.postgres import LocalPostgres, all_binaries
from syncbridge.source import slot
from syncbridge.source.refusals import SlotInUse
from tests.fix_source import CapturedDatabase


def test_a_new_slot_begins_at_its_consistent_point(captured: CapturedDatabase) -> None:
    new = slot.create(captured.dsn, captured.slot)
    facts = slot.inspect(captured.admin, captured.slot)
    assert facts is not None
    assert facts.confirmed_lsn == new.consistent_point
    assert (facts.plugin, facts.database, facts.temporary) == ("pgoutput", captured.slot, False)
    assert (facts.active_pid, facts.lost, facts.wal_status) == (None, False, "reserved")
    assert facts.failover == (captured.admin.info.server_version >= 170000)


def test_the_lag_of_a_slot_is_counted_from_the_end_of_the_log(people: CapturedDatabase) -> None:
    people.admin.execute("insert into people select i, repeat('x', 100) from generate_series(1, 1000) i")
    facts = slot.inspect(people.admin, people.slot)
    assert facts is not None
    assert facts.restart_lsn is not None
    assert facts.confirm_lag_bytes == facts.server_lsn - facts.confirmed_lsn > 100_000
    assert facts.retained_bytes == facts.server_lsn - facts.restart_lsn >= facts.confirm_lag_bytes
    people.messages()
    after = slot.inspect(people.admin, people.slot)
    assert after is not None
    assert after.confirm_lag_bytes < facts.confirm_lag_bytes


def test_a_slot_that_is_not_there_is_none_and_dropping_it_changes_nothing(captured: CapturedDatabase) -> None:
    assert slot.inspect(captured.admin, "nobody") is None
    assert slot.drop(captured.admin, "nobody") is False
    slot.create(captured.dsn, captured.slot)
    assert slot.drop(captured.admin, captured.slot) is True
    assert slot.inspect(captured.admin, captured.slot) is None


def test_a_slot_is_never_made_twice(captured: CapturedDatabase) -> None:
    slot.create(captured.dsn, captured.slot)
    with pytest.raises(SourceUnusable, match="already"):
        slot.create(captured.dsn, captured.slot)


def test_a_slot_in_use_shows_by_whom_and_cannot_be_dropped(people: CapturedDatabase) -> None:
    stream = people.stream()
    facts = slot.inspect(people.admin, people.slot)
    assert facts is not None
    assert facts.active_pid is not None
    with pytest.raises(SlotInUse):
        slot.drop(people.admin, people.slot)
    stream.close()


def test_an_open_transaction_that_blocks_a_new_slot_is_named(captured: CapturedDatabase) -> None:
    with psycopg.connect(captured.dsn) as other:
        other.execute("create table unfinished ()")
        with pytest.raises(RetryLater) as caught:
            slot.create(captured.dsn, captured.slot, timeout=0.2)
    assert "pg_stat_activity" in caught.value.hint
    assert slot.inspect(captured.admin, captured.slot) is None


def server_with(**settings: str) -> LocalPostgres:
    chosen = os.environ.get("SYNCBRIDGE_TEST_POSTGRES", "")
    return LocalPostgres(binaries=all_binaries()[int(chosen)] if chosen.isdigit() else None, settings=settings)


def test_a_server_without_free_slots_or_logical_log_is_told_the_sql(dsn: str) -> None:
    with server_with(max_replication_slots="1") as server:
        slot.create(server.dsn, "first")
        with pytest.raises(SourceUnusable) as caught:
            slot.create(server.dsn, "second")
        assert "ALTER SYSTEM SET max_replication_slots" in caught.value.hint
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            slot.drop(admin, "first")
        server.settings["wal_level"] = "replica"
        server.restart()
        with pytest.raises(SourceUnusable) as caught:
            slot.create(server.dsn, "second")
        assert "ALTER SYSTEM SET wal_level = logical" in caught.value.hint


def test_a_slot_whose_log_was_removed_is_lost(own_server: LocalPostgres) -> None:
    slot.create(own_server.dsn, "left_behind")
    with psycopg.connect(own_server.dsn, autocommit=True) as admin:
        admin.execute("alter system set max_slot_wal_keep_size = '1MB'")
        admin.execute("select pg_reload_conf()")
        for _ in range(4):
            admin.execute("create table if not exists filler (x text)")
            admin.execute("insert into filler select repeat('x', 1000) from generate_series(1, 20000)")
            admin.execute("select pg_switch_wal()")
            admin.execute("checkpoint")
        facts = slot.inspect(admin, "left_behind")
    assert facts is not None
    assert facts.lost
    assert facts.safe_wal_size is None
    assert facts.confirmed_lsn > Lsn(0)
