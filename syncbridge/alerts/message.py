"""How an alert reads: what, about what, since when, and the command to run. No value and no key of a record. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from psycopg.conninfo import conninfo_to_dict

from syncbridge.alerts.conditions import duration_text
from syncbridge.alerts.transition import Recovery, Transition
from syncbridge.config import Settings
from syncbridge.store.alerts import Remembered

#: A message tells of so many changes; `syncbridge alerts` lists them all.
AT_MOST = 20


def project_name(settings: Settings) -> str:
    """How messages call the project: its own name, or database and host."""
    parts = conninfo_to_dict(settings.source.conninfo())
    database, host = parts.get("dbname") or parts.get("user") or "postgres", parts.get("host") or "localhost"
    return settings.alerts.name or f"{database} on {host}"


def compose(change: Transition, project: str) -> tuple[str, str]:
    """Title and text of one message that tells of all that changed at one moment."""
    single = [headline(each) for each in change.raised]
    single += [f"{headline(each.alert)}: recovered" for each in change.recovered]
    counts = ((len(change.raised), "raised"), (len(change.recovered), "recovered"))
    summary = single[0] if len(single) == 1 else ", ".join(f"{count} {word}" for count, word in counts if count)
    parts = [*(_raised(each) for each in change.raised), *(_recovered(each) for each in change.recovered)]
    if len(parts) > AT_MOST:
        parts[AT_MOST:] = [f"and {len(parts) - AT_MOST} more. Run: syncbridge alerts"]
    return f"syncbridge, {project}: {summary}", "\n\n".join(parts)


def trial(project: str) -> tuple[str, str]:
    """Title and text of a message that only shows that messages arrive."""
    return f"syncbridge, {project}: test", "This is a test: alerts of this project arrive here. Nothing is wrong."


def headline(alert: Remembered) -> str:
    """`people: lag over 15m`"""
    return f"{alert.about}: {alert.title}" if alert.about != alert.kind else alert.title


def _raised(alert: Remembered) -> str:
    return "\n".join(_lines("RAISED", alert))


def _lines(word: str, alert: Remembered) -> Iterator[str]:
    yield f"{word} {headline(alert)}"
    yield alert.words
    yield f"Since {moment_text(alert.since)}."
    if alert.hint:
        yield alert.hint


def _recovered(recovery: Recovery) -> str:
    alert = recovery.alert
    lasted = duration_text((recovery.until - alert.since).total_seconds())
    spell = f"It lasted {lasted}, from {moment_text(alert.since)} to {moment_text(recovery.until)}."
    return f"RECOVERED {headline(alert)}\n{spell} Now: {recovery.now}."


def moment_text(moment: datetime) -> str:
    """`2026-11-23 01:30:12 UTC`; the session of the state speaks UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
