"""`syncbridge wait`: return when all that was committed before is delivered."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click
from rich.text import Text

from syncbridge.answers.status import in_words
from syncbridge.answers.waiting import Verdict, Waited, wait_until_delivered
from syncbridge.cli.report import (
    as_json,
    bytes_text,
    console,
    find_mapping,
    open_project,
    print_json,
    read_duration,
    seconds_text,
)
from syncbridge.model import MappingStatus

_EXIT_CODES = {Verdict.DELIVERED: 0, Verdict.UNSOUND: 1, Verdict.TIMEOUT: 3, Verdict.STUCK: 4}


@click.command(short_help="Return when all that was committed before is delivered.")
@click.argument("mapping", required=False)
@click.option("--timeout", default="5m", callback=read_duration, show_default=True, help="Give up after this long.")
@as_json
@click.pass_context
def wait(context: click.Context, mapping: str | None, timeout: timedelta, json: bool) -> None:
    """Return when every change committed before this command is delivered, first syncs and resyncs included, and what
    had changed by then at the destination has come into the rows of mappings whose changes come back.

    Exit code 0: delivered. 1: delivered, but for dead letters, what is held, records that wait for others which are not
    on their way, or a run that failed. 3: not in time. 4: it can never finish until a person acts, because what is left
    belongs to mappings that are paused, halted or stopped by their guard, or because no worker runs.
    """
    terminal = console(stderr=True)
    with open_project(context) as project:
        with project.store("wait") as store, project.source_admin("wait") as source:
            if mapping is not None:
                find_mapping(store, mapping)
            with terminal.status("waiting") as shown:  # prints nothing where there is no terminal
                waited = wait_until_delivered(
                    store,
                    source,
                    slot=project.settings.source.slot,
                    mapping=mapping,
                    timeout=timeout.total_seconds(),
                    look=lambda waited: shown.update(Text(f"waiting: {missing(waited)}")),
                )
    if json:
        print_json({**asdict(waited), "pending": waited.pending, "dead": waited.dead, "waiting": waited.waiting})
    else:
        _tell(waited)
    context.exit(_EXIT_CODES[waited.verdict or Verdict.TIMEOUT])


def _tell(waited: Waited) -> None:
    terminal, took = console(), seconds_text(waited.seconds)
    match waited.verdict:
        case Verdict.DELIVERED:
            said = Text.assemble(("delivered", "green"), f" all that was committed before {waited.position} in {took}.")
        case Verdict.UNSOUND:
            said = Text.assemble(("delivered", "green"), f" in {took}, but for: ", (missing(waited), "yellow"))
        case Verdict.STUCK:
            left = f"\nMissing: {missing(waited)}." if waited.behind or waited.left else ""
            said = Text.assemble(("cannot finish: ", "bold red"), f"{waited.why}.{left}")
        case _:
            said = Text.assemble((f"not delivered within {took}: ", "bold red"), f"{missing(waited)}.")
    terminal.print(said, soft_wrap=True)
    if waited.remedy:
        terminal.print(waited.remedy, soft_wrap=True, markup=False)
    for each in waited.left:
        if each.dead:
            terminal.print(f"Look at the dead letters: syncbridge dead {each.mapping}", soft_wrap=True, markup=False)
        if each.held or each.held_changes:
            terminal.print(f"Decide what is held: syncbridge conflicts {each.mapping}", soft_wrap=True, markup=False)
        if each.waiting:
            terminal.print(f"Look at what waits: syncbridge status {each.mapping}", soft_wrap=True, markup=False)


def missing(waited: Waited) -> str:
    """What is left, mapping by mapping."""
    parts = [f"capture is {bytes_text(waited.behind)} behind"] if waited.behind else []
    for each in waited.left:
        counts = [f"{each.pending:,} waiting"] if each.pending else []
        counts += [f"{each.dead:,} dead letter{'s' * (each.dead != 1)}"] if each.dead else []
        counts += [f"{each.held:,} held"] if each.held else []
        counts += (
            [f"{each.held_changes:,} remote change{'s' * (each.held_changes != 1)} held"] if each.held_changes else []
        )
        back = "" if each.in_status is MappingStatus.ACTIVE else f" (its way back is {in_words(each.in_status)})"
        counts += [f"remote changes are not all read{back}"] if each.unread else []
        again = f"{each.rechecks:,} {'is' if each.rechecks == 1 else 'are'} decided by the next poll"
        counts += [again] if each.rechecks and each.pending and not each.unread else []
        counts += [f"{each.waiting:,} waiting for other records"] if each.waiting else []
        counts += ["a first sync, load or resync goes on"] if each.runs else []
        counts += [f"a first sync, load or resync failed: {each.failed}"] if each.failed else []
        standing = "" if each.status is MappingStatus.ACTIVE else f" ({in_words(each.status)})"
        if each.status is MappingStatus.WAITING and each.reason:
            standing = f" (waiting: {each.reason})"
        parts.append(f"{each.mapping}{standing}: {', '.join(counts)}")
    return "; ".join(parts) or "nothing"
