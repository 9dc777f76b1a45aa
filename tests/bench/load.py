"""All records of an org into Postgres: a mapping's first load, a resync of equal records, and a plain download."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import Connection

from syncbridge.applying.apply import apply
from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.store import loads, mappings, runs
from syncbridge.store.runs import Direction
from tests.bench import bulk, people
from tests.bench.figures import Outcome, megabytes
from tests.bench.processes import cpu_seconds, family_cpu_seconds, peak_memory
from tests.bench.services import Salesforce, environment, postgres, project, salesforce, server_pid, worker

METHOD = """\
The sandbox holds {rows:,} contacts, of which ten fields are mapped, and the table is empty. A first load by one \
worker with its default settings reads every record by a query job, makes a row of it and links the two. Then, with a \
new worker, a resync from the destination of the same records, which are linked and equal. Time: from the begin of the \
scan to the end of the run, by the database's clock; CPU seconds of the worker process; memory is its peak. For \
comparison, in the same run, what somebody does without us: simple-salesforce's bulk2 query to files, then COPY of \
these into an empty table."""


@dataclass(frozen=True, slots=True)
class Round:
    """One load that was followed to its end."""

    seconds: float
    cpu: float
    postgres_cpu: float
    memory: int
    calls: int


def bench(rows: int) -> Outcome:
    """First load, resync and plain download, once each."""
    outcome = Outcome("load", METHOD.format(rows=rows))
    mapping = people.MAPPING + "direction: both\npoll: {every: 10s}\n"
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as store:
        people.insert(store, 1, rows)
        with (
            salesforce("sandbox", server.sockets) as remote,
            project(server.dsn, remote.facts, mapping) as (opened, folder),
        ):
            bulk.plain("plain_loader", server.dsn, remote, rows)
            theirs = bulk.plain("plain_download", server.dsn, remote, rows)
            store.execute("truncate people")
            apply(opened)
            first = _followed(server, remote, folder, store, runs.pending(store, Direction.IN)[0].id)
            _check(store, rows)
            store.execute("update syncbridge.link set delivered_at = now() - interval '1 hour'")  # nothing is recent
            store.execute("vacuum analyze people, syncbridge.link, syncbridge.outbox")
            again = _followed(server, remote, folder, store, loads.request(store, mappings.read(store, "people").id))
    for name, each in (("first load", first), ("resync", again), ("plain download", theirs)):
        outcome.ran(run=name, seconds=round(each.seconds, 2), cpu=round(each.cpu, 1), calls=each.calls,
                    memory_mb=round(each.memory / 1e6))  # fmt: skip
    _add(outcome, rows, first, again, theirs)
    return outcome


def _followed(server: LocalPostgres, remote: Salesforce, folder: Path, store: Connection, run_id: int) -> Round:
    calls = bulk.calls_of(remote)
    with worker(folder, environment(server.dsn, remote.facts), store) as pid:
        cpu = cpu_seconds(pid), family_cpu_seconds(server_pid(server))
        while runs.read(store, run_id).status == "pending":
            time.sleep(0.05)
        run = runs.read(store, run_id)
        if run.status != "done" or run.started_at is None or run.finished_at is None:
            raise RuntimeError(f"the load ended as {run.status}: {run.error}")
        return Round(
            seconds=(run.finished_at - run.started_at).total_seconds(),
            cpu=cpu_seconds(pid) - cpu[0],
            postgres_cpu=family_cpu_seconds(server_pid(server)) - cpu[1],
            memory=peak_memory(pid),
            calls=sum(bulk.calls_of(remote).values()) - sum(calls.values()),
        )


def _check(store: Connection, rows: int) -> None:
    found = store.execute("select (select count(*) from people), (select count(*) from syncbridge.link)").fetchone()
    if found != (rows, rows):
        raise RuntimeError(f"{found} rows and links after a first load of {rows} records")


def _add(outcome: Outcome, rows: int, first: Round, again: Round, theirs: bulk.Loaded) -> None:
    full = rows >= 1_000_000
    for what, each in (("first load into an empty table", first), ("resync from the destination, equal", again)):
        outcome.add(f"{what}: {rows:,} records, records/s", f"{rows / each.seconds:,.0f}")
        outcome.add("... API calls", f"{each.calls:,}")
        outcome.add("... worker CPU seconds", f"{each.cpu:.1f}")
        outcome.add("... Postgres CPU seconds", f"{each.postgres_cpu:.1f}")
        small = each.memory < 250e6 if full else None
        outcome.add("... worker memory", megabytes(each.memory), target="250 MB", met=small)
    outcome.add("plain download (simple-salesforce bulk2, COPY), records/s", f"{rows / theirs.seconds:,.0f}")
    outcome.add("... CPU seconds", f"{theirs.cpu:.1f}")
    outcome.add("... memory", megabytes(theirs.memory))
    outcome.add("first load / plain download", f"{theirs.seconds / first.seconds:.2f}")
