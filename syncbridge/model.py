"""The values that every layer speaks: positions, keys, values of fields, and outcomes.

Nothing here does I/O or imports another module of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Self


class Lsn(int):
    """A position in the write-ahead log: 64 bits, shown as Postgres shows it (`16/B374D848`)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the `X/X` form; ValueError on anything else."""
        high, slash, low = text.partition("/")
        if not slash:
            raise ValueError(f"not an LSN: {text!r}")
        return cls((int(high, 16) << 32) | int(low, 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({str(self)!r})"


#: A Postgres value as compose hands it to a destination's normal form.
Value = str | int | float | bool | Decimal | date | datetime | time | list[str] | None

#: A value in a destination's normal form: what JSON can hold. Bases are made of these.
Normal = str | int | float | bool | None

#: From a value to a remote field's normal form, as its destination does it; RecordRejected for what it can never store.
Normaliser = Callable[[Value], Normal]

#: The fields of one remote record (or of a base) in normal form.
Fields = dict[str, Normal]


def agrees(base: Fields, name: str, value: Normal) -> bool:
    """Whether both sides agreed on this value of a field last. A field that is in no base agrees with nothing."""
    return name in base and base[name] == value


#: Kind of a call that signs in. Destinations limit logins by themselves and count them towards no allowance.
LOGIN = "login"


class Reason(StrEnum):
    """Why an entity key stands in the outbox; the last reason wins."""

    CHANGE = "change"  # a committed change in the source
    TRUNCATE = "truncate"  # its table was truncated
    FIRST_SYNC = "first_sync"  # the mapping is new
    RESYNC = "resync"  # a person asked for it
    RECOVERY = "recovery"  # the slot was made anew: what changed without being captured is looked for
    REQUEUE = "requeue"  # a person sent a dead letter back
    RELATED = "related"  # a row of a related table changed
    ADOPT = "adopt"  # a person took over the record that its row names; in the log only
    REMOTE = "remote"  # the remote record differs from what the rules say: Postgres has its way
    PARENT = "parent"  # the record that a lookup of it waited for is there, or is another one now


class Priority(IntEnum):
    """Lower goes first: a resync never delays a live change."""

    LIVE = 0
    LIVE_LEFT = 1  # a live change that no bulk job takes
    BULK_LEFT = 9
    BULK = 10  # of first syncs, resyncs and large fan-outs


class Operation(StrEnum):
    """What was, or would be, done to the remote record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NOTHING = "nothing"


class Outcome(StrEnum):
    """How a delivery ended; the words of the sync log."""

    DELIVERED = "delivered"
    SAME = "same"  # equal to the base: nothing was sent
    RETRY = "retry"  # will be tried again by itself
    DEAD = "dead"  # given up until a person acts or the row changes
    WAITING = "waiting"  # for the record of another mapping's entity
    HELD = "held"  # more than one existing record could be meant: a person decides
    IGNORED = "ignored"  # the mapping says to do nothing (deletes: ignore)
    WRITTEN = "written"  # a remote change is in its row
    KEPT = "kept"  # a remote change lost against the row, which goes out
    REFUSED = "refused"  # Postgres, or the column's type, does not take a remote change: it is held


class MappingStatus(StrEnum):
    """Whether a mapping delivers; `halted` and `guard` name what a person must look at."""

    ACTIVE = "active"
    PAUSED = "paused"  # a person paused it
    HALTED = "halted"  # an error that a person must mend
    GUARD = "guard"  # a mass change or mass delete waits for approval
    WAITING = "waiting"  # a quota or an outage; goes on by itself at `until`

    @property
    def delivers(self) -> bool:
        """It delivers by itself, now or when its wait is over."""
        return self in (MappingStatus.ACTIVE, MappingStatus.WAITING)
