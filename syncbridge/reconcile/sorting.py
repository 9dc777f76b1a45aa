"""Sorting more lines than memory holds: sorted runs in temporary files, merged.

The files have no name, so nothing of them is left whatever ends the process, and only this user can read them. They
stand in the directory of the environment variable TMPDIR, else in the system's own.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Self

#: Bytes of lines that are kept until they are sorted and written; Python needs about twice as much for short ones.
CHUNK = 16_000_000
#: Bytes that an object of Python takes besides its contents.
_OVERHEAD = 41
#: Runs that are merged at once; each has a file open, and a buffer of this size.
FAN_IN = 64
_BUFFER = 1 << 17


class Sorter:
    """Give it lines, each ending with a newline, then read them back in bytewise order, once. A context manager."""

    def __init__(self, *, chunk: int = CHUNK) -> None:
        self._chunk = chunk
        self._lines: list[bytes] = []
        self._size = 0
        self._runs: list[IO[bytes]] = []
        self._open = ExitStack()
        self.written = 0  # bytes on disk so far

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(self, lines: Iterable[bytes]) -> None:
        """Take some lines; write a run when there are enough."""
        before = len(self._lines)
        self._lines.extend(lines)
        new = self._lines[before:]
        self._size += sum(map(len, new)) + _OVERHEAD * len(new)
        if self._size > self._chunk:
            self._write()

    def sorted(self) -> Iterator[bytes]:
        """All lines in order."""
        if not self._runs:
            self._lines.sort()
            return iter(self._lines)
        self._write()
        while len(self._runs) > FAN_IN:
            some, self._runs = self._runs[:FAN_IN], self._runs[FAN_IN:]
            self._runs.append(self._store(heapq.merge(*map(_from_start, some))))
            for run in some:
                run.close()
        return heapq.merge(*map(_from_start, self._runs))

    def _write(self) -> None:
        self._lines.sort()
        self._runs.append(self._store(self._lines))
        self._lines, self._size = [], 0

    def _store(self, lines: Iterable[bytes]) -> IO[bytes]:
        run = self._open.enter_context(tempfile.TemporaryFile(buffering=_BUFFER))  # noqa: SIM115 - the context is ours
        run.writelines(lines)
        run.flush()
        self.written += run.tell()
        return run


def _from_start(run: IO[bytes]) -> IO[bytes]:
    run.seek(0)
    return run
