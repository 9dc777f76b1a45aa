"""What can go wrong with a destination in memory, for tests to ask for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy


@dataclass(slots=True)
class Faults:
    """What shall go wrong. Each is consumed once per call (`reject`: stays until cleared)."""

    rejections: dict[str, Rejected] = field(default_factory=dict)  # by external or remote id
    raising: list[Exception] = field(default_factory=list)
    lost_answers: int = 0
    held: bool = False
    slow: threading.Event | None = None
    login: Exception | None = None
    jobs_held: bool = False
    job_failure: tuple[int, Rejected] | None = None

    def reject(self, key: str, code: str, *, remedy: Remedy = Remedy.RECORD) -> None:
        """Refuse the record with this external id (upsert) or remote id (delete) until `clear`."""
        self.rejections[key] = Rejected(code, f"refused: {code}", remedy)

    def fail(self, error: Exception) -> None:
        """Let the next call raise `error`, before anything is written."""
        self.raising.append(error)

    def fail_after_write(self, calls: int = 1) -> None:
        """Apply the next calls but lose their answers."""
        self.lost_answers = calls

    def refuse_login(self, error: Exception) -> None:
        """Let every call raise `error` until `clear`."""
        self.login = error

    def hold(self) -> None:
        """Be unavailable until `clear`."""
        self.held = True

    def slow_until(self, event: threading.Event) -> None:
        """Let calls wait for `event` before they do anything."""
        self.slow = event

    def hold_jobs(self) -> None:
        """Let bulk jobs that are uploaded from now on wait until `clear`, or until `MemoryBulk.run_jobs`."""
        self.jobs_held = True

    def fail_job(self, code: str, *, after: int = 0, remedy: Remedy = Remedy.RETRY_SMALLER) -> None:
        """Let the next bulk job end after so many records."""
        self.job_failure = (after, Rejected(code, f"the job failed: {code}", remedy))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.rejections, self.raising, self.lost_answers, self.held = {}, [], 0, False
        self.slow = self.login = self.job_failure = None
        self.jobs_held = False
