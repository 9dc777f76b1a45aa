"""From commit to visible in the sandbox, at a steady rate of single-row commits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import orjson
import psycopg

from syncbridge.apply import apply
from syncbridge.sandbox.postgres import LocalPostgres
from tests.bench import people
from tests.bench.figures import Outcome, megabytes, percentile
from tests.bench.processes import peak_memory
from tests.bench.servers import STAMPS
from tests.bench.services import Salesforce, environment, postgres, project, salesforce, worker

RATE = 200
OTHER = "200ms"
WARM_UP = 100  # commits that are not counted: connections open, plans are made

METHOD = """\
{commits:,} commits, {rate} a second, each an update of another row of a table that is in sync; Postgres, sandbox \
and one worker (`syncbridge run`) each in its own process. A change counts from the return of its COMMIT to the \
moment when the sandbox, having stored it, begins its answer: from then on any reader sees it. Both times come \
from one clock (CLOCK_MONOTONIC), the second one inside the sandbox's process. While changes keep coming a batch \
goes out once per `linger`, so half of it is in the median; a shorter one costs more API calls. At the end every \
record of the sandbox is compared with its row."""


def bench(commits: int) -> Outcome:
    """With the default settings, then with a longer linger."""
    outcome = Outcome("latency", METHOD.format(commits=commits, rate=RATE))
    _report(outcome, _run(commits, {}), commits, "default settings", target=True)
    _report(outcome, _run(commits, {"SYNCBRIDGE_WORKER__LINGER": OTHER}), commits, f"linger {OTHER}", target=False)
    return outcome


@dataclass(frozen=True, slots=True)
class Run:
    """One run: milliseconds of each commit, calls, memory of the worker."""

    waited: list[float]
    calls: int
    memory: int


def _run(commits: int, variables: Mapping[str, str]) -> Run:
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as writer:
        people.insert(writer, 1, commits)
        with salesforce("stamped", server.sockets) as remote, project(server.dsn, remote.facts) as (opened, folder):
            apply(opened)
            with worker(folder, {**environment(server.dsn, remote.facts), **variables}, writer) as pid:
                _drain(writer)
                remote.get(STAMPS)
                committed = _commit(writer, commits)
                _drain(writer)
                memory = peak_memory(pid)
            seen, calls = _seen(remote)
            _compare(server, remote)
    return Run([(seen[n] - committed[n]) / 1e6 for n in range(WARM_UP + 1, commits + 1)], calls, memory)


def _report(outcome: Outcome, run: Run, commits: int, settings: str, *, target: bool) -> None:
    middle, late = percentile(run.waited, 0.5), percentile(run.waited, 0.99)
    judged = target and commits >= 4000
    targets = ("50 ms", "250 ms") if target else ("", "")
    outcome.add(f"{settings}: p50", f"{middle:.0f} ms", target=targets[0], met=middle < 50 if judged else None)
    outcome.add(f"{settings}: p99", f"{late:.0f} ms", target=targets[1], met=late < 250 if judged else None)
    outcome.add("... slowest", f"{max(run.waited):.0f} ms")
    outcome.add("... API calls", f"{run.calls:,} ({commits / run.calls:.0f} records a call)")
    outcome.add("... worker memory", megabytes(run.memory))
    outcome.ran(
        settings=settings,
        commits=commits,
        **{f"p{part:g}_ms": round(percentile(run.waited, part / 100), 1) for part in (1, 25, 50, 75, 90, 99, 99.9)},
        calls=run.calls,
        memory_mb=round(run.memory / 1e6),
    )


def _commit(writer: psycopg.Connection, commits: int) -> dict[int, int]:
    """Update row after row at a steady rate; row -> when its COMMIT returned."""
    committed: dict[int, int] = {}
    began = time.monotonic()
    for n in range(1, commits + 1):
        pause = began + n / RATE - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        writer.execute("update people set title = %s where id = %s", (f"Now {n}", n), prepare=True)
        committed[n] = time.monotonic_ns()
    return committed


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
