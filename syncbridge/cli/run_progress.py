"""How far a run is, while a command follows it."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from syncbridge.cli.report import console
from syncbridge.cli.status_page import counted, run_name
from syncbridge.store.runs import Run


class RunProgress:
    """How far the run is: a bar on a terminal, else a line for every tenth."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._terminal,
            disable=quiet or not self._terminal.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("asked for", total=None)
        self._tenth = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def update(self, run: Run) -> None:
        """Show how the run stands."""
        self._bar.update(self._task, completed=run.enqueued, total=run.total, description=run_name(run))
        tenth = run.enqueued * 10 // run.total if run.total else 0
        if tenth > self._tenth and not self._terminal.is_terminal:
            self._tenth = tenth
            self.say(f"{run.enqueued:,} of {run.total:,} {counted(run)}")

    def say(self, line: str) -> None:
        """A line of its own."""
        if not self._quiet:
            self._terminal.print(line, soft_wrap=True, markup=False)
