"""Accounts: what the sync log is told of the decisions about a page, with the inputs of each field that was decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from syncbridge.inbound.decide import Action, Decision, Pair, edited
from syncbridge.inbound.resolve import Fate, Rule, Side, Verdict
from syncbridge.inbound.taking import differing
from syncbridge.inbound.way import WayBack
from syncbridge.model import Normal, Operation, Outcome
from syncbridge.source.row_writes import Refusal
from syncbridge.store.held_changes import WHOLE
from syncbridge.store.held_records import HeldRecord
from syncbridge.store.sync_log import Incoming

#: Inputs and outcome of each field that was decided; under WHOLE those of a pair of which one side is gone.
Account = dict[str, dict[str, Normal]]

#: Stands in the log for a value that nobody is shown.
MASKED = "(sensitive)"
#: Stands in the log for the rule where somebody decided.
PERSON = "a person"
#: Code of a field that is stopped because it bounces.
BOUNCES = "BOUNCES"
#: In the log, of a decision that was not carried out.
VOID = "what a person decided was about other values than these"
#: In the log, of a record that was linked so.
CHOSEN = "linked: a person decided that this record is this row"

#: Verdicts by which a side lost its value, or may.
_TOLD = (Verdict.POSTGRES_WINS, Verdict.DESTINATION_WINS, Verdict.HELD, Verdict.BOUNCES)
_OPERATIONS = {Action.UPDATE: Operation.UPDATE, Action.CREATE: Operation.CREATE, Action.INSERT: Operation.CREATE}


def of_held_records(records: Sequence[HeldRecord], newly: Collection[str]) -> list[Incoming]:
    """New records that are no row, and were not told of before; they have no key."""
    return [
        Incoming("", Operation.CREATE, Outcome.HELD, each.remote_id, code=each.code, message=each.message)
        for each in records
        if each.remote_id in newly
    ]


def of_chosen(done: Sequence[Decision], chosen: Collection[str]) -> list[Incoming]:
    """Rows that persons named for new records."""
    return [
        Incoming(d.key, Operation.NOTHING, Outcome.WRITTEN, d.pair.change.remote_id, message=CHOSEN)
        for d in done
        if d.key in chosen
    ]


def of_refused(decisions: Sequence[Decision], refused: Mapping[str, Refusal], newly: Collection[str]) -> list[Incoming]:
    """What Postgres did not take, and what was not told of before."""
    return [
        Incoming(
            decision.key,
            _operation(decision),
            Outcome.REFUSED,
            decision.pair.change.remote_id,
            fields=", ".join(decision.write) or None,
            code=refused[decision.key].code,
            message=_with_void(decision, refused[decision.key].message),
        )
        for decision in decisions
        if decision.key in refused and decision.key in newly
    ]


def of_done(done: Sequence[Decision], newly: Collection[str], way: WayBack) -> list[Incoming]:
    """What was decided and done; of what is held only what is held `newly`."""
    outcomes = [(decision, _outcome(decision, newly, way.two_way.deletes.action)) for decision in done]
    entries = [_of_one(decision, outcome, way) for decision, outcome in outcomes if outcome is not None]
    return entries + [_of_bounce(each, way) for each in done if each.key in newly and each.bouncing]


def _of_one(decision: Decision, outcome: Outcome, way: WayBack) -> Incoming:
    told = _account(decision, way)
    left = () if outcome is Outcome.HELD else (*decision.held, *decision.bouncing)
    kept = [name for name in told if name != WHOLE and name not in left]
    names = decision.write if outcome is Outcome.WRITTEN else kept
    return Incoming(
        decision.key,
        _operation(decision),
        outcome,
        decision.pair.change.remote_id,
        fields=", ".join(names) or None,
        message=_with_void(decision, decision.held_whole or _merge_told(decision)) or None,
        decision=told,
    )


def _of_bounce(decision: Decision, way: WayBack) -> Incoming:
    told = _account(decision, way)
    return Incoming(
        decision.key,
        Operation.NOTHING,
        Outcome.HELD,
        decision.pair.change.remote_id,
        fields=", ".join(decision.bouncing),
        code=BOUNCES,
        message=bounce_told(decision.bouncing),
        decision={name: told[name] for name in decision.bouncing},
    )


def bounce_told(names: Sequence[str]) -> str:
    """Why these fields are held."""
    return f"{', '.join(names)} came in and went out in turn: a trigger here or an automation there turns values back"


def _operation(decision: Decision) -> Operation:
    if decision.pair.change.deleted:
        return Operation.DELETE
    return _OPERATIONS.get(decision.action, Operation.NOTHING)


def _outcome(decision: Decision, newly: Collection[str], deletes: str) -> Outcome | None:
    """None where there is nothing to tell: both sides agree, or what is held was told before."""
    if decision.action in (Action.UPDATE, Action.CREATE, Action.INSERT):
        return Outcome.WRITTEN
    if decision.action is Action.DELETE:
        return Outcome.IGNORED if deletes == "ignore" else Outcome.WRITTEN
    kept = any(verdict is Verdict.POSTGRES_WINS for verdict in decision.verdicts.values())
    if kept and decision.pair.taken.sides:
        return Outcome.KEPT
    if decision.held or decision.held_whole:
        return Outcome.HELD if decision.key in newly else None
    if decision.fate is Fate.REVIVE or (decision.fate is Fate.DELETE and decision.pair.local is None):
        return Outcome.KEPT
    if kept:
        return Outcome.KEPT
    return Outcome.IGNORED if decision.pair.taken.void else None


def _merge_told(decision: Decision) -> str:
    """Where a record went that was merged into another."""
    survivor = decision.pair.survivor
    if survivor is None:
        return ""
    row = f", whose row is {survivor.key}" if survivor.key is not None else ""
    return f"its record was merged into {survivor.remote_id}{row}"


def _with_void(decision: Decision, message: str) -> str:
    """A decision that was not carried out is told: both sides held other values when it was made."""
    return "; ".join(part for part in (message, VOID if decision.pair.taken.void else "") if part)


def _account(decision: Decision, way: WayBack) -> Account:
    """The inputs of each field in which a side lost, or that is held.

    Where one side is gone, WHOLE tells what became of the pair, and the fields are those that the other one changed.
    """
    told = _of_fields(decision, way)
    return told if decision.fate is None else told | _of_fate(decision, decision.fate, way)


def _of_fields(decision: Decision, way: WayBack) -> Account:
    pair, by_person = decision.pair, decision.pair.taken.sides
    told: Account = {}
    for name, verdict in decision.verdicts.items():
        if verdict in _TOLD or name in by_person:
            rule = PERSON if name in by_person else way.columns.rules[name].value
            times = _times(pair, rule) if rule in (PERSON, Rule.NEWEST) else {}
            told[name] = {"verdict": verdict.value, "rule": rule, **_sides(pair, name, way), **times}
    return told


def _of_fate(decision: Decision, fate: Fate, way: WayBack) -> Account:
    pair, rules = decision.pair, way.columns.rules
    rule = PERSON if WHOLE in pair.taken.sides else Rule(way.two_way.conflict).value
    deleted = Side.DESTINATION if pair.change.deleted else Side.POSTGRES
    whole: dict[str, Normal] = {"verdict": fate.value, "deleted": deleted.value}
    met = not pair.change.deleted or rule == PERSON or edited(pair, rules)  # else no rule was needed
    told: Account = {WHOLE: {**whole, "rule": rule, **_times(pair, rule)} if met else whole}
    for name in differing(pair.base, pair.local, pair.change):
        # an edit of what the destination owns does not keep a row, and goes with it
        used = rule if met else rules[name].value
        told[name] = {"verdict": fate.value, "rule": used, **_sides(pair, name, way)}
    return told


def _sides(pair: Pair, name: str, way: WayBack) -> dict[str, Normal]:
    return {"values": MASKED} if name in way.columns.sensitive else pair.sides(name)


def _times(pair: Pair, rule: str) -> dict[str, Normal]:
    """When record and row changed, and when a person decided, each where it is known."""
    decided = pair.taken.decided_at if rule == PERSON else None
    times = {"modified": pair.change.modified, "committed": pair.committed, "decided": decided}
    return {name: moment.isoformat() for name, moment in times.items() if moment is not None}
