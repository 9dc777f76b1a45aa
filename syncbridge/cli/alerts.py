"""`syncbridge alerts`: what is raised now, what targets have not taken, and whether a test message arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click
from rich.text import Text

from syncbridge.alerts import message
from syncbridge.alerts.targets import NotTaken, Target, targets, verify
from syncbridge.cli.report import as_json, console, moment_text, open_project, print_json, table
from syncbridge.errors import SettingsError
from syncbridge.project import Project
from syncbridge.store import alerts as remembered
from syncbridge.store.alerts import Remembered, Unsent


@click.command(short_help="List what is raised, and test where alerts go.")
@click.option("--test", "test", is_flag=True, help="Send a test message to each target, and say whether it was taken.")
@as_json
@click.pass_context
def alerts(context: click.Context, test: bool, json: bool) -> None:
    """List the alerts that are raised now, as the workers saw it last, and messages that a target has not taken.

    Exit code 0 when nothing is raised and everything was taken, 1 otherwise; with --test, 0 when every target took the
    test message, 1 otherwise. 2 when the settings name no target.
    """
    with open_project(context) as project:
        chosen = targets(project.settings.alerts)
        if not chosen:
            raise SettingsError("alerts go nowhere: the settings name no target", hint=_NO_TARGET)
        verify(chosen)
        context.exit(_test(project, chosen, json=json) if test else _list(project, chosen, json=json))


_NO_TARGET = "Set SYNCBRIDGE_ALERTS__WEBHOOK, write [alerts.email], or both. See docs/settings.md."


def _test(project: Project, chosen: Sequence[Target], *, json: bool) -> int:
    title, body = message.trial(message.project_name(project.settings))
    answers = {target.name: _answer(target, title, body) for target in chosen}
    if json:
        print_json([{"target": name, "taken": not error, "error": error} for name, error in answers.items()])
    else:
        for name, error in answers.items():
            said = f"{name}: not taken: {error}" if error else f"{name}: taken"
            console().print(Text(said, "red" if error else ""), soft_wrap=True)
    return 1 if any(answers.values()) else 0


def _answer(target: Target, title: str, body: str) -> str:
    """Why a target did not take it; empty when it did."""
    try:
        target.send(title, body)
    except NotTaken as error:
        return str(error)
    return ""


def _list(project: Project, chosen: Sequence[Target], *, json: bool) -> int:
    with project.store("alerts") as store:
        raised = [each for each in remembered.read_all(store) if each.raised_at is not None]
        unsent = remembered.unsent(store, [target.name for target in chosen])
        looked_at = remembered.looked_at(store)
    if json:
        names = [target.name for target in chosen]
        listed = {"raised": [asdict(each) for each in raised], "unsent": unsent}
        print_json({"looked_at": looked_at, "targets": names, **listed})
    else:
        _show(raised, unsent, looked_at)
    return 1 if raised or unsent else 0


def _show(raised: Sequence[Remembered], unsent: Sequence[Unsent], looked_at: datetime | None) -> None:
    terminal = console()
    if looked_at is None:
        terminal.print("no worker has looked yet.")
    elif not raised:
        terminal.print(f"nothing is raised. Looked at {moment_text(looked_at)}.")
    else:
        rows = [(each.about, each.title, moment_text(each.since), _now(each), each.hint) for each in raised]
        terminal.print(table("", ("about", "alert", "since", "now", "what to do"), rows))
        terminal.print(f"Looked at {moment_text(looked_at)}.")
    for each in unsent:
        why = f": {each.error}" if each.error else ""
        count = f"{each.messages:,} message{'s' * (each.messages != 1)}"
        said = f"{each.target} has not taken {count}, the oldest of {moment_text(each.oldest)}{why}"
        terminal.print(Text(said, "yellow"), soft_wrap=True)


def _now(alert: Remembered) -> str:
    return alert.words if alert.clear_since is None else f"well since {moment_text(alert.clear_since)}"
