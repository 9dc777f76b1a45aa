"""New remote records that are no row, for who decides: what they hold, why they are held, what can be done, and how.

Values of fields that a mapping calls sensitive never leave this module: they are masked.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from syncbridge.outbound.masking import masked
from syncbridge.store import held_records, links, mappings, record_decisions
from syncbridge.store.held_records import IGNORE, LINK, HeldRecord
from syncbridge.store.mappings import AppliedMapping

#: The kind of what is held here.
RECORD = "record"
#: Codes of records of which it is not known which row they are: trying again alone does not help.
_DOUBTFUL = ("SEVERAL_MATCHES", "KEY_DOES_NOT_FIT", held_records.ROW_NOT_FREE)


@dataclass(frozen=True, slots=True)
class HeldNew:
    """One of them. `fields` are as they were when it was held; `commands` decide, `effects` say what each does."""

    kind: str
    mapping: str
    remote_id: str
    since: datetime | None
    modified: datetime  # by the destination's clock
    code: str
    message: str
    fields: Mapping[str, Any]
    candidates: tuple[str, ...]  # keys of the rows that it could be
    decision: str | None  # link, create, ignore or retry; None while nobody decided
    decided_key: str | None  # of link
    decided_at: datetime | None
    commands: tuple[str, ...]
    effects: tuple[str, ...]

    @property
    def said(self) -> str:
        """Why it is held: `23502: null value in column ... violates not-null constraint`"""
        return f"{self.code}: {self.message}"

    @property
    def decided(self) -> str:
        """What was decided and is not carried out yet: `link 42`; '' while nobody decided."""
        return f"{LINK} {self.decided_key}" if self.decision == LINK else self.decision or ""


def view(applied: AppliedMapping, record: HeldRecord) -> HeldNew:
    """A held record as it may be shown."""
    choices = list(_choices(applied.name, record))
    ignored = record.decision == IGNORE
    decision = record.decision or "retry"
    return HeldNew(
        kind=RECORD,
        mapping=applied.name,
        remote_id=record.remote_id,
        since=record.since,
        modified=record.modified,
        code=record.code,
        message=record.message,
        fields=masked(record.fields, applied.sensitive),
        candidates=record.candidates,
        decision=decision if record.decided_at is not None or ignored else None,
        decided_key=record.decided_key,
        decided_at=record.decided_at,
        commands=tuple(command for command, _ in choices),
        effects=tuple(effect for _, effect in choices),
    )


def listed(store: Connection, *, mapping: str | None, ignored: bool, limit: int) -> list[HeldNew]:
    """What is held, the oldest first; those that a person ignores only when asked for."""
    applied = mappings.read_all(store)
    found = record_decisions.listed(store, mapping=mapping, ignored=ignored, limit=limit)
    return [view(applied[each.mapping], each.record) for each in found]


def read(store: Connection, applied: AppliedMapping, remote_id: str) -> HeldNew | None:
    """What is held of one record; None when nothing is, or when it has its row."""
    record = held_records.read(store, applied.id, [remote_id]).get(remote_id)
    if record is None or links.holders(store, applied.id, [remote_id]):
        return None
    return view(applied, record)


def _choices(name: str, record: HeldRecord) -> list[tuple[str, str]]:
    """Commands, the likeliest first, and what each does."""
    what = f"{name} {shlex.quote(record.remote_id)}"
    retry = (f"syncbridge conflicts retry {what}", "it is tried again, once the reason is mended")
    if record.decision == IGNORE:
        return [(retry[0], "it is not ignored any more, and tried again")]
    keys = record.candidates or ("KEY",)
    link = [
        (
            f"syncbridge conflicts resolve {what} --link {key if key == 'KEY' else shlex.quote(key)}",
            f"it is the row {key}",
        )
        for key in keys[:10]
    ]
    create = (f"syncbridge conflicts resolve {what} --create", "it becomes a new row")
    ignore = (f"syncbridge conflicts resolve {what} --ignore", "it becomes no row, whatever changes in it")
    return [*link, create, ignore] if record.code in _DOUBTFUL else [retry, *link, ignore]
