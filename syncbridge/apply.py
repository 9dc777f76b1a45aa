"""Put a project in force: state schema, publication, slot, mappings, first syncs. Idempotent, and resumable.

The order matters. A table is published before its slot exists or its first sync reads it, and a first sync waits until
every transaction that ran at that moment has ended; so each change is in the rows that it reads, or in the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg import Connection

from syncbridge.errors import PositionLost, SettingsError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.spec import MappingSpec
from syncbridge.model import MappingStatus, Reason
from syncbridge.project import Project, compile_over
from syncbridge.schemas import Catalog
from syncbridge.source import publication, rows, slot
from syncbridge.store import checkpoints, database, mappings, runs, sync_log
from syncbridge.store.checkpoints import Checkpoint
from syncbridge.store.mappings import AppliedMapping


@dataclass(slots=True)
class Applied:
    """What `apply` did, in words, in order; empty when everything was in force already."""

    steps: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)  # mapping -> the run that was asked for

    def did(self, step: str) -> None:
        self.steps.append(step)


def apply(project: Project, *, recreate_slot: bool = False) -> Applied:
    """Bring everything in line with the settings and mapping files.

    `recreate_slot` drops a slot that is lost or behind, makes it anew and resyncs every mapping: what changed
    in between is found by comparison. Raises MappingError, SettingsError, SourceUnusable or PositionLost.
    """
    specs = project.files()
    for spec in specs:
        project.destination(spec.destination)  # an unknown one is an error before anything is changed
    applied = Applied()
    with project.source_admin("setup") as source, project.store("setup", ready=False) as store:
        catalog = project.catalog(specs, source)
        compiled = [compile_over(spec, catalog.tables) for spec in specs]
        _refuse_gone(store, specs)
        for name in database.setup(store):
            applied.did(f"state schema: applied {name}")
        _keep_partitions(project, store)
        new, changed = _register(store, compiled, applied)
        _publish(project, source, store, compiled, catalog, applied)
        if applied.steps:
            publication.announce(source)  # a worker that captures now watches them from here on
        fresh = _provide_slot(project, source, store, applied, recreate=recreate_slot)
        first = [m for m in compiled if m.name in new]
        again = [m for m in compiled if m.name in changed or (fresh and m.name not in new)]
        _request_runs(store, source, first, again, applied)
    return applied


def _refuse_gone(store: Connection, specs: Sequence[MappingSpec]) -> None:
    ready = store.execute("select to_regclass('syncbridge.mapping') is not null").fetchone()
    if ready is None or not ready[0]:
        return
    gone = sorted(mappings.read_all(store).keys() - {spec.mapping for spec in specs})
    active = [name for name in gone if mappings.read(store, name).status is not MappingStatus.PAUSED]
    if active:
        raise SettingsError(
            f"no file for mapping {', '.join(active)}, which is in force",
            hint="Bring the file back, or `syncbridge pause` it first; a paused mapping without a file rests.",
        )


def _keep_partitions(project: Project, store: Connection) -> None:
    retention = project.settings.store.log_retention_days
    sync_log.keep_partitions(store, today=datetime.now(UTC).date(), retention_days=retention)


def _register(store: Connection, compiled: Sequence[CompiledMapping], applied: Applied) -> tuple[set[str], set[str]]:
    """Record every mapping; names of the new ones, and of those whose records may now differ."""
    known = mappings.read_all(store)
    new: set[str] = set()
    changed: set[str] = set()
    for mapping in compiled:
        before = known.get(mapping.name)
        mappings.apply(
            store,
            name=mapping.name,
            destination=mapping.destination,
            object=mapping.object,
            definition=dict(mapping.definition),
            digest=mapping.digest,
        )
        if before is None:
            new.add(mapping.name)
            applied.did(f"mapping {mapping.name}: new, {mapping.schema}.{mapping.table} -> {mapping.object}")
        elif before.digest != mapping.digest:
            _note_change(before, mapping, changed)
            applied.did(f"mapping {mapping.name}: changed")
    return new, changed


def _note_change(before: AppliedMapping, mapping: CompiledMapping, changed: set[str]) -> None:
    """A change of guard, deletes or masking alone sends nothing again."""
    payload = ("destination", "object", "entity", "external_id", "fields", "require")
    old, new = before.definition, mapping.definition
    if any(old.get(part) != new.get(part) for part in payload):
        changed.add(mapping.name)


def _publish(
    project: Project,
    source: Connection,
    store: Connection,
    compiled: Sequence[CompiledMapping],
    catalog: Catalog,
    applied: Applied,
) -> None:
    ids = {name: mapping.id for name, mapping in mappings.read_all(store).items()}
    watches = [watch for mapping in compiled for watch in mapping.watches(ids[mapping.name])]
    wanted = publication.wanted_tables(watches, catalog.tables, server_version=catalog.server_version)
    name = project.settings.source.publication
    statements = publication.plan(name, wanted, publication.inspect(source, name))
    publication.apply(source, statements)
    for statement in statements:
        applied.did(f"publication: {statement}")


def _provide_slot(project: Project, source: Connection, store: Connection, applied: Applied, *, recreate: bool) -> bool:
    """Make the slot and its checkpoint where there are none; whether it is new."""
    name = project.settings.source.slot
    known, found = checkpoints.read(store, name), slot.inspect(source, name)
    if known is not None and found is not None and not recreate:
        return False
    if known is not None and not recreate:
        raise PositionLost(
            f"the replication slot {name!r} is gone, and with it the changes since {known.end_lsn}",
            hint="Run `syncbridge setup --recreate-slot`: it makes the slot anew and compares every record.",
        )
    if found is not None and (recreate or known is None):
        if not recreate:
            raise SettingsError(
                f"there is a replication slot {name!r} that this project knows nothing of",
                hint="Choose another name in [source] slot, or take it over with `syncbridge setup --recreate-slot`.",
            )
        slot.drop(source, name)
        applied.did(f"slot {name}: dropped")
    made = slot.create(project.settings.source.conninfo(), name)
    system = made.system
    checkpoints.create(store, Checkpoint(name, made.consistent_point, system.system_id, system.timeline))
    applied.did(f"slot {name}: created at {made.consistent_point}")
    return True


def _request_runs(
    store: Connection,
    source: Connection,
    first: Sequence[CompiledMapping],
    again: Sequence[CompiledMapping],
    applied: Applied,
) -> None:
    barrier = rows.next_transaction(source)
    known = mappings.read_all(store)
    for mapping in first:
        run = runs.request(store, known[mapping.name].id, Reason.FIRST_SYNC, barrier=barrier)
        applied.runs[mapping.name] = run
        applied.did(f"mapping {mapping.name}: first sync asked for")
    for mapping in again:
        run = runs.request(store, known[mapping.name].id, Reason.RESYNC, barrier=barrier)
        applied.runs[mapping.name] = run
        applied.did(f"mapping {mapping.name}: every record will be compared again")
