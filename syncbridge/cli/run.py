"""`syncbridge run`: the worker, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from queue import SimpleQueue
from types import FrameType

import click

from syncbridge import log
from syncbridge.applying.planning import Decisions
from syncbridge.cli.collecting import collecting_seldom
from syncbridge.cli.plan import put_in_force
from syncbridge.cli.report import open_project
from syncbridge.errors import SettingsError
from syncbridge.project import Project
from syncbridge.worker import ROLES, Worker

STOPPING = (signal.SIGTERM, signal.SIGINT)


@click.command(short_help="Run the worker.")
@click.option("--only", type=click.Choice(ROLES), help="Just one half, to run them as separate processes.")
@click.option("--apply", "apply_first", is_flag=True, help="Put changed mapping files in force first.")
@click.option("--verbose", is_flag=True, help="Log more.")
@click.pass_context
def run(context: click.Context, only: str | None, apply_first: bool, verbose: bool) -> None:
    """Capture committed changes and deliver them, until SIGTERM or Ctrl-C.

    Any number of workers may run: one captures, the others stand by for it, and all of them deliver.
    """
    log.start(verbose=verbose)
    with open_project(context) as project:
        if apply_first:
            put_in_force(project, Decisions(), yes=True)
        _refuse_unapplied(project)
        worker = Worker(project, roles=(only,) if only else ROLES, stop=stop_on_signals())
        with collecting_seldom():
            worker.run()


def _refuse_unapplied(project: Project) -> None:
    with project.store("run") as store:
        drift = project.drift(store)
    if drift:
        raise SettingsError(
            f"mapping files differ from what is in force ({drift})",
            hint="`syncbridge plan` shows what that means; `syncbridge apply`, or `run --apply`, puts them in force.",
        )


def stop_on_signals() -> threading.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once. For the main thread.

    A thread of its own sets the event. A signal is seen by the main thread between any two steps, also where that holds
    the event's lock in `wait`; to set it there would wait for that lock for ever. `SimpleQueue.put` takes none.
    """
    stop = threading.Event()
    asked: SimpleQueue[int] = SimpleQueue()

    def ask(number: int, frame: FrameType | None) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL)
        asked.put(number)

    def wait_for_it() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=wait_for_it, name="signals", daemon=True).start()
    for each in STOPPING:
        signal.signal(each, ask)
    return stop
