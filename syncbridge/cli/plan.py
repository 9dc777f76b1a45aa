"""`syncbridge plan` and `syncbridge apply`: what putting the files in force means, and doing it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import click
from rich.text import Text

from syncbridge.applying import apply as applying
from syncbridge.applying import meaning
from syncbridge.applying.meaning import Plan, Step
from syncbridge.applying.planning import Decisions
from syncbridge.cli import check
from syncbridge.cli.plan_records import LIMIT, Asked, plan_records
from syncbridge.cli.report import as_json, console, open_project, print_json
from syncbridge.errors import ConfigurationError, Finding, NeedsOperator, SettingsError, SyncbridgeError
from syncbridge.mapping.spec import MappingSpec
from syncbridge.project import Project

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@dataclass(frozen=True, slots=True)
class Weighed:
    """A plan, and what `check` says of the mappings in it."""

    plan: Plan
    findings: tuple[Finding, ...]

    @property
    def blocked(self) -> bool:
        """Whether something has to be mended or decided first."""
        return bool(self.plan.obstacles) or any(each.severity == "error" for each in self.findings)

    def require(self) -> None:
        """Raise what stands in the way."""
        if self.plan.obstacles:
            raise self.plan.obstacles[0]
        refuse_errors(self.findings)


def weigh(project: Project, decisions: Decisions) -> Weighed:
    """What would be done. Mappings that change are verified against both sides, as by `check`."""
    specs = project.files()
    try:
        plan = meaning.weigh(project, decisions)
    except (NeedsOperator, ConfigurationError):
        findings = check.find(project, specs)  # these say more: all that is wrong, and what mends it
        if not any(each.severity == "error" for each in findings):
            raise
        return Weighed(Plan((), (), (), frozenset()), tuple(findings))
    if not plan.changed:
        return Weighed(plan, ())
    return Weighed(plan, tuple(verify(project, specs, plan.changed)))


def verify(project: Project, specs: Sequence[MappingSpec], changed: Collection[str]) -> list[Finding]:
    """What `check` finds of these mappings among the project's, of the source, and of the destinations."""
    others = {_file(spec) for spec in specs if spec.mapping not in changed}
    return [each for each in check.find(project, specs) if each.where.rpartition(":")[0] not in others]


def refuse_errors(findings: Sequence[Finding]) -> None:
    """Raise ConfigurationError where errors are among them; who was shown these is told what to do."""
    errors = sum(each.severity == "error" for each in findings)
    if errors:
        told = f"not put in force: {errors} error{'s' * (errors != 1)}"
        raise ConfigurationError(told, hint="Mend what `syncbridge check` finds.")


def _file(spec: MappingSpec) -> str:
    return spec.at().rpartition(":")[0]


@click.command(short_help="Show what putting the mapping files in force means.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@click.option("--records", is_flag=True, help="Compare records with the destination, field by field.")
@click.option("--key", "keys", multiple=True, help="With --records: just this one; may be given again.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"With --records: so many rows of each mapping, in key order (default: {LIMIT}; 0: all).",
)
@as_json
@click.pass_context
def plan(
    context: click.Context, names: tuple[str, ...], records: bool, keys: tuple[str, ...], limit: int | None, json: bool
) -> int:
    """Compare the files with what is in force, and say what `syncbridge apply` would do. Nothing is changed.

    With --records: what would be sent, by the mapping files as they are, compared with the remote records as they are.
    It only reads, at the price of API calls: about one for 200 to 2000 records.

    Exit code 0 when everything is in force, or equal; 1 when there is something to apply, or to send; 2 when something
    stands in the way.
    """
    if not records and (names or keys or limit is not None):
        raise click.UsageError("MAPPING, --key and --limit go with --records")
    with open_project(context) as project:
        if records:
            return plan_records(project, Asked(names, keys, LIMIT if limit is None else limit, json))
        weighed = weigh(project, Decisions())
    if json:
        print_json(meaning.plain(weighed.plan, weighed.findings))
    else:
        show(weighed)
    return 2 if weighed.blocked else 1 if weighed.plan.steps else 0


@click.command(short_help="Put the mapping files in force.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--relink", multiple=True, metavar="MAPPING", help="Forget its links, and begin with a first sync.")
@click.option("--relink-destination", multiple=True, metavar="NAME", help="The same for all mappings of a destination.")
@click.option("--delete-old", is_flag=True, help="With --relink: delete the records that it was linked to.")
@click.option("--remove", multiple=True, metavar="MAPPING", help="Forget this mapping, which has no file any more.")
@click.option("--paused", is_flag=True, help="New mappings deliver nothing until `syncbridge resume`.")
@as_json
@click.pass_context
def apply(
    context: click.Context,
    yes: bool,
    relink: tuple[str, ...],
    relink_destination: tuple[str, ...],
    delete_old: bool,
    remove: tuple[str, ...],
    paused: bool,
    json: bool,
) -> None:
    """Show the plan, ask, and put it in force, in order. A running worker takes it up by itself.

    Interrupted at any moment, it goes on when it is run again. Running it once more changes nothing.
    """
    anew = frozenset(relink_destination)
    decisions = Decisions(frozenset(remove), frozenset(relink), anew, delete_old, paused=paused)
    with open_project(context) as project:
        for name in anew:
            project.take_over(name)
        done = put_in_force(project, decisions, yes=yes, quiet=json)
    if json:
        print_json({"steps": done.steps, "runs": done.runs})


def put_in_force(project: Project, decisions: Decisions, *, yes: bool, quiet: bool = False) -> applying.Applied:
    """Show, ask unless `yes`, and apply. Raises what stands in the way, and SettingsError where nobody can be asked."""
    weighed = weigh(project, decisions)
    if not quiet:
        show(weighed)
    weighed.require()
    if not weighed.plan.steps:
        return applying.Applied()
    if not yes:
        if not sys.stdin.isatty():
            raise SettingsError("nobody can be asked here", hint="`syncbridge apply --yes` puts it in force unasked.")
        click.confirm("Put this in force?", abort=True)
    terminal = console()

    def told(step: str) -> None:
        if not quiet:
            terminal.print(f"done: {step}", soft_wrap=True, markup=False)

    return applying.apply(project, decisions=decisions, told=told)


def show(weighed: Weighed) -> None:
    """The plan for people: steps in order, then what is wrong."""
    terminal = console()
    for step in weighed.plan.steps:
        for line in _lines(step):
            terminal.print(line, soft_wrap=True)
    for name in weighed.plan.rests:
        hint = f"To forget it: syncbridge apply --remove {name}"
        terminal.print(Text(f"mapping {name} rests: it has no file, and is paused. {hint}", "dim"), soft_wrap=True)
    if weighed.findings:
        terminal.print()
        check.show_findings(weighed.findings)
    for obstacle in weighed.plan.obstacles:
        for text in _obstacle(obstacle):
            terminal.print(text, soft_wrap=True)
    if not weighed.plan.steps and not weighed.blocked:
        terminal.print("everything is in force already.")


def _lines(step: Step) -> Iterator[Text]:
    yield Text(step.title, "bold")
    for change in step.fields:
        sign, style = _SIGNS[change.change]
        source = f" {change.before} -> {change.after}" if change.change == "changed" else f" {change.after}".rstrip()
        yield Text.assemble(f"  {sign} ", (change.field, style), f"{source}: {change.means}")
    for line in step.means:
        yield Text(f"    {line}")


def _obstacle(error: SyncbridgeError) -> Sequence[Text]:
    texts = [Text.assemble(("in the way: ", "bold red"), error.message)]
    return [*texts, Text(f"    {error.hint}", "dim")] if error.hint else texts
