"""Entities that wait to go out, or went out without a field, until this mapping links the record of their parent.

A link that is made on the way in lets them go on as one that a delivery makes. Who starts to wait at that moment is not
missed: both look under the lock of the parent's mapping.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncbridge.inbound.way import WayBack
from syncbridge.store import awaited, outbox


def begin(way: WayBack) -> None:
    """Take the lock, before any row is locked; in the transaction that makes links."""
    if way.kin.children:
        awaited.lock(way.store, shared={way.kin.locks[way.mapping_id]})


def release(way: WayBack, linked: Iterable[str]) -> None:
    """Let those go on that wait for these entities, which got their links; after `begin`."""
    if way.kin.children and (keys := set(linked)):
        for child in awaited.mark_ready(way.store, way.mapping_id, keys):
            outbox.wake(way.store, child)
