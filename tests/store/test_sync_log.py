"""The sync log: the story of each record, in partitions by day that come and go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

from psycopg import Connection

from syncbridge.model import Operation, Outcome
from syncbridge.store import sync_log
from syncbridge.store.sync_log import Entry
from tests.fix_store import Open, apply_mapping

TODAY = date(2026, 3, 10)


def _partitions(store: Connection) -> set[str]:
    rows = store.execute(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'syncbridge.sync_log'::regclass"
    )
    return {name.removeprefix("syncbridge.sync_log_") for (name,) in rows}


def _append(store: Connection, mapping_id: int, *keys: str, outcome: Outcome = Outcome.DELIVERED) -> None:
    sync_log.append(store, mapping_id, [Entry(key, Operation.UPDATE, outcome) for key in keys])


def _append_at(store: Connection, mapping_id: int, key: str, at: datetime) -> None:
    store.execute(
        "insert into syncbridge.sync_log (at, mapping_id, key, operation, outcome)"
        " values (%s, %s, %s, 'update', 'same')",
        (at, mapping_id, key),
    )


def test_entries_are_read_back_whole(store: Connection, mapping_id: int) -> None:
    entry = Entry(
        "k", Operation.CREATE, Outcome.DEAD, "change", "16/B374D848", "m1", "Email, Näme", 3, "TOO_LONG", "too long"
    )
    sync_log.append(store, mapping_id, [entry])
    (logged,) = sync_log.read(store)
    assert (logged.mapping, logged.key, logged.direction, logged.operation) == ("people", "k", "out", "create")
    assert (logged.outcome, logged.reason, logged.remote_id) == ("dead", "change", "m1")
    assert (logged.fields, logged.attempt, logged.code, logged.message) == ("Email, Näme", 3, "TOO_LONG", "too long")


def test_many_entries_at_once_are_read_back_whole_too(store: Connection, mapping_id: int) -> None:
    plain = [
        Entry(f"k{n}", Operation.CREATE, Outcome.DELIVERED, "change", "16/B374D848", "m", "Näme") for n in range(150)
    ]
    told = Entry("told", Operation.DELETE, Outcome.DEAD, "change", None, None, None, 3, "TOO_LONG", "a\tb\n\\N")
    sync_log.append(store, mapping_id, [*plain, told])
    logged = sync_log.read(store, limit=200)
    assert [entry.key for entry in logged] == [entry.key for entry in (*plain, told)]
    found = store.execute(
        "select distinct lsn::text, fields, attempt, at > now() - interval '1 hour' from syncbridge.sync_log"
    )
    assert set(found) == {("16/B374D848", "Näme", 1, True), (None, None, 3, True)}
    assert (logged[-1].code, logged[-1].message, logged[-1].remote_id) == ("TOO_LONG", "a\tb\n\\N", None)


def test_the_newest_entries_come_oldest_first_and_narrowed(store: Connection, mapping_id: int) -> None:
    other = apply_mapping(store, "other")
    _append(store, mapping_id, "a", "b", "c")
    _append(store, other, "a", outcome=Outcome.DEAD)
    assert [entry.key for entry in sync_log.read(store, limit=2)] == ["c", "a"]
    assert [entry.key for entry in sync_log.read(store, mapping="people")] == ["a", "b", "c"]
    assert [entry.mapping for entry in sync_log.read(store, key="a")] == ["people", "other"]
    assert [entry.mapping for entry in sync_log.read(store, outcome="dead")] == ["other"]
    assert sync_log.read(store, since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_who_follows_gets_what_other_sessions_wrote_later(store: Connection, open_store: Open, mapping_id: int) -> None:
    """Sessions share one row of ids: a later entry never has a lower one."""
    other = open_store()
    _append(other, mapping_id, "first")
    _append(store, mapping_id, "second")
    seen = sync_log.read(store)[-1].id
    _append(other, mapping_id, "third")
    assert [entry.key for entry in sync_log.read(store, after_id=seen)] == ["third"]


def test_partitions_of_yesterday_to_the_day_after_tomorrow_are_made_once(store: Connection) -> None:
    assert sync_log.keep_partitions(store, today=TODAY, retention_days=30) == (4, 0)
    assert _partitions(store) == {"20260309", "20260310", "20260311", "20260312", "other"}
    assert sync_log.keep_partitions(store, today=TODAY, retention_days=30) == (0, 0)
    assert sync_log.keep_partitions(store, today=TODAY + timedelta(days=1), retention_days=30) == (1, 0)


def test_entries_of_a_day_without_partition_move_to_it_from_the_default_one(store: Connection, mapping_id: int) -> None:
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    _append_at(store, mapping_id, "a", noon)
    _append_at(store, mapping_id, "b", noon + timedelta(days=30))
    sync_log.keep_partitions(store, today=TODAY, retention_days=30)
    assert store.execute("select key from syncbridge.sync_log_20260310").fetchall() == [("a",)]
    assert store.execute("select key from syncbridge.sync_log_other").fetchall() == [("b",)]
    assert len(sync_log.read(store)) == 2


def test_days_are_those_of_utc_to_the_microsecond(store: Connection, mapping_id: int) -> None:
    store.execute("set timezone to 'Asia/Tokyo'")
    sync_log.keep_partitions(store, today=TODAY, retention_days=30)
    midnight = datetime(2026, 3, 11, tzinfo=UTC)
    _append_at(store, mapping_id, "before", midnight - timedelta(microseconds=1))
    _append_at(store, mapping_id, "after", midnight)
    assert store.execute("select key from syncbridge.sync_log_20260310").fetchall() == [("before",)]
    assert store.execute("select key from syncbridge.sync_log_20260311").fetchall() == [("after",)]


def test_days_older_than_the_retention_are_dropped_whole(store: Connection, mapping_id: int) -> None:
    sync_log.keep_partitions(store, today=TODAY, retention_days=2)
    _append_at(store, mapping_id, "old", datetime(2026, 3, 10, 1, tzinfo=UTC))
    later = TODAY + timedelta(days=3)
    assert sync_log.keep_partitions(store, today=later, retention_days=2)[1] == 2
    assert _partitions(store) == {f"202603{day}" for day in (11, 12, 13, 14, 15)} | {"other"}
    assert sync_log.read(store) == []


def test_partitions_have_the_log_s_index_and_defaults(store: Connection, mapping_id: int) -> None:
    sync_log.keep_partitions(store, today=datetime.now(UTC).date(), retention_days=2)
    _append(store, mapping_id, "a")
    name = f"sync_log_{datetime.now(UTC):%Y%m%d}"
    assert store.execute(f"select id is not null from syncbridge.{name}").fetchall() == [(True,)]
    indexes = "select count(*) from pg_indexes where schemaname = 'syncbridge' and tablename = %s"
    assert store.execute(indexes, (name,)).fetchone() == store.execute(indexes, ("sync_log",)).fetchone() != (0,)


def test_partitions_made_at_the_same_time_while_others_write_lose_nothing(
    store: Connection, open_store: Open, mapping_id: int
) -> None:
    now = datetime.now(UTC)

    def write(connection: Connection) -> None:
        for n in range(40):
            _append(connection, mapping_id, str(n))

    def make(connection: Connection) -> None:
        sync_log.keep_partitions(connection, today=now.date(), retention_days=7)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(write, open_store()), pool.submit(write, open_store())]
        running += [pool.submit(make, open_store()), pool.submit(make, open_store())]
        for future in running:
            future.result()
    assert len(sync_log.read(store, limit=1000)) == 80


def test_a_write_that_is_not_yet_committed_does_not_forbid_its_day_s_partition(
    store: Connection, open_store: Open, mapping_id: int
) -> None:
    writer, maker = open_store(), open_store()
    with ThreadPoolExecutor(1) as pool:
        with writer.transaction():
            _append_at(writer, mapping_id, "a", datetime(2026, 3, 10, 12, tzinfo=UTC))
            making = pool.submit(sync_log.keep_partitions, maker, today=TODAY, retention_days=7)
            while store.execute(
                "select cardinality(pg_blocking_pids(%s)) > 0", (maker.info.backend_pid,)
            ).fetchone() != (True,):
                assert not making.done()
        assert making.result() == (4, 0)
    assert store.execute("select key from syncbridge.sync_log_20260310").fetchall() == [("a",)]


def test_rates_count_what_was_delivered_and_given_up_lately(store: Connection, mapping_id: int) -> None:
    _append(store, mapping_id, "a", "b")
    _append(store, mapping_id, "c", outcome=Outcome.DEAD)
    _append(store, mapping_id, "d", outcome=Outcome.RETRY)
    assert sync_log.rates(store) == {mapping_id: (2, 1)}
    store.execute("update syncbridge.sync_log set at = at - interval '1 hour'")
    assert sync_log.rates(store) == {}
