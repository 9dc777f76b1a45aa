"""`syncbridge conflicts take` and `retry`: what a person decides about remote changes that are held."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click
from psycopg import Connection

from syncbridge.answers import held, held_records
from syncbridge.cli.keys import spelled
from syncbridge.cli.report import as_json, console, find_mapping, open_project, print_json
from syncbridge.mapping.names import did_you_mean
from syncbridge.store import decisions, held_changes, record_decisions, workers
from syncbridge.store.decisions import LOCAL, REMOTE, RETRY
from syncbridge.store.held_changes import WHOLE, HeldChange
from syncbridge.store.mappings import AppliedMapping


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided, for people and programs."""

    mapping: str
    key: str | None  # None: all of it
    decided: int
    decision: Mapping[str, str]
    why: str = ""  # nothing was decided


@click.command("take", short_help="Decide that the row or the record has its way.")
@click.argument("side", type=click.Choice([LOCAL, REMOTE]))
@click.argument("mapping")
@click.argument("key", required=False)
@click.option("--field", "names", multiple=True, metavar="NAME", help="Just this field; may be given again.")
@click.option("--seen", type=int, metavar="NUMBER", help="Only what `conflicts show` showed with this number.")
@click.option("--all", "every", is_flag=True, help="All that both sides changed, and all deletes, of the mapping.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.pass_context
def take(
    context: click.Context,
    side: str,
    mapping: str,
    key: str | None,
    names: tuple[str, ...],
    seen: int | None,
    every: bool,
    yes: bool,
    json: bool,
) -> None:
    """Decide about the held change of KEY in MAPPING: with `local` the row has its way, and its value goes to the
    record; with `remote` the record's value is written to the row.

    Where one side was deleted, the side that is named stays as it is, and the other one follows. Of what Postgres
    refuses, `local` gives up the record's value.

    The decision is kept, and the worker that polls carries it out at once, or when it runs again. It holds for the
    values that are held now: when row or record change before it is carried out, it is held again with the new values,
    and the log says so. Exit code 1 when nothing was decided: not held, or not what --seen names.
    """
    if every == (key is not None) or (every and (names or seen is not None)):
        raise click.UsageError("give KEY (with --field and --seen as you like), or --all")
    with open_project(context) as project, project.store("conflicts") as store:
        applied = find_mapping(store, mapping)
        if key is None:
            decided = _take_all(store, applied, side, ask=not yes)
        else:
            decided = _take(store, applied, spelled(applied, key), side, names, seen)
        working = any(worker.alive and "deliver" in worker.roles for worker in workers.read_all(store))
    _tell(context, decided, working=working, json=json)


@click.command("retry", short_help="Try again what Postgres refused.")
@click.argument("mapping")
@click.argument("key", required=False, metavar="[KEY|REMOTE_ID]")
@click.option("--all", "every", is_flag=True, help="All of the mapping, as without KEY.")
@as_json
@click.pass_context
def retry(context: click.Context, mapping: str, key: str | None, every: bool, json: bool) -> None:
    """Write the held change of KEY in MAPPING to its row once more, after what refused it was mended, or look once more
    at the new record REMOTE_ID that is no row; without either all that Postgres refused in MAPPING, and all its new
    records that are no row, but for those that a person ignores.

    The worker that polls does it, by what row and record hold then. What is refused again is held again, and the log
    says so. Exit code 1 when nothing is held that could be tried again.
    """
    if every and key is not None:
        raise click.UsageError("give KEY or --all")
    with open_project(context) as project, project.store("conflicts") as store:
        applied = find_mapping(store, mapping)
        if key is None:
            decided = _retry_all(store, applied)
        elif held_records.read(store, applied, key) is not None:
            count = len(record_decisions.retry(store, applied.id, [key]))
            decided = _Decided(applied.name, key, count, {WHOLE: RETRY})
        else:
            decided = _take(store, applied, spelled(applied, key), RETRY, (), None)
        working = any(worker.alive and "deliver" in worker.roles for worker in workers.read_all(store))
    _tell(context, decided, working=working, json=json)


def _take(
    store: Connection, applied: AppliedMapping, key: str, side: str, names: Sequence[str], seen: int | None
) -> _Decided:
    change = held_changes.read(store, applied.id, [key]).get(key)
    where = f"{applied.name} {key}"
    if change is None:
        return _Decided(applied.name, None, 0, {}, f"{where} is not held")
    if side not in held.choices(change):
        return _Decided(applied.name, key, 0, {}, f"{where} is {change.kind}, which {side} does not decide")
    if seen is not None and seen != change.revision:
        return _Decided(applied.name, key, 0, {}, f"other values of {where} are held by now: look again")
    taken = dict.fromkeys(_fields(change, side, names), side)
    if not decisions.take(store, applied.id, key, change.revision, taken):
        return _Decided(applied.name, key, 0, {}, f"other values of {where} are held since this moment: look again")
    return _Decided(applied.name, key, 1, taken)


def _fields(change: HeldChange, side: str, names: Sequence[str]) -> list[str]:
    """The fields that are decided on, as the state spells them; UsageError for one that is not held."""
    if change.kind == "delete" or side == RETRY or not change.fields:
        if names:
            raise click.UsageError("--field is for what both sides changed: here the whole record is meant")
        return [WHOLE]
    spelling = {name.lower(): name for name in change.fields}
    for name in names:
        if name.lower() not in spelling:
            raise click.UsageError(f"{name!r} is not held{did_you_mean(name, list(change.fields))}")
    return [spelling[name.lower()] for name in names] or list(change.fields)


def _kinds(side: str) -> list[str]:
    return [kind for kind, choices in decisions.CHOICES.items() if side in choices]


def _take_all(store: Connection, applied: AppliedMapping, side: str, *, ask: bool) -> _Decided:
    kinds = [kind for kind in _kinds(side) if kind != "refused"]
    count, until = decisions.undecided(store, applied.id, kinds)
    if not count:
        return _Decided(applied.name, None, 0, {}, f"nothing is held in {applied.name} that both sides changed")
    if ask:
        if not sys.stdin.isatty():
            raise click.UsageError("this decides about all that is held: give --yes")
        loses = "record" if side == LOCAL else "row"
        changes = f"{count:,} held change{'s' * (count != 1)} of {applied.name}"
        click.confirm(f"Decide about {changes}, so that the {loses} loses?", abort=True)
    done = decisions.take_all(store, applied.id, kinds, side, until)
    return _Decided(applied.name, None, done, {WHOLE: side})


def _see(decided: _Decided) -> str:
    if decided.key is None:
        return f"syncbridge conflicts {decided.mapping}"
    return f"syncbridge conflicts show {decided.mapping} {shlex.quote(decided.key)}"


def _retry_all(store: Connection, applied: AppliedMapping) -> _Decided:
    count, until = decisions.undecided(store, applied.id, _kinds(RETRY))
    if count:
        count = decisions.take_all(store, applied.id, _kinds(RETRY), RETRY, until)
    count += len(record_decisions.retry(store, applied.id))
    if not count:
        return _Decided(applied.name, None, 0, {}, f"nothing is held in {applied.name} that Postgres refused")
    return _Decided(applied.name, None, count, {WHOLE: RETRY})


def _tell(context: click.Context, decided: _Decided, *, working: bool, json: bool) -> None:
    if json:
        print_json(decided)
    elif not decided.decided:
        said = f"nothing is decided: {decided.why}"
        console().print(f"{said}. See: {_see(decided)}", soft_wrap=True, markup=False)
    else:
        told = ", ".join(side if name == WHOLE else f"{name} {side}" for name, side in decided.decision.items())
        changes = f"{decided.decided:,} held change{'s' * (decided.decided != 1)}"
        when = "it is carried out in a moment" if working else "it is kept, and carried out when a worker runs"
        console().print(f"{decided.mapping}: {changes} decided: {told}; {when}.", soft_wrap=True, markup=False)
    context.exit(0 if decided.decided else 1)
