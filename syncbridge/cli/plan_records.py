"""`syncbridge plan --records`: what would be sent, record by record, compared with the remote records as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import click
from psycopg import Connection
from rich.text import Text

from syncbridge.applying.planning import Decisions, Kind, Outlook, look
from syncbridge.cli.keys import spelled_by_source
from syncbridge.cli.report import console, print_json_line
from syncbridge.destinations.base import Destination
from syncbridge.errors import SettingsError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.names import did_you_mean
from syncbridge.preview import Counts, Difference, Fate, Preview, Previewed
from syncbridge.project import Project
from syncbridge.source import rows

#: Rows of a mapping that are compared unless another limit is given.
LIMIT = 2000
#: Records that a terminal shows field by field.
SHOWN = 10

_STYLES = {Fate.CREATE: "green", Fate.UPDATE: "yellow", Fate.DELETE: "red", Fate.REFUSED: "red", Fate.HELD: "magenta"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared."""

    names: Sequence[str]
    keys: Sequence[str]
    limit: int  # rows of each mapping; 0: all
    json: bool


def plan_records(project: Project, asked: Asked) -> int:
    """Print what would be sent; 1 when something would be, or is refused, else 0."""
    with ExitStack() as opened:
        source = opened.enter_context(project.source_admin("plan"))
        store = opened.enter_context(project.store("plan", ready=False))
        reader = opened.enter_context(project.source("plan"))
        outlook = look(project, source, store, Decisions())
        something = False
        for mapping in _chosen(outlook, asked):
            keys = [spelled_by_source(source, mapping, key) for key in asked.keys]
            destination = project.destination(mapping.destination)
            preview = _preview(outlook, mapping, destination, reader, store)
            before = destination.limits().calls
            told = _Told(mapping, asked.json)
            for previewed in preview.of_keys(keys) if keys else preview.of_all(asked.limit or None):
                told.record(previewed)
            total = None if keys else rows.count(reader, mapping.count_sql(), seconds=3.0)
            told.end(preview.counts, total, destination.limits().calls - before)
            something |= preview.counts.fates.total() > preview.counts.fates[Fate.SAME]
    return int(something)


def _preview(
    outlook: Outlook, mapping: CompiledMapping, destination: Destination, reader: Connection, store: Connection
) -> Preview:
    ready = not outlook.schema_files
    if not ready and (mapping.match_on or any(each.lookup for each in mapping.fields)):
        raise SettingsError(
            f"{mapping.name} has `match_on` or lookups, which look into the state, and that is not set up",
            hint="Run `syncbridge setup` first, or name the other mappings.",
        )
    parents = {name: known.id for name, known in outlook.known.items()}
    linked_as = _linked_as(outlook, mapping.name) if ready else None
    return Preview(mapping, destination, reader, store if ready else None, linked_as, parents)


def _chosen(outlook: Outlook, asked: Asked) -> list[CompiledMapping]:
    known = [mapping.name for mapping in outlook.compiled]
    for name in asked.names:
        if name not in known:
            raise SettingsError(f"there is no file of a mapping {name!r}{did_you_mean(name, known)}")
    if asked.keys and len(asked.names) != 1:
        raise click.UsageError("--key needs the name of one mapping")
    for mapping in outlook.compiled:
        if mapping.name in asked.names and not mapping.sends:
            raise SettingsError(f"{mapping.name} sends nothing: its direction is to_postgres")
    return [each for each in outlook.compiled if each.name in asked.names or (not asked.names and each.sends)]


def _linked_as(outlook: Outlook, name: str) -> int | None:
    """The number under which its links are; None when it has none, or they name other records by now."""
    if any(change.name == name for change in outlook.changed(Kind.NEW, Kind.MOVED)):
        return None
    return outlook.known[name].id


@dataclass(slots=True)
class _Told:
    """Prints records as they come, and what they add up to."""

    mapping: CompiledMapping
    json: bool
    _shown: int = 0

    def record(self, previewed: Previewed) -> None:
        if previewed.fate is Fate.SAME:
            return
        if self.json:
            print_json_line({"mapping": self.mapping.name, **_plain(previewed)})
            return
        self._shown += 1
        if self._shown <= SHOWN:
            for line in _lines(self.mapping.name, previewed):
                console().print(line, soft_wrap=True)

    def end(self, counts: Counts, total: int | None, calls: int) -> None:
        fates = {fate.value: counts.fates[fate] for fate in Fate}
        if self.json:
            print_json_line(
                {
                    "mapping": self.mapping.name,
                    "counts": fates,
                    "refused": dict(counts.refused),
                    "rows": counts.rows,
                    "of": total,
                    "complete": counts.complete,
                    "calls": calls,
                }
            )
            return
        terminal = console()
        if self._shown > SHOWN:
            more = f"... and {self._shown - SHOWN:,} more: --json lists all, --key K shows one"
            terminal.print(Text(more, "dim"), soft_wrap=True)
        terminal.print(Text(_sum(self.mapping.name, counts, total, calls), "bold"), soft_wrap=True)


def _plain(previewed: Previewed) -> dict[str, object]:
    return {
        "key": previewed.key,
        "fate": previewed.fate.value,
        "remote_id": previewed.remote_id,
        "fields": previewed.differences,
        "code": previewed.code,
        "message": previewed.message,
    }


def _lines(mapping: str, previewed: Previewed) -> Iterator[Text]:
    style = _STYLES.get(previewed.fate, "")
    remote = f" {previewed.remote_id}" if previewed.remote_id else ""
    why = ": ".join(part for part in (previewed.code, previewed.message) if part)
    yield Text.assemble((previewed.fate.value, style), f" {mapping} {previewed.key}{remote}", f"  {why}".rstrip())
    for each in previewed.differences:
        yield Text(f"    {_difference(previewed.fate, each)}")


def _difference(fate: Fate, each: Difference) -> str:
    if fate is Fate.CREATE:
        return f"{each.field}: {_value(each.after)}"
    why = "held" if each.held else "changed over there"
    left = "" if each.sent else f"   ({why}; not sent)"
    return f"{each.field}: {_value(each.before)} -> {_value(each.after)}{left}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _sum(name: str, counts: Counts, total: int | None, calls: int) -> str:
    codes = ", ".join(f"{code} {number:,}" for code, number in counts.refused.most_common())
    why = {Fate.REFUSED: f" ({codes})"} if codes else {}
    parts = [f"{fate.value} {counts.fates[fate]:,}{why.get(fate, '')}" for fate in Fate if counts.fates[fate]]
    of = f" of {total:,}" if total is not None else ""
    rest = "" if counts.complete or total == counts.rows else "; --limit 0 looks at all"
    number = total if total is not None else counts.rows
    looked = f"{counts.rows:,}{of} row{'s' * (number != 1)} looked at"
    asked = f"with {calls:,} API call{'s' * (calls != 1)} that only read{rest}"
    return f"{name}: {', '.join(parts) or 'no record'}. {looked} {asked}."
