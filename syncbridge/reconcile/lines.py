"""Keys of rows, links and records as lines of one sorted file: what belongs to one key stands together. Pure.

A line is the key as the destination compares it, a tab, a letter that says what it is, and parts with tabs between
them. Keys are written as JSON writes them, without quotes: so they hold no tab and no newline, and a tab sorts before
everything. Of a record there is a digest instead of its values: nothing personal but keys gets on a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import orjson

KEY, LINK, RECORD = b"K", b"L", b"R"


class Carrier(NamedTuple):
    """A remote record that carries the key of a group."""

    remote_id: str
    digest: bytes
    marked: bool  # it holds what is written of an entity that is gone
    key: str  # as the record spells it


@dataclass(slots=True)
class Group:
    """All that belongs to one key, as the destination compares keys."""

    keys: list[str] = field(default_factory=list)  # of rows
    links: list[tuple[str, str]] = field(default_factory=list)  # key, remote id
    records: list[Carrier] = field(default_factory=list)


def key_line(spelled: str, key: str) -> bytes:
    """A row with this key; `spelled` is the key as the destination compares it."""
    return b"%b\tK\t%b\n" % (written(spelled), b"" if key == spelled else written(key))


def link_line(spelled: str, key: str, remote_id: str) -> bytes:
    """An entity that is linked to a record."""
    return b"%b\tL\t%b\t%b\n" % (written(spelled), b"" if key == spelled else written(key), written(remote_id))


def record_line(spelled: str, key: str, remote_id: str, digest: bytes, *, marked: bool) -> bytes:
    """A record that carries a key."""
    return b"%b\tR\t%b\t%b\t%b\t%b\n" % (
        written(spelled),
        b"" if key == spelled else written(key),
        written(remote_id),
        digest,
        b"1" if marked else b"",
    )


def written(text: str) -> bytes:
    """Without tabs and newlines; sorts as its UTF-8 does, but for what has to be escaped."""
    return orjson.dumps(text)[1:-1]


def read(text: bytes) -> str:
    """What `written` wrote."""
    return text.decode() if b"\\" not in text else str(orjson.loads(b'"%b"' % text))


def groups(lines: Iterator[bytes]) -> Iterator[Group]:
    """Groups of sorted lines, in the order of their keys."""
    for spelled, some in groupby(lines, _key_of):
        group = Group()
        for line in some:
            parts = line[len(spelled) + 1 : -1].split(b"\t")
            key = read(parts[1] or spelled)
            if parts[0] == KEY:
                group.keys.append(key)
            elif parts[0] == LINK:
                group.links.append((key, read(parts[2])))
            else:
                group.records.append(Carrier(read(parts[2]), parts[3], parts[4] == b"1", key))
        yield group


def _key_of(line: bytes) -> bytes:
    return line[: line.index(b"\t")]
