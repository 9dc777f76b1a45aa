"""The way back of a mapping in one line of `status`."""

from __future__ import annotations

from rich.text import Text

from syncbridge.answers.status import in_words
from syncbridge.cli.report import moment_text, seconds_text
from syncbridge.model import MappingStatus
from syncbridge.store.way_back import WayBack


def way_back_line(name: str, state: WayBack, every: int) -> Text:
    """`way back: active, polled 3 s ago (every 30 s), 2 held, 1 decided, 5 to look at again`"""
    if state.status is MappingStatus.ACTIVE:
        said = Text("way back: ", "dim").append(_polled(state, every), "dim")
    else:
        why = f": {state.reason}" if state.reason else ""
        style = "yellow" if state.status is MappingStatus.PAUSED else "red"
        said = Text(f"way back: {in_words(state.status)} since {moment_text(state.since)}{why}", style)
    if state.held:
        said.append(f", {state.held:,} held", "yellow")
    if state.decided:
        said.append(f", {state.decided:,} decided and not carried out yet", "dim")
    if state.rechecks:
        said.append(f", {state.rechecks:,} to look at again", "dim")
    if state.status is not MappingStatus.ACTIVE:
        said.append(f". To go on: syncbridge resume {name} --direction in", style)
    return said


def _polled(state: WayBack, every: int) -> str:
    if state.polled_at is None:
        return "not polled yet"
    ago = "" if state.behind_seconds is None else f"{seconds_text(state.behind_seconds)} ago "
    return f"polled {ago}(every {every} s)"
