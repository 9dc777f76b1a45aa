"""The feed of changes of the destination in memory: records by the number of their last change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

#: Before every change.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryFeed:
    """Numbers every change. A position is a number as text. Its owner calls it under a lock."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self._number = 0
        self._changed: dict[tuple[str, str], tuple[int, datetime]] = {}  # in the order of their last change

    def note(self, object: str, remote_id: str) -> None:
        """A record was created, changed or deleted now."""
        self._number += 1
        place = object.lower(), remote_id
        self._changed.pop(place, None)
        self._changed[place] = self._number, self.clock()

    def modified(self, object: str, remote_id: str) -> datetime:
        """When a record was changed last."""
        return self._changed.get((object.lower(), remote_id), (0, _NEVER))[1]

    def page(self, object: str, position: str | None, size: int) -> tuple[list[str], str, bool]:
        """Remote ids changed since `position`, the next position, and whether there is more."""
        if position is None:
            return [], str(self._number), False
        since = int(position)
        behind = (
            (number, remote_id)
            for (name, remote_id), (number, _) in self._changed.items()
            if name == object.lower() and number > since
        )
        found = list(islice(behind, size + 1))
        more = len(found) > size
        last = found[size - 1][0] if more else self._number
        return [remote_id for _, remote_id in found[:size]], str(last), more
