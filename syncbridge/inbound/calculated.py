"""What rows say of fields that none of their own columns holds: by `sql`, a constant, a related table.

Nothing of it can be written, and outbound compares it with the base. Where a base says nothing of such a field, above
all when a row and a record meet for the first time, only the row's value can tell whether both sides agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from syncbridge.mapping.compile import CompiledField, CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.mapping.types.reading import field_reader, unread
from syncbridge.model import Fields, Normaliser, Value
from syncbridge.schemas import RemoteField
from syncbridge.source import rows
from syncbridge.store import links

_Row = Sequence[str | None]
_Parents = Mapping[str, str]  # remote id by key


class _Calculated(NamedTuple):
    """One of these fields."""

    name: str  # as the destination spells it
    field: CompiledField
    normalise: Normaliser


class _Step(NamedTuple):
    """How it is made of a row."""

    calculated: _Calculated
    read: Callable[[str | None], Value]
    parents: _Parents | None


class Calculated:
    """Reads such fields of a mapping in the destination's normal form. `found` are remote fields by mapped name."""

    def __init__(
        self,
        mapping: CompiledMapping,
        returns: Callable[[str], bool],
        found: Mapping[str, RemoteField],
        destination: Destination,
    ) -> None:
        self._sql = mapping.compose_sql
        self._fields = tuple(
            _Calculated(found[each.remote].name, each, destination.normaliser(found[each.remote]))
            for each in mapping.fields
            if each.remote in found and not returns(each.remote)
        )
        self._names = frozenset(each.name for each in self._fields)

    def beyond(
        self, bases: Mapping[str, Fields | None], store: Connection, source: Connection, kin: Kin
    ) -> dict[str, Fields]:
        """What rows say of fields of which their bases say nothing, by key.

        What has no normal form is left out, as is a row whose SQL fails, and a parent without a record. `source` is in
        a transaction. Raises as `rows.compose`.
        """
        asked = {key: missing for key, base in bases.items() if (missing := self._names - (base or {}).keys())}
        if not asked:
            return {}
        composed = rows.compose_within(source, self._sql, sorted(asked))
        types = rows.type_names(source, composed.column_oids) if composed.found else []
        steps = [
            _Step(each, _reader(each.field, types), self._parents(store, kin, each.field, composed.found))
            for each in self._fields
        ]
        return {
            key: _record(row, [s for s in steps if s.calculated.name in asked[key]])
            for key, row in composed.found.items()
        }

    def _parents(self, store: Connection, kin: Kin, field: CompiledField, found: Mapping[str, _Row]) -> _Parents | None:
        """Of a lookup, the remote ids by the keys that these rows look up."""
        if field.lookup is None or field.position is None:
            return None
        keys = {text for row in found.values() if (text := row[field.position]) is not None}
        parent = kin.parents.get(field.lookup)
        return links.remote_ids(store, parent, keys) if parent is not None else {}


def _reader(field: CompiledField, types: Sequence[str]) -> Callable[[str | None], Value]:
    if field.lookup is not None or not types:
        return unread
    return field_reader(field, types[field.position or 0])


def _record(row: _Row, steps: Sequence[_Step]) -> Fields:
    fields: Fields = {}
    for (name, field, normalise), read, parents in steps:
        text = row[field.position] if field.position is not None else None
        if parents is not None and text is not None:
            if text not in parents:
                continue
            text = parents[text]
        with suppress(RecordRejected):
            fields[name] = normalise(read(text))
    return fields
