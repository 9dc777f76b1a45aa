"""`syncbridge resync`: compare records again. It only enqueues keys; the worker finds what differs, and sends that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import click
import psycopg
from psycopg import Connection

from syncbridge import resync as records
from syncbridge.answers.status import in_words
from syncbridge.cli.keys import spelled_by_source
from syncbridge.cli.read_again import read_again
from syncbridge.cli.report import as_json, console, find_mapping, open_project, print_json
from syncbridge.cli.run_progress import RunProgress
from syncbridge.errors import ConfigurationError, SchemaDrift, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Priority, Reason
from syncbridge.source import rows
from syncbridge.source.refusals import first_line
from syncbridge.store import kept_rows, mappings, outbox, runs, workers
from syncbridge.store.mappings import AppliedMapping
from syncbridge.store.runs import Run

#: Seconds until another look while somebody else carries the run, or delivery has to catch up first.
PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a resync came to: keys that were enqueued, and whether those were all."""

    mapping: str
    enqueued: int
    complete: bool = True
    run: int | None = None
    without_row: tuple[str, ...] = ()  # keys that have no entity now
    kept: tuple[str, ...] = ()  # keys whose record was deleted there: only --force sends them


@dataclass(frozen=True, slots=True)
class Parts:
    """What the command works with."""

    store: Connection
    source: Connection  # prepared for reading rows
    applied: AppliedMapping
    mapping: CompiledMapping


@click.command(short_help="Compare a mapping's records again.")
@click.argument("mapping")
@click.option(
    "--key", "keys", multiple=True, help="Just this record; may be given again. Of several columns: a JSON list."
)
@click.option("--where", help="Just rows for which this SQL holds.")
@click.option("--force", is_flag=True, help="Send every field, whether or not it differs from what was sent last.")
@click.option(
    "--from",
    "from_",
    type=click.Choice(["postgres", "destination"]),
    default="postgres",
    show_default=True,
    help="destination: read the records there again instead, for a mapping whose changes come back.",
)
@as_json
@click.pass_context
def resync(
    context: click.Context,
    mapping: str,
    keys: tuple[str, ...],
    where: str | None,
    force: bool,
    from_: str,
    json: bool,
) -> None:
    """Look at every record of MAPPING again: what differs from what was last delivered is sent.

    It enqueues keys, behind live changes, and the worker does the rest. Ctrl-C leaves the resync where it is: the
    worker, or the same command again, goes on with it. Records given by --key are looked at at once.

    With --from destination all records of the object go through the mapping's rules of conflict again, and linked ones
    that are gone are found; with --key or --where, the records of these rows. The worker reads them.
    """
    if keys and where is not None:
        raise click.UsageError("give --key or --where, not both")
    if force and from_ == "destination":
        raise click.UsageError("--force is about what is sent: leave --from destination away")
    with open_project(context) as project:
        with (
            project.store("resync") as store,
            project.source_admin("resync") as catalog,
            project.source("resync") as source,
        ):
            find_mapping(store, mapping)
            parts = Parts(store, source, *project.compiled(store, catalog, mapping))
            wanted = [spelled_by_source(catalog, parts.mapping, key) for key in keys]
            if from_ == "destination":
                read_again(store, source, parts.applied, parts.mapping, wanted, where or "", json=json)
                return
            if not parts.mapping.sends:
                raise ConfigurationError(
                    f"{mapping} sends nothing: its direction is to_postgres",
                    hint=f"`syncbridge resync {mapping} --from destination` reads all records again.",
                )
            asked = _enqueue(parts, wanted, force=force) if keys else _run(parts, where or "", force=force, quiet=json)
            if json:
                print_json(asdict(asked))
            else:
                _tell(parts, asked, force=force)


def _enqueue(parts: Parts, keys: Sequence[str], *, force: bool) -> Asked:
    """These keys, at once and before everything else: a person waits for them."""
    unique = sorted(set(keys))
    present = set(unique)
    with suppress(SyncbridgeError):  # a row that the filter fails on is found by its delivery
        present = rows.existing(parts.source, parts.mapping.compose_sql, unique)
    with parts.store.transaction():
        enqueued = records.enqueue(
            parts.store,
            parts.source,
            parts.applied.id,
            unique,
            reason=Reason.RESYNC,
            resend=force,
            priority=Priority.LIVE,
        )
        if force:
            kept_rows.forget(parts.store, parts.applied.id, unique)
        kept = kept_rows.among(parts.store, parts.applied.id, unique)
    gone = tuple(key for key in unique if key not in present)
    return Asked(parts.applied.name, enqueued, without_row=gone, kept=tuple(sorted(kept - set(gone))))


def _run(parts: Parts, where: str, *, force: bool, quiet: bool) -> Asked:
    """Ask for a run, or take up the one that is pending, and carry it to its end."""
    total = _count(parts, where)
    run_id = runs.request(parts.store, parts.applied.id, Reason.RESYNC, filter=where, resend=force)
    if total is not None:
        runs.set_total(parts.store, run_id, total)
    with RunProgress(quiet=quiet) as shown:
        try:
            run = _carry(parts, run_id, shown.update, time.sleep)
        except KeyboardInterrupt:
            shown.say(
                f"The resync of {parts.applied.name} stays asked for: a worker, or this command, goes on with it."
            )
            raise
    return Asked(parts.applied.name, run.enqueued, complete=run.status == "done", run=run_id)


def _count(parts: Parts, where: str) -> int | None:
    """How many rows there are to visit, if that is soon told; a wrong `where` is found before anything is asked for."""
    try:
        return rows.count(parts.source, parts.mapping.count_sql(where=where or None), seconds=3.0)
    except SyncbridgeError as error:
        raise _worded(error, where) from error


def _carry(parts: Parts, run_id: int, shown: Callable[[Run], None], pause: Callable[[float], None]) -> Run:
    """Enqueue page after page until the run is over, or until so much waits that delivery has to catch up first."""
    while True:
        run = runs.read(parts.store, run_id)
        shown(run)
        if run.status == "failed":
            raise ConfigurationError(f"the resync failed: {run.error}")
        if run.status != "pending":
            return run
        if outbox.bulk_waiting(parts.store, run.mapping_id, enough=outbox.ENOUGH_WAITING):
            if _hindrance(parts):
                return run  # a worker goes on with it when it can
            pause(PAUSE)
            continue
        try:
            progress = records.step(parts.store, parts.source, run_id, parts.mapping)
        except SyncbridgeError as error:
            if _to_blame(error):
                runs.fail(parts.store, run_id, error.message)
            raise _worded(error, run.filter) from error
        if progress in (records.Progress.BUSY, records.Progress.WAITS):
            pause(PAUSE)


def _to_blame(error: SyncbridgeError) -> bool:
    """Whether the SQL is wrong, rather than the server away."""
    return isinstance(error.__cause__, psycopg.Error) and not isinstance(error.__cause__, psycopg.OperationalError)


def _worded(error: SyncbridgeError, where: str) -> SyncbridgeError:
    """A wrong --where in Postgres's own words (which hold no value of a row); anything else as it is."""
    if not where or not _to_blame(error):
        return error
    cause = error.__cause__
    told = first_line(cause) if isinstance(error, SchemaDrift) and isinstance(cause, psycopg.Error) else error.message
    return ConfigurationError(f"--where: Postgres says: {told}", hint=f"--where was: {where}")


def _hindrance(parts: Parts) -> str:
    """Why nothing of it will be sent for now, and what to do; empty when it will."""
    applied = mappings.read(parts.store, parts.applied.name)
    if not applied.status.delivers:
        return (
            f"{applied.name} is {in_words(applied.status)}: nothing is sent until `syncbridge resume {applied.name}`."
        )
    if not any(worker.alive and "deliver" in worker.roles for worker in workers.read_all(parts.store)):
        return "No worker runs, so nothing is sent yet. Run: syncbridge run"
    return ""


def _tell(parts: Parts, asked: Asked, *, force: bool) -> None:
    terminal = console()
    what = (
        "sends every field of each" if force else "compares each with what was last delivered, and sends what differs"
    )
    lines = [
        f"{asked.mapping}: {asked.enqueued:,} {'key' if asked.enqueued == 1 else 'keys'} enqueued. The worker {what}."
    ]
    if not asked.complete:
        lines.append("That is enough for now: the worker enqueues the others while these are delivered.")
    if asked.without_row:
        keys = ", ".join(asked.without_row)
        lines.append(f"No entity now: {keys}. Where a remote record is linked, the mapping's `deletes` decides.")
    if asked.kept:
        keys = ", ".join(asked.kept)
        lines.append(f"Not sent: {keys}. Somebody deleted its record there, and its row stays; --force makes it anew.")
    lines.append(_hindrance(parts) or f"To wait for it: syncbridge wait {asked.mapping}")
    for line in lines:
        terminal.print(line, soft_wrap=True, markup=False)
