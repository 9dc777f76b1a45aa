"""What the sync log says of a decision, in words: `LastName: both sides changed it; newest: ...; row had ...`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from syncbridge.cli.report import moment_text
from syncbridge.store.held_changes import WHOLE

_SIDES = {"postgres wins": ("row", "record"), "destination wins": ("record", "row")}
_OWNERS = {"postgres owns it": "Postgres owns it", "destination owns it": "the destination owns it"}


def in_words(decision: Mapping[str, Mapping[str, Any]] | None) -> Iterator[str]:
    """A line for each field that was decided, or is held; one for a pair of which one side was deleted."""
    for name, told in (decision or {}).items():
        if name == WHOLE:
            yield f"{_deleted(told)}; {_why_deleted(told)}"
        else:
            yield "; ".join(part for part in (f"{name}: {_met(told)}", _why(told), _values(told)) if part)


def _met(told: Mapping[str, Any]) -> str:
    if told.get("verdict") == "bounces":
        return "came in and went out in turn"
    if "values" in told:  # they are not told
        return "both sides differ"
    if told.get("verdict") in _FATES:  # of a pair of which one side is gone
        return "the record changed" if "remote" in told and "local" not in told else "the row changed"
    base, local, remote = (told.get(side, _MISSING) for side in ("base", "local", "remote"))
    if base == local:
        return "the record changed"
    if base is _MISSING:
        return "both sides differ, and nothing was agreed before"
    return "the row changed" if base == remote else "both sides changed it"


_MISSING = object()
_FATES = ("delete", "revive", "hold")


def _why(told: Mapping[str, Any]) -> str:
    verdict, rule = str(told.get("verdict")), str(told.get("rule"))
    if verdict in _FATES:
        return ""  # it is told of the pair
    if verdict in ("held", "bounces"):
        return "held until a person decides"
    winner, loser = _SIDES.get(verdict, ("record", "row"))
    if rule == "a person":
        return f"a person decided{_at(told, 'decided')}: the {winner} has its way"
    if rule == "newest":
        return f"newest: {_dated(told, winner)} beats {_dated(told, loser)}"
    return f"{_OWNERS.get(rule, f'conflict: {rule}')}: the {winner} has its way"


def _dated(told: Mapping[str, Any], side: str) -> str:
    """`record of 10:02:07`; a row of which capture had seen no change counts as the newest."""
    moment = told.get("modified" if side == "record" else "committed")
    if moment is None:
        return "row, whose change was just made," if side == "row" else side
    return f"{side} of {moment_text(datetime.fromisoformat(str(moment)))}"


def _at(told: Mapping[str, Any], name: str) -> str:
    moment = told.get(name)
    return "" if moment is None else f" at {moment_text(datetime.fromisoformat(str(moment)))}"


def _values(told: Mapping[str, Any]) -> str:
    if "values" in told:
        return "values are sensitive"
    said = [
        f"{who} {_value(told[side])}"
        for side, who in (("base", "agreed was"), ("local", "row had"), ("remote", "record had"))
        if side in told
    ]
    return ", ".join(said)


def _value(value: object) -> str:
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _deleted(told: Mapping[str, Any]) -> str:
    gone, other = ("record", "row") if told.get("deleted") == "destination" else ("row", "record")
    return f"the {gone} was deleted" + (f" and the {other} changed" if "rule" in told else "")


def _why_deleted(told: Mapping[str, Any]) -> str:
    verdict, rule = told.get("verdict"), str(told.get("rule", ""))
    gone = "record" if told.get("deleted") == "destination" else "row"
    if verdict == "hold":
        return "held until a person decides"
    comes = f"the {gone} is made anew" if verdict == "revive" else "the delete stands"
    if not rule:
        return "nobody changed the other side, so the delete stands"
    if rule == "a person":
        return f"a person decided{_at(told, 'decided')}: {comes}"
    if rule == "newest":
        return f"newest, record of{_at(told, 'modified').removeprefix(' at')}, row{_row_time(told)}: {comes}"
    return f"conflict: {rule}: {comes}"


def _row_time(told: Mapping[str, Any]) -> str:
    moment = _at(told, "committed").removeprefix(" at")
    return f" of{moment}" if moment else " without a change seen"
