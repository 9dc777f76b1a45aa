"""The guard against mass changes and deletes: it stops a mapping and asks, before the first call over the limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import Connection

from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Lsn, MappingStatus, Reason
from syncbridge.outbound.plan import Planned
from syncbridge.store import guard_counts, mappings

log = logging.getLogger("syncbridge.deliver")

#: A person asked for these, so they are not counted as changes. Deletes that they find are. A record that is sent again
#: because the record it looks up is there now was counted, or asked for, when it was sent without.
_ASKED_FOR = (Reason.FIRST_SYNC, Reason.RESYNC, Reason.PARENT)

#: So many records must have been tried before a share of refusals says something.
_FEW = 20

#: What one batch counts towards the guard: kind -> keys.
Reservation = dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Guard:
    """The guard of one mapping. Its counts are in the store, so all lanes of all processes share them."""

    mapping_id: int
    mapping: CompiledMapping
    store: Connection

    def reserve(self, sending: Sequence[Planned]) -> Reservation | None:
        """Count what is about to be sent; None when it would pass a limit: then the mapping is stopped.

        A record that is marked instead of deleted counts as a delete.
        """
        limits = {"deletes": self.mapping.guard.deletes, "changes": self.mapping.guard.changes}
        reserved: Reservation = {}
        for kind, keys in self._counted(sending).items():
            limit = limits[kind]
            if limit is None or not keys:
                continue
            used = guard_counts.reserve(
                self.store, self.mapping_id, kind, len(keys), limit=limit.count, seconds=limit.seconds
            )
            if used is not None:
                self.release(reserved, lambda key: False)
                self._stop(f"the next {len(keys):,} {kind} would go over the guard of {limit} ({used:,} done)")
                return None
            reserved[kind] = keys
        return reserved

    def release(self, reserved: Reservation, went_out: Callable[[str], bool]) -> None:
        """Take back what did not go out after all: it is counted when it does."""
        for kind, keys in reserved.items():
            unsent = sum(1 for key in keys if not went_out(key))
            if unsent:
                guard_counts.release(self.store, self.mapping_id, kind, unsent)

    def withdraw(self, counts: Mapping[str, int]) -> None:
        """Take back so many of each kind, of what was to go by a bulk job and did not."""
        for kind, count in counts.items():
            guard_counts.release(self.store, self.mapping_id, kind, count)

    def counted(self, sending: Sequence[Planned]) -> dict[str, int]:
        """How many of each kind these records count as."""
        limits = {"deletes": self.mapping.guard.deletes, "changes": self.mapping.guard.changes}
        counts = {kind: len(keys) for kind, keys in self._counted(sending).items() if limits[kind] is not None}
        return {kind: count for kind, count in counts.items() if count}

    def judge(self, delivered: int, refused: int) -> None:
        """Count what became of a batch; stop the mapping when too large a share of its records is refused."""
        limit = self.mapping.guard.refused
        if limit is None or not delivered + refused:
            return
        tried, failed = guard_counts.add_refused(
            self.store, self.mapping_id, attempted=delivered + refused, refused=refused, seconds=limit.seconds
        )
        if refused and tried >= _FEW and failed * 100 > limit.percent * tried:
            name = self.mapping.name
            hint = f"Look at `syncbridge dead {name}`, mend the cause, then `syncbridge resume {name}` counts anew."
            self._set_stopped(f"{failed:,} of {tried:,} records were refused, more than the guard of {limit}", hint)

    def _counted(self, sending: Sequence[Planned]) -> Reservation:
        deletes = [p for p in sending if p.vanished]
        keys_alone = {p.key for p in sending if p.keyless and not p.fields}  # written back to new records
        changes = [p for p in sending if not p.vanished and p.claimed.reason not in _ASKED_FOR]
        changes = [p for p in changes if p.key not in keys_alone]
        if self.mapping.guard.changes is None:
            changes = []
        approved = mappings.approved_until(self.store, self.mapping_id) if deletes or changes else None
        if approved is not None:  # a person let these pass
            deletes = [p for p in deletes if Lsn.parse(p.claimed.lsn) > approved]
            changes = [p for p in changes if Lsn.parse(p.claimed.lsn) > approved]
        return {"deletes": frozenset(p.key for p in deletes), "changes": frozenset(p.key for p in changes)}

    def _stop(self, reason: str) -> None:
        hint = (
            f"`syncbridge plan --records {self.mapping.name}` shows what would be sent. If it is meant:"
            f" `syncbridge resume {self.mapping.name}` lets through all that waits now."
        )
        self._set_stopped(reason, hint)

    def _set_stopped(self, reason: str, hint: str) -> None:
        mappings.set_status(
            self.store,
            self.mapping_id,
            MappingStatus.GUARD,
            reason=reason,
            hint=hint,
            only_from=(MappingStatus.ACTIVE,),
        )
        log.warning("mapping %s stopped by its guard: %s", self.mapping.name, reason)
