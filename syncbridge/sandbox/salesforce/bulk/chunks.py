"""Parts of a file, chunk by chunk: what results are sent from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

CHUNK = 1 << 16


def file_chunks(path: Path, parts: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Return the bytes of a file from each start to its end, one part after the other, in chunks.

    The file is open before this returns, so a job that is deleted meanwhile can still be read to its end.
    """
    file = path.open("rb")

    def read() -> Iterator[bytes]:
        with file:
            for start, end in parts:
                file.seek(start)
                while start < end and (chunk := file.read(min(CHUNK, end - start))):
                    start += len(chunk)
                    yield chunk

    return read()
