"""`syncbridge quickstart`: everything in one terminal, in plain words and tables."""

from __future__ import annotations

import random
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

import click
from rich.console import Console

from syncbridge.cli.report import as_json, console, print_json, table
from syncbridge.errors import SettingsError

_QUIET_SECONDS = 1.5  # between two live changes


@click.command(short_help="Everything in one terminal: Postgres, Salesforce, worker.")
@click.option("--once", is_flag=True, help="End after the tour, instead of staying up with live changes.")
@as_json
def quickstart(once: bool, json: bool) -> int:
    """Start Postgres, a local Salesforce and the worker; sync a small CRM, change, delete and break rows here and
    records there, and show what reached the other side, how fast, what was refused, and how conflicts were decided.
    Stays up with live changes until Ctrl-C.

    With --once it ends by itself: exit code 0 only if both sides agree, record by record, else 1.
    """
    services, scenario = _parts()
    terminal = console(stderr=json)
    signal.signal(signal.SIGTERM, _interrupt)
    with services(say=lambda text: terminal.print(f"  [green]✓[/green] {text}")) as running:
        acts = scenario(running)
        _tour(acts, terminal)
        report = acts.report
        if json:
            print_json(_summary(report))
        if not once:
            with suppress(KeyboardInterrupt):
                _stay(acts, terminal)
            terminal.print("\nStopping; nothing is left running.")
    return 0 if report.agree else 1


def _parts() -> tuple[Any, Any]:
    """Imported when asked for: the sandbox's packages are optional."""
    try:
        from syncbridge.quickstart.scenario import Scenario
        from syncbridge.quickstart.services import Services
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the quickstart needs the package {error.name}",
            hint='Install it with: pip install "syncbridge[quickstart]"',
        ) from None
    return Services, Scenario


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tour(acts: Any, terminal: Console) -> None:
    """The acts in order, each with what was seen."""
    _show_first_sync(acts, terminal)
    _show_changes(acts, terminal)
    _show_latency(acts, terminal)
    _show_refused(acts, terminal)
    _show_way_back(acts, terminal)
    _show_clashes(acts, terminal)
    _show_both_sides(acts, terminal)


def _show_first_sync(acts: Any, terminal: Console) -> None:
    with terminal.status("first sync ..."):
        first = acts.first_sync()
    terminal.print(
        f"  [green]✓[/green] first sync: {first.records:,} records in {first.seconds:.1f} s"
        f" with {first.api_calls} API calls\n"
    )


def _show_changes(acts: Any, terminal: Console) -> None:
    with terminal.status("changing rows ..."):
        changes = acts.change()
    columns = ("what happened", "mapping", "key", "reached Salesforce", "after")
    rows = ((c.what, c.mapping, c.key, c.reached, _milliseconds(c.milliseconds)) for c in changes)
    terminal.print(table("Rows changed in Postgres, and what reached Salesforce", columns, rows))


def _show_latency(acts: Any, terminal: Console) -> None:
    with terminal.status("measuring ..."):
        latency = acts.measure_latency()
    terminal.print(
        f"\nFrom commit to Salesforce's answer, over {latency.commits} single-row commits:"
        f" half within {latency.p50:.0f} ms, 99% within {latency.p99:.0f} ms.\n"
    )


def _show_refused(acts: Any, terminal: Console) -> None:
    with terminal.status("breaking rows ..."):
        acts.break_rows()
        refused = acts.mend_rows()
    title = "Rows that Salesforce cannot hold; they wait as dead letters, everything else goes on"
    columns = ("what was written", "mapping", "key", "refused because", "row mended in Postgres")
    rows = (
        (r.what, r.mapping, r.key, f"{r.code}: {r.message}", "delivered by itself" if r.mended else "still dead")
        for r in refused
    )
    terminal.print(table(title, columns, rows))
    terminal.print()


def _show_way_back(acts: Any, terminal: Console) -> None:
    with terminal.status("editing in Salesforce ..."):
        edits = acts.edit_in_salesforce()
    columns = ("what happened", "mapping", "key", "reached Postgres", "after")
    rows = ((e.what, e.mapping, e.key, e.reached, _milliseconds(e.milliseconds)) for e in edits)
    terminal.print(table("Edits in Salesforce, and what reached Postgres; it is asked every second", columns, rows))
    terminal.print()


def _show_clashes(acts: Any, terminal: Console) -> None:
    with terminal.status("editing on both sides at once ..."):
        clashes = acts.clash()
    columns = ("one field, changed on both sides", "mapping", "key", "in the row", "in the record", "decided")
    rows = ((c.what, c.mapping, c.key, c.row, c.record, c.decided) for c in clashes)
    terminal.print(table("Conflicts; rule and values stand in the log", columns, rows))


def _show_both_sides(acts: Any, terminal: Console) -> None:
    with terminal.status("reconciling both sides ..."):
        sides = acts.reconcile()
    terminal.print()
    columns = ("mapping", "object", "entities", "records", "agree", "drift", "held", "API calls")
    rows = ((s.mapping, s.object, s.entities, s.records, s.agreeing, s.drift, s.held, s.calls) for s in sides)
    terminal.print(table("Reconciled: every row against every record", columns, rows))
    verdict = "[bold green]Both sides agree.[/bold green]" if acts.report.agree else "[bold red]They differ.[/bold red]"
    terminal.print(f"{verdict} {acts.report.api_calls} API calls in all.\n")


def _stay(acts: Any, terminal: Console) -> None:
    """Live changes on both sides until Ctrl-C, one line each."""
    services = acts.services
    terminal.print("Live changes until Ctrl-C. To look around in another terminal:")
    terminal.print(f'  psql "{services.dsn}"', markup=False, soft_wrap=True)
    settings = services.folder / "syncbridge.toml"
    terminal.print(f"  {_program()} --config {settings} status --watch\n", markup=False, soft_wrap=True)
    rng, pause = random.Random(), threading.Event()
    while True:
        change = acts.live(rng)
        after = _milliseconds(change.milliseconds)
        terminal.print(f"  {change.what} ({change.mapping} {change.key}) -> {change.reached}, {after}", markup=False)
        pause.wait(_QUIET_SECONDS)


def _program() -> str:
    return sys.argv[0] if sys.argv[0].endswith("syncbridge") else "syncbridge"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


def _summary(report: Any) -> dict[str, Any]:
    first, latency = report.first_sync, report.latency
    return {
        "agree": report.agree,
        "postgres": report.postgres,
        "salesforce": report.salesforce,
        "api_calls": report.api_calls,
        "first_sync": {
            "records": first.records,
            "seconds": round(first.seconds, 3),
            "records_per_second": round(first.records_per_second, 1),
            "api_calls": first.api_calls,
        },
        "changes": report.changes,
        "latency_ms": {"commits": latency.commits, "p50": round(latency.p50, 1), "p99": round(latency.p99, 1)},
        "refused": report.refused,
        "edits_in_salesforce": report.edits,
        "conflicts": report.clashes,
        "both_sides": [
            {
                "mapping": side.mapping,
                "object": side.object,
                "entities": side.entities,
                "records": side.records,
                "agree": side.agreeing,
                "drift": side.drift,
                "held": side.held,
                "on_its_way": side.on_its_way,
                "api_calls": side.calls,
            }
            for side in report.both_sides
        ],
    }
