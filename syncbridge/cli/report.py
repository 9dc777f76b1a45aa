"""What commands share: the opened project, errors in words, tables, JSON, and how times and sizes read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson
import psycopg
from psycopg import Connection
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncbridge import config
from syncbridge.errors import ConfigurationError, NeedsOperator, RetryLater, SettingsError, SyncbridgeError
from syncbridge.mapping.names import near
from syncbridge.model import Reason
from syncbridge.project import Project
from syncbridge.source.refusals import first_line
from syncbridge.store import mappings
from syncbridge.store.mappings import AppliedMapping

as_json = click.option("--json", "json", is_flag=True, help="Print JSON for programs.")


@contextmanager
def open_project(context: click.Context) -> Iterator[Project]:
    """The project of the settings file that was asked for, or of this folder.

    A connection to Postgres that breaks while it is open becomes RetryLater, a missing right SettingsError.
    """
    path = Path(context.obj) if context.obj else None
    with Project(config.load(path, os.environ)) as project:
        try:
            yield project
        except psycopg.OperationalError as error:
            raise RetryLater(f"Postgres failed: {first_line(error)}", hint="Is the server still running?") from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise SettingsError(f"Postgres refuses: {first_line(error)}", hint="Grant it to the login.") from error


def read_duration(context: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Callback of options that take a length of time, as in the settings: `30s`, `5m`, `2h`."""
    if value is None:
        return None
    try:
        return _DURATION.validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(message, context, parameter) from None


_DURATION: TypeAdapter[timedelta] = TypeAdapter(config.Duration)


def find_mapping(store: Connection, name: str) -> AppliedMapping:
    """The mapping of this name that is in force; SettingsError with the nearest name and all that there are."""
    found = mappings.read_all(store)
    if name in found:
        return found[name]
    meant = near(name, found)
    known = f"In force: {', '.join(found)}." if found else "None is in force yet. Run: syncbridge setup"
    raise SettingsError(
        f"no mapping named {name!r} is in force" + (f"; did you mean {meant!r}?" if meant else ""), hint=known
    )


def find_mappings(store: Connection, names: Sequence[str], *, every: bool) -> list[AppliedMapping]:
    """Those of these names, or every mapping in force; UsageError unless just one of both is asked for."""
    if every == bool(names):
        raise click.UsageError(
            "name mappings, or give --all" if not every else "name mappings, or give --all, not both"
        )
    if every:
        return list(mappings.read_all(store).values())
    return [find_mapping(store, name) for name in dict.fromkeys(names)]


def console(*, stderr: bool = False) -> Console:
    """A terminal to print to; where the output is none, wide enough that a line of a table is one line."""
    chosen = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not chosen.is_terminal:
        chosen = _Piped(stderr=stderr, highlight=False, width=400)
    return chosen


class _Piped(Console):
    """For an output that is no terminal: tables fill their columns with blanks, but no line ends with them."""

    def print(self, *objects: Any, **options: Any) -> None:
        with self.capture() as captured:
            super().print(*objects, **options)
        lines = captured.get().split("\n")
        self.file.write("\n".join(line.rstrip(" ") for line in lines))
        self.file.flush()


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


_JSON = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS  # positions are integers, but read as text


def print_json(value: object) -> None:
    """One JSON document, indented."""
    click.echo(orjson.dumps(value, default=_plain, option=_JSON | orjson.OPT_INDENT_2).decode())


def print_json_line(value: object) -> None:
    """One JSON document on one line, for streams."""
    click.echo(orjson.dumps(value, default=_plain, option=_JSON).decode())


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


_REASONS: dict[str, str] = {
    Reason.RELATED: "a related row changed",
    Reason.PARENT: "the record that it looks up is there, or another one",
}


def reason_text(reason: str) -> str:
    """Why a record was looked at, for people: `resync`, `a related row changed`."""
    return _REASONS.get(reason, reason.replace("_", " "))
