"""`make bench`: runs the benches, prints the table, writes docs/benchmarks.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from tests.bench import (
    bulk,
    capture,
    compose,
    fan_out,
    latency,
    load,
    machine,
    poll,
    reconcile,
    report,
    sandbox,
    sync,
)
from tests.bench.figures import Outcome

DOCUMENT = Path(__file__).absolute().parents[2] / "docs" / "benchmarks.md"

#: Name -> the bench at full size, and a small one that only shows that it works.
BENCHES: dict[str, tuple[Callable[[], Outcome], Callable[[], Outcome]]] = {
    "capture": (lambda: capture.bench(1_000_000, rounds=3), lambda: capture.bench(20_000, rounds=1)),
    "latency": (lambda: latency.bench(4_000), lambda: latency.bench(400)),
    "compose": (lambda: compose.bench(100_000, rounds=5), lambda: compose.bench(5_000, rounds=1)),
    "fanout": (lambda: fan_out.bench(100_000), lambda: fan_out.bench(5_000)),
    "sandbox": (lambda: sandbox.bench(100_000, rounds=3), lambda: sandbox.bench(5_000, rounds=1)),
    "bulk": (lambda: bulk.bench(1_000_000), lambda: bulk.bench(10_000)),
    "load": (lambda: load.bench(1_000_000), lambda: load.bench(12_000)),
    "poll": (lambda: poll.bench(1_200, every=5), lambda: poll.bench(60, every=1)),
    "reconcile": (lambda: reconcile.bench(1_000_000), lambda: reconcile.bench(10_000)),
    "sync": (lambda: sync.bench(100_000, rounds=3), lambda: sync.bench(5_000, rounds=1)),
}


@click.command()
@click.option("--quick", is_flag=True, help="Small sizes, some seconds: shows that it works, not how fast it is.")
@click.option("--only", multiple=True, type=click.Choice(list(BENCHES)), help="Only this one; may be repeated.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write; docs/benchmarks.md for a full run.")
def main(quick: bool, only: tuple[str, ...], output: Path | None) -> None:
    """Measure, print a table, and after a full run of all benches write docs/benchmarks.md."""
    console = Console(width=max(120, Console().width))
    facts = machine.facts()
    outcomes = []
    began = time.monotonic()
    for name, (full, small) in BENCHES.items():
        if only and name not in only:
            continue
        with console.status(f"{name} ..."):
            outcomes.append((small if quick else full)())
    console.print(report.table(outcomes))
    target = output or (None if quick or only else DOCUMENT)
    if target is not None:
        target.write_text(report.document(outcomes, facts, seconds=time.monotonic() - began))
        console.print(f"written to {target}", soft_wrap=True)


if __name__ == "__main__":
    main()
