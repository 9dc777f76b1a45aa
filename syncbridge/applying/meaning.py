"""What putting files in force means, in numbers and words: what `syncbridge plan` shows. Nothing here writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from syncbridge.applying import planning
from syncbridge.applying.directions import means_of_direction
from syncbridge.applying.planning import Change, Decisions, Kind, Outlook
from syncbridge.errors import SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.spec import FieldSpec
from syncbridge.project import Project
from syncbridge.source import rows
from syncbridge.store import held_changes, links

#: Seconds that counting the rows of one mapping may take; then the planner's estimate has to do.
COUNT_SECONDS = 3.0

_NULL = re.compile(r"\(*\s*null\s*\)*(\s*::\s*[\w ]+)?\s*", re.IGNORECASE)
#: What is meant where a part is not written.
_UNSAID = {"direction": "to_destination", "conflict": "newest", "poll.every": "30s", "poll.formulas": "1h"}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One remote field that is filled in another way."""

    field: str
    change: str  # added | removed | changed
    before: str
    after: str
    means: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that `apply` does, in its order."""

    kind: str  # state_schema | publication | slot | run, or mapping_ and a kind of change
    subject: str
    title: str
    means: tuple[str, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    records: int | None = None  # that are composed
    about: bool = False  # the number is the planner's estimate
    calls: int | None = None  # API calls at most


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do, and why it would not."""

    steps: tuple[Step, ...]
    obstacles: tuple[SyncbridgeError, ...]
    rests: tuple[str, ...]  # mappings without a file that a person paused
    changed: frozenset[str]  # names of mappings whose files are to be put in force


def weigh(project: Project, decisions: Decisions) -> Plan:
    """Look at both sides and say what would be done. Raises as `planning.look`."""
    with project.source_admin("plan") as source, project.store("plan", ready=False) as store:
        outlook = planning.look(project, source, store, decisions)
        steps = tuple(_steps(_Weighing(project, source, store, outlook, decisions)))
    resting = [change.name for change in outlook.changed(Kind.RESTS) if change.name not in decisions.remove]
    return Plan(
        steps,
        tuple(planning.obstacles(project, outlook, decisions)),
        tuple(resting),
        frozenset(change.name for change in outlook.changed(Kind.NEW, Kind.CHANGED, Kind.MOVED)),
    )


@dataclass(frozen=True, slots=True)
class _Weighing:
    project: Project
    source: Connection
    store: Connection
    outlook: Outlook
    decisions: Decisions

    def records(self, mapping: CompiledMapping, *, filtered: bool) -> tuple[int, bool]:
        """How many rows, and whether that is an estimate."""
        try:
            counted = rows.count(self.source, mapping.count_sql(filtered=filtered), seconds=COUNT_SECONDS)
        except SyncbridgeError:
            counted = None  # `check` tells what is wrong with the filter
        if counted is not None:
            return counted, False
        return max(0, self.outlook.catalog.tables[mapping.schema, mapping.table].rows), True

    def calls(self, mapping: CompiledMapping, records: int) -> int:
        """API calls that writing so many records takes."""
        return -(-records // self.project.destination(mapping.destination).batch_size)

    def price(self, mapping: CompiledMapping, records: int) -> str:
        """`at most 500 API calls of salesforce, or few for 1 bulk job`"""
        calls, bulk = self.calls(mapping, records), self.project.destination(mapping.destination).bulk
        price = f"at most {calls:,} API call{'' if calls == 1 else 's'} of {mapping.destination}"
        if bulk is None or not bulk.bulk_from or records < bulk.bulk_from:
            return price
        return f"{price}, or few for {_many(-(-records // bulk.most_records), False, 'bulk job')}"


def _steps(weighing: _Weighing) -> Iterator[Step]:
    outlook, project = weighing.outlook, weighing.project
    for name in outlook.schema_files:
        yield Step("state_schema", name, f"state schema: apply {name}")
    before, after = planning.publication_steps(project, outlook)
    for statement in before:
        yield Step("publication", project.settings.source.publication, statement)
    yield from _slot_step(project, outlook)
    for change in outlook.changes:
        yield from _change_steps(weighing, change)
    for statement in after:
        yield Step("publication", project.settings.source.publication, statement)
    started = {change.name for change in outlook.changes if change.compose}
    for run in outlook.asked:
        if run.mapping not in started:
            title = f"mapping {run.mapping}: go on with what was interrupted"
            yield Step("run", run.mapping, title, ("every record is composed and compared",))


def _slot_step(project: Project, outlook: Outlook) -> Iterator[Step]:
    name = project.settings.source.slot
    if outlook.slot_intended or (outlook.checkpoint is None and not outlook.slot_there):
        means = ["changes are captured from then on"]
        if outlook.known:
            means.append("every record of every mapping is composed and compared again")
        yield Step("slot", name, f"slot {name}: create", tuple(means))


def _change_steps(weighing: _Weighing, change: Change) -> Iterator[Step]:
    if change.kind in (Kind.GONE, Kind.RESTS):
        if change.name in weighing.decisions.remove:
            yield _removal(weighing, change)
    elif change.kind is Kind.NEW:
        yield _first_sync(weighing, change, f"mapping {change.name}: new", ())
    elif change.kind is Kind.MOVED:
        title = f"mapping {change.name}: its entities are other records"
        yield _first_sync(weighing, change, title, _moved(weighing, change))
    else:
        yield _changed(weighing, change)


def _removal(weighing: _Weighing, change: Change) -> Step:
    assert change.applied is not None  # it has no file
    linked = links.count(weighing.store, change.applied.id)
    means = (f"its {linked:,} remote records stay as they are", "its links, and what waits, are forgotten")
    return Step("mapping_gone", change.name, f"mapping {change.name}: remove, it has no file", means)


def _first_sync(weighing: _Weighing, change: Change, title: str, means: tuple[str, ...]) -> Step:
    mapping = change.compiled
    assert mapping is not None  # it has a file
    records, about = weighing.records(mapping, filtered=True)
    calls = weighing.calls(mapping, records)
    sent = f"first sync of {_many(records, about, 'record')} from {mapping.schema}.{mapping.table} to {mapping.object}:"
    means += (f"{sent} {weighing.price(mapping, records)}",)
    if mapping.match_on:
        means += (f"existing records are looked for by {', '.join(mapping.match_on)}, with calls of its own",)
    return Step(f"mapping_{change.kind}", change.name, title, means, (), records, about, calls)


def _moved(weighing: _Weighing, change: Change) -> tuple[str, ...]:
    assert change.applied is not None  # it is in force
    linked = links.count(weighing.store, change.applied.id)
    old = f"the {linked:,} {change.applied.object} records that it is linked to"
    fate = f"{old} are deleted" if weighing.decisions.delete_old else f"{old} stay as they are"
    parts: tuple[str, ...] = ()
    if change.before is not None and change.spec is not None:
        parts = tuple(_parts(change.before.definition(), change.spec.definition()))
    children = [
        spec.mapping
        for spec in weighing.outlook.specs
        if spec.mapping != change.name and any(field.lookup == change.name for field in spec.fields.values())
    ]
    again = (f"records of {', '.join(children)} refer to them, and are all composed again",) if children else ()
    return (*parts, fate, "its links, and what waits, are forgotten", *again)


def _changed(weighing: _Weighing, change: Change) -> Step:
    mapping, spec, before = change.compiled, change.spec, change.before
    assert mapping is not None  # it has a file
    assert spec is not None
    fields = tuple(_fields(before.fields, spec.fields)) if before is not None else ()
    means = list(_parts(before.definition(), spec.definition())) if before is not None else []
    if before is not None and change.applied is not None:
        held = len(held_changes.keys(weighing.store, change.applied.id))
        means += means_of_direction(before, spec, held=held)
    title = f"mapping {change.name}: changed"
    if not change.compose:
        return Step("mapping_changed", change.name, title, (*means, "no record is composed again for it"), fields)
    records, about = weighing.records(mapping, filtered=False)
    calls = weighing.calls(mapping, records)
    if before is not None and before.entity.where != spec.entity.where:
        means += _other_rows(weighing, change, mapping)
    means.append(
        f"{_many(records, about, 'record')} will be composed and compared again; only differences are sent:"
        f" {weighing.price(mapping, records)}"
    )
    return Step("mapping_changed", change.name, title, tuple(means), fields, records, about, calls)


def _other_rows(weighing: _Weighing, change: Change, mapping: CompiledMapping) -> list[str]:
    """What another filter means: which records leave, and how."""
    assert change.applied is not None  # it is in force
    passing, about = weighing.records(mapping, filtered=True)
    linked = links.count(weighing.store, change.applied.id)
    told = [f"{_many(linked, False, 'record')} linked now, {_many(passing, about, 'row')} within the new filter"]
    if linked > passing:
        fate = {"delete": "deleted", "ignore": "left alone", "set": "marked as gone"}[mapping.deletes.action]
        gone = _many(linked - passing, False, "remote record")
        told.append(f"at least {gone} will be {fate}; the guard counts deletes")
    return told


# -- words ------------------------------------------------------------------------------------------------------------


def _fields(before: Mapping[str, FieldSpec], after: Mapping[str, FieldSpec]) -> Iterator[FieldChange]:
    for name, source in after.items():
        if name not in before:
            filled = (
                "is sent to new records only" if source.owner == "destination" else "is filled for existing records"
            )
            yield FieldChange(name, "added", "", in_words(source), filled)
        elif before[name] != source:
            old, new = in_words(before[name]), in_words(source)
            yield FieldChange(name, "changed", old, new, _change_means(before[name], source))
    for name, source in before.items():
        if name not in after:
            means = (
                "is no longer sent; its remote values stay as they are (to clear them, map it to {sql: 'null::text'},"
                " apply, wait, and only then take it out)"
            )
            yield FieldChange(name, "removed", in_words(source), "", means)


def _change_means(before: FieldSpec, after: FieldSpec) -> str:
    if after.sql is not None and _NULL.fullmatch(after.sql):
        return "will be cleared remotely, in every record"
    if before.model_dump(exclude={"sensitive"}) == after.model_dump(exclude={"sensitive"}):
        return "nothing is sent; it is masked from now on" if after.sensitive else "it is not masked any more"
    told = []
    if before.default is not None and after.default is None:
        told.append("will be cleared remotely where its source is null")
    cleared = [text for text, value in (after.values or {}).items() if value is None]
    newly = [text for text in cleared if before.values is None or before.values.get(text) is not None]
    if newly:
        told.append(f"will be cleared remotely where its source is {', '.join(newly)}")
    return "; ".join(told) or "records whose value differs are updated"


def in_words(source: FieldSpec) -> str:
    """What fills a field, on one line: `column email, default x`."""
    parts = source.model_dump(exclude_defaults=True)
    first = next((name for name in ("column", "sql", "constant", "lookup") if name in parts), "")
    told = [f"{first} {_plain(parts.pop(first))}"] if first else []
    return ", ".join([*told, *(f"{name} {_plain(value)}" for name, value in parts.items())])


def _parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a definition that differ, but for its fields."""
    old, new = _flat(before), _flat(after)
    for name in dict.fromkeys((*new, *old)):
        was, becomes = old.get(name, _UNSAID.get(name)), new.get(name, _UNSAID.get(name))
        if was != becomes:
            yield f"{name}: {_plain(was)} -> {_plain(becomes)}"


def _flat(definition: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in definition.items():
        if name == "fields":
            continue
        parts = value.items() if isinstance(value, Mapping) else ()
        flat |= {f"{name}.{part}": each for part, each in parts} or {name: value}
    related = flat.pop("entity.related", None) or {}
    return flat | {f"entity.related.{name}": each for name, each in related.items()}


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return value[0] if len(value) == 1 else f"[{', '.join(value)}]"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=list)
    return " ".join(text.split())


def _many(number: int, about: bool, thing: str) -> str:
    return f"{'about ' * about}{number:,} {thing}{'' if number == 1 else 's'}"


def plain(plan: Plan, findings: Sequence[object]) -> dict[str, object]:
    """For programs."""
    obstacles = [{"message": each.message, "hint": each.hint} for each in plan.obstacles]
    return {"steps": plan.steps, "obstacles": obstacles, "rests": plan.rests, "findings": findings}
