"""`syncbridge status`: how every mapping, capture, the destinations and the workers stand, and what needs a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count

import click
import psycopg
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from syncbridge.answers.counts import SideCounts
from syncbridge.answers.counts import count as count_sides
from syncbridge.answers.diagnosis import diagnose
from syncbridge.answers.status import Snapshot, gather
from syncbridge.cli.report import (
    as_json,
    console,
    find_mapping,
    moment_text,
    open_project,
    print_json,
    print_json_line,
    table,
)
from syncbridge.cli.status_page import page
from syncbridge.errors import RetryLater, SyncbridgeError
from syncbridge.project import Project
from syncbridge.source.refusals import first_line

#: Seconds between two looks of --watch; links are counted only at every so many of them.
EVERY = 2.0
COUNT_LINKS_EVERY = 15


@click.command(short_help="Show lag, backlog, errors and API budget of every mapping.")
@click.argument("mapping", required=False)
@click.option("--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option(
    "--counts", is_flag=True, help="Count both sides too: an API call for each mapping, at most every 10 min."
)
@as_json
@click.pass_context
def status(context: click.Context, mapping: str | None, watch: bool, counts: bool, json: bool) -> None:
    """Show how everything stands: what waits, how old it is, what went wrong, and what needs a person.

    "lag" is the age of the oldest change that is not delivered. Exit code 0 when nothing needs a person, 1 when
    something does: a mapping that is halted or stopped by its guard, dead letters, what is held, a failed resync, no
    worker, a slot at risk. A mapping that was paused, or that waits for a destination, goes on by itself or by your own
    decision.
    """
    if watch and counts:
        raise click.UsageError("--counts does not go with --watch")
    with open_project(context) as project:
        if mapping is not None:
            with project.store("status") as store:
                find_mapping(store, mapping)
        if watch:
            _watch(project, mapping, json=json, pause=time.sleep)
            return
        snapshot = gather(project, mapping=mapping)
        counted = count_sides(project, [each.name for each in snapshot.mappings]) if counts else []
    findings = diagnose(snapshot)
    if json:
        print_json({"findings": findings, **asdict(snapshot), **({"counts": counted} if counts else {})})
    else:
        console().print(page(snapshot, findings))
        if counted:
            console().print(_counted(counted))
    context.exit(1 if findings else 0)


def _counted(counted: Sequence[SideCounts]) -> Table:
    headings = ("mapping", "entities", "records with a key", "counted", "")
    return table("", headings, [(c.mapping, c.entities, c.records, moment_text(c.records_at), c.why) for c in counted])


def _watch(project: Project, mapping: str | None, *, json: bool, pause: Callable[[float], None]) -> None:
    """Look again and again until Ctrl-C; on a terminal in place. A Postgres that is away is shown, not fatal."""
    terminal = console()
    with suppress(KeyboardInterrupt), Live(console=terminal, auto_refresh=False) as live:
        for snapshot in _looks(project, mapping, pause):
            if isinstance(snapshot, SyncbridgeError):
                shown: RenderableType = Text(f"{snapshot.message}; trying again", "red")
            elif json:
                print_json_line({"findings": diagnose(snapshot), **asdict(snapshot)})
                continue
            else:
                shown = Group(Text(moment_text(snapshot.at), "dim"), page(snapshot, diagnose(snapshot)))
            if terminal.is_terminal:
                live.update(shown, refresh=True)
            else:
                terminal.print(shown)


def _looks(
    project: Project, mapping: str | None, pause: Callable[[float], None]
) -> Iterator[Snapshot | SyncbridgeError]:
    linked: dict[str, int | None] = {}
    for turn in count():
        if turn:
            pause(EVERY)
        counting = turn % COUNT_LINKS_EVERY == 0
        try:
            snapshot = gather(project, mapping=mapping, linked=counting)
        except (RetryLater, psycopg.OperationalError) as error:
            yield error if isinstance(error, RetryLater) else RetryLater(f"Postgres failed: {first_line(error)}")
            continue
        if counting:
            linked = {each.name: each.linked for each in snapshot.mappings}
        kept = tuple(replace(each, linked=linked.get(each.name)) for each in snapshot.mappings)
        yield replace(snapshot, mappings=kept)
