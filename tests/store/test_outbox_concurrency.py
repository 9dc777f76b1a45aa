"""Several sessions at once: nothing deadlocks, no key is in two hands, and nothing is lost."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Connection

from syncbridge.model import Operation
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.settle import Settlement, give_back, settle, take_nothing
from syncbridge.store import backlog, claims
from tests.fix_store import Open, enqueue

KEYS = [f"k{n:02}" for n in range(40)]
ROUNDS = 60


def _settlement(rows: list[claims.Claimed], rng: random.Random) -> Settlement:
    """Most rows are done, some are given back, in any order."""
    settlement = Settlement()
    rng.shuffle(rows)
    for row in rows:
        if rng.random() < 0.7:
            take_nothing(settlement, Planned(row, Operation.NOTHING, {}, {}))
        else:
            give_back(settlement, [row], ())
    return settlement


def test_capture_lanes_and_people_at_once_lose_nothing(store: Connection, open_store: Open, mapping_id: int) -> None:
    start = threading.Barrier(5, timeout=30)
    held: Counter[str] = Counter()
    guard = threading.Lock()
    twice: list[str] = []

    def capture(connection: Connection, seed: int) -> None:
        rng = random.Random(seed)
        start.wait()
        for n in range(ROUNDS):
            with connection.transaction():
                enqueue(connection, mapping_id, *rng.sample(KEYS, 25), lsn=1000 + n)

    def lane(connection: Connection, seed: int) -> None:
        rng = random.Random(seed)
        start.wait()
        for _ in range(ROUNDS):
            number, rows = claims.claim(connection, mapping_id, limit=20, lease=600)
            with guard:
                twice.extend(row.key for row in rows if held[row.key])
                held.update(row.key for row in rows)
            settlement = _settlement(rows, rng)
            with guard:  # let go of just before: the settlement makes it claimable
                held.subtract(row.key for row in rows)
            settle(connection, mapping_id, number, settlement)

    def person(connection: Connection) -> None:
        start.wait()
        for _ in range(ROUNDS):
            backlog.requeue(connection, mapping_id, None)
            claims.end_leases(connection, 1 << 40, 1 << 41)

    with ThreadPoolExecutor(5) as pool:
        running = [
            pool.submit(capture, open_store(), 1),
            pool.submit(capture, open_store(), 2),
            pool.submit(lane, open_store(), 3),
            pool.submit(lane, open_store(), 4),
            pool.submit(person, open_store()),
        ]
        for future in running:
            future.result()
    assert twice == []
    deadlocks = store.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone()
    assert deadlocks == (0,)
    number, rows = claims.claim(store, mapping_id, limit=100, lease=600)
    claims.finish(store, mapping_id, number, {row.key: row.version for row in rows})
    assert store.execute("select count(*) from syncbridge.outbox").fetchone() == (0,)


def test_every_key_is_delivered_after_its_last_change(store: Connection, open_store: Open, mapping_id: int) -> None:
    """Each delivery notes the count it saw; the last note of every key must be its last count."""
    store.execute("create table counts (key text primary key, n integer not null default 0)")
    store.execute("insert into counts select unnest(%s::text[])", (KEYS,))
    seen: dict[str, int] = {}
    done = threading.Event()

    def capture(connection: Connection) -> None:
        rng = random.Random(5)
        for _ in range(ROUNDS):
            keys = rng.sample(KEYS, 10)
            connection.execute("update counts set n = n + 1 where key = any(%s)", (keys,))
            enqueue(connection, mapping_id, *keys)
        done.set()

    def lane(connection: Connection) -> None:
        while True:
            over = done.is_set()
            number, rows = claims.claim(connection, mapping_id, limit=7, lease=600)
            if not rows and over:
                return
            current: dict[str, int] = dict(
                connection.execute("select key, n from counts where key = any(%s)", ([row.key for row in rows],))
            )
            for row in rows:
                seen[row.key] = current[row.key]
            settlement = Settlement()
            for row in rows:
                take_nothing(settlement, Planned(row, Operation.NOTHING, {}, {}))
            settle(connection, mapping_id, number, settlement)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(capture, open_store()), *(pool.submit(lane, open_store()) for _ in range(2))]:
            future.result()
    expected: dict[str, int] = dict(store.execute("select key, n from counts where n > 0"))
    assert seen == expected


@pytest.mark.parametrize("changed", ["a", "z"])
def test_a_settlement_takes_its_locks_in_key_order_whatever_it_does_with_them(
    store: Connection, open_store: Open, mapping_id: int, changed: str
) -> None:
    """An enqueue that holds one key and comes to the other meets a settlement that does different things to both."""
    enqueue(store, mapping_id, "a", "z")
    number, rows = claims.claim(store, mapping_id, limit=10, lease=600)
    enqueue(store, mapping_id, changed)
    settlement = Settlement()
    for row in rows:
        take_nothing(settlement, Planned(row, Operation.NOTHING, {}, {}))
    capturing, settling = open_store(), open_store()
    with ThreadPoolExecutor(1) as pool:
        with capturing.transaction():
            enqueue(capturing, mapping_id, "a")
            future = pool.submit(settle, settling, mapping_id, number, settlement)
            _wait_until_blocked(store, settling)
            enqueue(capturing, mapping_id, "z")
        future.result()
    waiting = backlog.summary(store)[mapping_id]
    assert waiting.pending == 2


def _wait_until_blocked(store: Connection, session: Connection) -> None:
    pid = session.info.backend_pid
    for _ in range(100_000):
        if store.execute("select cardinality(pg_blocking_pids(%s)) > 0", (pid,)).fetchone() == (True,):
            return
    raise AssertionError("the settlement is not blocked")
