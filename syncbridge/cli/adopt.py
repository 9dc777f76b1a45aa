"""`syncbridge adopt`: link rows to the existing records that they name by remote id, before anything is delivered."""

from __future__ import annotations

from collections.abc import Iterator

import click
from psycopg import Connection

from syncbridge.cli.report import as_json, console, find_mapping, open_project, print_json, table
from syncbridge.errors import SettingsError, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.names import did_you_mean
from syncbridge.model import MappingStatus
from syncbridge.outbound.adopt import Adopted, Adoption, Problem
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import mappings

#: Of what was left out, so many are shown; --json has more.
SHOWN = 20

#: What stands in the way of a link, and what happens on resume while nobody mends it.
MEANINGS = {
    Problem.GONE: ("the record is gone, or hidden from the login", "a new record is created"),
    Problem.TWICE: ("several rows name one record", "each gets a new record"),
    Problem.OTHER_KEY: ("the record carries another key", "a new record is created"),
    Problem.OTHER_RECORD: ("the entity is linked to another record", "that one is kept"),
    Problem.TAKEN: ("the record is linked to another entity", "a new record is created"),
    Problem.KEY_ELSEWHERE: ("another record carries the key", "that one is updated"),
    Problem.MALFORMED: ("what the row holds is no remote id", "a new record is created"),
    Problem.REFUSED: ("the key could not be written into the record", "a new record may be created"),
}


@click.command(short_help="Link rows to the existing records that they name by remote id.")
@click.argument("mapping")
@click.option("--remote-id", "column", required=True, metavar="COLUMN", help="The column that holds remote ids: sfid.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing on either side.")
@as_json
@click.pass_context
def adopt(context: click.Context, mapping: str, column: str, dry_run: bool, json: bool) -> int:
    """Take over the records that another product has synced with the rows of MAPPING, which must be paused.

    Each entity is linked to the record that its row names, with what that record holds now as the last agreed values:
    after `syncbridge resume` only true differences are sent, and no record is created a second time. A record that
    does not carry its entity's key yet gets it, and nothing else. What is doubtful is listed, and left as it is.
    Run it again at any time: it goes on, or changes nothing. Exit code 1 when something was left out.
    """
    with open_project(context) as project, project.store("adopt") as store:
        find_mapping(store, mapping)
        with project.source_admin("adopt") as catalog, project.source("adopt") as source:
            applied, compiled = project.compiled(store, catalog, mapping)
            _require_column(catalog, compiled, column)
            without = _without(source, compiled)
            destination = project.destination(compiled.destination)
            adoption = Adoption(applied.id, compiled, destination, store, source, dry_run=dry_run)
            if not json:
                adoption.told = lambda done: console(stderr=True).print(f"{done:,} rows looked at", style="dim")
            done = adoption.adopt(column)
        left = sum(done.problems.values())
        if left and not dry_run:
            reason = f"adopt left {left:,} of {done.rows:,} rows without a link"
            mappings.set_status(store, applied.id, MappingStatus.PAUSED, reason=reason)
    created = None if without is None else max(0, without - done.rows)
    if json:
        print_json({"mapping": mapping, "dry_run": dry_run, **_plain(done), "rows_without_remote_id": created})
    else:
        _show(mapping, done, created, dry_run=dry_run)
    return 1 if left else 0


def _require_column(catalog: Connection, compiled: CompiledMapping, column: str) -> None:
    name = (compiled.schema, compiled.table)
    found = read_catalog(catalog, [name]).tables[name]
    if column not in found.columns:
        meant = did_you_mean(column, found.columns)
        raise SettingsError(f"{found.qualified} has no column {column!r}{meant}", hint="Give --remote-id another.")


def _without(source: Connection, compiled: CompiledMapping) -> int | None:
    """How many entities there are, if that is soon told."""
    try:
        return rows.count(source, compiled.count_sql(filtered=True), seconds=3.0)
    except SyncbridgeError:
        return None


def _plain(done: Adopted) -> dict[str, object]:
    return {
        "rows": done.rows,
        "linked": done.linked,
        "already_linked": done.known,
        "keys_written": done.keys_written,
        "problems": {problem.value: count for problem, count in sorted(done.problems.items())},
        "left_out": [
            {"problem": each.problem.value, "key": each.key, "remote_id": each.remote_id, "detail": each.detail}
            for each in done.unlinked
        ],
    }


def _show(mapping: str, done: Adopted, created: int | None, *, dry_run: bool) -> None:
    terminal = console()
    for line in _lines(mapping, done, created, dry_run=dry_run):
        terminal.print(line, soft_wrap=True, markup=False)
    if done.problems:
        _show_problems(mapping, done)
    elif not dry_run:
        text = f"Next: syncbridge resume {mapping}. Every record is compared, and only differences are sent."
        terminal.print(text, soft_wrap=True, markup=False)


def _lines(mapping: str, done: Adopted, created: int | None, *, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    yield f"{mapping}: {done.rows:,} rows name a remote record"
    yield f"  {done.linked:,} {would}linked" + (f", {done.known:,} were before" if done.known else "")
    if done.keys_written:
        yield f"  {done.keys_written:,} of these records did not carry their key: it {would or 'was '}written"
    if created:
        yield f"  {created:,} rows name none: a new record is created for each on resume"


def _show_problems(mapping: str, done: Adopted) -> None:
    terminal = console()
    terminal.print()
    listed = [
        (count, MEANINGS[problem][0], MEANINGS[problem][1]) for problem, count in sorted(done.problems.items()) if count
    ]
    terminal.print(table("Left as they are", ["rows", "why", "on resume, if nobody mends it"], listed))
    terminal.print()
    some = [(each.key, each.remote_id or None, each.problem, each.detail) for each in done.unlinked[:SHOWN]]
    terminal.print(table("", ["key", "remote id", "problem", "detail"], some))
    if sum(done.problems.values()) > SHOWN:
        terminal.print("... --json lists more.", markup=False)
    text = f"Mend these rows or records, and run this again before `syncbridge resume {mapping}`."
    terminal.print(text, soft_wrap=True, markup=False)
