"""`syncbridge test`: send one record now, and show request and answer."""

from __future__ import annotations

import json as plain_json
from collections.abc import Iterator

import click
from rich.text import Text

from syncbridge.answers.status import in_words
from syncbridge.cli.keys import spelled_by_source
from syncbridge.cli.report import as_json, console, find_mapping, open_project, print_json
from syncbridge.model import MappingStatus, Operation, Outcome
from syncbridge.trial import Trial, send


@click.command(short_help="Send one record now, and show request and answer.")
@click.argument("mapping")
@click.option("--key", required=True, help="Of the record; of several columns: a JSON list.")
@as_json
@click.pass_context
def test(context: click.Context, mapping: str, key: str, json: bool) -> int:
    """Send the record of KEY now, in full, as a worker would, and show what went over the wire.

    It is a delivery like any other: claimed, counted by the guard, and settled. The mapping may be paused or halted.
    Values of sensitive fields are shown as ***; logins and tokens never. Exit code 1 when it was not delivered.
    """
    with open_project(context) as project:
        with project.store("test") as store:
            find_mapping(store, mapping)
        trial = send(project, mapping, lambda source, compiled: spelled_by_source(source, compiled, key))
    if json:
        print_json(trial)
    else:
        terminal = console()
        for line in _lines(trial):
            terminal.print(line, soft_wrap=True)
    return 0 if _well(trial) else 1


def _well(trial: Trial) -> bool:
    if trial.waiting is not None:
        return False
    return trial.entry is None or trial.entry.outcome in (Outcome.DELIVERED, Outcome.SAME, Outcome.IGNORED)


def _lines(trial: Trial) -> Iterator[Text]:
    yield Text(f"{trial.mapping} {trial.key} -> {trial.destination} {trial.object}", "bold")
    for call in trial.calls:
        yield Text()
        yield Text(f"{call.method} {call.path}", "cyan")
        if call.request is not None:
            yield Text(_pretty(call.request))
        yield Text(f"answer{'' if call.status is None else f' {call.status}'}", "cyan")
        yield Text(_pretty(call.answer))
    yield Text()
    yield Text(_outcome(trial), "green" if _well(trial) else "bold yellow")
    if trial.status is not MappingStatus.ACTIVE:
        because = f": {trial.reason}" if trial.reason else ""
        yield Text(f"The mapping is {in_words(trial.status)}{because}", "yellow")


def _pretty(value: object) -> str:
    return plain_json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _outcome(trial: Trial) -> str:
    entry = trial.entry
    if entry is None:
        return "not sent" if trial.waiting is not None else "nothing to send: no entity now, and no record of it"
    remote = f" {entry.remote_id}" if entry.remote_id else ""
    fields = f", {entry.fields}" if entry.fields else ""
    why = f": {entry.code}: {entry.message}" if entry.code else ""
    did = ", not sent" if entry.operation == Operation.NOTHING else f": {entry.operation}{remote}{fields}"
    return f"{entry.outcome}{did}{why}"
