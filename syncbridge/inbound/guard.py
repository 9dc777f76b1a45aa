"""The guard against mass deletes on the way back: a page that would delete too many rows is not written, and asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncbridge.errors import NeedsOperator
from syncbridge.inbound.decide import Action, Decision
from syncbridge.inbound.way import WayBack
from syncbridge.store import guard_counts, mappings


class GuardStopped(NeedsOperator):
    """Nothing of the page was written; the mapping waits for a person's word."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The guard of one mapping. Deletes in both directions count towards one limit."""

    way: WayBack

    def count(self, decisions: Sequence[Decision]) -> None:
        """Count the rows that are about to be deleted, or marked, in the transaction that does it.

        Raises GuardStopped when they would pass the limit. What was deleted over there before a person approved it is
        not counted.
        """
        limit = self.way.mapping.guard.deletes
        deletes = [decision for decision in decisions if decision.action is Action.DELETE]
        if limit is None or not deletes or self.way.two_way.deletes.action == "ignore":
            return
        approved = mappings.approved_at(self.way.store, self.way.mapping_id)
        counted = sum(approved is None or d.pair.change.modified > approved for d in deletes)
        if not counted:
            return
        used = guard_counts.reserve(
            self.way.store, self.way.mapping_id, "deletes", counted, limit=limit.count, seconds=limit.seconds
        )
        if used is not None:
            name = self.way.mapping.name
            raise GuardStopped(
                f"{counted:,} records were deleted there, whose rows would be deleted with {used:,} other deletes"
                f" before: more than the guard of {limit}",
                hint=f"If it is meant: `syncbridge resume {name}` lets through all that was deleted until then.",
            )
