"""API versions: which there are, which there were, and what they are called."""

from __future__ import annotations

import re

from syncbridge.sandbox.salesforce.call import Action, Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal, not_found

OLDEST_VERSION, NEWEST_VERSION = 31, 66
#: Versions from this one on are retired, not unknown.
OLDEST_RETIRED = 7
VERSION = re.compile(r"\d\d?\.0", re.ASCII)
SEASONS = ("Winter", "Spring", "Summer")


def known_version(text: str) -> float | None:
    """Return the version that a text names as a number, or None for one that the org does not have."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if OLDEST_VERSION <= number <= NEWEST_VERSION else None


def check_version(call: Call, action: Action) -> None:
    """Refuse a path of an API version that is retired (410), or that does not have the action (404)."""
    version = call.params.get("version")
    if version is None:
        return
    number = float(version) if VERSION.fullmatch(version) else 0.0
    if OLDEST_RETIRED <= number < OLDEST_VERSION:
        raise Refusal("GONE", f"API version {version} is retired; the oldest is {OLDEST_VERSION}.0", status=410)
    if not max(OLDEST_VERSION, action.since) <= number <= NEWEST_VERSION:
        raise not_found()


def versions(call: Call) -> Reply:
    """GET /services/data"""
    return answer(
        [
            {"label": _label(each), "url": f"/services/data/v{each}.0", "version": f"{each}.0"}
            for each in range(OLDEST_VERSION, NEWEST_VERSION + 1)
        ]
    )


def _label(version: int) -> str:
    """Three releases a year, named for the season: 65 is Winter '26, 66 Spring '26."""
    year, season = divmod(version - 65, len(SEASONS))
    return f"{SEASONS[season]} '{(26 + year) % 100:02d}"
