"""Whether a linked record carries the key of its entity; where it does not, its row goes out to write it there. Pure.

Outbound upserts by the key, so a record that lost it, or never had it, would be made a second time. The base says what
such a record holds in its external id field; one that carries its key says nothing of that field.
"""

from __future__ import annotations

from dataclasses import replace

from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Decision
from syncbridge.model import Fields, Normal, agrees


def key_differs(columns: Columns, base: Fields, fields: Fields, key: str) -> bool:
    """Whether a record's external id field is not as its base says."""
    name = columns.external_id
    if not columns.sends_keys or name not in fields:
        return False
    if columns.carries(fields[name], key):
        return name in base
    return not agrees(base, name, fields[name])


def keyed(decision: Decision, columns: Columns) -> Decision:
    """With a base that says whether the record carries the key; its row is sent where it is to be written."""
    pair, name = decision.pair, columns.external_id
    stays = decision.base is not None and not pair.change.deleted and not decision.held_whole and decision.fate is None
    if not columns.sends_keys or not pair.external or not stays:
        return decision
    value = pair.external[0]
    carries = columns.carries(value, pair.key)
    if carries and name not in (decision.base or {}):
        return decision  # as it is of nearly all
    base: Fields = {field: known for field, known in (decision.base or {}).items() if field != name}
    if carries:
        return replace(decision, base=base)
    known: tuple[Normal, ...] = (pair.base[name],) if pair.base is not None and name in pair.base else ()
    return replace(decision, base={**base, name: value}, send=decision.send or known != (value,))
