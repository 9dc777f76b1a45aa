"""What has to be done for each claimed entity, by comparing it with its base. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson

from syncbridge.errors import RecordRejected
from syncbridge.model import Fields, Operation, agrees
from syncbridge.outbound.compose import Entities, Missing
from syncbridge.store.claims import Claimed


@dataclass(slots=True)
class Planned:
    """One claimed entity and what to do about it.

    `fields` are those to write, without the external id; `base` is what the link's base will be when they are
    written. `full` says that nothing was left out for being equal; `vanished` that the entity is gone, so that its
    record is deleted, or marked by `fields`.
    """

    claimed: Claimed
    operation: Operation
    fields: Fields
    base: Fields
    full: bool = True
    vanished: bool = False
    keyless: bool = False  # its record does not carry the key: it is written by its remote id, and the key with it
    refusal: RecordRejected | None = None
    matched: str = ""  # how the existing record was found that it is linked to, for the log
    missing: Sequence[Missing] = ()  # records that it waits for, or is sent without
    withheld: bool = False  # the destination's own fields were left out, as its record is there
    postponed: str = ""  # why its delete is not sent yet
    postponed_for: float = 0.0  # seconds
    undecided: tuple[str, ...] = ()  # what was changed there too: nothing is sent until the poller has decided
    rebased: bool = False  # nothing is sent, but both sides agree on more than the base says
    kept: bool = False  # somebody deleted its record, and the row stayed: it does not go out
    astray: bool = False  # the row differs in a field of the destination's own

    @property
    def waits(self) -> bool:
        """It is not sent before a record that it looks up is there."""
        return any(each.held for each in self.missing)

    @property
    def key(self) -> str:
        return self.claimed.key


def plan(
    claimed: Sequence[Claimed],
    entities: Entities,
    *,
    gone: Fields | None,
    owned: Collection[str] = (),
    put_back: Collection[str] = (),
    external: str = "",
) -> list[Planned]:
    """Compare every claimed entity with its base, in order.

    `gone` are the fields to set for an entity that is no more (`deletes: {set: ...}`), None to delete its record.
    `owned` are fields of the destination's own: they go into new records only, and are never compared. Of these,
    `put_back` are those in which a row gets back what the record holds. `external` is the external id field: a base
    that speaks of it is that of a record which does not carry its key.
    """
    records, refused, missing = entities.records, entities.refused, entities.missing
    planned: list[Planned] = []
    for row in claimed:
        record = records.get(row.key)
        if record is not None:
            planned.append(_existing(row, record, owned))
            computed = entities.computed.get(row.key)
            planned[-1].astray = bool(put_back or computed) and _is_astray(row, record, put_back, computed or {})
            planned[-1].missing = missing.get(row.key, ())
        elif row.key in refused:
            planned.append(Planned(row, Operation.NOTHING, {}, {}, refusal=refused[row.key]))
        elif row.key in missing:
            planned.append(Planned(row, Operation.NOTHING, {}, {}, missing=missing[row.key]))
        else:
            planned.append(_vanished(row, gone))
        if row.base is not None and external and f'"{external}"' in row.base:
            _without_key(planned[-1], external)
    return planned


def _without_key(planned: Planned, external: str) -> None:
    """Write by the remote id; the base that follows speaks of the key no longer."""
    base: Fields = orjson.loads(planned.claimed.base or "{}")
    if external not in base:
        return
    planned.keyless = True
    planned.base = {name: value for name, value in planned.base.items() if name != external}
    if planned.vanished:
        if planned.operation is Operation.DELETE and len(base) == 1:
            planned.operation = Operation.NOTHING  # the row that it was promised to is yet to be made
    elif planned.operation is Operation.NOTHING and planned.refusal is None and not planned.missing:
        planned.operation = Operation.UPDATE


def _existing(row: Claimed, record: Fields, owned: Collection[str]) -> Planned:
    compared = {name: value for name, value in record.items() if name not in owned} if owned else record
    if row.base is None:
        return Planned(row, Operation.CREATE, record, compared)
    record = compared
    if row.resend:
        return Planned(row, Operation.UPDATE, record, record, withheld=bool(owned))
    if orjson.dumps(record).decode() == row.base:  # bases are stored as they were dumped: most are equal as text
        return Planned(row, Operation.NOTHING, {}, record)
    base: Fields = orjson.loads(row.base)
    changed = {name: value for name, value in record.items() if not agrees(base, name, value)}
    if not changed:
        return Planned(row, Operation.NOTHING, {}, base)
    return Planned(
        row, Operation.UPDATE, changed, {**base, **record}, full=len(changed) == len(record), withheld=bool(owned)
    )


def _is_astray(row: Claimed, record: Fields, put_back: Collection[str], computed: Fields) -> bool:
    if row.base is None:
        return False
    base: Fields = orjson.loads(row.base)
    owned = any(not agrees(base, name, record[name]) for name in put_back if name in record)
    return owned or any(name in base and base[name] != value for name, value in computed.items())


def _vanished(row: Claimed, gone: Fields | None) -> Planned:
    if row.base is None and not row.resend:
        return Planned(row, Operation.NOTHING, {}, {})
    if gone is None:
        return Planned(row, Operation.DELETE, {}, {}, vanished=True)
    base: Fields = orjson.loads(row.base) if row.base is not None else {}
    changed = gone if row.resend else {name: value for name, value in gone.items() if not agrees(base, name, value)}
    if not changed:
        return Planned(row, Operation.NOTHING, {}, base)
    return Planned(row, Operation.UPDATE, changed, {**base, **gone}, vanished=True)
