"""The remote records of entities that are gone."""

from __future__ import annotations

from collections.abc import Sequence

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Operation
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.plan import Planned


def find_vanished(
    mapping: CompiledMapping, destination: Destination, converter: Converter, vanished: Sequence[Planned]
) -> tuple[dict[str, str], set[str]]:
    """Remote ids of records to delete or to mark; and the keys of what has none, which needs nothing any more.

    Where an answer was lost the record is looked up: it was perhaps created, or, after a delete whose answer was
    lost too, created anew, so that the link names one that is gone. So is one to be marked: to write to a record
    that somebody deleted would bring it back. One that does not carry its key is known by its remote id alone.
    """
    ids = {p.key: p.claimed.remote_id for p in vanished if p.operation is Operation.DELETE and p.claimed.remote_id}
    unknown = [p for p in vanished if (p.claimed.resend or p.key not in ids) and not p.keyless]
    absent: set[str] = set()
    if unknown:
        ids.update(look_up(mapping, destination, converter, [p.key for p in unknown]))
    for p in unknown:
        if p.key not in ids:
            p.operation = Operation.NOTHING
            absent.add(p.key)
    return ids, absent


def look_up(
    mapping: CompiledMapping, destination: Destination, converter: Converter, keys: Sequence[str]
) -> dict[str, str]:
    """Key -> remote id of the records that carry these keys in their external id field."""
    values = {}
    for key in keys:
        try:
            values[key] = converter.external_value(key)
        except RecordRejected:
            continue  # it can never have been sent
    found = destination.find(mapping.object, converter.external_field, list(values.values()), lane=mapping.name)
    return {key: found[value][0].remote_id for key, value in values.items() if found.get(value)}
