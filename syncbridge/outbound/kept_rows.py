"""Rows whose remote record somebody deleted, and that stayed by the mapping's rule: nothing of them is sent.

A change of the row, of a related one, a resync or a requeue does not bring the record back: somebody deleted it on
purpose. Only a person does, with `resync --key KEY --force`.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection

from syncbridge.model import Operation
from syncbridge.outbound.plan import Planned
from syncbridge.store import kept_rows


def leave(store: Connection, mapping_id: int, planned: Sequence[Planned]) -> None:
    """Let nothing be sent of those of these entities that are kept; they neither wait nor are refused."""
    unlinked = [p for p in planned if p.claimed.base is None and not _is_gone(p)]
    kept = kept_rows.among(store, mapping_id, [p.key for p in unlinked])
    for p in unlinked:
        if p.key in kept:
            p.operation, p.fields, p.base, p.kept = Operation.NOTHING, {}, {}, True
            p.refusal, p.missing = None, ()


def forget_gone(store: Connection, mapping_id: int, planned: Sequence[Planned]) -> None:
    """Rows that are deleted, or are no entities any more, are kept no longer: what comes under their key is new."""
    kept_rows.forget(store, mapping_id, [p.key for p in planned if p.claimed.base is None and _is_gone(p)])


def _is_gone(planned: Planned) -> bool:
    """Whether there is no such entity; of one without a link, which is all that is asked about here."""
    composed = planned.operation is not Operation.NOTHING or planned.refusal is not None or planned.missing
    return planned.vanished or not (composed or planned.kept)
