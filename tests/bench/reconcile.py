"""Reconcile of two sides that agree, beside a plain comparison of the same sides, in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from syncbridge.model import Reason
from syncbridge.sandbox.postgres import LocalPostgres
from tests.bench.figures import Outcome, megabytes
from tests.bench.processes import cpu_seconds, family_cpu_seconds, peak_memory
from tests.bench.services import Salesforce, environment, server_pid, worker
from tests.bench.sync import follow, ready

METHOD = """\
A table of {rows:,} rows (ten columns, all mapped) was synced into the sandbox; both sides agree, and a worker runs. \
`syncbridge reconcile people` compares them completely, in a process of its own: keys, links, a query job over all \
records, sorting on disk, composing every entity, and the comparison. Then a plain script compares the same sides as \
somebody would without us: COPY to a CSV file, simple-salesforce's bulk2 query to CSV files, sort, comm. It says how \
many lines differ, if both happen to spell values alike, and nothing of what is on its way, of links or of fields. \
CPU seconds are those of the process (of the script, with its children); memory is the peak."""


def bench(rows: int) -> Outcome:
    """Ours, then theirs, once each."""
    outcome = Outcome("reconcile", METHOD.format(rows=rows))
    with ready("sandbox", rows) as (server, remote, opened, folder, store):
        variables = environment(server.dsn, remote.facts)
        with worker(folder, variables, store) as pid:
            follow(opened, server, store, pid, Reason.FIRST_SYNC)
            store.execute("vacuum analyze syncbridge.link, syncbridge.outbox")
            ours = _ours(server, remote, folder, variables)
        theirs = _theirs(server.dsn, remote, rows)
    if (ours["agreeing"], ours["drift"]) != (rows, 0) or theirs["differing"]:
        raise RuntimeError(f"both sides should agree: {ours}, {theirs}")
    _add(outcome, rows, ours, theirs)
    outcome.ran(run="syncbridge", **ours)
    outcome.ran(run="plain comparison", **theirs)
    return outcome


def _add(outcome: Outcome, rows: int, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    full = rows >= 1_000_000
    ratio = theirs["seconds"] / ours["seconds"]
    outcome.add(f"reconcile of {rows:,} equal pairs, pairs/s", f"{rows / ours['seconds']:,.0f}")
    outcome.add("... API calls", f"{ours['calls']:,}")
    outcome.add("... CPU seconds", f"{ours['cpu']:.1f}")
    outcome.add("... Postgres CPU seconds", f"{ours['postgres_cpu']:.1f}")
    memory = float(ours["memory"])
    outcome.add("... memory", megabytes(memory), target="250 MB", met=memory < 250e6 if full else None)
    outcome.add("plain comparison (COPY, bulk2 query, sort), pairs/s", f"{rows / theirs['seconds']:,.0f}")
    outcome.add("... API calls", f"{theirs['calls']:,}")
    outcome.add("... CPU seconds", f"{theirs['cpu']:.1f}")
    outcome.add("... memory", megabytes(theirs["memory"]))
    outcome.add("reconcile / plain comparison", f"{ratio:.2f}", target="0.5", met=ratio >= 0.5 if full else None)


def _ours(server: LocalPostgres, remote: Salesforce, folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    calls, postgres = _calls(remote), family_cpu_seconds(server_pid(server))
    began = time.monotonic()
    with (folder / "report.json").open("w+") as report:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncbridge", "reconcile", "people", "--json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).absolute().parents[2]), **variables},
            stdout=report,
        )
        memory, cpu = 0, 0.0
        while process.poll() is None:
            memory, cpu = max(memory, peak_memory(process.pid)), max(cpu, cpu_seconds(process.pid))
            time.sleep(0.02)
        seconds = time.monotonic() - began
        report.seek(0)
        said = json.load(report)
    return {
        "seconds": round(seconds, 2),
        "cpu": round(cpu, 1),
        "postgres_cpu": round(family_cpu_seconds(server_pid(server)) - postgres, 1),
        "memory": memory,
        "calls": _calls(remote) - calls,
        "agreeing": said["agreeing"],
        "drift": said["drift"],
    }


def _theirs(dsn: str, remote: Salesforce, rows: int) -> dict[str, Any]:
    before = _calls(remote)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.plain_comparer", dsn, remote.facts["url"]],
        input=remote.facts["token"] + "\n",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).absolute().parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    if said["records"] != rows:
        raise RuntimeError(f"the plain comparison read {said['records']} of {rows} records")
    return {
        **said,
        "seconds": round(said["seconds"], 2),
        "cpu": round(said["cpu"], 1),
        "calls": _calls(remote) - before,
    }


def _calls(remote: Salesforce) -> int:
    return sum(remote.get("/sandbox/stats")["calls"].values())
