"""The two sides of one mapping, as reconciliation compares them: entities and records, in normal form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import orjson
from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, Normal
from syncbridge.outbound.compose import Composer, Entities
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.lookups import Lookups
from syncbridge.reconcile.drift import Rules

#: Bytes of a digest: that two different values of a million pairs have the same one is out of the question.
_DIGEST = 12


@dataclass(slots=True)
class Sides:
    """One mapping, its destination and its rows. `source` is prepared by `rows.prepare`; nothing is written."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection
    source: Connection
    lookups: Lookups
    rules: Rules = field(init=False)
    names: tuple[str, ...] = field(init=False)  # of the fields to ask the destination for
    external_field: str = field(init=False)  # that carries the key, as the destination spells it
    _composer: Composer = field(init=False)
    _external: Callable[[str], Normal] = field(init=False)
    _comparable: Callable[[Normal], object] = field(init=False)
    _values: Callable[[Fields], Any] = field(init=False)
    _marked: Fields | None = field(init=False)

    def __post_init__(self) -> None:
        self._composer = Composer(self.mapping, self.destination, self.source)
        converter = self._composer.learn()
        two_way = self.mapping.two_way
        returning = {field.remote.lower() for field in self.mapping.fields if two_way and two_way.returns(field.remote)}
        compared = tuple(n for n in converter.names if n not in converter.owned or n.lower() in returning)
        self.rules = Rules(
            compared,
            self.mapping.deletes.action,
            converter.gone or {},
            keeps_rows=two_way is not None and two_way.deletes.action != "delete",
            sends=two_way is None or two_way.sends,
        )
        self.names = tuple(dict.fromkeys((converter.external_field, *compared, *self.rules.gone)))
        self._values = itemgetter(*compared) if compared else lambda fields: ()
        self._marked = self.rules.gone or None
        self.external_field = converter.external_field
        self._external, self._comparable = converter.external_value, converter.comparable_key

    @property
    def converter(self) -> Converter:
        return self._composer.converter

    @property
    def makes_rows(self) -> bool:
        """Whether new remote records become rows."""
        return self.mapping.two_way is not None and self.mapping.two_way.creates

    @property
    def lane(self) -> str:
        """Whom calls are counted for."""
        return self.mapping.name

    def entities(self, keys: Sequence[str]) -> Entities:
        """These entities as delivery would compose them now. Raises as `Composer.compose`."""
        entities = self._composer.compose(keys)
        self.lookups.resolve(entities, self.converter.lookups)
        return entities

    def digest(self, fields: Fields) -> bytes:
        """Equal for records that hold the same in every compared field, in hexadecimal digits."""
        return blake2b(orjson.dumps(self._values(fields)), digest_size=_DIGEST).hexdigest().encode()

    def is_marked(self, fields: Fields) -> bool:
        """Whether a record holds what is written of an entity that is gone (`deletes: {set: ...}`)."""
        return self._marked is not None and all(fields.get(name) == each for name, each in self._marked.items())

    def spelled(self, value: Normal) -> str:
        """What a record's external id reads as, so that equal keys read the same."""
        return str(self._comparable(value))

    def spelled_key(self, key: str) -> str:
        """The same of an entity's key; like no record's for a key that none could carry."""
        try:
            value = self._external(key)
        except RecordRejected:
            value = None
        return f"\x00{key}" if value is None else str(self._comparable(value))  # no record carries a NUL
