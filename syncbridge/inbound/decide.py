"""What one remote change means for its row: written, kept out, held, or the row deleted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.resolve import Fate, Rule, Side, Verdict, after_delete, merge, newer
from syncbridge.inbound.taking import NOTHING_TAKEN, Taken, differing, values
from syncbridge.model import Fields, Normal, agrees
from syncbridge.store.held_changes import RECORD_DELETED, ROW_DELETED, WHOLE


@dataclass(frozen=True, slots=True)
class Survivor:
    """The record that a deleted one was merged into."""

    remote_id: str
    key: str | None = None  # of its row; None: it has none, or is deleted itself
    replaces: bool = False  # by the rule of deletes the merged record's row goes, and what refers to it follows


@dataclass(frozen=True, slots=True)
class Pair:
    """A remote change beside what is known of its entity."""

    key: str
    change: RemoteChange
    base: Fields | None  # None: they are not linked yet
    local: Fields | None  # None: there is no row, or it is no entity
    committed: datetime | None  # when the row changed last, as far as capture knows
    taken: Taken = NOTHING_TAKEN  # what a person decided about it
    stored: Fields = field(default_factory=dict)  # what we sent and had no answer to, as far as it was stored
    external: tuple[Normal] | tuple[()] = ()  # what the record's external id field holds, where that was read
    survivor: Survivor | None = None  # of a record that was deleted by a merge

    @property
    def agreed(self) -> Fields | None:
        """The base, and beyond it what nobody but we changed there."""
        return {**(self.base or {}), **self.stored} if self.stored else self.base

    def sides(self, name: str) -> dict[str, Normal]:
        """Base, local and remote value of a field, as far as there are any."""
        return values(self.agreed, self.local, self.change, name)


class Action(StrEnum):
    """What has to be done to the row."""

    NOTHING = "nothing"
    UPDATE = "update"
    CREATE = "create"  # the record is new
    INSERT = "insert"  # it was deleted, and the remote change stands
    DELETE = "delete"  # by the mapping's rule for deletes


@dataclass(frozen=True, slots=True)
class Decision:
    """What a change comes to. `base` is the link's new one, None where the link goes."""

    pair: Pair
    action: Action = Action.NOTHING
    write: Fields = field(default_factory=dict)
    base: Fields | None = None
    send: bool = False  # the row goes out
    held: tuple[str, ...] = ()
    bouncing: tuple[str, ...] = ()  # fields that are stopped, as `bounces` tells
    held_whole: str = ""  # why nothing of it was done, and a person decides
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    fate: Fate | None = None  # of a pair of which one side is gone
    new: bool = False  # its row was never there
    waiting: Mapping[str, str] = field(default_factory=dict)  # lookup -> remote id of a parent that has no row yet

    @property
    def key(self) -> str:
        return self.pair.key


def decide(pair: Pair, rules: Mapping[str, Rule], conflict: Rule, unedited: Collection[str] = frozenset()) -> Decision:
    """Decide one change by the rules of its fields, and by that of the mapping's conflicts for what is deleted.

    Changes of `unedited` fields are nobody's edit: for their sake alone no row is made anew.
    """
    if pair.change.deleted:
        return _deleted(pair, rules, pair.taken.conflict(conflict))
    if pair.local is None:
        return _row_gone(pair, pair.taken.conflict(conflict), unedited)
    remote = {name: value for name, value in pair.change.fields.items() if _matters(pair, name, value)}
    last = newer(pair.committed, pair.change.modified)
    merged = merge(pair.agreed, pair.local, remote, pair.taken.rules(rules), last)
    return Decision(
        pair,
        action=Action.UPDATE if merged.write else Action.NOTHING,
        write=merged.write,
        base=merged.base,
        send=merged.send,
        held=merged.held,
        verdicts=merged.verdicts,
    )


def create(pair: Pair) -> Decision:
    """A new remote record becomes a row, and both sides agree on all that it holds."""
    return Decision(pair, Action.CREATE, write=pair.change.fields, base=pair.change.fields, new=True)


def _matters(pair: Pair, name: str, value: Normal) -> bool:
    """Of what no column holds only a remote change matters: whether the row's own value changed is outbound's."""
    return name in (pair.local or {}) or pair.base is None or name not in pair.base or pair.base[name] != value


def _deleted(pair: Pair, rules: Mapping[str, Rule], conflict: Rule) -> Decision:
    if pair.local is None:
        return Decision(pair)
    last = newer(pair.committed, pair.change.modified)
    decided = WHOLE in pair.taken.sides
    changed = decided or edited(pair, rules)
    fate = after_delete(conflict, deleted=Side.DESTINATION, other_changed=changed, last=last)
    if fate is Fate.HOLD:
        return Decision(pair, base=pair.base, held_whole=RECORD_DELETED, fate=fate)
    survivor = pair.survivor
    if survivor is not None and survivor.key is not None and not survivor.replaces and not decided:
        why = (
            f"the record was merged into {survivor.remote_id}, which has a row too, {survivor.key}: move what refers to"
            " this row to that one, and delete this row"
        )
        return Decision(pair, base=pair.base, held_whole=why, fate=Fate.HOLD)
    if fate is Fate.REVIVE:
        return Decision(pair, send=True, fate=fate)
    return Decision(pair, Action.DELETE, fate=fate)


def _row_gone(pair: Pair, conflict: Rule, unedited: Collection[str]) -> Decision:
    """The row was deleted here, and that is on its way out while the record changed there."""
    last = newer(pair.committed, pair.change.modified)
    fate = after_delete(conflict, deleted=Side.POSTGRES, other_changed=True, last=last)
    base = {**(pair.base or {}), **pair.change.fields}
    if all(name in unedited for name in differing(pair.base, None, pair.change)):
        return Decision(pair, base=base, send=True)  # it did not change: the delete goes out
    if fate is Fate.HOLD:
        return Decision(pair, base=pair.base, held_whole=ROW_DELETED, fate=fate)
    if fate is Fate.REVIVE:
        return Decision(pair, Action.INSERT, write=pair.change.fields, base=base, fate=fate)
    return Decision(pair, base=base, send=True, fate=fate)


def edited(pair: Pair, rules: Mapping[str, Rule]) -> bool:
    """Whether the row holds something that the destination was never told."""
    base = pair.base or {}
    return any(
        not agrees(base, name, value)
        for name, value in (pair.local or {}).items()
        if rules[name] is not Rule.DESTINATION_OWNS
    )
