"""`syncbridge conflicts resolve`: which record a held entity is, and which row a held new record is."""

from __future__ import annotations

import click
from psycopg import Connection

from syncbridge.answers import held_records
from syncbridge.answers.candidates import choose
from syncbridge.cli.keys import spelled, spelled_by_source
from syncbridge.cli.report import console, find_mapping, open_project
from syncbridge.errors import RecordRejected
from syncbridge.project import Project
from syncbridge.source import row_writes
from syncbridge.store import conflicts, links, record_decisions
from syncbridge.store.held_records import CREATE, IGNORE, LINK
from syncbridge.store.mappings import AppliedMapping


@click.command("resolve", short_help="Decide which record a held entity is, or which row a new record.")
@click.argument("mapping")
@click.argument("which", metavar="KEY|REMOTE_ID")
@click.option("--link", "other", metavar="REMOTE_ID|KEY", help="It is this existing record, or this row.")
@click.option("--create", is_flag=True, help="It is none of them: create a new record, or a new row.")
@click.option("--ignore", is_flag=True, help="Of a new record: it becomes no row, whatever changes in it.")
@click.pass_context
def resolve(context: click.Context, mapping: str, which: str, other: str | None, create: bool, ignore: bool) -> None:
    """Decide which existing record the held entity KEY of MAPPING is, or that it is a new one; and which row the held
    new record REMOTE_ID is, that it becomes a new row, or that it never becomes one.

    A worker carries it out. Entities that were held for the same record are then matched anew. A record that is ignored
    is held no longer and stays as it is; `conflicts retry MAPPING REMOTE_ID` takes that back. Exit code 1 when nothing
    is held of it, or when the record or the row is gone, or belongs to another one.
    """
    if [create, bool(other), ignore].count(True) != 1:
        raise click.UsageError("give --link, --create or --ignore")
    with open_project(context) as project, project.store("conflicts") as store:
        applied = find_mapping(store, mapping)
        if held_records.read(store, applied, which) is not None:
            said = _of_record(project, store, applied, which, other, create=create)
        elif ignore:
            said = None
        else:
            said = _of_entity(project, store, applied, spelled(applied, which), other)
    what = f"{mapping} {which}"
    text = f"{what}: {said}." if said else f"Not held: {what}. See: syncbridge conflicts {mapping}"
    console().print(text, soft_wrap=True, markup=False)
    context.exit(0 if said else 1)


def _of_entity(
    project: Project, store: Connection, applied: AppliedMapping, key: str, remote_id: str | None
) -> str | None:
    """What becomes of it; None when it is not held."""
    if conflicts.read(store, applied.id, key) is None:
        return None
    if remote_id is not None:
        remote_id = choose(store, project.destination(applied.destination), applied, key, remote_id)
    if not conflicts.decide(store, applied.id, key, remote_id):
        return None
    return f"will be linked to {remote_id}" if remote_id else "will get a new record"


def _of_record(
    project: Project, store: Connection, applied: AppliedMapping, remote_id: str, key: str | None, *, create: bool
) -> str | None:
    """What becomes of it; None when it is not held any more. RecordRejected when it cannot be that row."""
    if key is not None:
        key = _free_row(project, store, applied, key)
        decided = record_decisions.decide(store, applied.id, remote_id, LINK, key)
        return f"will be linked to the row {key}" if decided else None
    decided = record_decisions.decide(store, applied.id, remote_id, CREATE if create else IGNORE)
    said = "will become a new row" if create else "is ignored, and becomes no row"
    return said if decided else None


def _free_row(project: Project, store: Connection, applied: AppliedMapping, typed: str) -> str:
    """The key of a row that has no record, as the source spells it."""
    with project.source_admin("conflicts") as catalog, project.source("conflicts") as source:
        _, compiled = project.compiled(store, catalog, applied.name)
        key = spelled_by_source(catalog, compiled, typed)
        there = row_writes.entities(source, compiled.compose_sql, [key])
    if not there:
        raise RecordRejected(f"{applied.name} has no row {key}; nothing was decided", code="NO_ROW")
    owner = links.remote_ids(store, applied.id, [key]).get(key)
    if owner is not None:
        raise RecordRejected(f"the row {key} is linked to {owner} already; nothing was decided", code="NOT_FREE")
    return key
