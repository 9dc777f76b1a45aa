"""`syncbridge pause` and `syncbridge resume`: whether a mapping delivers."""

from __future__ import annotations

import click
from psycopg import Connection

from syncbridge.answers.status import in_words
from syncbridge.cli.report import console, find_mappings, open_project
from syncbridge.model import MappingStatus
from syncbridge.store import backlog, mappings

_EVERY = click.option("--all", "every", is_flag=True, help="Every mapping in force.")


@click.command(short_help="Stop a mapping; its changes wait.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@_EVERY
@click.option("--reason", default="", help="Why, for whoever looks at the status.")
@click.pass_context
def pause(context: click.Context, names: tuple[str, ...], every: bool, reason: str) -> None:
    """Stop delivering MAPPING until `syncbridge resume`. Its changes are still captured, and wait; nothing is lost.

    What is being sent at this moment is still finished. Other mappings go on.
    """
    terminal = console()
    with open_project(context) as project, project.store("pause") as store:
        for mapping in find_mappings(store, names, every=every):
            mappings.set_status(store, mapping.id, MappingStatus.PAUSED, reason=reason)
            pending = _pending(store, mapping.id)
            already = " already" if mapping.status is MappingStatus.PAUSED else ""
            terminal.print(
                f"{mapping.name}: paused{already}; {_changes(pending)} now. To go on: syncbridge resume {mapping.name}",
                soft_wrap=True,
                markup=False,
            )


@click.command(short_help="Let a paused, halted or guarded mapping go on.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@_EVERY
@click.pass_context
def resume(context: click.Context, names: tuple[str, ...], every: bool) -> None:
    """Let MAPPING deliver again.

    A mapping that was stopped by its guard may then send all that waits at this moment; what comes later is counted
    again. A mapping that was halted tries again, and is halted again when the cause is still there.
    """
    terminal = console()
    with open_project(context) as project, project.store("resume") as store:
        for mapping in find_mappings(store, names, every=every):
            resumed = mappings.resume(store, mapping.id)
            pending = _pending(store, mapping.id)
            if not resumed:
                said = f"is active already; {_changes(pending)}"
            elif mapping.status is MappingStatus.GUARD:
                said = f"active; its guard lets through the {pending:,} that wait now"
            else:
                said = f"active, was {in_words(mapping.status)}; {_changes(pending)}"
            terminal.print(f"{mapping.name}: {said}.", soft_wrap=True, markup=False)


def _pending(store: Connection, mapping_id: int) -> int:
    found = backlog.summary(store).get(mapping_id)
    return found.pending if found is not None else 0


def _changes(count: int) -> str:
    return "nothing waits" if not count else f"{count:,} change{'s wait' if count != 1 else ' waits'}"
