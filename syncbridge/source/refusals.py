"""What Postgres says no to, by remedy: wait, mend the server, or resync because changes may be missing.

SQLSTATEs are those of the Postgres manual, appendix "PostgreSQL Error Codes". A refused login carries none in libpq,
so there the English text decides; a server that speaks another language is then retried instead of stopping.
"""

from __future__ import annotations

import re

import psycopg

from syncbridge.errors import PositionLost, RetryLater, SourceUnusable, SyncbridgeError


class SlotInUse(RetryLater):
    """Another worker streams from the slot: this one stands by."""


#: object_not_in_prerequisite_state, which Postgres gives for several things about slots.
_STATE = "55000"

#: Said by every PositionLost: what a person has to do.
RECREATE = (
    "Run `syncbridge setup --recreate-slot`: it makes a new slot and checks every record of every mapping again;"
    " only differences are sent."
)

#: Said where Postgres, or the state, may be older than what was delivered, or another one.
RESTORED = (
    "Nothing goes either way until you decide which side is right. `syncbridge setup --restored` makes a new slot and"
    " pauses every mapping; then `syncbridge reconcile MAPPING` shows what differs, and mends it as you decide with"
    " --repair; `syncbridge resume MAPPING` goes on. Is this a copy of another database? Then drop its schema"
    " `syncbridge`, and give it destinations of its own."
)

_LOGICAL = (
    "Run `ALTER SYSTEM SET wal_level = logical;` and restart the server (managed services: a parameter such as"
    " rds.logical_replication)."
)
_SLOTS = (
    "Drop a slot that nobody needs (`SELECT slot_name, active FROM pg_replication_slots;`), or run"
    " `ALTER SYSTEM SET max_replication_slots = 20;` and restart the server."
)
_REPLICATION = 'As a superuser run: ALTER ROLE "{user}" REPLICATION; (managed services: grant rds_replication or alike)'
_SENDERS = "Raise max_wal_senders (needs a restart of the server), or end a replication connection that nobody needs."

#: A login that is refused: pattern -> hint. Everything else about connecting is worth another try.
_REFUSED_LOGINS = {
    r"authentication failed|no password supplied": "Check the user and the password of [source].",
    r"no pg_hba.conf entry": "Allow the login in pg_hba.conf; logical replication connects to the database by name.",
    r"(database|role) \S+ does not exist": "Check host, database and user of [source].",
    r"permission denied to start WAL sender|must be superuser or replication role": _REPLICATION,
    r"not permitted to log in": "Check the user of [source].",
}


def by_remedy(error: psycopg.Error, *, user: str = "") -> SyncbridgeError:
    """The error of ours that a driver's error on a replication connection means."""
    state, text = error.sqlstate or "", first_line(error)
    if state == "":
        return _of_connecting(text, user)
    if state == "55006":
        return SlotInUse(f"the replication slot is in use: {text}", code=state)
    if state in ("42704", "58P01") and "publication" not in text:  # no such slot; its WAL segment was removed
        return PositionLost(f"the position in the write-ahead log is gone: {text}", code=state, hint=RECREATE)
    if state == _STATE:
        return _not_ready(text)
    if state == "53400":
        return SourceUnusable(f"no free replication slot: {text}", code=state, hint=_SLOTS)
    if state == "53300":
        return RetryLater(f"no free connection: {text}", code=state, hint=_SENDERS)
    if state == "42501":
        return SourceUnusable(f"Postgres refuses: {text}", code=state, hint=_REPLICATION.format(user=user))
    if state == "55P03":
        return RetryLater(
            f"a transaction that is still open blocks the replication slot: {text}",
            code=state,
            hint="SELECT pid, usename, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
            " ORDER BY xact_start; shows who; end that transaction.",
        )
    if state.startswith(("08", "57", "53", "XX")) and "pgoutput option" not in text:
        return RetryLater(f"Postgres is not available: {text}", code=state)
    return SourceUnusable(f"Postgres refuses to stream: {text}", code=state)


def _of_connecting(text: str, user: str) -> SyncbridgeError:
    for pattern, hint in _REFUSED_LOGINS.items():
        if re.search(pattern, text):
            return SourceUnusable(f"Postgres refuses the login: {text}", hint=hint.format(user=user))
    if "max_wal_senders" in text:
        return RetryLater(f"no free WAL sender: {text}", hint=_SENDERS)
    return RetryLater(f"Postgres cannot be reached: {text}", hint="Is the server running and reachable from here?")


def _not_ready(text: str) -> SyncbridgeError:
    if "wal_level" in text:
        return SourceUnusable(
            f"Postgres does not write what logical replication needs: {text}", code=_STATE, hint=_LOGICAL
        )
    if "not created in this database" in text or "physical" in text:
        return SourceUnusable(
            f"the slot is not ours: {text}",
            code=_STATE,
            hint="Choose another name in [source] slot, or drop that slot.",
        )
    return PositionLost(f"the replication slot can no longer be read: {text}", code=_STATE, hint=RECREATE)


def first_line(error: psycopg.Error) -> str:
    """What the server said, in one line without addresses."""
    if error.diag.message_primary:
        return error.diag.message_primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    fatal = [line.split("FATAL:", 1)[1].strip() for line in lines if "FATAL:" in line]
    return (fatal or lines or [type(error).__name__])[0]
