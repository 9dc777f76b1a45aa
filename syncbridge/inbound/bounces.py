"""Bounces: a field that comes in and goes out in turn, although nobody changes it, is stopped until a person decides.

A trigger in Postgres may turn back what comes in, an automation in the destination what goes out. Where both do, each
side follows the other for ever. So it is counted how often a field comes in after it was turned back: ROUNDS in a row
with values that were there before, or TURNS with whatever values, and both sides stay as they are in this field. It
goes on by a person's decision, or by itself as soon as a side holds something else than when it was stopped.

Counting begins when a record comes in whose link moved within the window, so records that change now and then cost
nothing. People who edit against each other are not stopped before they repeat themselves this often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b

import orjson

from syncbridge.inbound.decide import Action, Decision
from syncbridge.inbound.resolve import KEEPS_LOCAL, Verdict
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields, Normal
from syncbridge.store import bounces, database
from syncbridge.store.bounces import Turns
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link

#: So often in a row a field comes in with values that it had before,
ROUNDS = 4
#: or so often with whatever values,
TURNS = 20
#: within this time, or within so many polls where these take longer.
WINDOW = timedelta(hours=1)
POLLS = 10

#: What moves a value, in either direction.
_MOVES = (Verdict.REMOTE, Verdict.DESTINATION_WINS, Verdict.POSTGRES_WINS)


@dataclass(slots=True)
class Bounces:
    """Counts for one mapping."""

    way: WayBack

    @property
    def window(self) -> timedelta:
        """The time within which rounds are counted."""
        return max(WINDOW, timedelta(seconds=POLLS * self.way.two_way.every))

    def stop(
        self, decisions: Sequence[Decision], known: Mapping[str, Link], held: Mapping[str, HeldChange]
    ) -> list[Decision]:
        """Take out of these decisions the fields that bounce; counts in the state, so within the page's transaction."""
        now = database.now(self.way.store)
        since = now - self.window
        suspects = {d.key: names for d in decisions if d.key in known and (names := _suspects(d, known[d.key], since))}
        counted = bounces.read(self.way.store, self.way.mapping_id, suspects) if suspects else {}
        changed: dict[str, dict[str, Turns]] = {}
        stopped = []
        for decision in decisions:
            still = _still_held(decision, held.get(decision.key))
            over: set[str] = set()
            if names := [name for name in suspects.get(decision.key, ()) if name not in still]:
                fields = {**counted.get(decision.key, {}), **_count(decision, names, counted, now, since)}
                over = {name for name in names if fields[name].rounds >= ROUNDS or fields[name].turns >= TURNS}
                changed[decision.key] = {name: turns for name, turns in fields.items() if name not in over}
            stopped.append(_without(decision, still | over) if still or over else decision)
        bounces.save(self.way.store, self.way.mapping_id, changed)
        return stopped


def _suspects(decision: Decision, link: Link, since: datetime) -> list[str]:
    """Fields that move now, of a record that moved not long ago; or that are put back into their row.

    Not those that a person lets move.
    """
    moving = [
        name
        for name, verdict in decision.verdicts.items()
        if (name in decision.write or verdict is Verdict.POSTGRES_WINS) and name not in decision.pair.taken.sides
    ]
    if moving and link.delivered_at < since:
        remote = decision.pair.change.fields
        return [name for name in moving if link.base.get(name) == remote[name]]
    return moving


def _count(
    decision: Decision,
    names: Sequence[str],
    counted: Mapping[str, Mapping[str, Turns]],
    now: datetime,
    since: datetime,
) -> dict[str, Turns]:
    before = counted.get(decision.key, {})
    return {name: after(before.get(name), decision, name, now.timestamp(), since=since.timestamp()) for name in names}


def after(turns: Turns | None, decision: Decision, name: str, now: float, *, since: float) -> Turns:
    """The count of a field after one more decision; what began before `since` is counted anew."""
    pair = decision.pair
    remote = digest(pair.change.fields[name])
    here = _digest_of(pair.local, name)
    if turns is None or turns.since < since:
        return Turns(now, remote, tuple({remote, here}))
    sent = decision.verdicts[name] is Verdict.POSTGRES_WINS
    if (_digest_of(pair.base, name) if sent else here) == turns.last:
        return turns._replace(last=remote)  # nobody turned it back: only the remote record changes
    rounds = turns.rounds + 1 if {remote, here} <= set(turns.known) else 0
    known = tuple(dict.fromkeys((*turns.known, remote, here)))
    return Turns(turns.since, remote, known, turns.turns + 1, rounds)


def digest(value: Normal) -> str:
    """Tells values apart without telling them."""
    return blake2b(orjson.dumps(value), digest_size=8).hexdigest()


def _digest_of(fields: Fields | None, name: str) -> str:
    return digest(fields[name]) if fields is not None and name in fields else ""


def _still_held(decision: Decision, held: HeldChange | None) -> set[str]:
    """Fields that were stopped before, in which neither side holds anything new, and that nobody decided about."""
    if held is None or held.kind != "bounce":
        return set()
    pair = decision.pair
    return {
        name
        for name, sides in held.fields.items()
        if decision.verdicts.get(name) in _MOVES
        and name not in pair.taken.sides
        and (pair.local or {}).get(name) in sides.values()
        and pair.change.fields.get(name) in sides.values()
    }


def _without(decision: Decision, names: set[str]) -> Decision:
    """The decision, but that both sides stay as they are in these fields."""
    base: Fields = {name: value for name, value in (decision.base or {}).items() if name not in names}
    agreed = decision.pair.base or {}
    base |= {name: agreed[name] for name in names if name in agreed}
    write = {name: value for name, value in decision.write.items() if name not in names}
    verdicts = {name: Verdict.BOUNCES if name in names else v for name, v in decision.verdicts.items()}
    return replace(
        decision,
        action=Action.UPDATE if write else Action.NOTHING,
        write=write,
        base=base,
        send=any(verdict in KEEPS_LOCAL for verdict in verdicts.values()),
        verdicts=verdicts,
        bouncing=tuple(name for name in verdicts if name in names),
    )
