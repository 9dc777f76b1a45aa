"""The turn at the bulk jobs of a mapping: one process has it, and two of its threads work under it.

One gathers records and sends them, the other one follows jobs and settles them. What each must know of the other
stands here, and is gone with the process; all else is in the state.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from syncbridge.model import Priority

#: Seconds between looks at the backlog, and for jobs while there is none.
LOOK_EVERY = 1.0
#: Seconds for which lanes do all of it, after a job ended before its last record.
REST = 600.0
#: Seconds after which a job is asked how far it is; each time longer, up to the second.
POLL_FIRST, POLL_LAST = 0.5, 20.0


@dataclass(slots=True)
class Turn:
    """Times are those of the clock that both threads are given."""

    ours: bool = False
    left: set[int] = field(default_factory=set)  # jobs that were not sent in full, and that nobody is at
    polls: dict[int, tuple[float, float]] = field(default_factory=dict)  # job -> when to ask next, and wait after it
    held: set[Priority] = field(default_factory=set)  # what lanes leave to jobs
    takes_pages: bool = False  # jobs take the pages of a first sync: whoever enqueues them leaves it to them
    moved_at: float = float("-inf")  # when a job was last given records, or made progress
    rest_until: float = float("-inf")  # lanes do all of it
    news: threading.Event = field(default_factory=threading.Event)  # there is a job to follow

    def begin(self) -> None:
        """Forget what was so before this process had the turn, perhaps a second time."""
        self.left.clear()
        self.polls.clear()
        self.rest_until = float("-inf")
        self.takes_pages = False

    def sent(self, number: int, now: float) -> None:
        """A job was given its records: it needs a moment."""
        self.polls[number] = (now + POLL_FIRST, POLL_FIRST * 1.5)
        self.moved_at = now
        self.news.set()
