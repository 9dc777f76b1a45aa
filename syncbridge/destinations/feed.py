"""What a destination tells of its records unasked: pages of changed ones, or of all, and where to go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from syncbridge.errors import RetryLater
from syncbridge.model import Fields

#: For so long a page may show an older state of a record than the one that was written.
LATE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class RemoteChange:
    """A record as it was when it was read. It may have been read before, and may not differ from what is known."""

    remote_id: str
    modified: datetime  # by the destination's clock, and as exact as that tells
    fields: Fields  # in normal form, under the names that were asked for; empty when it is gone
    deleted: bool = False
    merged_into: str | None = None  # the record that took over a deleted one


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """One page; `position` is where the next one begins."""

    changes: tuple[RemoteChange, ...]
    position: str
    more: bool  # there is another page now; else the feed was read up to this moment


@dataclass(frozen=True, slots=True)
class ScanPage:
    """One page of all records; `position` is where the next one begins."""

    records: tuple[RemoteChange, ...]  # none is deleted
    position: str
    more: bool  # there is another page, now or later
    delay: float = 0.0  # seconds until it is worth asking again: the destination still works, there are no records yet
    total: int | None = None  # records of the whole scan, as soon as that is known


class ScanLost(RetryLater):
    """The destination does not know the scan of this position any more: begin a new one."""
