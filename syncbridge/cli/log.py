"""`syncbridge log`: what happened to records, newest last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import click
from psycopg import Connection
from rich.table import Table
from rich.text import Text

from syncbridge.cli.decided import in_words
from syncbridge.cli.keys import spelled
from syncbridge.cli.report import (
    console,
    find_mapping,
    moment_text,
    open_project,
    print_json_line,
    read_duration,
    reason_text,
)
from syncbridge.mapping.names import did_you_mean
from syncbridge.model import Outcome
from syncbridge.store import sync_log
from syncbridge.store.sync_log import Logged

#: Seconds between two looks of --follow.
EVERY = 0.5
#: Entries of several workers become visible out of order: each look reads so much again, and drops what it knows.
OVERLAP = timedelta(seconds=10)
#: Entries that one look of --follow reads at most.
PAGE = 50_000

STYLES = {
    Outcome.DELIVERED: "green",
    Outcome.SAME: "dim",
    Outcome.RETRY: "yellow",
    Outcome.DEAD: "bold red",
    Outcome.IGNORED: "dim",
    Outcome.WAITING: "yellow",
    Outcome.HELD: "bold yellow",
    Outcome.WRITTEN: "green",
    Outcome.KEPT: "yellow",
    Outcome.REFUSED: "bold red",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for."""

    mapping: str | None = None
    key: str | None = None
    direction: str | None = None
    outcome: str | None = None

    def read(self, store: Connection, *, since: datetime | None, limit: int) -> list[Logged]:
        """The newest of them, oldest first."""
        return sync_log.read(
            store,
            mapping=self.mapping,
            key=self.key,
            direction=self.direction,
            outcome=self.outcome,
            since=since,
            limit=limit,
        )


def _read_outcome(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    known = [outcome.value for outcome in Outcome]
    if value is not None and value not in known:
        raise click.BadParameter(f"no such outcome {value!r}{did_you_mean(value, known)}", context, parameter)
    return value


@click.command(short_help="Show what happened to records.")
@click.argument("mapping", required=False)
@click.option("--key", help="Just this record. Of several columns: a JSON list.")
@click.option("--direction", type=click.Choice(["in", "out"]), help="Just what came in, or what went out.")
@click.option(
    "--outcome",
    callback=_read_outcome,
    metavar="OUTCOME",
    help=f"Just what ended so: {', '.join(Outcome)}.",
)
@click.option("--since", callback=read_duration, help="Just the last 30s, 5m, 2h, 7d.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most so many, the newest.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "json", is_flag=True, help="Print one JSON document a line, for programs.")
@click.pass_context
def log(
    context: click.Context,
    mapping: str | None,
    key: str | None,
    direction: str | None,
    outcome: str | None,
    since: timedelta | None,
    limit: int,
    follow: bool,
    json: bool,
) -> None:
    """Show what was sent for each record and what was answered, and what remote changes came to, newest last.

    It holds names of fields, and values only where it was decided between both sides: then rule, times and values of
    both are told, of fields that the mapping calls sensitive only the rule.

    Records that equal what was delivered before leave no trace: nothing was sent.
    """
    if key is not None and mapping is None:
        raise click.UsageError("--key needs a MAPPING")
    with open_project(context) as project, project.store("log") as store:
        applied = find_mapping(store, mapping) if mapping is not None else None
        chosen = spelled(applied, key) if applied and key is not None else None
        wanted = Wanted(mapping, chosen, direction, outcome)
        earliest = datetime.now(UTC) - since if since is not None else None
        shown = _Shown(json=json)
        entries = wanted.read(store, since=earliest, limit=limit)
        shown.print(entries)
        if follow:
            begin = entries[0].at if entries else earliest or datetime.now(UTC) - OVERLAP
            with suppress(KeyboardInterrupt):
                for new in following(store, wanted, entries, begin, time.sleep):
                    shown.print(new)
        elif not entries and not json:
            console(stderr=True).print("nothing is logged that fits.", style="dim")


def following(
    store: Connection, wanted: Wanted, known: Sequence[Logged], since: datetime, pause: Callable[[float], None]
) -> Iterator[list[Logged]]:
    """What is logged since `since` and not known yet, look by look.

    Ids come to the workers in blocks, so they tell no order; times do, but for what is not committed yet.
    """
    seen = {entry.id: entry.at for entry in known}
    newest = max(seen.values(), default=since)
    while True:
        entries = wanted.read(store, since=max(since, newest - OVERLAP), limit=PAGE)
        new = [entry for entry in entries if entry.id not in seen]
        seen.update((entry.id, entry.at) for entry in new)
        newest = max((entry.at for entry in new), default=newest)
        seen = {id: at for id, at in seen.items() if at >= newest - OVERLAP}
        if new:
            yield new
        pause(EVERY)


class _Shown:
    """Prints entries; every batch keeps the widths of those before, so that columns stay in line."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._widths = [8, 6, 3, 3, 6, 9]

    def print(self, entries: Sequence[Logged]) -> None:
        if self._json:
            for entry in entries:
                print_json_line(entry)
        elif entries:
            console().print(self._table(entries))

    def _table(self, entries: Sequence[Logged]) -> Table:
        rows = [
            (moment_text(entry.at), entry.mapping, _who(entry), entry.direction, operation_text(entry), entry.outcome)
            for entry in entries
        ]
        self._widths = [max(width, *(len(row[i]) for row in rows)) for i, width in enumerate(self._widths)]
        made = Table.grid(padding=(0, 2))
        for width in self._widths:
            made.add_column(width=min(width, 40), overflow="fold")
        made.add_column(overflow="fold")
        for row, entry in zip(rows, entries, strict=True):
            style = STYLES[Outcome(entry.outcome)]
            made.add_row(*(Text(cell) for cell in row[:-1]), Text(row[-1], style), described(entry))
        return made


def _who(entry: Logged) -> str:
    """The key; of a new record that is no row, its remote id."""
    return entry.key or entry.remote_id or ""


def operation_text(entry: Logged) -> str:
    """What was sent; empty when nothing was."""
    return "" if entry.operation == "nothing" else entry.operation


def described(entry: Logged) -> Text:
    """What was sent or written, or why not: fields and remote id, or code and message; and what was decided."""
    decided = list(in_words(entry.decision))
    told = bool(entry.message) and any(line.startswith(str(entry.message)) for line in decided)
    shown = replace(entry, message=None) if told else entry
    return Text("\n").join([_described(shown), *(Text(line, "dim") for line in decided)])


def _described(entry: Logged) -> Text:
    if entry.code or (entry.message and not entry.fields):
        attempt = f" (attempt {entry.attempt})" if entry.attempt > 1 else ""
        return Text(": ".join(part for part in (entry.code, entry.message) if part) + attempt)
    parts = [part for part in (entry.remote_id, entry.fields) if part]
    parts += [entry.message] if entry.message else []
    said = Text("  ".join(parts))
    if entry.reason not in ("", "change") and entry.direction == "out":
        said.append(f"  ({reason_text(entry.reason)})", "dim")
    return said
