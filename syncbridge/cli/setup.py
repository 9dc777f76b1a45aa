"""`syncbridge setup`: the first installation, upgrades, and a slot that was lost."""

from __future__ import annotations

from collections.abc import Sequence

import click

from syncbridge.applying.apply import apply
from syncbridge.applying.planning import Decisions
from syncbridge.applying.restored import begin_anew
from syncbridge.cli.check import show_findings
from syncbridge.cli.plan import refuse_errors, verify
from syncbridge.cli.report import as_json, console, open_project, print_json
from syncbridge.errors import SettingsError
from syncbridge.project import Project
from syncbridge.store import database, mappings


@click.command(short_help="Install or upgrade; make a lost slot anew.")
@click.option(
    "--recreate-slot",
    is_flag=True,
    help="Drop a replication slot that is lost or behind, make it anew, and compare every record again.",
)
@click.option(
    "--restored",
    is_flag=True,
    help="Postgres or the state was restored: make a new slot, pause every mapping, and forget what waits.",
)
@click.option("--paused", is_flag=True, help="New mappings deliver nothing until `syncbridge resume`.")
@as_json
@click.pass_context
def setup(context: click.Context, recreate_slot: bool, restored: bool, paused: bool, json: bool) -> None:
    """Create or upgrade the state schema, the publication and the replication slot, and begin with the mapping files.

    It asks nothing and is fit for scripts. Mappings in which `syncbridge check` finds an error do not come in force.
    Later changes of mapping files are for `syncbridge plan` and `syncbridge apply`. Running it again changes nothing.
    """
    if restored:
        _begin_anew(context, json=json)
        return
    with open_project(context) as project:
        _verify(project, _coming(project, anew=recreate_slot), quiet=json)
        applied = apply(project, decisions=Decisions(recreate_slot=recreate_slot, paused=paused))
    if json:
        print_json({"steps": applied.steps, "runs": applied.runs})
        return
    terminal = console()
    for step in applied.steps:
        terminal.print(step, soft_wrap=True, markup=False)
    terminal.print("in force." if applied.steps else "everything is in force already.")


def _begin_anew(context: click.Context, *, json: bool) -> None:
    with open_project(context) as project:
        steps = begin_anew(project)
    if json:
        print_json({"steps": steps, "runs": {}})
        return
    hint = "Compare each mapping (`syncbridge reconcile MAPPING`), and let it go on: `syncbridge resume MAPPING`."
    for line in (*steps, hint):
        console().print(line, soft_wrap=True, markup=False)


def _coming(project: Project, *, anew: bool) -> Sequence[str]:
    """Names of the mappings that are to come in force.

    What is in force may only be changed by somebody who was told what that means: SettingsError, but where every
    record is compared `anew`.
    """
    with project.store("setup", ready=False) as store:
        if not database.exists(store) or not mappings.read_all(store):
            return [spec.mapping for spec in project.files()]
        drift = project.drift(store)
    begun = drift.new and drift.unfinished  # a first installation that was interrupted
    if not anew and (drift.changed or drift.gone or (drift.new and not begun)):
        raise SettingsError(
            f"mapping files differ from what is in force ({drift})",
            hint="`syncbridge plan` shows what that means, `syncbridge apply` puts them in force.",
        )
    return [*drift.new, *drift.changed]


def _verify(project: Project, coming: Sequence[str], *, quiet: bool) -> None:
    """Tell what is wrong with these mappings on standard error; ConfigurationError where that is an error.

    What the server and the login lack is told later, where it is met, with the statement that the owner is to run.
    """
    found = verify(project, project.files(), coming) if coming else []
    found = [each for each in found if not each.where.startswith("database ")]
    if found and not quiet:
        show_findings(found, stderr=True)
    refuse_errors(found)
