"""From a change in the sandbox to its row in Postgres, at a steady rate of changes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import psycopg

from syncbridge.applying.apply import apply
from syncbridge.destinations.base import Delivered, Destination
from tests.bench import bulk, people
from tests.bench.figures import Outcome, megabytes, percentile
from tests.bench.processes import peak_memory
from tests.bench.services import environment, postgres, project, salesforce, worker

RATE = 20

METHOD = """\
{changes:,} contacts are changed one after another, {rate} a second, while one worker polls every {every} s; Postgres, \
sandbox and worker each in its own process. A change counts from the moment when Salesforce's answer to it is there to \
the moment when another connection sees the new value in the row, looked for every 10 ms. What a poll adds to the wait \
for its turn is all that is above the interval."""


@dataclass(slots=True)
class Watch:
    """Looks for rows that were changed, on a connection and in a thread of its own."""

    dsn: str
    seen: dict[int, float] = field(default_factory=dict)  # row -> when it was seen first
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.over.wait(0.01):
                rows = connection.execute("select id from people where title like 'Now %'", prepare=True)
                now = time.monotonic()
                for (key,) in rows:
                    self.seen.setdefault(key, now)


def bench(changes: int, every: int) -> Outcome:
    """One run."""
    outcome = Outcome("poll", METHOD.format(changes=changes, rate=RATE, every=every))
    mapping = people.MAPPING + f"direction: both\npoll: {{every: {every}s}}\n"
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as store:
        people.insert(store, 1, changes)
        with (
            salesforce("sandbox", server.sockets) as remote,
            project(server.dsn, remote.facts, mapping) as (opened, folder),
        ):
            apply(opened)
            variables = environment(server.dsn, remote.facts)
            with worker(folder, variables, store):
                _drain(store)
            store.execute("update syncbridge.link set delivered_at = now() - interval '1 hour'")  # nothing is recent
            with worker(folder, variables, store) as pid:
                before = sum(bulk.calls_of(remote).values())
                waited = _changed(server.dsn, store, opened.destination("salesforce"), changes)
                calls = sum(bulk.calls_of(remote).values()) - before - changes
                memory = peak_memory(pid)
    full = changes >= 1000
    late = percentile(waited, 0.99)
    outcome.add(f"{RATE} remote changes/s, polled every {every} s: p50", f"{percentile(waited, 0.5):.2f} s")
    outcome.add("... p99", f"{late:.2f} s", target=f"{every + 1} s", met=late <= every + 1 if full else None)
    outcome.add("... slowest", f"{max(waited):.2f} s")
    outcome.add("... API calls of the worker", f"{calls:,}")
    outcome.add("... worker memory", megabytes(memory))
    outcome.ran(changes=changes, every=every, calls=calls, memory_mb=round(memory / 1e6),
                **{f"p{part:g}_s": round(percentile(waited, part / 100), 2) for part in (1, 50, 90, 99)})  # fmt: skip
    return outcome


def _changed(dsn: str, store: psycopg.Connection, destination: Destination, changes: int) -> list[float]:
    """Change record after record at the rate; seconds until each was in its row."""
    ids: dict[str, str] = dict(store.execute("select key, remote_id from syncbridge.link").fetchall())
    watch, answered = Watch(dsn), {}
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        began = time.monotonic()
        for number in range(1, changes + 1):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            (result,) = destination.update("Contact", [(ids[str(number)], {"Title": f"Now {number}"})])
            if not isinstance(result, Delivered):
                raise RuntimeError(f"a change was refused: {result.code}")
            answered[number] = time.monotonic()
        deadline = time.monotonic() + 60
        while len(watch.seen) < changes:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(watch.seen)} of {changes} changes arrived")
            time.sleep(0.05)
    finally:
        watch.over.set()
        thread.join()
    return [max(0.0, watch.seen[number] - answered[number]) for number in answered]


def _drain(store: psycopg.Connection) -> None:
    """Wait until loads and first syncs are over and nothing is left to deliver."""
    left = (
        "select exists (select from syncbridge.run where status in ('asked', 'pending'))"
        " or exists (select from syncbridge.outbox) or not exists (select from syncbridge.link)"
    )
    deadline = time.monotonic() + 120
    while store.execute(left).fetchone() == (True,):
        if time.monotonic() > deadline:
            raise RuntimeError("the first sync does not come to an end")
        time.sleep(0.1)
