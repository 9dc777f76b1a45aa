"""Capture into the durable outbox, beside what `pg_recvlogical` needs to throw the same changes away."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from syncbridge.applying.apply import apply
from syncbridge.sandbox.postgres import LocalPostgres
from tests.bench import people
from tests.bench.figures import Outcome, megabytes, middle, spread
from tests.bench.processes import first_line, running
from tests.bench.services import environment, postgres, project

FACTS = {"url": "http://127.0.0.1:9", "client_id": "unused", "client_secret": "unused"}

METHOD = """\
{changes:,} changes (60% inserts, 35% updates, 5% deletes; rows of some 400 bytes in ten columns) in transactions \
of 100 are committed once, each of another row, so that every change becomes an outbox row of its own; then each \
reader takes a copy of one and the same slot, over the same Unix socket, in turn. Capture runs in a process of its \
own and is done when every key and the checkpoint are durable in the outbox, in the same server, fsync on; its \
time starts before it connects. `pg_recvlogical` of the same Postgres writes to /dev/null; it is shown with the \
publication that capture reads (a column list: only keys are sent) and with one that publishes every column. The \
ratio is formed within each round. Then the same for one transaction of {changes:,} inserted rows. Memory: peak of \
the process."""

_OUTBOX = "truncate syncbridge.outbox"


@dataclass(frozen=True, slots=True)
class Source:
    """The server with what the readers need."""

    server: LocalPostgres
    folder: Path
    connection: Connection


def bench(changes: int, rounds: int) -> Outcome:
    """`rounds` times many small transactions, once a single large one."""
    outcome = Outcome("capture", METHOD.format(changes=changes))
    full = changes >= 1_000_000
    with _ready() as source:
        people.insert_old(source.connection, changes // 100)
        source.connection.execute("analyze people")
        small = _load(source, "small", lambda: people.change_in_transactions(source.connection, changes // 100))
        _measure_small(outcome, source, changes, small, rounds, full)
        source.connection.execute("select pg_drop_replication_slot('anchor_small')")
        source.connection.execute("truncate people")
        large = _load(source, "large", lambda: people.insert(source.connection, 1, changes))
        receiver = _receive(source, "large", "bench", large)
        took = _capture(source, "large", changes)
    outcome.add("one transaction: capture, changes/s", f"{changes / took['seconds']:,.0f}")
    outcome.add("... pg_recvlogical, changes/s", f"{changes / receiver:,.0f}")
    _add_memory(outcome, "one transaction: capture memory", [took], full)
    outcome.ran(case="one transaction", recvlogical=round(receiver, 3), **_rounded(took))
    return outcome


def _measure_small(outcome: Outcome, source: Source, changes: int, end: str, rounds: int, full: bool) -> None:
    ours: list[dict[str, Any]] = []
    keys: list[float] = []
    rows: list[float] = []
    for _ in range(rounds):
        keys.append(_receive(source, "small", "bench", end))
        ours.append(_capture(source, "small", changes))
        rows.append(_receive(source, "small", "bench_all", end))
        outcome.ran(case="small transactions", recvlogical=round(keys[-1], 3), recvlogical_all=round(rows[-1], 3),
                    **_rounded(ours[-1]))  # fmt: skip
    outcome.add("capture, changes/s", spread([changes / took["seconds"] for took in ours]))
    outcome.add("pg_recvlogical, same publication, changes/s", spread([changes / seconds for seconds in keys]))
    outcome.add("pg_recvlogical, all columns, changes/s", spread([changes / seconds for seconds in rows]))
    ratios = [seconds / took["seconds"] for seconds, took in zip(keys, ours, strict=True)]
    outcome.add("ratio to pg_recvlogical, same publication", spread(ratios, "{:.2f}"), target="0.35",
                met=middle(ratios) >= 0.35 if full else None)  # fmt: skip
    ratios = [seconds / took["seconds"] for seconds, took in zip(rows, ours, strict=True)]
    outcome.add("ratio to pg_recvlogical, all columns", spread(ratios, "{:.2f}"))
    outcome.add(
        "CPU seconds of capture per 1,000,000", spread([took["cpu"] * 1e6 / changes for took in ours], "{:.1f}")
    )
    _add_memory(outcome, "capture memory", ours, full)


def _add_memory(outcome: Outcome, what: str, runs: list[dict[str, Any]], full: bool) -> None:
    most = max(took["memory"] for took in runs)
    outcome.add(what, megabytes(most), target="150 MB", met=most < 150e6 if full else None)


def _rounded(took: dict[str, Any]) -> dict[str, object]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in took.items()}


@contextmanager
def _ready() -> Iterator[Source]:
    """All in force; the project's own slot is gone, so that it keeps nothing."""
    with postgres() as server, psycopg.connect(server.socket_dsn, autocommit=True) as connection:
        with project(server.socket_dsn, FACTS) as (opened, folder):
            apply(opened)
            connection.execute("create publication bench_all for table people")
            yield Source(server, folder, connection)


def _load(source: Source, name: str, load: Any) -> str:
    """Anchor a slot, commit the changes; the position behind them."""
    connection = source.connection
    connection.execute(sql.SQL("select pg_create_logical_replication_slot({}, 'pgoutput')").format(f"anchor_{name}"))
    connection.execute("set synchronous_commit = off")
    load()
    connection.execute("set synchronous_commit = on")
    connection.execute("checkpoint")
    row = connection.execute("select pg_logical_emit_message(true, 'bench', '')::text").fetchone()
    assert row is not None  # the function always answers
    return str(row[0])


@contextmanager
def _slot(source: Source, anchor: str) -> Iterator[str]:
    """A fresh copy of an anchor slot, and nothing in the outbox."""
    source.connection.execute(_OUTBOX)
    source.connection.execute(
        sql.SQL("select pg_copy_logical_replication_slot({}, 'bench_copy')").format(f"anchor_{anchor}")
    )
    try:
        yield "bench_copy"
    finally:
        source.connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'bench_copy'"
        )
        while source.connection.execute(
            "select active from pg_replication_slots where slot_name = 'bench_copy'"
        ).fetchone() == (True,):
            time.sleep(0.05)
        source.connection.execute("select pg_drop_replication_slot('bench_copy')")


def _receive(source: Source, anchor: str, publication: str, end: str) -> float:
    """Seconds of pg_recvlogical, from its start to its end."""
    with _slot(source, anchor) as slot:
        command = [
            str(source.server.binaries / "pg_recvlogical"),
            "-d",
            source.server.socket_dsn,
            "-S",
            slot,
            "--start",
        ]
        command += ["--no-loop", "-f", "/dev/null", f"--endpos={end}", "-o", "proto_version=1", "-o"]
        began = time.monotonic()
        subprocess.run([*command, f"publication_names={publication}"], check=True, capture_output=True)
        return time.monotonic() - began


def _capture(source: Source, anchor: str, changes: int) -> dict[str, Any]:
    """What the child process says of itself."""
    log = source.folder / "capture.log"
    with _slot(source, anchor) as slot:
        source.connection.execute(
            "insert into syncbridge.checkpoint (slot, end_lsn, system_id, timeline)"
            " select s.slot_name, s.confirmed_flush_lsn, c.system_id, c.timeline"
            " from pg_replication_slots s, syncbridge.checkpoint c where s.slot_name = %s and c.slot = 'bench'",
            (slot,),
        )
        try:
            arguments = ["-m", "tests.bench.capture_child", str(source.folder), slot, str(changes)]
            with running(arguments, environment=environment(source.server.socket_dsn, FACTS), log=log) as process:
                took: dict[str, Any] = first_line(process, log)
        finally:
            source.connection.execute("delete from syncbridge.checkpoint where slot = %s", (slot,))
    if took["changes"] < changes:
        raise RuntimeError(f"only {took['changes']} of {changes} changes were captured")
    return took
