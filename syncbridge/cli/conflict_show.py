"""`syncbridge conflicts show`: base, row and record of what is held side by side, and the commands that decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click
from psycopg import Connection
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from syncbridge.answers import held, held_records
from syncbridge.answers.candidates import Candidate, look_up
from syncbridge.answers.held import HeldRemote
from syncbridge.answers.held_records import HeldNew
from syncbridge.answers.story import tell
from syncbridge.cli.keys import spelled
from syncbridge.cli.report import as_json, console, find_mapping, moment_text, open_project, print_json
from syncbridge.project import Project
from syncbridge.store import conflicts
from syncbridge.store.conflicts import FIRST_CONTACT, Conflict
from syncbridge.store.held_records import IGNORE
from syncbridge.store.mappings import AppliedMapping


@click.command("show", short_help="Show both sides of what is held, and how to decide.")
@click.argument("mapping")
@click.argument("key", metavar="KEY|REMOTE_ID")
@click.option("--offline", is_flag=True, help="Ask nothing of the destination.")
@as_json
@click.pass_context
def show(context: click.Context, mapping: str, key: str, offline: bool, json: bool) -> None:
    """Show what is held of KEY in MAPPING: base, row and record of each field, why, since when, and the commands that
    decide. What a side holds by now is shown where it is another value. Of a new record that is no row, REMOTE_ID: its
    fields as they were when it was held.

    Values of fields that the mapping calls sensitive are shown as ***. Exit code 1 when nothing of it is held.
    """
    with open_project(context) as project, project.store("conflicts") as store:
        applied = find_mapping(store, mapping)
        record = held_records.read(store, applied, key)
        if record is not None:
            _show_record(record, json=json)
            return
        chosen = spelled(applied, key)
        change = held.read(store, applied, chosen)
        if change is not None and not offline:
            story = tell(project, mapping, chosen)
            change = held.compared(change, story.record, story.remote)
        conflict = conflicts.read(store, applied.id, chosen)
        candidates = _candidates(project, store, applied, conflict) if conflict is not None and not offline else []
    terminal = console()
    if change is None and conflict is None:
        terminal.print(f"Not held: {mapping} {chosen}. See: syncbridge conflicts {mapping}", markup=False)
        context.exit(1)
    if json:
        entity = {"kind": FIRST_CONTACT, **asdict(conflict)} if conflict is not None else {}
        print_json(change if change is not None else {**entity, "candidates": candidates})
        return
    for part in _page(change) if change is not None else ():
        terminal.print(part, soft_wrap=isinstance(part, Text))
    for part in _entity(conflict, candidates) if conflict is not None else ():
        terminal.print(part, soft_wrap=True)


def _show_record(record: HeldNew, *, json: bool) -> None:
    if json:
        print_json(record)
        return
    for part in record_page(record):
        console().print(part, soft_wrap=isinstance(part, Text))


def record_page(record: HeldNew) -> Iterator[RenderableType]:
    """A new record that is no row: what it holds, why, and the commands that decide."""
    yield Text.assemble((f"{record.mapping} {record.remote_id}", "bold"), ", a new record that is no row")
    yield Text(f"held since {moment_text(record.since)}: {record.said}", "bold yellow")
    yield Text(f"record changed {moment_text(record.modified)}")
    yield Text()
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    for heading in ("field", "record"):
        made.add_column(heading, overflow="fold")
    for name, value in record.fields.items():
        made.add_row(name, value_text(value))
    yield made
    yield Text()
    if record.decision == IGNORE:
        yield Text(f"Ignored since {moment_text(record.decided_at)}, as a person decided.", "green")
    elif record.decided:
        at = moment_text(record.decided_at)
        yield Text(f"Decided {at}: {record.decided}; a worker carries it out.", "green")
    if record.candidates:
        yield Text(f"It could be the rows {', '.join(record.candidates[:10])}: syncbridge show {record.mapping} KEY")
    yield Text("To decide:", "bold")
    yield _commands(record)


def _candidates(project: Project, store: Connection, applied: AppliedMapping, conflict: Conflict) -> list[Candidate]:
    return look_up(project.destination(applied.destination), applied, conflict.candidates)


def _page(change: HeldRemote) -> Iterator[RenderableType]:
    yield Text.assemble((f"{change.mapping} {change.key}", "bold"), f" and its record {change.remote_id}")
    yield Text(f"held since {moment_text(change.since)}: {change.said}", "bold yellow")
    row = f"row committed {moment_text(change.committed)}" if change.committed is not None else "row: no change seen"
    yield Text(f"record changed {moment_text(change.modified)}, {row}")
    yield Text()
    if change.fields:
        yield _fields(change)
        yield Text()
    if change.now:
        yield Text("A side holds another value by now: it is held anew with that, and what is decided now is not.")
    if change.decision:
        yield _decision(change)
    yield Text("To decide:", "bold")
    yield _commands(change)
    if len(change.fields) > 1 and change.kind != "delete":
        yield Text("  --field NAME decides about that field alone", "dim")


def _fields(change: HeldRemote) -> Table:
    """A field a row; what a side holds by now stands behind what it held."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    for heading in ("field", "base", "row", "record"):
        made.add_column(heading, overflow="fold")
    for name, sides in change.fields.items():
        cells = []
        for side in ("base", "local", "remote"):
            cell = value_text(sides[side]) if side in sides else Text("-", "dim")
            if side in change.now.get(name, {}):
                cell = Text.assemble(cell, (", now ", "yellow"), value_text(change.now[name][side]))
            cells.append(cell)
        made.add_row(name, *cells)
    return made


def _commands(change: HeldRemote | HeldNew) -> Table:
    made = Table.grid(padding=(0, 2))
    for command, effect in zip(change.commands, change.effects, strict=True):
        made.add_row("", Text(command), Text(effect, "dim"))
    return made


def _decision(change: HeldRemote) -> Text:
    told = ", ".join(side if name == "*" else f"{name} {side}" for name, side in change.decision.items())
    return Text(f"Decided {moment_text(change.decided_at)}: {told}; a worker carries it out.", "green")


def value_text(value: object) -> Text:
    """A value as tables show it: `null` dim, booleans in small letters."""
    if value is None:
        return Text("null", "dim")
    return Text(str(value).lower() if isinstance(value, bool) else str(value))


def _entity(conflict: Conflict, candidates: list[Candidate]) -> Iterator[Text]:
    yield Text.assemble((f"{conflict.mapping} {conflict.key}", "bold"), f" held since {moment_text(conflict.since)}:")
    yield Text(conflict.detail, "bold yellow")
    for remote_id in conflict.candidates if not candidates else ():
        yield Text(f"  {remote_id}")
    for candidate in candidates:
        yield Text(f"  {candidate.remote_id}: {described(candidate)}")
    yield Text("To decide:", "bold")
    yield Text(f"  syncbridge conflicts resolve {conflict.mapping} {conflict.key} --link REMOTE_ID, or --create")


def described(candidate: Candidate) -> str:
    """`LastName King, Email ***; belongs to 77`"""
    if candidate.fields is None:
        return "gone"
    shown = ", ".join(f"{name} {'null' if value is None else value}" for name, value in candidate.fields.items())
    return f"{shown}; belongs to {candidate.owner}" if candidate.owner else shown
