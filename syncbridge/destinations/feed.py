"""What a destination tells of its own changes: pages of changed records, and where to go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from syncbridge.model import Fields


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
