"""Bodies too large for memory: a request's into a file, a response's chunk by chunk."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from syncbridge.sandbox.salesforce.bulk.limits import LARGEST_ENCODED

GZIP_LEVEL = 1
GZIP_WINDOW = 31


@asynccontextmanager
async def received(request: Request, path: Path) -> AsyncIterator[Path | None]:
    """The body of a request in a file, unpacked; None when it is too large. The file goes, unless it was moved.

    ClientDisconnect when the client goes away while it sends. What cannot be unpacked is taken for nothing.
    """
    unpack = zlib.decompressobj(GZIP_WINDOW) if request.headers.get("content-encoding", "").lower() == "gzip" else None
    size = 0
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                part = _unpacked(unpack, chunk) if unpack else chunk
                size += len(part)
                if size <= LARGEST_ENCODED:
                    file.write(part)
        yield path if size <= LARGEST_ENCODED else None
    finally:
        path.unlink(missing_ok=True)


def _unpacked(unpack: zlib._Decompress, chunk: bytes) -> bytes:
    try:
        return unpack.decompress(chunk)
    except zlib.error:
        return b""


async def in_turn(chunks: Iterator[bytes], *, gzipped: bool) -> AsyncIterator[bytes]:
    """The chunks of a response, packed if asked for; other requests get their turn in between."""
    pack = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW) if gzipped else None
    for chunk in chunks:
        part = pack.compress(chunk) if pack else chunk
        if part:
            yield part
        await asyncio.sleep(0)
    if pack:
        yield pack.flush()
