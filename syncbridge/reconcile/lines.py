"""Keys of rows, links and records as lines of one sorted file: what belongs to one key stands together. Pure.

A line is the key as the destination compares it, a tab, a letter that says what it is, and parts with tabs between
them. Keys are written as JSON writes them, without quotes: so they hold no tab and no newline, and a tab sorts before
everything. Of a record there is a digest instead of its values: nothing personal but keys gets on a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import orjson

KEY, LINK, RECORD = b"K", b"L", b"R"


class Carrier(NamedTuple):
    """A remote record that carries the key of a group."""

    remote_id: str
    digest: bytes
    marked: bool  # it holds what is written of an entity that is gone
    key: str  # as the record spells it


class Group:
    """All that belongs to one key, as the destination compares keys."""

    __slots__ = ("keys", "links", "records")  # millions are made

    def __init__(self) -> None:
        self.keys: list[str] = []  # of rows
        self.links: list[tuple[str, str]] = []  # key, remote id
        self.records: list[Carrier] = []


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
    current, text, group = b"", "", Group()
    for line in lines:
        spelled, kind, rest = line[:-1].split(b"\t", 2)
        if spelled != current:
            if group.keys or group.links or group.records:
                yield group
            current, text, group = spelled, read(spelled), Group()
        if kind == KEY:
            group.keys.append(read(rest) if rest else text)
        elif kind == LINK:
            key, remote_id = rest.split(b"\t")
            group.links.append((read(key) if key else text, read(remote_id)))
        else:
            key, remote_id, digest, marked = rest.split(b"\t")
            group.records.append(Carrier(read(remote_id), digest, marked == b"1", read(key) if key else text))
    if group.keys or group.links or group.records:
        yield group
