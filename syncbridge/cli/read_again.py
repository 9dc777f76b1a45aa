"""`syncbridge resync --from destination`: let the worker read records of the destination again."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg
from psycopg import Connection

from syncbridge.answers.status import in_words
from syncbridge.cli.report import console, print_json
from syncbridge.cli.run_progress import RunProgress
from syncbridge.errors import ConfigurationError, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import MappingStatus
from syncbridge.source import rows
from syncbridge.source.refusals import first_line
from syncbridge.store import links, loads, rechecks, runs, way_back, workers
from syncbridge.store.mappings import AppliedMapping
from syncbridge.store.runs import Run

#: Seconds between looks at how far the worker is.
PAUSE = 0.2


def read_again(
    store: Connection,
    source: Connection,
    applied: AppliedMapping,
    mapping: CompiledMapping,
    keys: Sequence[str],
    where: str,
    *,
    json: bool,
) -> None:
    """Ask for the records of these keys, of the rows that pass `where`, or for all; follow the worker to the end."""
    if mapping.two_way is None:
        raise ConfigurationError(
            f"changes of {applied.object} do not come back: {applied.name} only sends",
            hint="Write `direction: both` into its file, then run: syncbridge apply",
        )
    if keys:
        _look_at(store, applied, sorted(set(keys)), json=json)
        return
    _verify(source, mapping, where)
    run_id = loads.request(store, applied.id, filter=where)
    run = _follow(store, applied, run_id, json=json)
    if json:
        told = {"mapping": applied.name, "read": run.enqueued, "complete": run.status == "done", "run": run_id}
        print_json(told)
        return
    read = f"{run.enqueued:,} record was" if run.enqueued == 1 else f"{run.enqueued:,} records were"
    what = "read again" if run.status == "done" else "read so far; the worker goes on with it"
    _say(f"{applied.name}: {read} {what}.", _hindrance(store, applied))


def _look_at(store: Connection, applied: AppliedMapping, keys: Sequence[str], *, json: bool) -> None:
    """With the next poll, and before what changed."""
    linked = links.remote_ids(store, applied.id, keys)
    rechecks.add(store, applied.id, linked.values())
    without = tuple(key for key in keys if key not in linked)
    if json:
        print_json({"mapping": applied.name, "asked": len(linked), "without_record": without})
        return
    lines = [
        f"{applied.name}: {len(linked):,} {'record is' if len(linked) == 1 else 'records are'} read with the next poll."
    ]
    if without:
        lines.append(f"No record is linked to {', '.join(without)}.")
    _say(*lines, _hindrance(store, applied))


def _verify(source: Connection, mapping: CompiledMapping, where: str) -> None:
    """A wrong `where` is found before anything is asked for, and told in Postgres's own words."""
    if not where:
        return
    try:
        rows.keys_page(source, *mapping.keys_page(None, 1, where=where))
    except SyncbridgeError as error:
        cause = error.__cause__
        told = first_line(cause) if isinstance(cause, psycopg.Error) else error.message
        raise ConfigurationError(f"--where: Postgres says: {told}", hint=f"--where was: {where}") from error


def _follow(store: Connection, applied: AppliedMapping, run_id: int, *, json: bool) -> Run:
    """Until the run is over, or nobody goes on with it for now."""
    with RunProgress(quiet=json) as shown:
        while True:
            run = runs.read(store, run_id)
            shown.update(run)
            if run.status == "failed":
                raise ConfigurationError(f"the resync failed: {run.error}")
            if run.status != "pending" or _hindrance(store, applied):
                return run
            time.sleep(PAUSE)


def _hindrance(store: Connection, applied: AppliedMapping) -> str:
    """Why nothing is read for now, and what to do; empty when it is."""
    back = way_back.read_all(store).get(applied.id)
    if back is not None and back.status is not MappingStatus.ACTIVE:
        resume = f"syncbridge resume {applied.name} --direction in"
        return f"The way back of {applied.name} is {in_words(back.status)}: nothing is read until `{resume}`."
    if not any(worker.alive and "deliver" in worker.roles for worker in workers.read_all(store)):
        return "No worker runs, so nothing is read yet. Run: syncbridge run"
    return ""


def _say(*lines: str) -> None:
    for line in filter(None, lines):
        console().print(line, soft_wrap=True, markup=False)
