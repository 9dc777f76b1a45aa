"""`syncbridge show`: one record's whole story, in plain words first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from syncbridge.answers.standing import Standing, stand
from syncbridge.answers.status import in_words
from syncbridge.answers.story import Story, entity_of, tell
from syncbridge.cli.held_record import show_held_record
from syncbridge.cli.history import history_table
from syncbridge.cli.keys import spelled, spelled_by_source
from syncbridge.cli.report import as_json, console, find_mapping, moment_text, open_project, print_json, reason_text
from syncbridge.errors import SettingsError, SyncbridgeError
from syncbridge.model import MappingStatus, Operation
from syncbridge.project import Project

#: Characters of one value that a terminal shows; --json has them all.
_LONGEST = 120


@click.command(short_help="Tell one record's whole story.")
@click.argument("mapping")
@click.argument("key", required=False)
@click.option("--remote-id", metavar="ID", help="The entity of this remote record, instead of KEY.")
@click.option("--offline", is_flag=True, help="Ask nothing of the destination.")
@as_json
@click.pass_context
def show(
    context: click.Context, mapping: str, key: str | None, remote_id: str | None, offline: bool, json: bool
) -> None:
    """Tell where the record of KEY in MAPPING stands: the row, what would be sent now, what both sides last agreed on,
    the remote record as it is now, what waits or is held, and what happened before, in both directions.

    A KEY of several columns is a JSON list. Values of fields that the mapping calls sensitive are shown as ***. Exit
    code 0 when nobody has to do anything about it, else 1.
    """
    if (key is None) == (remote_id is None):
        raise click.UsageError("give KEY or --remote-id")
    with open_project(context) as project:
        if remote_id is not None and show_held_record(project, mapping, remote_id, json=json):
            context.exit(1)
        chosen = _of_record(project, mapping, remote_id or "", offline=offline) if key is None else key
        story = tell(
            project, mapping, _spelled(project, mapping, chosen) if key is not None else chosen, offline=offline
        )
    standing = stand(story)
    if json:
        print_json({"standing": standing, **asdict(story)})
    else:
        terminal = console()
        for part in _page(story, standing, offline=offline):
            terminal.print(part, soft_wrap=isinstance(part, Text))
    context.exit(0 if standing.in_order else 1)


def _of_record(project: Project, name: str, remote_id: str, *, offline: bool) -> str:
    """The key of the entity that has a remote record; SettingsError when none has."""
    with project.store("show") as store:
        applied = find_mapping(store, name)
        found = entity_of(project, store, applied, remote_id, offline=offline)
    if found is None:
        hint = "Only linked records are looked for: --offline asks nothing of the destination." if offline else ""
        raise SettingsError(f"no entity of {name} has the record {remote_id!r}", hint=hint)
    return found


def _spelled(project: Project, name: str, key: str) -> str:
    with project.store("show") as store:
        applied = find_mapping(store, name)
        try:
            with project.source_admin("show") as catalog:
                return spelled_by_source(catalog, project.compiled(store, catalog, name)[1], key)
        except SyncbridgeError:  # told as part of the story
            return spelled(applied, key)


def _page(story: Story, standing: Standing, *, offline: bool) -> Iterator[RenderableType]:
    remote = f" {story.remote_id}" if story.remote_id else ""
    yield Text.assemble((f"{story.mapping} {story.key}", "bold"), f" -> {story.destination} {story.object}{remote}")
    yield Text(standing.words, "green" if standing.in_order else "bold yellow")
    if standing.remedy:
        yield Text(standing.remedy)
    yield Text()
    if fields := _fields(story):
        yield fields
        yield Text()
    yield from _facts(story, offline=offline)
    if story.history:
        yield Text()
        yield history_table(story.history)


def _fields(story: Story) -> Table | None:
    """Field by field what each side says; only the sides that are known."""
    sides: list[tuple[str, Mapping[str, Any] | None]] = [
        ("Postgres now", story.row),
        ("in normal form", story.record),
        ("last agreed" if story.two_way else "last delivered", story.base),
        ("destination now", story.remote),
    ]
    known = [(heading, _by_small(values)) for heading, values in sides if values is not None]
    if not known:
        return None
    names = dict.fromkeys(name for values in (story.record, story.row, story.base) for name in values or ())
    spelling = {name.lower(): name for name in reversed(names)}
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for heading in ("field", "from", *(heading for heading, _ in known), ""):
        made.add_column(heading, overflow="fold")
    sources = _by_small(story.sources)
    for small in dict.fromkeys(name.lower() for name in names):
        cells = [_cell(values, small) for _, values in known]
        made.add_row(spelling[small], sources.get(small, ""), *cells, _mark(story, spelling[small]))
    return made


def _by_small(values: Mapping[str, Any]) -> dict[str, Any]:
    """Names of remote fields have no case."""
    return {name.lower(): value for name, value in values.items()}


def _cell(values: Mapping[str, Any], name: str) -> Text:
    if name not in values:
        return Text("")
    value = values[name]
    if value is None:
        return Text("null", "dim")
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return Text(shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…")


def _mark(story: Story, name: str) -> Text:
    if name in story.parked or (story.held is not None and name in story.held.fields):
        return Text("held", "magenta")
    if name in story.undecided:
        return Text("changed on both sides", "magenta")
    if name in story.sends:
        return Text("would be sent", "yellow")
    if name in story.stays:
        return Text("differs here", "yellow")
    if name in story.remote_changed:
        return Text("changed there", "magenta")
    return Text("")


def _facts(story: Story, *, offline: bool) -> Iterator[RenderableType]:
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    last = "agreed" if story.two_way else "delivered"
    made.add_row("link", f"{last} {moment_text(story.delivered_at)}" if story.delivered_at else "none")
    made.add_row("now", Text(_would(story, offline=offline)))
    made.add_row("remote", Text(_remote(story, offline=offline)))
    made.add_row("outbox", Text(_outbox(story)))
    if story.two_way:
        made.add_row("way back", Text(_way_back(story)))
    yield made


def _way_back(story: Story) -> str:
    told = []
    if story.held is not None:
        told.append(f"held since {moment_text(story.held.since)}: {story.held.said}")
    back = story.way_back
    if back is not None and back.status is not MappingStatus.ACTIVE:
        why = f": {back.reason}" if back.reason else ""
        told.append(f"{in_words(back.status)} since {moment_text(back.since)}{why}")
    if told:
        return "; ".join(told)
    return "the record is looked at again with the next poll" if story.recheck else "nothing is held"


def _would(story: Story, *, offline: bool) -> str:
    if story.trouble:
        return f"not known: {story.trouble}"
    if story.refusal:
        return f"refused: {story.refusal}"
    if story.operation is None:
        return "not compared" + (": without the destination its normal form is not known" if offline else "")
    if not story.outgoing:
        return "nothing is ever sent by this mapping"
    if story.undecided:
        return "nothing is sent before the next poll has decided"
    held = story.held is not None and (story.held.kind == "delete" or bool(story.parked))
    if story.operation is Operation.NOTHING:
        return "nothing is sent before a person has decided" if held else "nothing to send"
    return f"would {story.operation}" + (f" {', '.join(story.sends)}" if story.sends else " the remote record")


def _remote(story: Story, *, offline: bool) -> str:
    if offline:
        return "not asked"
    if story.remote_trouble:
        return f"not known: {story.remote_trouble}"
    if not story.remote_read:
        return "not asked, since the row could not be read"
    if story.remote is None:
        return "no record" + (f" {story.remote_id} any more" if story.base is not None else " with this key")
    return f"read {moment_text(story.at)}"


def _outbox(story: Story) -> str:
    waiting = story.waiting
    if waiting is None:
        return "nothing waits"
    parts = [waiting.status, f"{reason_text(waiting.reason)} of {moment_text(waiting.since)}"]
    if waiting.resend:
        parts.append("every field is sent")
    if waiting.job:
        parts.append(f"on its way in bulk job {waiting.job}")
    elif waiting.claimed:
        parts.append(f"being sent, until {moment_text(waiting.available_at)} at most")
    elif waiting.status == "pending":
        parts.append(f"next try {moment_text(waiting.available_at)}")
    if waiting.attempts:
        parts.append(f"{waiting.attempts} attempt{'s' * (waiting.attempts != 1)}")
    if waiting.message:
        parts.append(f"last error {moment_text(waiting.error_at)}: {waiting.code}: {waiting.message}")
    return ", ".join(parts)
