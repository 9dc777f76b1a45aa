"""What differs between the files and what is in force, and what stands in the way of putting it in force.

`apply` carries it out, `meaning` says in numbers and words what it comes to. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from psycopg import Connection

from syncbridge.applying import restored
from syncbridge.errors import NeedsOperator, PositionLost, SettingsError, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping, payload_digest
from syncbridge.mapping.files import restore_mapping
from syncbridge.mapping.spec import MappingSpec
from syncbridge.model import MappingStatus
from syncbridge.project import Project, compile_over
from syncbridge.schemas import Catalog, Watch
from syncbridge.source import publication, slot
from syncbridge.source.publication import Publication, PublishedTable
from syncbridge.source.startup import Loss, Verdict
from syncbridge.store import checkpoints, database, mappings, runs
from syncbridge.store.checkpoints import Checkpoint
from syncbridge.store.mappings import AppliedMapping
from syncbridge.store.runs import Run


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a person decided beforehand: nothing of it is ever done unasked."""

    remove: frozenset[str] = frozenset()  # mappings without a file, to be forgotten
    relink: frozenset[str] = frozenset()  # mappings whose records are looked up, or made, anew
    relink_destinations: frozenset[str] = frozenset()  # which are other systems now: all of their mappings
    delete_old: bool = False  # of relinked mappings: delete the records that they were linked to
    recreate_slot: bool = False
    paused: bool = False  # new mappings deliver nothing until they are resumed

    def relinks(self, mapping: str, destination: str) -> bool:
        """Whether the links of a mapping in force are to be forgotten."""
        return mapping in self.relink or destination in self.relink_destinations


class Kind(StrEnum):
    """What happened to a mapping since its files were put in force."""

    NEW = "new"
    CHANGED = "changed"
    MOVED = "moved"  # its entities are other records now: the links no longer fit
    GONE = "gone"  # no file, and it delivers
    RESTS = "rests"  # no file, and a person paused it


@dataclass(frozen=True, slots=True)
class Change:
    """One mapping that is not in force as its file says."""

    name: str
    kind: Kind
    compiled: CompiledMapping | None = None  # by its file
    spec: MappingSpec | None = None  # its file
    applied: AppliedMapping | None = None  # in force
    before: MappingSpec | None = None  # in force; None when this version does not understand it
    compose: bool = False  # every record is composed and compared again


@dataclass(frozen=True, slots=True)
class Outlook:
    """Both sides as they are now."""

    specs: tuple[MappingSpec, ...]
    compiled: tuple[CompiledMapping, ...]  # in the order of the files
    catalog: Catalog
    known: Mapping[str, AppliedMapping]
    changes: tuple[Change, ...]
    schema_files: tuple[str, ...]  # of the state, that are not applied
    published: Publication | None
    wanted: tuple[PublishedTable, ...]  # in the end
    meanwhile: tuple[PublishedTable, ...]  # until the new mappings are in force: what old and new ones watch
    checkpoint: Checkpoint | None
    slot_there: bool
    slot_intended: bool  # its making was interrupted
    verdict: Verdict | None  # of the checkpoint, where the slot is gone or is to be made anew
    asked: tuple[Run, ...] = ()  # runs that an interrupted `apply` left

    def changed(self, *kinds: Kind) -> list[Change]:
        """The changes of these kinds."""
        return [change for change in self.changes if change.kind in kinds]


def look(project: Project, source: Connection, store: Connection, decisions: Decisions) -> Outlook:
    """Read both sides. `source` is a connection of `source_admin`; the state need not be set up.

    Raises MappingError, SettingsError, SchemaDrift or SourceUnusable for files that cannot be put in force.
    """
    specs = project.files()
    for spec in specs:
        project.destination(spec.destination)
    ready = database.exists(store)
    known = mappings.read_all(store) if ready else {}
    before = {name: old for name, applied in known.items() if (old := _restored(applied)) is not None}
    catalog = project.catalog([*specs, *before.values()], source)
    compiled = tuple(compile_over(spec, catalog.tables) for spec in specs)
    changes = tuple(_changes(specs, compiled, known, before, decisions))
    missing = database.missing(store)
    settled = ready and not missing
    name = project.settings.source.slot
    checkpoint = checkpoints.read(store, name) if settled else None
    slot_there = slot.inspect(source, name) is not None
    judged = settled and (decisions.recreate_slot or not slot_there)
    watches = [watch for mapping in compiled for watch in mapping.watches(0)]
    rest = [each.name for each in changes if each.kind is Kind.RESTS and each.name not in decisions.remove]
    wanted = partial(publication.wanted_tables, tables=catalog.tables, server_version=catalog.server_version)
    staying = watches + _watched([before[each] for each in rest if each in before], catalog, wanted)
    return Outlook(
        specs=specs,
        compiled=compiled,
        catalog=catalog,
        known=known,
        changes=changes,
        schema_files=tuple(missing),
        published=publication.inspect(source, project.settings.source.publication),
        wanted=wanted(staying),
        meanwhile=wanted(staying + _watched(before.values(), catalog, wanted)),
        checkpoint=checkpoint,
        slot_there=slot_there,
        slot_intended=settled and checkpoints.intended(store, name),
        verdict=restored.look(project, source, store) if judged else None,
        asked=tuple(runs.asked(store)) if ready else (),
    )


def _restored(applied: AppliedMapping) -> MappingSpec | None:
    with suppress(SyncbridgeError):
        return restore_mapping(applied.definition)
    return None


def _watched(
    specs: Iterable[MappingSpec],
    catalog: Catalog,
    wanted: Callable[[Sequence[Watch]], Sequence[PublishedTable]],
) -> list[Watch]:
    """What mappings in force watch; those that no longer fit, or cannot be published, are left out."""
    watches: list[Watch] = []
    for spec in specs:
        with suppress(SyncbridgeError):
            found = list(compile_over(spec, catalog.tables).watches(0))
            wanted(found)
            watches += found
    return watches


def _changes(
    specs: Sequence[MappingSpec],
    compiled: Sequence[CompiledMapping],
    known: Mapping[str, AppliedMapping],
    restored: Mapping[str, MappingSpec],
    decisions: Decisions,
) -> Iterable[Change]:
    for spec, mapping in zip(specs, compiled, strict=True):
        applied, before = known.get(spec.mapping), restored.get(spec.mapping)
        moved = before is not None and _other_records(before, spec)
        if applied is None:
            yield Change(spec.mapping, Kind.NEW, mapping, spec, compose=True)
        elif moved or decisions.relinks(spec.mapping, applied.destination):
            yield Change(spec.mapping, Kind.MOVED, mapping, spec, applied, before, compose=True)
        elif applied.definition != dict(mapping.definition):
            compose = payload_digest(applied.definition) != mapping.payload_digest
            yield Change(spec.mapping, Kind.CHANGED, mapping, spec, applied, before, compose=compose)
    files = {spec.mapping for spec in specs}
    for name, applied in known.items():
        if name not in files:
            kind = Kind.RESTS if applied.status is MappingStatus.PAUSED else Kind.GONE
            yield Change(name, kind, applied=applied, before=restored.get(name))


def moved_parts(before: MappingSpec, after: MappingSpec) -> list[str]:
    """The parts by which records are found that differ: with another one, the links name the wrong records."""
    parts = {
        "destination": (before.destination, after.destination),
        "object": (before.object.lower(), after.object.lower()),
        "external_id": (before.external_id.lower(), after.external_id.lower()),
        "entity.key": (before.entity.key, after.entity.key),
    }
    return [name for name, (old, new) in parts.items() if old != new]


def _other_records(before: MappingSpec, after: MappingSpec) -> bool:
    return bool(moved_parts(before, after))


def publication_steps(project: Project, outlook: Outlook) -> tuple[list[str], list[str]]:
    """Statements before the mappings are in force, and after it: at no moment is a table left out that is watched."""
    name = project.settings.source.publication
    first = publication.plan(name, outlook.meanwhile, outlook.published)
    if outlook.meanwhile == outlook.wanted:
        return first, []
    now = Publication(name, outlook.meanwhile) if first else outlook.published
    everything = outlook.published is not None and outlook.published.all_tables
    return first, [] if everything else publication.plan(name, outlook.wanted, now)


def obstacles(project: Project, outlook: Outlook, decisions: Decisions) -> list[SyncbridgeError]:
    """Why it may not be put in force as it stands, each with what to do."""
    found = [*_wrong_names(outlook, decisions), *_wrong_lookups(outlook)]
    gone = [change.name for change in outlook.changed(Kind.GONE) if change.name not in decisions.remove]
    if gone:
        found.append(
            SettingsError(
                f"no file for mapping {', '.join(gone)}, which is in force",
                hint=f"Bring the file back, or `syncbridge pause {gone[0]}` it: then it rests. Or forget it, and leave"
                f" its remote records alone: `syncbridge apply --remove {gone[0]}`.",
            )
        )
    for change in outlook.changed(Kind.MOVED):
        decided = change.applied is not None and decisions.relinks(change.name, change.applied.destination)
        if not decided and change.before is not None and change.spec is not None:
            parts = ", ".join(moved_parts(change.before, change.spec))
            found.append(
                SettingsError(
                    f"{change.spec.at()}: {parts} of mapping {change.name} changed, so its links name other records",
                    hint=f"`syncbridge apply --relink {change.name}` forgets the links and begins with a first sync;"
                    " the old records stay, or are deleted with --delete-old. Or give the mapping another name.",
                )
            )
    return [*found, *_slot_obstacles(project, outlook, decisions)]


def _wrong_lookups(outlook: Outlook) -> Iterable[SyncbridgeError]:
    """Lookups that can never find a record: entities would wait for ever."""
    known = {spec.mapping: spec for spec in outlook.specs}
    for spec in outlook.specs:
        for name, field in spec.fields.items():
            if field.lookup is None:
                continue
            parent = known.get(field.lookup)
            if parent is None or parent.destination != spec.destination:
                why = "there is no mapping" if parent is None else "another destination has the mapping"
                yield SettingsError(
                    f"{spec.at('fields', name, 'lookup')}: {why} {field.lookup!r}, which fields.{name} looks up",
                    hint=f"Run: syncbridge check {spec.mapping}",
                )


def _wrong_names(outlook: Outlook, decisions: Decisions) -> Iterable[SyncbridgeError]:
    names = {spec.mapping for spec in outlook.specs}
    for name in sorted(decisions.remove):
        if name in names:
            yield SettingsError(f"--remove {name}: its file is there", hint="Take the file away first.")
        elif name not in outlook.known:
            yield SettingsError(f"--remove {name}: no mapping of this name is in force")
    for name in sorted(decisions.relink - outlook.known.keys()):
        yield SettingsError(f"--relink {name}: no mapping of this name is in force")
    for name in sorted((decisions.relink & outlook.known.keys()) - names):
        yield SettingsError(f"--relink {name}: it has no file", hint=f"To forget it: `--remove {name}`.")
    for name in sorted(decisions.relink_destinations):
        yield from _wrong_destination(name, outlook, decisions)
    if decisions.delete_old and not decisions.relink:
        yield SettingsError("--delete-old goes with --relink")


def _wrong_destination(name: str, outlook: Outlook, decisions: Decisions) -> Iterable[SettingsError]:
    """A destination can only be another system when none of its links stay."""
    if name not in {applied.destination for applied in outlook.known.values()}:
        yield SettingsError(f"--relink-destination {name}: no mapping in force has this destination")
    for change in outlook.changed(Kind.RESTS):
        if change.applied is not None and change.applied.destination == name and change.name not in decisions.remove:
            yield SettingsError(
                f"--relink-destination {name}: mapping {change.name} has no file, and links there",
                hint=f"Bring its file back, or forget it: `--remove {change.name}`.",
            )


def _slot_obstacles(
    project: Project, outlook: Outlook, decisions: Decisions
) -> Iterable[NeedsOperator | SettingsError]:
    if outlook.verdict is not None and outlook.verdict.loss is Loss.RESTORED:
        yield outlook.verdict.error()
        return
    if decisions.recreate_slot or outlook.slot_intended:
        return
    name, known = project.settings.source.slot, outlook.checkpoint
    if known is not None and not outlook.slot_there:
        yield PositionLost(
            f"the replication slot {name!r} is gone, and with it the changes since {known.end_lsn}",
            hint="Run `syncbridge setup --recreate-slot`: it makes the slot anew and compares every record.",
        )
    if known is None and outlook.slot_there:
        yield SettingsError(
            f"there is a replication slot {name!r} that this project knows nothing of",
            hint="Choose another name in [source] slot, or take it over with `syncbridge setup --recreate-slot`.",
        )
