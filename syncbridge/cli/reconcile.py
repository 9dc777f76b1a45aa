"""`syncbridge reconcile`: compare both sides of a mapping completely, and enqueue what makes them equal again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import click
from psycopg import Connection

from syncbridge.cli.collecting import collecting_seldom
from syncbridge.cli.reconcile_report import Shown, plain, tell, tell_repair
from syncbridge.cli.report import as_json, find_mapping, open_project, print_json, read_duration
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.project import Project
from syncbridge.reconcile.fence import Fence
from syncbridge.reconcile.looking import Looker
from syncbridge.reconcile.reconciler import Reconciler
from syncbridge.reconcile.repair import Repaired, Repairer, Side
from syncbridge.reconcile.report import Report
from syncbridge.reconcile.sides import Sides
from syncbridge.store import reconciliations


@click.command(short_help="Compare both sides of a mapping completely, and repair.")
@click.argument("mapping")
@click.option(
    "--repair",
    "side",
    type=click.Choice([side.value for side in Side]),
    help="Enqueue what drifted, with this side right; `rules`: as in a conflict.",
)
@click.option("--delete-extra", is_flag=True, help="With --repair: delete what the side that is right does not have.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Compare just N entities, chosen at random.")
@click.option(
    "--settle",
    default="1m",
    callback=read_duration,
    show_default=True,
    help="Wait up to so long for what is on its way.",
)
@click.option("--yes", is_flag=True, help="Repair without asking.")
@as_json
@click.pass_context
def reconcile(
    context: click.Context,
    mapping: str,
    side: str | None,
    delete_extra: bool,
    sample: int | None,
    settle: timedelta,
    yes: bool,
    json: bool,
) -> int:
    """Compare every row of MAPPING with every remote record, whatever was sent or noticed before.

    What waits to be delivered or polled is looked at again before it is told, and what is held for a person is only
    counted. Nothing is written unless --repair says which side is right; even then keys are only enqueued, and the
    worker delivers them as ever, with the guard.

    Exit code 0: both sides agree, or all that drifted was enqueued. 1: there is drift, or some of it is left.
    """
    _check(side, delete_extra=delete_extra, yes=yes, json=json)
    with open_project(context) as project, project.store("reconcile") as store:
        find_mapping(store, mapping)
        with _reconciler(project, store, mapping, settle) as (reconciler, compiled):
            if side == Side.DESTINATION and compiled.two_way is None:
                raise click.UsageError(
                    f"{mapping} goes one way, to {compiled.destination}: no row takes what a record holds"
                )
            with Shown(mapping, quiet=json) as shown, collecting_seldom():
                reconciler.shown = shown.update
                report = reconciler.run() if sample is None else reconciler.sample(sample)
            _keep(store, reconciler.sides.mapping_id, report)
            if not json:
                tell(report)
            repaired = _repair(reconciler, report, side, delete_extra=delete_extra, yes=yes)
    if json:
        print_json({**plain(report), "repaired": None if repaired is None else asdict(repaired)})
    elif repaired is not None:
        tell_repair(report, repaired)
    left = report.drift if repaired is None else sum(repaired.left.values())
    return 1 if left else 0


def _check(side: str | None, *, delete_extra: bool, yes: bool, json: bool) -> None:
    if side is None and (delete_extra or yes):
        raise click.UsageError("--delete-extra and --yes go with --repair")
    if side is not None and not yes and (json or not sys.stdin.isatty()):
        raise click.UsageError("--repair needs --yes here: nobody can be asked")


@contextmanager
def _reconciler(
    project: Project, store: Connection, mapping: str, settle: timedelta
) -> Iterator[tuple[Reconciler, CompiledMapping]]:
    with project.source_admin("reconcile") as catalog, project.source("reconcile") as source:
        applied, compiled = project.compiled(store, catalog, mapping)
        destination = project.destination(compiled.destination)
        sides = Sides(applied.id, compiled, destination, store, source, project.lookups(store, compiled))
        fence = Fence(store, catalog, project.settings.source.slot)
        with Reconciler(sides, fence.passed, settle=settle.total_seconds()) as reconciler:
            yield reconciler, compiled


def _keep(store: Connection, mapping_id: int, report: Report) -> None:
    """A sample does not say that there is no drift, so `status` is told of whole comparisons only."""
    if report.sample is None:
        reconciliations.add(
            store,
            mapping_id,
            scheduled=False,
            started_at=report.started_at,
            drift=report.drift,
            report=report.counts(),
        )


def _repair(
    reconciler: Reconciler, report: Report, side: str | None, *, delete_extra: bool, yes: bool
) -> Repaired | None:
    """What a repair came to; None when none was asked for, or there is nothing to repair."""
    if side is None or not report.drift:
        return None
    if not yes:
        right = "by the mapping's rules" if side == Side.RULES else f"as {side} has them"
        extra = ", and extra ones deleted" if delete_extra else ""
        click.confirm(f"Repair {report.drift:,} of {report.mapping}: made equal {right}{extra}?", abort=True, err=True)
    repairer = Repairer(reconciler.sides, Looker(reconciler.sides, reconciler.captured), Side(side), delete_extra)
    return repairer.repair(reconciler.drifted.pages())
