"""How many there are on each side, for those who ask: entities, and records that carry a key.

A destination is asked at most every ten minutes for each mapping, by one call, and never unless somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from syncbridge.errors import SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.project import Project
from syncbridge.source import rows
from syncbridge.store import remote_counts
from syncbridge.store.remote_counts import RemoteCount

#: Seconds for which a remote count is good.
GOOD_FOR = 600.0
#: Seconds that counting rows may take.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class SideCounts:
    """Of one mapping; None where it could not be counted, and `why`."""

    mapping: str
    entities: int | None
    records: int | None
    records_at: datetime | None = None
    why: str = ""


def count(project: Project, names: Sequence[str]) -> list[SideCounts]:
    """Count both sides of these mappings."""
    with (
        project.store("status") as store,
        project.source_admin("status") as catalog,
        project.source("status") as source,
    ):
        compiled, broken = project.in_force(store, catalog, names=names)
        counted = [_count(project, store, source, applied.id, mapping) for applied, mapping in compiled]
    return [*counted, *(SideCounts(applied.name, None, None, why=error.message) for applied, error in broken)]


def _count(
    project: Project, store: Connection, source: Connection, mapping_id: int, mapping: CompiledMapping
) -> SideCounts:
    entities: int | None = None
    try:
        entities = rows.count(source, mapping.count_sql(filtered=True), seconds=PATIENCE)
        remote = _remote(project, store, mapping_id, mapping)
    except SyncbridgeError as error:
        return SideCounts(mapping.name, entities, None, why=error.message)
    why = f"counting rows takes longer than {PATIENCE:.0f} s" if entities is None else ""
    return SideCounts(mapping.name, entities, remote.records, remote.at, why)


def _remote(project: Project, store: Connection, mapping_id: int, mapping: CompiledMapping) -> RemoteCount:
    known = remote_counts.read(store, mapping_id, seconds=GOOD_FOR)
    if known is not None:
        return known
    destination = project.destination(mapping.destination)
    counted = destination.count(mapping.object, mapping.external_id, lane=mapping.name)
    return remote_counts.write(store, mapping_id, counted)
