"""First sync of a table, and a resync of it when nothing differs: one worker with its default settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import Connection

from syncbridge.applying.apply import apply
from syncbridge.model import Reason
from syncbridge.project import Project
from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.store import mappings, runs
from tests.bench import people
from tests.bench.figures import Outcome, megabytes, middle, spread
from tests.bench.processes import cpu_seconds, family_cpu_seconds, peak_memory
from tests.bench.services import Salesforce, environment, postgres, project, salesforce, server_pid, worker

METHOD = """\
A table of {rows:,} rows (ten columns, all mapped) is in place, Postgres, the server and one worker (`syncbridge \
run`, default settings) run, each in its own process, then a run is asked for. Time: from the run's first page to \
the moment when the outbox is empty and the run is done, by the database's clock; so it holds enqueueing, claim, \
compose, convert, diff, send, and settlement with link, base and sync log, fsync on. The null server answers \
writes without looking at them; the sandbox checks and stores each record. The resync compares {rows:,} records \
that are equal on both sides. CPU seconds are those of the worker process from request to end; memory is its peak."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run that was followed to its end."""

    seconds: float
    enqueue_seconds: float
    worker_cpu: float
    postgres_cpu: float
    memory: int


def bench(rows: int, rounds: int) -> Outcome:
    """Null server `rounds` times, then the sandbox once, each with a resync after it."""
    outcome = Outcome("sync", METHOD.format(rows=rows))
    full = rows >= 100_000
    first: list[Round] = []
    again: list[Round] = []
    calls: list[tuple[int, int]] = []
    for _ in range(rounds):
        a, b, made = _both("null", rows, outcome)
        first.append(a)
        again.append(b)
        calls.append(made)
    _add_rate(outcome, "first sync to the null server, records/s", first, rows, 10_000, full)
    outcome.add("... API calls (writes + others)", _shown(calls[0]), target=f"{-(-rows // 200)} + few")
    _add_rate(outcome, "resync of equal records, records/s", again, rows, 30_000, full)
    outcome.add("... write calls it made", "0", target="0", met=True)  # `_both` raises otherwise
    a, _, made = _both("sandbox", rows, outcome)
    outcome.add("first sync to the sandbox, records/s", f"{rows / a.seconds:,.0f}")
    outcome.add("... API calls (writes + others)", _shown(made), target=f"{-(-rows // 200)} + few")
    outcome.add("... worker memory", megabytes(a.memory))
    return outcome


def _shown(calls: tuple[int, int]) -> str:
    return f"{calls[0]} + {calls[1]}"


def _add_rate(outcome: Outcome, what: str, rounds: list[Round], rows: int, target: int, full: bool) -> None:
    rates = [rows / each.seconds for each in rounds]
    outcome.add(what, spread(rates), target=f"{target:,}/s", met=middle(rates) >= target if full else None)
    _add_costs(outcome, rounds, rows)


def _add_costs(outcome: Outcome, rounds: list[Round], rows: int) -> None:
    outcome.add("... of that enqueueing, seconds", spread([each.enqueue_seconds for each in rounds], "{:.2f}"))
    per = 100_000 / rows
    outcome.add("... worker CPU seconds per 100,000", spread([each.worker_cpu * per for each in rounds], "{:.1f}"))
    outcome.add("... Postgres CPU seconds per 100,000", spread([each.postgres_cpu * per for each in rounds], "{:.1f}"))
    outcome.add("... worker memory", megabytes(max(each.memory for each in rounds)))


def _both(kind: str, rows: int, outcome: Outcome) -> tuple[Round, Round, tuple[int, int]]:
    """First sync and resync against one kind of server; both, and the first one's calls: writes, others."""
    with ready(kind, rows) as (server, remote, opened, folder, store):
        with worker(folder, environment(server.dsn, remote.facts), store) as pid:
            first = follow(opened, server, store, pid, Reason.FIRST_SYNC)
        writes, others = calls(remote, kind)
        links = store.execute("select count(*) from syncbridge.link").fetchone()
        if links != (rows,):
            raise RuntimeError(f"{links} links after a first sync of {rows} rows")
        store.execute("vacuum analyze syncbridge.outbox, syncbridge.link")  # as autovacuum would have done by then
        with worker(folder, environment(server.dsn, remote.facts), store) as pid:
            again = follow(opened, server, store, pid, Reason.RESYNC)
        if calls(remote, kind)[0] != writes:
            raise RuntimeError("a resync of equal records wrote")
    for name, each in (("first sync", first), ("resync", again)):
        outcome.ran(server=kind, run=name, seconds=round(each.seconds, 3), enqueue=round(each.enqueue_seconds, 3),
                    worker_cpu=round(each.worker_cpu, 2), postgres_cpu=round(each.postgres_cpu, 2),
                    memory_mb=round(each.memory / 1e6), writes=writes, other_calls=others)  # fmt: skip
    return first, again, (writes, others)


def calls(remote: Salesforce, kind: str) -> tuple[int, int]:
    """API calls so far: collection upserts, and all others."""
    counted = remote.get("/bench/counts" if kind == "null" else "/sandbox/stats")["calls"]
    writes = sum(number for name, number in counted.items() if name.startswith("PATCH"))
    return writes, sum(counted.values()) - writes


Ready = tuple[LocalPostgres, Salesforce, Project, Path, Connection]


@contextmanager
def ready(kind: str, rows: int) -> Iterator[Ready]:
    """All in force and the table filled, and no run asked for yet."""
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as store:
        people.insert(store, 1, rows)
        store.execute("vacuum analyze people")
        with salesforce(kind, server.sockets) as remote, project(server.dsn, remote.facts) as (opened, folder):
            apply(opened)
            store.execute("delete from syncbridge.run")
            store.execute("checkpoint")
            yield server, remote, opened, folder, store


def follow(opened: Project, server: LocalPostgres, store: Connection, pid: int, reason: Reason) -> Round:
    """Ask for a run and wait until nothing of it is left."""
    cpu = cpu_seconds(pid), family_cpu_seconds(server_pid(server))
    run_id = runs.request(store, mappings.read(store, "people").id, reason)
    # Looking at the outbox while it is full of what was just removed costs a scan: first comes the run's end.
    while runs.read(store, run_id).status == "pending":
        time.sleep(0.05)
    while store.execute("select exists (select from syncbridge.outbox)").fetchone() == (True,):
        time.sleep(0.05)
    took = store.execute(
        "select status, clock_timestamp() - started_at, finished_at - started_at from syncbridge.run where id = %s",
        (run_id,),
    ).fetchone()
    if took is None or took[0] != "done":
        raise RuntimeError("the run failed")
    return Round(
        seconds=took[1].total_seconds(),
        enqueue_seconds=took[2].total_seconds(),
        worker_cpu=cpu_seconds(pid) - cpu[0],
        postgres_cpu=family_cpu_seconds(server_pid(server)) - cpu[1],
        memory=peak_memory(pid),
    )
