"""`syncbridge pause` and `syncbridge resume`: whether a mapping delivers, and whether remote changes come back."""

from __future__ import annotations

from collections.abc import Sequence

import click
from psycopg import Connection

from syncbridge.answers.status import in_words
from syncbridge.cli.report import console, find_mappings, open_project
from syncbridge.errors import SettingsError
from syncbridge.model import MappingStatus
from syncbridge.store import backlog, mappings, way_back
from syncbridge.store.mappings import AppliedMapping

_EVERY = click.option("--all", "every", is_flag=True, help="Every mapping in force.")
_DIRECTION = click.option(
    "--direction",
    type=click.Choice(["in", "out"]),
    help="Just what goes out to the destination, or what comes back from it.",
)


@click.command(short_help="Stop a mapping, or one direction of it; its changes wait.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@_EVERY
@_DIRECTION
@click.option("--reason", default="", help="Why, for whoever looks at the status.")
@click.pass_context
def pause(context: click.Context, names: tuple[str, ...], every: bool, direction: str | None, reason: str) -> None:
    """Stop MAPPING until `syncbridge resume`, in both directions unless --direction says which. Its changes are still
    captured, and wait; those at the destination are read when it goes on. Nothing is lost.

    What is being sent at this moment is still finished. Other mappings go on.
    """
    terminal = console()
    with open_project(context) as project, project.store("pause") as store:
        for mapping in _chosen(store, names, every=every, direction=direction):
            inward = mapping.two_way and direction != "out"
            if direction != "in":
                mappings.set_status(store, mapping.id, MappingStatus.PAUSED, reason=reason)
            if inward:
                way_back.set_status(store, mapping.id, MappingStatus.PAUSED, reason=reason)
            option = f" --direction {direction}" if direction else ""
            said = _paused(direction, inward=inward)
            said += " already" if direction != "in" and mapping.status is MappingStatus.PAUSED else ""
            terminal.print(
                f"{mapping.name}: {said}; {_waits(store, mapping, direction)} now."
                f" To go on: syncbridge resume {mapping.name}{option}",
                soft_wrap=True,
                markup=False,
            )


def _paused(direction: str | None, *, inward: bool) -> str:
    if direction == "in":
        return "its way back is paused"
    return "paused" + (" in both directions" if inward else " on its way out" if direction else "")


@click.command(short_help="Let a paused, halted or guarded mapping go on.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@_EVERY
@_DIRECTION
@click.pass_context
def resume(context: click.Context, names: tuple[str, ...], every: bool, direction: str | None) -> None:
    """Let MAPPING go on, in both directions unless --direction says which.

    A mapping that was stopped by its guard may then send all that waits at this moment; what comes later is counted
    again. A mapping that was halted tries again, and is halted again when the cause is still there.
    """
    terminal = console()
    with open_project(context) as project, project.store("resume") as store:
        for mapping in _chosen(store, names, every=every, direction=direction):
            if direction != "in":
                said = _resumed(store, mapping)
                terminal.print(f"{mapping.name}: {said}.", soft_wrap=True, markup=False)
            if direction != "out":  # it may have been stopped with a mapping that has none, and gets one later
                back = way_back.read_all(store).get(mapping.id)
                done = way_back.resume(store, mapping.id)
                if back is not None:
                    said = f"active, was {in_words(back.status)}" if done else "active already"
                    terminal.print(f"{mapping.name}: its way back is {said}.", soft_wrap=True, markup=False)


def _resumed(store: Connection, mapping: AppliedMapping) -> str:
    """Let it deliver again; what to say of it."""
    resumed = mappings.resume(store, mapping.id)
    pending = _pending(store, mapping.id)
    if not resumed:
        return f"is active already; {_changes(pending)}"
    if mapping.status is MappingStatus.GUARD:
        return f"active; its guard lets through the {pending:,} that wait now"
    return f"active, was {in_words(mapping.status)}; {_changes(pending)}"


def _chosen(store: Connection, names: Sequence[str], *, every: bool, direction: str | None) -> list[AppliedMapping]:
    """The mappings that are meant; with --direction in and --all those that have a way back."""
    found = find_mappings(store, names, every=every)
    if direction != "in":
        return found
    one_way = [mapping.name for mapping in found if not mapping.two_way]
    if one_way and not every:
        raise SettingsError(f"{one_way[0]} has no way back: its direction is to_destination")
    return [mapping for mapping in found if mapping.two_way]


def _waits(store: Connection, mapping: AppliedMapping, direction: str | None) -> str:
    return "remote changes wait at the destination" if direction == "in" else _changes(_pending(store, mapping.id))


def _pending(store: Connection, mapping_id: int) -> int:
    found = backlog.summary(store).get(mapping_id)
    return found.pending if found is not None else 0


def _changes(count: int) -> str:
    return "nothing waits" if not count else f"{count:,} change{'s wait' if count != 1 else ' waits'}"
