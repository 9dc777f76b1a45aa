"""First sync of a large table by Bulk, beside the same rows loaded by a plain loader, in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncbridge.model import Reason
from tests.bench.figures import Outcome, megabytes
from tests.bench.processes import cpu_seconds
from tests.bench.services import Salesforce, environment, worker
from tests.bench.sync import Round, follow, ready

METHOD = """\
A table of {rows:,} rows (ten columns, all mapped) is synced for the first time into the empty sandbox by one worker \
with its default settings, so by Bulk; time and CPU as in `sync`. Then the same rows go from the same Postgres into \
another empty sandbox as somebody would do it without us: COPY to a CSV file, simple-salesforce's bulk2 upsert of it \
with its own defaults, and a look at the rows that were refused. It keeps nothing and knows nothing of changes; \
the worker detects them, links every record, keeps its base and writes its log. Memory is the process's peak."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the plain loader said of itself, and what the sandbox did for it."""

    seconds: float
    cpu: float
    memory: int
    calls: int
    jobs: int


def bench(rows: int) -> Outcome:
    """Ours, then theirs, once each."""
    outcome = Outcome("bulk", METHOD.format(rows=rows))
    with ready("sandbox", rows) as (server, remote, opened, folder, store):
        variables = environment(server.dsn, remote.facts)
        with worker(folder, variables, store) as pid:
            before = cpu_seconds(remote.process.pid)
            ours = follow(opened, server, store, pid, Reason.FIRST_SYNC)
            sandbox_cpu = cpu_seconds(remote.process.pid) - before
        links = store.execute("select count(*) from syncbridge.link").fetchone()
        if links != (rows,):
            raise RuntimeError(f"{links} links after a first sync of {rows} rows")
        calls = calls_of(remote)
    with ready("sandbox", rows) as (server, remote, *_):
        theirs = plain("plain_loader", server.dsn, remote, rows)
    _add(outcome, rows, ours, calls, theirs)
    outcome.ran(run="syncbridge", seconds=round(ours.seconds, 2), cpu=round(ours.worker_cpu, 1), calls=calls,
                postgres_cpu=round(ours.postgres_cpu, 1), sandbox_cpu=round(sandbox_cpu, 1),
                memory_mb=round(ours.memory / 1e6))  # fmt: skip
    outcome.ran(run="plain loader", seconds=round(theirs.seconds, 2), cpu=round(theirs.cpu, 1), calls=theirs.calls,
                jobs=theirs.jobs, memory_mb=round(theirs.memory / 1e6))  # fmt: skip
    return outcome


def _add(outcome: Outcome, rows: int, ours: Round, calls: dict[str, int], theirs: Loaded) -> None:
    full = rows >= 1_000_000
    ratio = theirs.seconds / ours.seconds
    outcome.add(f"first sync of {rows:,} rows by Bulk, records/s", f"{rows / ours.seconds:,.0f}")
    outcome.add("... API calls", f"{sum(calls.values()):,}")
    outcome.add("... worker CPU seconds", f"{ours.worker_cpu:.1f}")
    outcome.add("... Postgres CPU seconds", f"{ours.postgres_cpu:.1f}")
    outcome.add("... worker memory", megabytes(ours.memory), target="250 MB", met=ours.memory < 250e6 if full else None)
    outcome.add("plain loader (COPY, simple-salesforce bulk2), records/s", f"{rows / theirs.seconds:,.0f}")
    outcome.add("... API calls", f"{theirs.calls:,}")
    outcome.add("... CPU seconds", f"{theirs.cpu:.1f}")
    outcome.add("... memory", megabytes(theirs.memory))
    outcome.add("first sync / plain loader", f"{ratio:.2f}", target="1", met=ratio >= 1 if full else None)


def calls_of(remote: Salesforce) -> dict[str, int]:
    """API calls that the sandbox has answered, by kind."""
    counted: dict[str, int] = remote.get("/sandbox/stats")["calls"]
    return counted


def plain(program: str, dsn: str, remote: Salesforce, rows: int) -> Loaded:
    """Run a program that somebody writes without us (`plain_loader`, `plain_download`) over so many rows."""
    before = sum(calls_of(remote).values())
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{program}", dsn, remote.facts["url"]],
        input=remote.facts["token"] + "\n",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).absolute().parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    if said["records"] != rows:
        raise RuntimeError(f"{program} did {said['records']} of {rows} rows")
    return Loaded(
        said["seconds"], said["cpu"], said["memory"], sum(calls_of(remote).values()) - before, said.get("jobs", 1)
    )
