"""What claimed entities are right now: a record in normal form, gone, or refused. One query for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields
from syncbridge.outbound.convert import Converter
from syncbridge.source import rows

Row = Sequence[str | None]


class Missing(NamedTuple):
    """A record that a lookup finds not there yet."""

    parent: str  # the mapping that is looked up
    parent_id: int
    parent_key: str
    held: bool  # the entity waits for it; False: it is sent without the field


@dataclass(slots=True)
class Entities:
    """Composed entities by key; a key in no dict is gone, or no longer passes the mapping's filter.

    As composed, lookups hold the keys of parents; `Lookups.resolve` puts the remote ids there."""

    records: dict[str, Fields] = field(default_factory=dict)
    refused: dict[str, RecordRejected] = field(default_factory=dict)
    missing: dict[str, list[Missing]] = field(default_factory=dict)  # of records, and of entities that wait
    computed: dict[str, Fields] = field(default_factory=dict)  # what rows hold of fields that are never sent, if any


def _rule_refusal(mapping: CompiledMapping, row: Row) -> RecordRejected | None:
    """Why a composed row is not sent, when it breaks a rule of the mapping's `require`."""
    broken = row[mapping.rules] if mapping.rules is not None else None
    if not broken:
        return None
    return RecordRejected(
        f"the mapping requires what does not hold: {broken}",
        code="RULE_NOT_HELD",
        hint="It goes out by itself when its row changes and holds.",
    )


class Composer:
    """Composes one mapping's entities; knows the types of its columns and fields after the first batch."""

    def __init__(self, mapping: CompiledMapping, destination: Destination, connection: Connection) -> None:
        self.mapping = mapping
        self._destination = destination
        self._connection = connection
        self._oids: tuple[int, ...] | None = None
        self._converter: Converter | None = None
        rows.prepare(connection)

    @property
    def converter(self) -> Converter:
        """Valid after the first `compose`."""
        assert self._converter is not None
        return self._converter

    def learn(self) -> Converter:
        """The converter, also before anything was composed. Raises as `compose`."""
        if self._converter is None:
            self.compose([])
        return self.converter

    def forget(self, *, refresh: bool) -> None:
        """Work the fields out anew at the next batch, after the remote schema moved."""
        if refresh:
            self._destination.describe(self.mapping.object, refresh=True)
        self._converter = None

    def compose(self, keys: Sequence[str]) -> Entities:
        """Read and convert. Raises SchemaDrift or RetryLater for what concerns all of them."""
        return self.convert(rows.compose(self._connection, self.mapping.compose_sql, keys))

    def convert(self, found: rows.Rows) -> Entities:
        """What rows that were composed over the same connection come to. Raises as `compose`."""
        if self._converter is None or (found.column_oids and found.column_oids != self._oids):
            self._learn(found.column_oids)
        entities = Entities()
        convert = self.converter
        for key, row in self._passing(found.found, entities):
            try:
                convert.external_value(key)  # a key that the external id cannot hold refuses its own record only
                entities.records[key] = convert(row)
                if computed := convert.computed(row):
                    entities.computed[key] = computed
            except RecordRejected as refusal:
                entities.refused[key] = refusal
        for key, message in found.refused.items():
            entities.refused[key] = RecordRejected(
                message, code="EXPRESSION_FAILED", hint="An `sql` expression or the filter fails on this row."
            )
        return entities

    def _passing(self, found: Mapping[str, Row], entities: Entities) -> Iterable[tuple[str, Row]]:
        """Rows that hold every rule of the mapping; the others are refused, by the rules' names."""
        rules = self.mapping.rules
        if rules is None:
            return found.items()
        for key, row in found.items():
            if refusal := _rule_refusal(self.mapping, row):
                entities.refused[key] = refusal
        return [(key, row) for key, row in found.items() if not row[rules]]

    def _learn(self, oids: tuple[int, ...]) -> None:
        remote = self._destination.describe(self.mapping.object)
        if not oids:  # every row of the batch was refused: the types come with the next one
            oids = self._oids or (25,) * (len(self.mapping.fields) + 1)
        names = rows.type_names(self._connection, oids)
        self._converter = Converter(self.mapping, remote, self._destination, names)
        self._oids = oids
