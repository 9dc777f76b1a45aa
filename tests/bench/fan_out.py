"""One update of a parent with very many children, while single rows of others keep changing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from syncbridge.applying.apply import apply
from tests.bench import people
from tests.bench.figures import Outcome, megabytes, percentile
from tests.bench.processes import peak_memory
from tests.bench.servers import STAMPS
from tests.bench.services import environment, postgres, project, salesforce, worker

RATE = 20  # live changes a second meanwhile
OTHERS = 1_000  # people of other companies, who change

METHOD = """\
A company of {children:,} people is renamed; the mapping sends its name with each of them, so every record is due. \
Meanwhile {rate} people a second of other companies change, one commit each. Postgres, sandbox and one worker \
(`syncbridge run`, default settings) each in its own process. Time: \
from the COMMIT of the company to the moment when nothing is left. A live change counts from its COMMIT until the \
sandbox has it. Memory is the worker's peak before, and after."""

_TABLES = """
create table companies (id bigint primary key, name text);
alter table people add company bigint;
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one renaming came to; delays of live changes in milliseconds."""

    seconds: float
    calls: int
    delays: list[float]
    before: int
    after: int


def bench(children: int) -> Outcome:
    """One run."""
    outcome = Outcome("fanout", METHOD.format(children=children, rate=RATE))
    run = _run(children)
    least = -(-children // 200)
    judged = children >= 100_000
    outcome.add("one parent's change at every child, seconds", f"{run.seconds:.1f}")
    met = run.calls <= least + len(run.delays) if judged else None
    said = f"{run.calls:,} for {children:,} children and {len(run.delays):,} live changes"
    outcome.add("... API calls", said, target=f"{least:,} + live", met=met)
    late, slowest = percentile(run.delays, 0.5), max(run.delays)
    outcome.add("... live changes of others meanwhile: p50", f"{late:.0f} ms")
    outcome.add("... slowest", f"{slowest:.0f} ms", target="1,000 ms", met=slowest < 1000 if judged else None)
    outcome.add("... worker memory, before and after", f"{megabytes(run.before)}, {megabytes(run.after)}")
    outcome.ran(children=children, seconds=round(run.seconds, 2), calls=run.calls, live=len(run.delays),
                p50_ms=round(late, 1), slowest_ms=round(slowest, 1), memory_mb=round(run.after / 1e6))  # fmt: skip
    return outcome


def _run(children: int) -> Run:
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as store:
        store.execute(_TABLES)
        people.insert(store, 1, children + OTHERS)
        store.execute("insert into companies values (1, 'Large'), (2, 'Small')")
        store.execute("update people set company = case when id <= %s then 1 else 2 end", (children,))
        store.execute("create index on people (company)")
        store.execute("vacuum analyze people")
        with salesforce("stamped", server.sockets) as remote, project(server.dsn, remote.facts) as (opened, folder):
            mapping = people.MAPPING.replace(
                "entity: {table: public.people, key: id}",
                "entity:\n  table: public.people\n  key: id\n  related:\n"
                "    company: {table: companies, on: company.id = people.company}",
            ).replace("Department: department", "Department: company.name")
            (folder / "mappings" / "people.yaml").write_text(mapping)
            apply(opened)
            with worker(folder, environment(server.dsn, remote.facts), store) as pid:
                _drain(store)
                remote.get(STAMPS)
                before = peak_memory(pid)
                began = time.monotonic()
                store.execute("update companies set name = 'Larger' where id = 1")
                committed = _change_others(store, children, began)
                _drain(store)
                seconds = time.monotonic() - began
                after = peak_memory(pid)
            stamps = remote.get(STAMPS)
    seen: dict[str, int] = {}
    for moment, records in stamps:
        for record in records:
            if str(record.get("Title", "")).startswith("Now "):
                seen.setdefault(str(record["Title"]), moment)
    delays = [(seen[title] - moment) / 1e6 for title, moment in committed.items()]
    return Run(seconds, len(stamps), delays, before, after)


def _change_others(store: psycopg.Connection, children: int, began: float) -> dict[str, int]:
    """Change a person of another company again and again until the company's are delivered; title -> when."""
    committed: dict[str, int] = {}
    while committed.keys() == set() or _busy(store):
        n = len(committed) + 1
        pause = began + n / RATE - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        store.execute(
            "update people set title = %s where id = %s", (f"Now {n}", children + 1 + n % OTHERS), prepare=True
        )
        committed[f"Now {n}"] = time.monotonic_ns()
    return committed


def _busy(store: psycopg.Connection) -> bool:
    """Whether anything of the company's change is still to be found or delivered."""
    row = store.execute(
        "select exists (select from syncbridge.fan_out)"
        " or exists (select from syncbridge.outbox where reason = 'related')"
        " or not exists (select from syncbridge.sync_log where reason = 'related')"
    ).fetchone()
    return row == (True,)


def _drain(store: psycopg.Connection) -> None:
    """Wait until nothing is left to deliver, and stays so for a moment."""
    quiet = 0
    while quiet < 10:
        busy = store.execute(
            "select exists (select from syncbridge.outbox) or exists (select from syncbridge.fan_out)"
            " or exists (select from syncbridge.run where status = 'pending')"
        ).fetchone()
        quiet = 0 if busy == (True,) else quiet + 1
        time.sleep(0.1)
