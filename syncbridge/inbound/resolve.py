"""Resolve: a three-way merge of base, local and remote, field by field, in the destination's normal form. Pure.

*Base* is what both sides last agreed on, *local* what the row holds, *remote* what the remote record holds. What only
one side changed is taken from it; what both changed to the same value is agreement; what they changed differently is a
conflict, which the field's rule decides. The new base of a decided field is always the remote value: it is what the
destination is known to hold, so that what Postgres wins differs from it and goes out, and no decision is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from syncbridge.model import Fields, Normal


class Side(StrEnum):
    """The two sides of a link."""

    POSTGRES = "postgres"
    DESTINATION = "destination"


class Rule(StrEnum):
    """What decides about a field: a side that owns it, else what happens in a conflict."""

    POSTGRES_OWNS = "postgres owns it"  # a remote change is put back
    DESTINATION_OWNS = "destination owns it"  # a change of the row is put back
    POSTGRES = "postgres"
    DESTINATION = "destination"
    NEWEST = "newest"
    HOLD = "hold"


class Verdict(StrEnum):
    """What a merge finds about one field."""

    SAME = "same"  # both sides hold the base
    AGREED = "agreed"  # both hold the same value, which is not the base
    LOCAL = "local"  # only the row changed, and that goes out
    REMOTE = "remote"  # only the remote record changed, and that is written
    POSTGRES_WINS = "postgres wins"
    DESTINATION_WINS = "destination wins"
    HELD = "held"  # a person decides; neither side moves
    BOUNCES = "bounces"  # it came in and went out in turn: as held


class Fate(StrEnum):
    """What becomes of a pair of which one side was deleted."""

    DELETE = "delete"  # the delete stands
    REVIVE = "revive"  # the other side's change stands, and the pair is there again
    HOLD = "hold"


class _NoValue:
    """Stands where a field is in no base, or its local value has no normal form. Equal to nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


_NO_VALUE = _NoValue()
_TAKES_REMOTE = (Verdict.REMOTE, Verdict.DESTINATION_WINS)
KEEPS_LOCAL = (Verdict.LOCAL, Verdict.POSTGRES_WINS)
_DECIDED = (Verdict.POSTGRES_WINS, Verdict.DESTINATION_WINS)
_BY_SIDE = {Side.POSTGRES: Verdict.POSTGRES_WINS, Side.DESTINATION: Verdict.DESTINATION_WINS}


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge comes to; names are those of the remote fields."""

    verdicts: Mapping[str, Verdict]
    write: Fields  # remote values that the row is to take
    base: Fields  # the new base
    send: bool  # the row then holds something that the destination does not: it goes out

    @property
    def decided(self) -> tuple[str, ...]:
        """Fields in which a side lost its value by rule."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict in _DECIDED)

    @property
    def held(self) -> tuple[str, ...]:
        """Fields that wait for a person."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict is Verdict.HELD)


def newer(committed: datetime | None, modified: datetime) -> Side:
    """The side that changed last. Ties go to Postgres, as does a change that capture has not seen yet (None)."""
    return Side.DESTINATION if committed is not None and modified > committed else Side.POSTGRES


def merge(base: Fields | None, local: Fields, remote: Fields, rules: Mapping[str, Rule], last: Side) -> Merge:
    """Merge the fields of `remote`, each by its rule; `last` is the side that changed last, as `newer` tells.

    `base` is None where the two sides meet for the first time: what differs then is a conflict. A field that `local`
    lacks has a value there that the destination could never hold.
    """
    known = base or {}
    verdicts = {
        name: _verdict(rules[name], known.get(name, _NO_VALUE), local.get(name, _NO_VALUE), value, last)
        for name, value in remote.items()
    }
    settled = {name: value for name, value in remote.items() if verdicts[name] is not Verdict.HELD}
    return Merge(
        verdicts,
        write={name: value for name, value in remote.items() if verdicts[name] in _TAKES_REMOTE},
        base={**known, **settled},
        send=any(verdict in KEEPS_LOCAL for verdict in verdicts.values()),
    )


def _verdict(rule: Rule, base: Normal | _NoValue, local: Normal | _NoValue, remote: Normal, last: Side) -> Verdict:
    if local == remote:
        return Verdict.SAME if base == remote else Verdict.AGREED
    if rule is Rule.POSTGRES_OWNS:
        return Verdict.LOCAL if base == remote else Verdict.POSTGRES_WINS
    if rule is Rule.DESTINATION_OWNS:
        return Verdict.REMOTE if base == local else Verdict.DESTINATION_WINS
    if base == remote:
        return Verdict.LOCAL
    if base == local:
        return Verdict.REMOTE
    if rule is Rule.HOLD:
        return Verdict.HELD
    return _BY_SIDE[last if rule is Rule.NEWEST else Side(rule)]


def after_delete(rule: Rule, *, deleted: Side, other_changed: bool, last: Side) -> Fate:
    """What becomes of a pair whose `deleted` side is gone, while the other side changed meanwhile or did not.

    `rule` is that of the mapping's conflicts: postgres, destination, newest or hold.
    """
    if not other_changed:
        return Fate.DELETE
    if rule is Rule.HOLD:
        return Fate.HOLD
    winner = last if rule is Rule.NEWEST else Side(rule)
    return Fate.DELETE if winner is deleted else Fate.REVIVE
