"""What a reconciliation came to: counts, few examples, and whether both sides agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import sqrt
from typing import Any

from syncbridge.model import Normal
from syncbridge.outbound.masking import covered
from syncbridge.reconcile.drift import Found, Kind, Standing

#: Of each kind of drift, and of each field, so many examples are kept.
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One key that drifted. `fields` gives the row's and the record's value in normal form, sensitive ones covered."""

    kind: Kind
    key: str
    remote_id: str | None
    fields: Mapping[str, tuple[Normal, Normal]]
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """A comparison of both sides of a mapping; of a sample where `sample` says of how many."""

    mapping: str
    object: str
    started_at: datetime
    sensitive: frozenset[str] = frozenset()  # remote fields in small letters
    sample: int | None = None
    seconds: float = 0.0
    calls: int = 0  # API calls, of this process
    rows: int = 0  # of the table, whether or not they are entities
    entities: int = 0
    links: int = 0
    records: int = 0  # of the object
    not_ours: int = 0  # records without a key
    agreeing: int = 0
    on_its_way: int = 0
    held: int = 0
    by_rule: int = 0  # one side is gone, and the mapping says to leave the other
    kinds: Counter[Kind] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def drift(self) -> int:
        """Entities, and records without one, that drifted."""
        return sum(self.kinds.values())

    def add(self, found: Found) -> None:
        """Count what a look came to, unless it is to be looked at again."""
        match found.standing:
            case Standing.AGREES:
                self.agreeing += bool(found.key)  # a record that became a row is counted with its entity
            case Standing.ON_ITS_WAY:
                self.on_its_way += 1
            case Standing.HELD:
                self.held += 1
            case Standing.BY_RULE:
                self.by_rule += 1
            case Standing.DRIFT:
                self._add_drift(found)

    def _add_drift(self, found: Found) -> None:
        assert found.kind is not None  # drift has a kind
        telling = self.kinds[found.kind] < EXAMPLES or any(self.fields[name] < EXAMPLES for name in found.ours)
        self.kinds[found.kind] += 1
        self.fields.update(found.ours.keys())
        if telling:
            values = {name: self._shown(name, found) for name in found.ours}
            self.examples.append(Example(found.kind, found.key, found.remote_id, values, found.others))

    def _shown(self, name: str, found: Found) -> tuple[Normal, Normal]:
        ours, theirs = found.ours[name], found.theirs[name]
        return (covered(ours), covered(theirs)) if name.lower() in self.sensitive else (ours, theirs)

    def counts(self) -> dict[str, Any]:
        """All but examples, as JSON takes it: no value of a record."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        plain |= {
            "drift": self.drift,
            "kinds": {kind.value: count for kind, count in sorted(self.kinds.items())},
            "fields": dict(sorted(self.fields.items())),
            "warnings": self.warnings,
        }
        if self.sample is not None:
            low, high = interval(self.drift, self.sample)
            share = self.drift / self.sample if self.sample else 0.0
            plain |= {"sample": self.sample, "share": share, "share_low": low, "share_high": high}
        return plain


_COUNTS = (
    "seconds",
    "calls",
    "rows",
    "entities",
    "links",
    "records",
    "not_ours",
    "agreeing",
    "on_its_way",
    "held",
    "by_rule",
)


def interval(found: int, of: int) -> tuple[float, float]:
    """Where the share in all lies, with 95% certainty, when `found` of a random sample are so (Wilson's interval)."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, found / of
    middle = share + z * z / (2 * of)
    width = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    whole = 1 + z * z / of
    return max(0.0, (middle - width) / whole), min(1.0, (middle + width) / whole)
