"""`syncbridge dead`, `requeue` and `discard`: deliveries that were given up, and what a person does about them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import click
from psycopg import Connection
from rich.text import Text

from syncbridge.cli.keys import spelled
from syncbridge.cli.report import as_json, console, find_mapping, moment_text, open_project, print_json, table
from syncbridge.model import Operation, Outcome
from syncbridge.store import awaited, backlog, conflicts, sync_log
from syncbridge.store.backlog import Waiting
from syncbridge.store.sync_log import Entry


@click.command(short_help="List deliveries that were given up.")
@click.argument("mapping", required=False)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many, the newest."
)
@as_json
@click.pass_context
def dead(context: click.Context, mapping: str | None, limit: int, json: bool) -> None:
    """List dead letters: deliveries that the destination refused for good, newest first.

    A change of the row tries again by itself, so most are mended in Postgres. Otherwise mend the destination, or the
    mapping, and `syncbridge requeue`; or `syncbridge discard` what shall not be delivered.
    """
    with open_project(context) as project, project.store("dead") as store:
        if mapping is not None:
            find_mapping(store, mapping)
        letters = backlog.dead_letters(store, mapping=mapping, limit=limit)
        codes = backlog.dead_codes(store, mapping=mapping)
    if json:
        print_json(letters)
    else:
        _show(letters, codes)


def _show(letters: Sequence[Waiting], codes: Counter[tuple[str, str]]) -> None:
    terminal = console()
    if not letters:
        terminal.print("no dead letters.")
        return
    headings = ("mapping", "key", "changed", "given up", "tries", "why")
    rows = [
        (
            each.mapping,
            each.key,
            moment_text(each.since),
            moment_text(each.error_at),
            each.attempts,
            Text.assemble((each.code or "", "red"), f": {each.message}" if each.message else ""),
        )
        for each in letters
    ]
    terminal.print(table("", headings, rows), "")
    if codes.total() > len(letters):
        terminal.print(f"{len(letters):,} of {codes.total():,} are shown.")
    for (mapping, code), count in codes.most_common():
        said = f"{count:,} x {code or 'without a code'}. To try again: syncbridge requeue {mapping}"
        terminal.print(f"{mapping}: {said}" + (f" --code {code}" if code else " --all"), soft_wrap=True, markup=False)


@click.command(short_help="Send dead letters back for another try.")
@click.argument("mapping")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter of the mapping.")
@click.option("--code", help="Just those that were refused with this code.")
@click.pass_context
def requeue(context: click.Context, mapping: str, keys: tuple[str, ...], every: bool, code: str | None) -> None:
    """Deliver dead letters of MAPPING once more: those of KEY, those of a code, or all.

    For entities that are held (`syncbridge conflicts`), KEY or --all looks for existing records anew; for one that
    waits for another mapping's record, KEY looks for that.

    Exit code 1 when there was no such dead letter.
    """
    if every and keys:
        raise click.UsageError("give KEY or --all, not both")
    if not (keys or every or code):
        raise click.UsageError("give KEY, --code or --all")
    with open_project(context) as project, project.store("requeue") as store:
        applied = find_mapping(store, mapping)
        chosen = [spelled(applied, key) for key in keys] if keys else None
        unknown = _unknown(store, applied.id, chosen)
        count = backlog.requeue(store, applied.id, chosen, code=code)
        held = conflicts.look_again(store, applied.id, chosen) if code is None else 0
        waiting = awaited.ask_again(store, applied.id, chosen) if chosen is not None and code is None else 0
    terminal = console()
    if count or not (held or waiting):
        terminal.print(f"{mapping}: {count:,} dead letter{'s' * (count != 1)} will be tried again.", markup=False)
    if held:
        terminal.print(f"{mapping}: {held:,} held: existing records are looked for anew.", markup=False)
    if waiting:
        terminal.print(f"{mapping}: {waiting:,} waiting: the records they refer to are looked for anew.", markup=False)
    _tell_unknown(unknown)
    context.exit(0 if count + held + waiting and not unknown else 1)


@click.command(short_help="Drop dead letters for good.")
@click.argument("mapping")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter of the mapping.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def discard(context: click.Context, mapping: str, keys: tuple[str, ...], every: bool, yes: bool) -> None:
    """Give up dead letters of MAPPING for good: their last change is never delivered. A later change of the row is.

    A KEY may also be one that is held (`syncbridge conflicts`), or that waits for another mapping's record.

    Exit code 1 when there was no such dead letter.
    """
    if every == bool(keys):
        raise click.UsageError("give KEY or --all")
    with open_project(context) as project, project.store("discard") as store:
        applied = find_mapping(store, mapping)
        chosen = [spelled(applied, key) for key in keys] if keys else None
        unknown = _unknown(store, applied.id, chosen)
        found = (
            len(set(chosen)) - len(unknown)
            if chosen is not None
            else backlog.dead_codes(store, mapping=mapping).total()
        )
        if found and not yes:
            _ask(f"Drop {found:,} dead letter{'s' * (found != 1)} of {mapping} for good?")
        dropped = _discard(store, applied.id, chosen)
    console().print(f"{mapping}: {len(dropped):,} dead letter{'s' * (len(dropped) != 1)} dropped.", markup=False)
    _tell_unknown(unknown)
    context.exit(0 if dropped and not unknown else 1)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("this drops changes for good: give --yes")
    click.confirm(question, abort=True)


def _discard(store: Connection, mapping_id: int, keys: Sequence[str] | None) -> list[str]:
    """Drop them, and put it on record, in one transaction."""
    with store.transaction():
        dropped = backlog.discard(store, mapping_id, keys)
        if keys is not None:
            dropped += conflicts.drop(store, mapping_id, keys) + awaited.drop(store, mapping_id, keys)
        entries = [Entry(key, Operation.NOTHING, Outcome.IGNORED, message="discarded by a person") for key in dropped]
        sync_log.append(store, mapping_id, entries)
    return dropped


def _unknown(store: Connection, mapping_id: int, keys: Sequence[str] | None) -> list[str]:
    """Those of the keys that are no dead letters, are not held, and wait for no parent."""
    letters = {key: backlog.waiting(store, mapping_id, key) for key in keys or ()}
    return [
        key for key, letter in letters.items() if letter is None or letter.status not in ("dead", "held", "waiting")
    ]


def _tell_unknown(keys: Sequence[str]) -> None:
    if keys:
        console().print(f"No dead letter: {', '.join(keys)}.", soft_wrap=True, markup=False)
