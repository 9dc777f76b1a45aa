"""Scans of the destination in memory: the ids that were there at the first call, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from syncbridge.destinations.feed import ScanLost


class MemoryScans:
    """`begun` lists all scans by number; one taken out of it is lost. Its owner calls it under a lock."""

    def __init__(self) -> None:
        self.begun: dict[str, list[str]] = {}

    def begin(self, remote_ids: Sequence[str]) -> str:
        """Begin a scan of these records; the position of its first page."""
        number = f"scan{len(self.begun) + 1}"
        self.begun[number] = list(remote_ids)
        return f"{number}:0"

    def page(self, position: str, size: int) -> tuple[list[str], str, bool, int]:
        """Remote ids of a page, the next position, whether there is more, and how many there are in all."""
        number, _, start = position.partition(":")
        if number not in self.begun:
            raise ScanLost(f"Scan {number} is not known.", code="SCAN_LOST")
        ids, end = self.begun[number], int(start) + size
        return ids[int(start) : end], f"{number}:{end}", end < len(ids), len(ids)
