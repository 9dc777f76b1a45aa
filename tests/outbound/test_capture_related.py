"""Capture of related tables: join keys at seam 1, and runs where a related table was truncated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection

from syncbridge.model import Lsn, Reason
from syncbridge.outbound.capture import save
from syncbridge.outbound.capture_session import Batch, Pace
from syncbridge.source import publication
from syncbridge.store import fan_out, runs
from tests.fix_source import CRASHES, CapturedDatabase, Crash, after_it, execute_all, step_until
from tests.fix_store import apply_mapping


@pytest.fixture
def shop(captured: CapturedDatabase) -> CapturedDatabase:
    """People with a company, its region, and orders by a key of two columns; mapping 1."""
    execute_all(
        captured.admin,
        [
            "create table regions (id int primary key, name text)",
            "create table companies (id int primary key, region int, name text)",
            "create table people (id int, site text, company int, primary key (id, site))",
            "create table orders (id int primary key, person int, site text, total int)",
            "alter table orders replica identity full",
        ],
    )
    captured.watch("people", "id", "site")
    captured.watch("companies", "id", relation="company")
    captured.watch("regions", "id", relation="region")
    captured.watch("orders", "person", "site", relation="orders")
    captured.provide()
    apply_mapping(captured.admin, "people")
    return captured


def test_changes_of_related_rows_become_join_keys_and_of_entities_keys(shop: CapturedDatabase) -> None:
    execute_all(
        shop.admin,
        [
            "insert into regions values (1, 'north')",
            "insert into companies values (10, 1, 'Acme')",
            "insert into people values (1, 'eu', 10)",
            "insert into orders values (100, 1, 'eu', 5), (101, 2, 'us', 6), (102, null, 'us', 6)",
        ],
    )
    capture = shop.capture()
    shop.catch_up(capture)
    assert shop.outbox() == {'["1", "eu"]'}
    assert shop.join_keys() == {"company": {"10"}, "region": {"1"}, "orders": {'["1", "eu"]', '["2", "us"]'}}
    shop.admin.execute("delete from syncbridge.fan_out")
    shop.admin.execute("update orders set person = 3 where id = 100")
    shop.admin.execute("update companies set name = 'Acme & Co' where id = 10")
    shop.admin.execute("delete from orders where id = 101")
    shop.catch_up(capture)
    assert shop.join_keys() == {"company": {"10"}, "orders": {'["1", "eu"]', '["3", "eu"]', '["2", "us"]'}}
    assert shop.outbox() == {'["1", "eu"]'}


def test_a_join_key_carries_its_commit_and_is_one_row_whatever_happens_to_it(shop: CapturedDatabase) -> None:
    before = datetime.now(UTC)
    shop.admin.execute("insert into companies values (10, 1, 'Acme')")
    with shop.admin.transaction():
        for n in range(100):
            shop.admin.execute("update companies set name = %s", (str(n),))
    shop.catch_up(shop.capture())
    (row,) = fan_out.waiting(shop.admin, 1, "company", digest="1", limit=9)
    assert row.since_lsn < row.lsn < shop.checkpoint()
    assert before - timedelta(minutes=1) < row.since <= row.commit_time < datetime.now(UTC) + timedelta(minutes=1)


@pytest.mark.parametrize("crash", CRASHES)
def test_join_keys_and_the_checkpoint_become_durable_together(shop: CapturedDatabase, crash: object) -> None:
    start = shop.checkpoint()
    shop.admin.execute("insert into companies values (10, 1, 'Acme')")
    shop.admin.execute("truncate orders")
    doomed = shop.capture(save=crash)
    with pytest.raises(Crash):
        step_until(doomed, lambda: False)
    assert (shop.checkpoint() > start) is bool(shop.join_keys()) is (crash is after_it)
    shop.catch_up(shop.capture())
    assert shop.join_keys() == {"company": {"10"}}
    assert [run.reason for run in runs.pending(shop.admin)] == [Reason.TRUNCATE]


def test_a_truncated_related_table_asks_for_a_run_and_touches_no_entity_itself(shop: CapturedDatabase) -> None:
    shop.admin.execute("insert into people values (1, 'eu', 10)")
    capture = shop.capture()
    shop.catch_up(capture)
    shop.admin.execute("delete from syncbridge.outbox")
    shop.admin.execute("truncate orders, companies")
    shop.catch_up(capture)
    assert shop.outbox() == set()
    (run,) = runs.pending(shop.admin)
    assert (run.mapping_id, run.reason) == (1, Reason.TRUNCATE)


def test_a_truncate_is_not_covered_by_a_run_that_is_under_way(shop: CapturedDatabase) -> None:
    capture = shop.capture()
    shop.admin.execute("truncate orders")
    shop.catch_up(capture)
    shop.admin.execute("truncate companies")
    shop.catch_up(capture)
    (first,) = runs.pending(shop.admin)  # one that has not begun covers both
    runs.advance(shop.admin, first.id, phase="rows", after="x", enqueued=1)
    shop.admin.execute("truncate orders")
    shop.catch_up(capture)
    ids = [run.id for run in runs.pending(shop.admin)]
    assert ids[0] == first.id
    assert len(ids) == 2


def test_a_large_transaction_of_related_rows_is_saved_in_parts(shop: CapturedDatabase) -> None:
    sizes: list[int] = []

    def watching(connection: Connection, slot: str, batch: Batch) -> None:
        save(connection, slot, batch)
        sizes.append(len(batch.touched))

    shop.admin.execute("insert into companies select n, 1, '' from generate_series(1, 30000) n")
    shop.catch_up(shop.capture(shop.settings(pace=Pace(batch_keys=1_000)), save=watching))
    assert max(sizes) <= 6_000
    assert len(shop.join_keys()["company"]) == 30_000


def test_a_table_that_becomes_related_is_watched_from_its_announcement_on(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table companies (id int primary key)")
    captured.watch("companies", "id")
    captured.provide()
    capture = captured.capture()
    captured.catch_up(capture)
    captured.watch("companies", "id", mapping_id=2, relation="company")
    captured.admin.execute("insert into companies values (1)")
    publication.announce(captured.admin)
    captured.admin.execute("insert into companies values (2)")
    captured.catch_up(capture)
    assert captured.outbox() == {"1", "2"}
    assert captured.join_keys(2) == {"company": {"2"}}


def test_the_row_says_where_the_change_was_committed_for_whoever_waits(shop: CapturedDatabase) -> None:
    before = shop.end_of_log()
    shop.admin.execute("insert into regions values (5, 'west')")
    after = shop.end_of_log()
    shop.admin.execute("update regions set name = 'far west'")
    shop.catch_up(shop.capture())
    (row,) = fan_out.waiting(shop.admin, 1, "region", digest="1", limit=9)
    assert Lsn(before) <= row.since_lsn <= Lsn(after) <= row.lsn
