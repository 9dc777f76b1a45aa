"""Entities that wait to go out, or went out without a field, until this mapping links the record of their parent.

A link that is made on the way in lets them go on as one that a delivery makes. Who starts to wait at that moment is not
missed: both look under the lock of the parent's mapping.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import Connection

from syncbridge.mapping.kinship import Kin
from syncbridge.store import awaited, outbox


def begin(store: Connection, mapping_id: int, kin: Kin) -> None:
    """Take the lock, before any row is locked; in the transaction that makes links."""
    if kin.children:
        awaited.lock(store, shared={kin.locks[mapping_id]})


def release(store: Connection, mapping_id: int, kin: Kin, linked: Iterable[str]) -> None:
    """Let those go on that wait for these entities, which got their links; after `begin`."""
    if kin.children and (keys := set(linked)):
        for child in awaited.mark_ready(store, mapping_id, keys):
            outbox.wake(store, child)
