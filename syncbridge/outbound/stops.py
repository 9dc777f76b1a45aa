"""When a mapping waits or halts: what a lane makes of errors that concern more than one record."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from traceback import format_exception
from typing import Protocol

from psycopg import Connection

from syncbridge.destinations.base import Delivered, Rejected, Result
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError
from syncbridge.model import MappingStatus
from syncbridge.policy import directive
from syncbridge.store import mappings

log = logging.getLogger("syncbridge.deliver")


class Forget(Protocol):
    """Work the fields out anew at the next batch; with `refresh` the destination is described anew first."""

    def __call__(self, *, refresh: bool) -> None: ...


@dataclass(slots=True)
class Stops:
    """Failures of one lane, and the status that they give its mapping. Only an active mapping is stopped."""

    mapping_id: int
    name: str
    store: Connection
    rng: random.Random
    mask: Callable[[str], str]  # takes sensitive values out of a message
    forget: Forget
    outdated: bool = False  # a person may have mended what the description says
    _failures: int = 0
    _blamed: frozenset[str] = frozenset()  # keys refused for the schema, since it was described anew

    def stop_for(self, error: Exception) -> None:
        """Set the mapping's status by the remedy of an error that concerned a whole batch."""
        self._failures += 1
        self.forget(refresh=False)
        chosen = directive(error, self._failures, rng=self.rng)
        message = f"unexpected {type(error).__name__}"
        if isinstance(error, SyncbridgeError):
            message = self.mask(error.message)
        else:
            log.error("mapping %s halted\n%s", self.name, self.mask("".join(format_exception(error))))
        self._set(chosen.status, message, chosen.hint, wait=chosen.wait)
        mappings.record_error(self.store, self.mapping_id, message)

    def heed(self, worst: Rejected, answers: Mapping[str, Result]) -> None:
        """Wait or halt because of what records were refused for.

        A refusal for the schema may come of an old description: it is read anew first, and only when the next batch is
        refused too the mapping halts.
        """
        if worst.remedy is Remedy.WAIT:
            self.stop_for(RetryLater(f"{worst.code}: {worst.message}", delay=worst.delay or 60.0))
        elif self._blamed:
            self._blamed = frozenset()
            hint = f"Run `syncbridge check`, mend it, then `syncbridge resume {self.name}`."
            self._set(MappingStatus.HALTED, f"{worst.code}: {worst.message}", hint)
        else:
            self._blamed = frozenset(
                key
                for key, answer in answers.items()
                if isinstance(answer, Rejected) and answer.remedy is Remedy.SCHEMA
            )
            try:
                self.forget(refresh=True)
            except Exception as error:
                self.stop_for(error)

    def learn(self, answers: Mapping[str, Result], *, well: bool) -> None:
        """Take note of what a batch was answered; `well` when nothing in it stops the mapping."""
        if well and answers:
            self._failures = 0
        if any(isinstance(answers.get(key), Delivered) for key in self._blamed):
            self._blamed = frozenset()

    def _set(self, status: MappingStatus, reason: str, hint: str, *, wait: float | None = None) -> None:
        self.outdated |= status is MappingStatus.HALTED
        mappings.set_status(
            self.store,
            self.mapping_id,
            status,
            reason=reason,
            hint=hint,
            wait_seconds=wait,
            only_from=(MappingStatus.ACTIVE,),
        )
        log.warning("mapping %s %s: %s", self.name, status.value, reason)
