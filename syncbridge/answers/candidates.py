"""Candidates of a held entity, for who decides: what these records hold now, and whether the entity may be one of them.

Values of fields that a mapping calls sensitive never leave this module: they are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from syncbridge.model import Fields
from syncbridge.outbound.masking import masked
from syncbridge.store import conflicts, links
from syncbridge.store.mappings import AppliedMapping


@dataclass(frozen=True, slots=True)
class Candidate:
    """An existing record: its fields of `match_on` and what else the mapping writes and it holds, None when it is gone;
    and the key that it carries already."""

    remote_id: str
    fields: Fields | None
    owner: str | None = None


def look_up(destination: Destination, applied: AppliedMapping, remote_ids: Sequence[str]) -> list[Candidate]:
    """Ask the destination what these records hold now, in order; one call."""
    definition = applied.definition
    matched = list(definition.get("match_on") or ())
    external = definition["external_id"]
    # what agrees is the same in all of them: it takes the other fields to tell one from another
    others = [name for name in definition["fields"] if name.lower() not in {each.lower() for each in matched}]
    names = [*matched, *others]
    records = destination.read(applied.object, remote_ids, [*names, external], lane=applied.name)
    found = []
    for remote_id, record in zip(remote_ids, records, strict=True):
        if record is None:
            found.append(Candidate(remote_id, None))
            continue
        held = {name: record.fields.get(name) for name in names}
        shown = {name: value for name, value in held.items() if name in matched or value is not None}
        key = record.fields.get(external)
        found.append(
            Candidate(record.remote_id, masked(shown, applied.sensitive), None if key in (None, "") else str(key))
        )
    return found


def choose(store: Connection, destination: Destination, applied: AppliedMapping, key: str, remote_id: str) -> str:
    """The id of the record that an entity shall be, as the destination spells it; RecordRejected when it cannot be."""
    (candidate,) = look_up(destination, applied, [remote_id])
    if candidate.fields is None:
        raise _refused(f"there is no {applied.object} {remote_id}, or the login may not see it")
    remote_id = candidate.remote_id
    holder = links.holders(store, applied.id, [remote_id]).get(remote_id)
    if holder is not None:
        raise _refused(f"{remote_id} is linked to {holder} already")
    if candidate.owner not in (None, key):
        raise _refused(f"{remote_id} carries the key {candidate.owner} of another entity")
    if conflicts.wanted_by_others(store, applied.id, [remote_id], besides=[key]).get(remote_id):
        raise _refused(f"{remote_id} was chosen for another entity just now")
    return remote_id


def _refused(message: str) -> RecordRejected:
    return RecordRejected(f"{message}; nothing was decided", code="NOT_FREE")
