"""Both sides, record by record, by a way of its own: the judge of what delivery, polls and reconcile say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from syncbridge.model import Fields
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.lookups import Lookups
from syncbridge.project import Project
from syncbridge.source import rows

PAGE = 2000


@dataclass(slots=True)
class Comparison:
    """One mapping's two sides. `refused` entities cannot be stored as they are, so they are not expected there."""

    mapping: str
    object: str
    entities: int = 0
    remote: int = 0
    equal: int = 0
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    different: dict[str, list[str]] = field(default_factory=dict)  # key -> names of fields
    extra: list[str] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """Whether every entity is there, equal, and nothing else is."""
        return not (self.refused or self.missing or self.different or self.extra)


def compare(project: Project, remote_records: dict[str, list[Fields]]) -> list[Comparison]:
    """Compare every mapping with the remote records of its object (by object name)."""
    compared = []
    with project.store("compare") as store, project.source_admin("compare") as admin:
        in_force, broken = project.in_force(store, admin)
    if broken:
        raise broken[0][1]
    for _, mapping in in_force:
        with project.source("compare") as source, project.store("compare") as store:
            lookups = project.lookups(store, mapping)
            composer = Composer(mapping, project.destination(mapping.destination), source)
            remote = {
                str(record[mapping.external_id]): record
                for record in remote_records[mapping.object]
                if record.get(mapping.external_id) is not None
            }
            result = Comparison(mapping.name, mapping.object, remote=len(remote))
            after: str | None = None
            while True:
                query, parameters = mapping.keys_page(after, PAGE, filtered=True)
                keys = rows.keys_page(source, query, parameters)
                _compare_page(result, composer, lookups, keys, remote)
                if len(keys) < PAGE:
                    break
                after = keys[-1]
            result.extra = sorted(remote)
            compared.append(result)
    return compared


def _compare_page(
    result: Comparison, composer: Composer, lookups: Lookups, keys: Iterable[str], remote: dict[str, Fields]
) -> None:
    """Takes what it finds out of `remote`, so that what is left there is extra."""
    entities = composer.compose(list(keys))
    lookups.resolve(entities, composer.converter.lookups)
    waiting = entities.missing.keys() - entities.records.keys()
    result.entities += len(entities.records) + len(entities.refused) + len(waiting)
    for key in (*entities.refused, *waiting):
        result.refused.append(key)
        remote.pop(key, None)
    for key, record in entities.records.items():
        found = remote.pop(str(composer.converter.external_value(key)), None)
        if found is None:
            result.missing.append(key)
            continue
        differing = [name for name, value in record.items() if found.get(name) != value]
        if differing:
            result.different[key] = differing
        else:
            result.equal += 1
