"""Sending again, in smaller calls, what may get through so.

Two cases, and neither may cost the other records of the call anything:

* Some rows were refused for what they did together: locks, or the limits of the org's Apex code. They are sent again in
  halves, after a pause where it was locks.
* One record spoils the whole call: it cannot be read, or the org's Apex code breaks off on it and takes all rows with
  it. It is searched for: of a set that holds it, half is sent. Where that is refused the search goes on in it, and the
  other half is set aside; where it gets through, the other half holds the record. What was set aside goes in one call
  at the end. So one spoiling record of 200 costs about log2(200) calls, and its 199 neighbours are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from syncbridge.destinations.base import Rejected, Result
from syncbridge.destinations.salesforce.errors import breaks_off, is_lock, is_too_much
from syncbridge.destinations.salesforce.writes import Send, Write, send_one
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError

#: Further calls that one call may cost: enough to find two records of 200.
SMALLER_CALLS = 24
#: Pauses for locks that one call may cost; after that the caller retries.
LOCK_PAUSES = 3

#: Waits a little longer at each `round` (from 1); False when there is no time left for it.
Pause = Callable[[int], bool]


class _Enough(Exception):
    """No further call may be made; what is known so far stands."""


def send_all(write: Write, records: Sequence[Any], send: Send, pause: Pause) -> list[Result]:
    """Send one call's records, and again in smaller calls those that may then get through.

    Raises what concerns every call, but only before anything was answered.
    """
    search = _Search(write, records, send, pause, _answers(write, records, send))
    with suppress(_Enough):
        search.follow(list(range(len(records))))
    return search.results


@dataclass(slots=True)
class _Search:
    """One call's records and what is known of each so far."""

    write: Write
    records: Sequence[Any]
    send: Send
    pause: Pause
    results: list[Result]
    calls_left: int = SMALLER_CALLS
    pauses: int = 0

    def follow(self, together: Sequence[int]) -> None:
        """Send again what may get through, of records that were answered together."""
        if self._spoiled(together):
            self._isolate(list(together))
            return
        again = [at for at in together if may_pass(self.results[at])]
        locked = any(is_lock(self.results[at]) for at in again)
        if not again or (len(together) == 1 and not locked) or (locked and not self._rested()):
            return
        for part in _halves(again):
            self._try(part)
            self.follow(part)

    def _isolate(self, spoiled: list[int]) -> None:
        """Find the records that spoil a call. `spoiled` was refused as a whole, so it holds at least one of them."""
        first_refusal = self.results[spoiled[0]]
        perhaps_too_many = is_too_much(first_refusal)
        known = True  # whether `spoiled` itself was sent, and refused
        aside: list[int] = []
        while len(spoiled) > 1:
            first, second = _halves(spoiled)
            self._try(first)
            if self._refused_alike(first, first_refusal):
                spoiled, known, aside = first, True, aside + second
                continue
            self.follow(first)
            spoiled, known = second, False
            if perhaps_too_many:
                perhaps_too_many, known = False, True
                self._try(second)
                if not self._refused_alike(second, first_refusal):
                    self.follow(second)
                    spoiled = []
        if spoiled and not known:
            self._try(spoiled)
        if aside:
            self._try(aside)
            self.follow(aside)

    def _try(self, part: Sequence[int]) -> None:
        if not self.calls_left:
            raise _Enough
        self.calls_left -= 1
        try:
            answers = _answers(self.write, [self.records[at] for at in part], self.send)
        except SyncbridgeError as error:
            if isinstance(error, RetryLater) and error.uncertain:
                for at in part:
                    self.results[at] = Rejected(error.code, error.message, Remedy.RETRY, uncertain=True)
            raise _Enough from None
        for at, answer in zip(part, answers, strict=True):
            self.results[at] = answer

    def _rested(self) -> bool:
        self.pauses += 1
        return self.pauses <= LOCK_PAUSES and self.pause(self.pauses)

    def _spoiled(self, together: Sequence[int]) -> bool:
        return _all_alike([self.results[at] for at in together])

    def _refused_alike(self, part: Sequence[int], refusal: Result) -> bool:
        if len(part) > 1:
            return self._spoiled(part)
        alone = self.results[part[0]]
        return isinstance(alone, Rejected) and isinstance(refusal, Rejected) and alone.code == refusal.code


def _answers(write: Write, records: Sequence[Any], send: Send) -> list[Result]:
    """One call's results. Where Apex code broke off, nothing is known yet of any record but that it may pass alone."""
    answers = send_one(write, records, send)
    if len(answers) > 1 and all(breaks_off(answer) and _alike(answer, answers[0]) for answer in answers):
        return [replace(answer, remedy=Remedy.RETRY_SMALLER) for answer in answers if isinstance(answer, Rejected)]
    return answers


def _all_alike(answers: Sequence[Result]) -> bool:
    """Whether several records were refused in the same words, in a way that one of them can be the cause of."""
    first = answers[0]
    return (
        len(answers) > 1
        and may_pass(first)
        and not is_lock(first)
        and all(may_pass(answer) and _alike(answer, first) for answer in answers)
    )


def _alike(one: Result, other: Result) -> bool:
    return (
        isinstance(one, Rejected)
        and isinstance(other, Rejected)
        and (one.code, one.message) == (other.code, other.message)
    )


def may_pass(answer: Result) -> bool:
    """Whether a record may get through in a smaller call."""
    return isinstance(answer, Rejected) and answer.remedy is Remedy.RETRY_SMALLER and not answer.uncertain


def _halves(positions: Sequence[int]) -> list[list[int]]:
    middle = (len(positions) + 1) // 2
    return [list(part) for part in (positions[:middle], positions[middle:]) if part]
