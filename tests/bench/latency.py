"""From commit to visible in the sandbox, and what it costs, at steady rates of single-row commits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import orjson
import psycopg

from syncbridge.applying.apply import apply
from syncbridge.sandbox.postgres import LocalPostgres
from tests.bench import people
from tests.bench.figures import Outcome, megabytes, percentile
from tests.bench.processes import peak_memory
from tests.bench.servers import STAMPS
from tests.bench.services import Salesforce, environment, postgres, project, salesforce, worker

RATE = 200
#: Commits a second, and for how many seconds, relative to the seconds of RATE.
RATES = {1: 1.0, 20: 1.0, 200: 1.0, 2000: 0.5}
#: Commits a second that one connection can make.
ONE_WRITER = 250
WARM_UP = 0.5  # seconds whose commits are not counted: connections open, plans are made

METHOD = """\
Commits at four steady rates, each an update of another row of a table that is in sync, {seconds:.0f} seconds at 200 \
a second; Postgres, sandbox and one worker (`syncbridge run`) each in its own process. A change counts from the \
return of its COMMIT to the moment when the sandbox, having stored it, begins its answer: from then on any reader \
sees it. Both times come from one clock (CLOCK_MONOTONIC), the second one inside the sandbox's process. `linger` is \
as by default: changes that come alone wait for nothing, and the faster they come the more of them share a call, for \
which each of them waits. At the end every record of the sandbox is compared with its row."""


def bench(commits: int) -> Outcome:
    """All rates, `commits` being how many there are at RATE."""
    seconds = commits / RATE
    outcome = Outcome("latency", METHOD.format(seconds=seconds))
    for rate, part in RATES.items():
        _report(outcome, _run(rate, max(2, round(rate * seconds * part))), judged=rate == RATE and commits >= 4000)
    return outcome


@dataclass(frozen=True, slots=True)
class Run:
    """One run: milliseconds of each commit, calls, memory of the worker."""

    rate: int
    commits: int
    attained: float  # commits a second
    waited: list[float]
    calls: int
    memory: int


def _run(rate: int, commits: int) -> Run:
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as writer:
        people.insert(writer, 1, commits)
        with salesforce("stamped", server.sockets) as remote, project(server.dsn, remote.facts) as (opened, folder):
            apply(opened)
            with worker(folder, environment(server.dsn, remote.facts), writer) as pid:
                _drain(writer)
                remote.get(STAMPS)
                committed = _commit(server, rate, commits)
                _drain(writer)
                memory = peak_memory(pid)
            seen, calls = _seen(remote)
            _compare(server, remote)
    first = round(WARM_UP * rate) + 1
    waited = [(seen[n] - committed[n]) / 1e6 for n in range(first, commits + 1)]
    seconds = (max(committed.values()) - min(committed.values())) / 1e9
    return Run(rate, commits, commits / seconds, waited, calls, memory)


def _report(outcome: Outcome, run: Run, *, judged: bool) -> None:
    middle, late = percentile(run.waited, 0.5), percentile(run.waited, 0.99)
    name = f"{run.rate:,} commits/s"
    targets = ("50 ms", "250 ms") if run.rate == RATE else ("", "")
    outcome.add(f"{name}: p50", f"{middle:.0f} ms", target=targets[0], met=middle < 50 if judged else None)
    outcome.add("... p99", f"{late:.0f} ms", target=targets[1], met=late < 250 if judged else None)
    outcome.add("... slowest", f"{max(run.waited):.0f} ms")
    outcome.add("... API calls for 1,000 changes", f"{1000 * run.calls / run.commits:,.1f}")
    outcome.add("... commits a second, in truth", f"{run.attained:,.0f}")
    outcome.add("... worker memory", megabytes(run.memory))
    outcome.ran(
        rate=run.rate,
        commits=run.commits,
        attained=round(run.attained),
        **{f"p{part:g}_ms": round(percentile(run.waited, part / 100), 1) for part in (1, 25, 50, 75, 90, 99, 99.9)},
        calls=run.calls,
        memory_mb=round(run.memory / 1e6),
    )


def _commit(server: LocalPostgres, rate: int, commits: int) -> dict[int, int]:
    """Update row after row at a steady rate, with as many writers as that needs; row -> when its COMMIT returned."""
    writers = -(-rate // ONE_WRITER)
    began = time.monotonic()

    def write(first: int) -> dict[int, int]:
        committed: dict[int, int] = {}
        with psycopg.connect(server.dsn, autocommit=True) as writer:
            for n in range(first, commits + 1, writers):
                pause = began + n / rate - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                writer.execute("update people set title = %s where id = %s", (f"Now {n}", n), prepare=True)
                committed[n] = time.monotonic_ns()
        return committed

    with ThreadPoolExecutor(writers) as threads:
        return {n: at for each in threads.map(write, range(1, writers + 1)) for n, at in each.items()}


def _drain(store: psycopg.Connection) -> None:
    """Wait until nothing is left to deliver, and stays so for a moment."""
    quiet = 0
    while quiet < 10:
        busy = store.execute(
            "select exists (select from syncbridge.outbox)"
            " or exists (select from syncbridge.run where status = 'pending')"
        ).fetchone()
        quiet = 0 if busy == (True,) else quiet + 1
        time.sleep(0.1)


def _seen(remote: Salesforce) -> tuple[dict[int, int], int]:
    """Row -> when the sandbox first had its new title; and how many calls there were."""
    stamps = remote.get(STAMPS)
    seen: dict[int, int] = {}
    for moment, records in stamps:
        for record in records:
            if str(record.get("Title", "")).startswith("Now "):
                seen.setdefault(int(record["External_Key__c"]), moment)
    return seen, len(stamps)


def _compare(server: LocalPostgres, remote: Salesforce) -> None:
    lines = httpx.get(remote.facts["url"] + "/sandbox/records/Contact", timeout=60).content.splitlines()
    there = {(record["External_Key__c"], record["Title"]) for record in map(orjson.loads, lines)}
    with psycopg.connect(server.dsn) as connection:
        here = set(connection.execute("select id::text, title from people").fetchall())
    if here != there:
        raise RuntimeError(f"{len(here ^ there)} records differ between Postgres and the sandbox")
