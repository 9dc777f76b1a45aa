"""What every step of one mapping's way back works with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.inbound.columns import Columns
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.mapping.two_way import TwoWay
from syncbridge.source import row_writes


@dataclass(frozen=True, slots=True)
class WayBack:
    """A mapping that takes remote changes, and the connections to its state and to its rows.

    `source` is a connection that may write rows; the same as `store` where both are one database.
    """

    mapping_id: int
    mapping: CompiledMapping
    two_way: TwoWay
    columns: Columns
    store: Connection
    source: Connection
    kin: Kin = field(default_factory=Kin)  # what lookups tie the mapping to

    @property
    def in_one_database(self) -> bool:
        """Whether rows and state are committed by one transaction."""
        return self.source is self.store

    def entities(self, keys: Iterable[str]) -> set[str]:
        """Those of these keys that have a row which passes the mapping's filter."""
        wanted = sorted(keys)
        return row_writes.entities(self.source, self.mapping.compose_sql, wanted) if wanted else set()
