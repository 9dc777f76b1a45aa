"""What to do next, decided by values alone: backoff, the fate of a rejected record, the fate of a whole batch."""

from __future__ import annotations

import random
from dataclasses import dataclass

from syncbridge.errors import (
    ConfigurationError,
    NeedsOperator,
    QuotaExhausted,
    Remedy,
    RetryLater,
    SyncbridgeError,
)
from syncbridge.model import MappingStatus

#: Seconds: the first wait after a failure, and the longest.
BACKOFF_BASE = 2.0
BACKOFF_CAP = 900.0

#: Remedies that wait for something else do not use up attempts for ever; these are tried so often.
MAX_ATTEMPTS = {
    Remedy.RETRY: 12,
    Remedy.RETRY_SMALLER: 12,
    Remedy.AFTER_PARENT: 12,
    Remedy.ADOPT: 3,
    Remedy.GONE: 3,
    Remedy.RECORD: 1,  # the same row is refused the same way; a change of the row tries again by itself
}


def backoff(attempt: int, *, base: float = BACKOFF_BASE, cap: float = BACKOFF_CAP, rng: random.Random) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): doubled each time, between half and all of it."""
    longest = min(cap, base * 2 ** min(attempt - 1, 30))
    return float(longest * (0.5 + rng.random() / 2))


@dataclass(frozen=True, slots=True)
class Retry:
    """Try one record again after `delay` seconds; `dead` gives it up until a person acts or the row changes."""

    delay: float = 0.0
    dead: bool = False
    tried: bool = True
    resend: bool = False


def after_rejection(
    remedy: Remedy, attempts: int, *, uncertain: bool, delay: float | None, max_attempts: int, rng: random.Random
) -> Retry:
    """The fate of one rejected record that was tried `attempts` times before this one."""
    if remedy is Remedy.WAIT:
        return Retry(delay=delay or 60.0, tried=False, resend=uncertain)
    if remedy is Remedy.SCHEMA:  # the mapping is at fault, and halted if that stays so: no row is given up for it
        return Retry(delay=backoff(1, rng=rng), tried=False, resend=uncertain)
    if uncertain:  # the answer was lost, not refused: never give up on that alone
        return Retry(delay=max(delay or 0.0, backoff(attempts + 1, cap=60.0, rng=rng)), resend=True)
    if attempts + 1 >= min(MAX_ATTEMPTS[remedy], max_attempts):
        return Retry(dead=True)
    if remedy in (Remedy.ADOPT, Remedy.GONE):
        return Retry(resend=True)
    return Retry(delay=max(delay or 0.0, backoff(attempts + 1, rng=rng)))


@dataclass(frozen=True, slots=True)
class Directive:
    """What a mapping's loop does after an error that concerned a whole batch."""

    status: MappingStatus  # of the mapping from now on
    wait: float | None = None  # seconds, for WAITING
    hint: str = ""


def directive(error: BaseException, failures: int, *, rng: random.Random) -> Directive:
    """Decide by the class of the error alone; `failures` counts those in a row, this one included.

    Whatever is unknown halts the mapping, visibly, and never the process.
    """
    if isinstance(error, QuotaExhausted):
        return Directive(MappingStatus.WAITING, wait=error.delay or 300.0, hint=error.hint)
    if isinstance(error, RetryLater):
        wait = max(error.delay or 0.0, backoff(failures, cap=120.0, rng=rng))
        return Directive(MappingStatus.WAITING, wait=wait, hint=error.hint)
    if isinstance(error, NeedsOperator | ConfigurationError):
        return Directive(MappingStatus.HALTED, hint=error.hint)
    if isinstance(error, SyncbridgeError):
        return Directive(MappingStatus.HALTED, hint=error.hint)
    return Directive(
        MappingStatus.HALTED,
        hint="This is a defect of syncbridge or an unforeseen answer; the worker's log has the details."
        " `syncbridge resume` tries again.",
    )
