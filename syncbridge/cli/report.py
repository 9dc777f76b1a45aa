"""What commands share: the opened project, errors in words, tables, JSON, and how times and sizes read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncbridge import config
from syncbridge.errors import ConfigurationError, NeedsOperator, RetryLater, SyncbridgeError
from syncbridge.project import Project

as_json = click.option("--json", "json", is_flag=True, help="Print JSON for programs.")


def open_project(context: click.Context) -> Project:
    """The project of the settings file that was asked for, or of this folder."""
    path = Path(context.obj) if context.obj else None
    return Project(config.load(path, os.environ))


def console(*, stderr: bool = False) -> Console:
    """A terminal to print to; wide enough for tables where the output is no terminal."""
    chosen = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not chosen.is_terminal:
        chosen = Console(stderr=stderr, highlight=False, width=160)
    return chosen


def complain(error: SyncbridgeError) -> None:
    """Say on standard error what is wrong and what to do."""
    terminal = console(stderr=True)
    terminal.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.hint:
        terminal.print(Text(error.hint, style="dim"), soft_wrap=True)


def exit_code(error: SyncbridgeError) -> int:
    """The documented exit code of an error's class."""
    if isinstance(error, ConfigurationError):
        return 2
    if isinstance(error, RetryLater):
        return 3
    if isinstance(error, NeedsOperator):
        return 4
    return 1


def print_json(value: object) -> None:
    """One JSON document, indented."""
    click.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def print_json_line(value: object) -> None:
    """One JSON document on one line, for streams."""
    click.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z).decode())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table; numbers to the right."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, header_style="bold", pad_edge=False
    )
    listed = [list(row) for row in rows]
    for index, heading in enumerate(headings):
        numeric = bool(listed) and all(isinstance(row[index], int | float) for row in listed if row[index] is not None)
        made.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> Text | str:
    if value is None:
        return "-"
    if isinstance(value, Text):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return Text(str(value))


def bytes_text(count: int | None) -> str:
    """`1.5 MB`"""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""


def seconds_text(seconds: float | None) -> str:
    """`350 ms`, `12 s`, `3 min`, `2.5 h`"""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def moment_text(moment: datetime | None) -> str:
    """Local time with seconds; the date too when it is not today."""
    if moment is None:
        return "-"
    local = moment.astimezone()
    same_day = local.date() == datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")
