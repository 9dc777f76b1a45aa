"""`syncbridge conflicts`: the list of what is held until a person decides, and which existing record an entity is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import click
from psycopg import Connection

from syncbridge.answers import held as held_changes
from syncbridge.answers import held_records
from syncbridge.answers.candidates import Candidate, look_up
from syncbridge.answers.held import HeldRemote
from syncbridge.answers.held_records import HeldNew
from syncbridge.cli.conflict_resolve import resolve
from syncbridge.cli.conflict_show import described, show
from syncbridge.cli.conflict_take import retry, take
from syncbridge.cli.report import as_json, console, find_mapping, moment_text, open_project, print_json, table
from syncbridge.project import Project
from syncbridge.store import conflicts as held
from syncbridge.store import decisions, record_decisions
from syncbridge.store.conflicts import FIRST_CONTACT, Conflict
from syncbridge.store.held_changes import WHOLE


class _Conflicts(click.Group):
    """`conflicts [MAPPING]` lists; the name of a command after it runs that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Conflicts, short_help="List what is held, and decide about it.")
def conflicts() -> None:
    """List what is held until a person decides, and decide.

    Held are entities that could be one of several existing records (decide with `resolve`), changes of records that are
    not in their row: both sides changed the same field, one side was deleted, or Postgres refuses them (`show`, `take`,
    `retry`), and new records that are no row: Postgres refuses them, or they could be several rows (`show`, `retry`,
    `resolve`).

    `syncbridge conflicts` lists them all, `syncbridge conflicts MAPPING` those of one mapping (options: see `syncbridge
    conflicts list --help`).
    """


conflicts.add_command(show)
conflicts.add_command(resolve)
conflicts.add_command(take)
conflicts.add_command(retry)


@conflicts.command("list", short_help="List them (the default).")
@click.argument("mapping", required=False)
@click.option("--details", is_flag=True, help="Ask the destination what the candidates hold now.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many of each, the oldest."
)
@click.option("--ignored", is_flag=True, help="Also new records that a person ignores.")
@as_json
@click.pass_context
def listing(context: click.Context, mapping: str | None, details: bool, limit: int, ignored: bool, json: bool) -> None:
    """List what is held, the oldest first: entities with the remote ids of the records that they could be, remote
    changes that are not in their row, and new records that are no row.

    With --details the destination is asked what the candidates hold in the mapping's fields, and for the key that one
    may carry by now. Values of fields that the mapping calls sensitive are shown as ***. Exit code 0.
    """
    with open_project(context) as project, project.store("conflicts") as store:
        if mapping is not None:
            find_mapping(store, mapping)
        found = held.held(store, mapping=mapping, limit=limit)
        count = held.count(store, mapping=mapping)
        candidates = _candidates(project, store, found) if details else {}
        changes = held_changes.listed(store, mapping=mapping, limit=limit)
        changed = decisions.count(store, mapping=mapping)
        records = held_records.listed(store, mapping=mapping, ignored=ignored, limit=limit)
        recorded = record_decisions.count(store, mapping=mapping, ignored=ignored)
    if json:
        entities = [_plain(each, candidates) if details else asdict(each) for each in found]
        print_json(
            [*({"kind": FIRST_CONTACT, **each} for each in entities), *map(asdict, changes), *map(asdict, records)]
        )
        return
    if not found and not changes and not records:
        console().print("nothing is held.")
    if changes:
        _show_changes(changes, changed)
    if records:
        _show_records(records, recorded)
    if found:
        _show(found, count, candidates)


_Candidates = Mapping[tuple[str, str], Sequence[Candidate]]


def _candidates(project: Project, store: Connection, found: Sequence[Conflict]) -> _Candidates:
    """The records in question as they are now, by mapping and key; one call for each mapping."""
    told: dict[tuple[str, str], Sequence[Candidate]] = {}
    for name in dict.fromkeys(each.mapping for each in found):
        applied = find_mapping(store, name)
        ids = list(dict.fromkeys(id for each in found if each.mapping == name for id in each.candidates))
        records = dict(zip(ids, look_up(project.destination(applied.destination), applied, ids), strict=True))
        told |= {(name, each.key): [records[id] for id in each.candidates] for each in found if each.mapping == name}
    return told


def _plain(conflict: Conflict, candidates: _Candidates) -> dict[str, object]:
    return {**asdict(conflict), "candidates": [asdict(each) for each in candidates[conflict.mapping, conflict.key]]}


def _show_changes(found: Sequence[HeldRemote], count: int) -> None:
    terminal = console()
    rows = [(each.mapping, each.key, moment_text(each.since), each.kind, each.said, _decided(each)) for each in found]
    terminal.print(table("", ("mapping", "key", "since", "kind", "why", "decided"), rows), "")
    if count > len(found):
        terminal.print(f"{len(found):,} of {count:,} are shown.")
    terminal.print("To look and decide: syncbridge conflicts show MAPPING KEY", markup=False)


def _show_records(found: Sequence[HeldNew], count: int) -> None:
    terminal = console()
    rows = [(each.mapping, each.remote_id, moment_text(each.since), each.said, each.decided) for each in found]
    terminal.print(table("", ("mapping", "new record", "since", "why", "decided"), rows), "")
    if count > len(found):
        terminal.print(f"{len(found):,} of {count:,} are shown.")
    terminal.print("To look and decide: syncbridge conflicts show MAPPING REMOTE_ID", markup=False)


def _decided(held: HeldRemote) -> str:
    """`local`, or `FirstName local, Email remote`"""
    if not held.decision:
        return ""
    sides = set(held.decision.values())
    if WHOLE in held.decision or (len(sides) == 1 and len(held.decision) == len(held.fields)):
        return sides.pop()
    return ", ".join(f"{name} {side}" for name, side in held.decision.items())


def _show(found: Sequence[Conflict], count: int, candidates: _Candidates) -> None:
    terminal = console()
    rows = [(c.mapping, c.key, moment_text(c.since), c.detail, ", ".join(c.candidates)) for c in found]
    terminal.print(table("", ("mapping", "key", "since", "why", "candidates"), rows), "")
    for each in found if candidates else ():
        terminal.print(f"{each.mapping} {each.key}", style="bold", markup=False)
        for candidate in candidates[each.mapping, each.key]:
            terminal.print(f"  {candidate.remote_id}: {described(candidate)}", soft_wrap=True, markup=False)
    if count > len(found):
        terminal.print(f"{len(found):,} of {count:,} are shown.")
    terminal.print("To decide: syncbridge conflicts resolve MAPPING KEY --link REMOTE_ID, or --create", markup=False)
