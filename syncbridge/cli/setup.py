"""`syncbridge setup`: put settings and mapping files in force."""

from __future__ import annotations

import click

from syncbridge.apply import apply
from syncbridge.cli.report import as_json, console, open_project, print_json


@click.command(short_help="Put settings and mappings in force.")
@click.option(
    "--recreate-slot",
    is_flag=True,
    help="Drop a replication slot that is lost or behind, make it anew, and compare every record again.",
)
@as_json
@click.pass_context
def setup(context: click.Context, recreate_slot: bool, json: bool) -> None:
    """Create or upgrade the state schema, the publication and the replication slot, and put the mapping files in force.

    New mappings get a first sync, changed ones are compared again; a running worker takes them up by itself. Running it
    again changes nothing.
    """
    with open_project(context) as project:
        applied = apply(project, recreate_slot=recreate_slot)
    if json:
        print_json({"steps": applied.steps, "runs": applied.runs})
        return
    terminal = console()
    for step in applied.steps:
        terminal.print(step, soft_wrap=True, markup=False)
    terminal.print("in force." if applied.steps else "everything is in force already.")
