"""Nearest right names, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or an empty text."""
    by_small = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_small, 1, cutoff=0.6)
    return by_small[close[0]] if close else ""


def did_you_mean(name: str, known: Iterable[str], *, listing: int = 12) -> str:
    """`; did you mean X?`, else the few that there are, else nothing: to append to a message."""
    names = list(known)
    if meant := near(name, names):
        return f"; did you mean {meant!r}?"
    if 0 < len(names) <= listing:
        return f"; known are {', '.join(sorted(names))}"
    return ""
