"""Every error of syncbridge, grouped by remedy: what has to happen next.

    SyncbridgeError
    ├── ConfigurationError     fix the configuration, then start again       exit code 2
    │   ├── SettingsError        syncbridge.toml, environment, secrets
    │   └── MappingError         a mapping file
    ├── RetryLater             nothing to mend; the same thing works later
    │   ├── RateLimited          the destination asks to slow down (seconds)
    │   └── QuotaExhausted       an allowance is spent; waits until it frees (minutes, hours)
    ├── RecordRejected         this record only; its neighbours go on
    └── NeedsOperator          a person must act; stops one loop or mapping, never the process
        ├── LoginRefused         the destination does not accept the credentials
        ├── OtherSystem          the login reaches another system than the one that our links name
        ├── SchemaDrift          an object, field, table or column is no longer as mapped
        ├── SourceUnusable       Postgres cannot be captured from as it is set up
        ├── ProgramOutdated      a newer program has upgraded the state: this one ends, whatever it does
        └── PositionLost         changes may be missing: slot lost, behind, or another server

The class alone decides what a loop does (`policy.directive`). Messages never carry a secret or a value of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SyncbridgeError(Exception):
    """Base of all; `hint` says what to do about it, in one or two sentences, and may hold SQL to run."""

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class ConfigurationError(SyncbridgeError):
    """Fix the configuration, then start again."""


class SettingsError(ConfigurationError):
    """syncbridge.toml, the environment, `.env` or a secret is missing or wrong."""


class MappingError(ConfigurationError):
    """A mapping file is wrong; `message` begins with file:line."""


class RetryLater(SyncbridgeError):
    """Nothing to mend; the same thing works later.

    `delay` is the least wait in seconds that the other side asked for, None when it did not say.
    `uncertain` is True when the other side may have applied the request (a lost answer).
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        delay: float | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.delay = delay
        self.uncertain = uncertain


class RateLimited(RetryLater):
    """The destination asks to slow down."""


class QuotaExhausted(RetryLater):
    """An allowance is spent: nothing is sent until it frees."""


class NeedsOperator(SyncbridgeError):
    """A person must act."""


class LoginRefused(NeedsOperator):
    """The destination does not accept the credentials."""


class OtherSystem(NeedsOperator):
    """The login reaches another system than the one that our links name: a re-pointed or refreshed org."""


class SchemaDrift(NeedsOperator):
    """An object, field, table or column is no longer as mapped."""


class SourceUnusable(NeedsOperator):
    """Postgres cannot be captured from as it is set up."""


class ProgramOutdated(NeedsOperator):
    """A newer program has upgraded the state; this one would not keep to what that relies on."""


class PositionLost(NeedsOperator):
    """Changes may be missing: the slot is lost, behind our checkpoint, or belongs to another server."""


class Remedy(StrEnum):
    """What has to happen to one rejected record."""

    RETRY = "retry"  # the same payload may work in a moment (locks, timeouts)
    RETRY_SMALLER = "retry_smaller"  # works in a smaller batch (Apex limits, too large)
    AFTER_PARENT = "after_parent"  # works when the record it refers to is there
    ADOPT = "adopt"  # a remote record holds the key already; `remote_id` names it
    GONE = "gone"  # the remote record no longer exists
    RECORD = "record"  # the row or the mapping must change; a dead letter until then
    SCHEMA = "schema"  # the object or field is not as mapped: describe again, halt the mapping
    WAIT = "wait"  # an allowance of the whole destination is spent


class RecordRejected(SyncbridgeError):
    """This record only. Raised by normal forms before sending; carried in `Rejected` after.

    `code` is the destination's own code (`STRING_TOO_LONG`), `fields` the remote fields it names. The message
    describes the fault without the value.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        fields: tuple[str, ...] = (),
        remedy: Remedy = Remedy.RECORD,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.fields = fields
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` found: what, where, what to do, and the SQL that would mend it."""

    severity: str  # "error" stops a run, "warning" does not
    where: str  # file:line, or the name of a server, table, object
    message: str
    remedy: str = ""
    sql: str = ""
