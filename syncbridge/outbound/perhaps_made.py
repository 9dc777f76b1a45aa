"""New records of two-way mappings that we perhaps made before: an answer was lost, or a worker died.

To send one of them again would write over what somebody has changed in it meanwhile. So it is looked up by its key; one
that is there is the poller's, which knows what of it is ours, links it, and decides about the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Operation
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.vanished import look_up
from syncbridge.store import rechecks


def leave_to_poller(
    store: Connection,
    mapping_id: int,
    mapping: CompiledMapping,
    destination: Destination,
    converter: Converter,
    sending: Sequence[Planned],
) -> list[Planned]:
    """Those of `sending` that still need a call. One look-up for all, where there are any; none for others."""
    unknown = [p for p in sending if p.operation is Operation.CREATE and p.claimed.resend]
    keys = [p.key for p in unknown if converter.external_value(p.key) == p.key]  # as polls find their rows
    found = look_up(mapping, destination, converter, keys) if keys else {}
    for p in unknown:
        if p.key in found:
            p.operation, p.fields, p.base, p.undecided = Operation.NOTHING, {}, {}, ("the record",)
    if found:
        rechecks.add(store, mapping_id, found.values())
    return [p for p in sending if p.operation is not Operation.NOTHING]
