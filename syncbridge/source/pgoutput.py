"""Messages of pgoutput -> the keys of the entities they touch. Pure: bytes in, values out; no I/O, no clock.

The layouts are those of the Postgres manual, "Logical Replication Message Formats". Only the columns of the watches are
read: a tuple is parsed no further than the last of them, and once for all watches of its table. A key is the bytes of
Postgres's own text (UTF-8) of one column, and for several columns what `encode` makes of their texts. Rows of related
tables make join keys in the same way.

Protocol 1 delivers whole transactions in commit order. Protocols 2 to 4 add an xid after the type byte of what stands
between Stream Start and Stream Stop; that shift, and keeping keys apart per xid until Stream Commit, is all that
`Decoder.decode` would have to learn: callers see nothing but `Committed` and `take()`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from syncbridge.errors import SourceUnusable
from syncbridge.model import Lsn
from syncbridge.schemas import Watch

#: Commit LSN (of the commit record; the end LSN is not known before the end), microseconds since 2000-01-01 UTC.
Commit = tuple[int, int]

_INSERT, _UPDATE, _DELETE = b"IUD"
_NEW, _OLD_KEY, _OLD_ROW = b"NKO"
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"

_row_head = Struct(">IBH").unpack_from  # relation, which tuple, columns
_tuple_head = Struct(">BH").unpack_from
_uint32 = Struct(">I").unpack_from
_begin = Struct(">QqI").unpack_from
_commit = Struct(">BQQq").unpack_from
_column_tail = Struct(">Ii").unpack_from
_message_head = Struct(">BQ").unpack_from


class ProtocolViolation(SourceUnusable):
    """The bytes are not what the Postgres manual promises; nothing after them can be trusted."""


class Committed(NamedTuple):
    """A transaction is complete; its position is `end_lsn`, just past the commit record."""

    end_lsn: Lsn
    lsn: Lsn
    time_us: int  # microseconds since 2000-01-01 UTC


class LogicalMessage(NamedTuple):
    """What pg_logical_emit_message() wrote."""

    prefix: str
    content: bytes
    transactional: bool


@dataclass(slots=True)
class Touched:
    """What was touched: per mapping the keys with their last commit, and the mappings whose table was truncated.

    `related` holds join keys by mapping and relation, `related_truncated` the mappings that a truncated table is
    related to. No commit that touched any of them is older than `since`. `transactions` are the ids (32 bits, as on the
    wire) of those commits, and perhaps of others.
    """

    keys: dict[int, dict[bytes, Commit]] = field(default_factory=dict)
    truncated: dict[int, Commit] = field(default_factory=dict)
    transactions: frozenset[int] = frozenset()
    related: dict[tuple[int, str], dict[bytes, Commit]] = field(default_factory=dict)
    related_truncated: dict[int, Commit] = field(default_factory=dict)
    since: Commit | None = None

    def __bool__(self) -> bool:
        return len(self) > 0

    def __len__(self) -> int:
        keys = sum(map(len, self.keys.values())) + sum(map(len, self.related.values()))
        return keys + len(self.truncated) + len(self.related_truncated)


@dataclass(frozen=True, slots=True)
class _Relation:
    schema: str
    name: str
    columns: tuple[str, ...]


class _Plan:
    """Where the keys of one relation's watches stand in its tuples."""

    __slots__ = ("first", "last", "mappings", "watches")

    def __init__(
        self, watches: Sequence[tuple[dict[bytes, Commit], tuple[int, ...]]], mappings: set[tuple[int, bool]]
    ) -> None:
        self.watches = watches
        self.mappings = mappings  # ids, and whether it is a related table there
        self.last = max((max(positions) for _, positions in watches), default=-1)
        #: Where keys go when the only watch's only key column is the first column, as it is with a column list.
        self.first = watches[0][0] if len(watches) == 1 and watches[0][1] == (0,) else None


def json_key(texts: Sequence[str]) -> str:
    """A key of several columns, as `jsonb_build_array(...)::text` writes it."""
    return json.dumps(list(texts), ensure_ascii=False)


class Decoder:
    """Collects the keys that messages touch, until `take()`. One per connection, which announces relations anew.

    Raises ProtocolViolation for malformed bytes; never reads beyond a message, never hangs.
    """

    def __init__(self, watches: Iterable[Watch], *, encode: Callable[[Sequence[str]], str] = json_key) -> None:
        self._encode = encode
        self._keys: dict[tuple[int, str], dict[bytes, Commit]] = {}  # by mapping and relation; "": entity keys
        self._truncated: dict[tuple[int, bool], Commit] = {}  # mapping id, and whether it was a related table
        self._relations: dict[int, _Relation] = {}
        self._plans: dict[int, _Plan | None] = {}  # None: announced, not watched
        self._commit: Commit | None = None
        self._since: Commit | None = None  # of the first transaction that may have touched what is collected
        self._transactions: set[int] = set()
        #: Commit time of the newest transaction that began, in microseconds since 2000-01-01 UTC.
        self.time_us = 0
        #: Row changes decoded so far, watched or not.
        self.changes = 0
        #: Watched columns that an announced table did not carry -> "schema.table"; its rows made no such keys.
        self.absent: dict[tuple[str, str], str] = {}
        self._others: dict[int, Callable[[bytes, int], Committed | LogicalMessage | None]] = {
            ord("B"): self._on_begin,
            ord("C"): self._on_commit,
            ord("R"): self._on_relation,
            ord("T"): self._on_truncate,
            ord("M"): self._on_message,
            ord("O"): _ignore,
            ord("Y"): _ignore,
            # A stray Stream Abort can come at every protocol version: Postgres 18 sends one when it evicts an aborted
            # transaction with a small sub-transaction (our test in tests/source/test_experiments.py).
            ord("A"): _ignore,
        }
        self.watch(watches)

    @property
    def open(self) -> bool:
        """True between Begin and Commit."""
        return self._commit is not None

    def __len__(self) -> int:
        """How many keys are collected."""
        return sum(map(len, self._keys.values())) + len(self._truncated)

    def watch(self, watches: Iterable[Watch]) -> None:
        """Watch these tables from the next message on; what is collected stays."""
        self._watches: dict[tuple[str, str], list[Watch]] = {}
        for watch in watches:
            self._watches.setdefault((watch.schema, watch.table), []).append(watch)
        self.absent.clear()
        for oid, relation in self._relations.items():
            self._plans[oid] = self._plan(relation)

    def take(self) -> Touched:
        """What was collected since the last call."""
        collected = {of: keys.copy() for of, keys in self._keys.items() if keys}
        taken = Touched(
            {mapping: keys for (mapping, relation), keys in collected.items() if not relation},
            {mapping: commit for (mapping, related), commit in self._truncated.items() if not related},
            frozenset(self._transactions),
            {of: keys for of, keys in collected.items() if of[1]},
            {mapping: commit for (mapping, related), commit in self._truncated.items() if related},
            self._since,
        )
        self._since = self._commit  # its rest is still to come
        for keys in self._keys.values():
            keys.clear()  # the plans hold these very dicts
        if not self.open:
            self._transactions.clear()
        self._truncated = {}
        return taken

    def leave_out(self, mapping_id: int, keys: Iterable[bytes]) -> None:
        """Forget entities that the open transaction touched, and as far as it has come."""
        collected = self._keys.get((mapping_id, ""), {})
        for key in keys:
            if self._commit is not None and collected.get(key) is self._commit:
                del collected[key]

    def decode(self, data: bytes, at: int = 0) -> Committed | LogicalMessage | None:
        """Read the message that begins at `at`. The hot loop: one row change costs well under a microsecond."""
        try:
            kind = data[at]
            expected = _PLAIN.get(kind)
            if expected is None:
                return self._others[kind](data, at + 1)
            self.changes += 1
            oid, which, count = _row_head(data, at + 1)
            plan = self._plans[oid]
            if plan is None:
                return None
            commit = self._commit
            keys = plan.first
            if keys is None or commit is None or not count or data[at + 8] != _TEXT or which != expected:
                self._on_row(data, at + 5, kind, plan)
                return None
            start = at + 13
            end = start + _uint32(data, at + 9)[0]
            if end > len(data):
                raise ProtocolViolation("a column of a row change is longer than its message")
            keys[data[start:end]] = commit
            return None
        except (StructError, IndexError) as error:
            raise ProtocolViolation(f"a pgoutput message of {len(data) - at} bytes ends too early") from error
        except KeyError as error:
            raise ProtocolViolation(f"pgoutput sent an unknown message type or relation: {error}") from error
        except UnicodeDecodeError as error:
            raise ProtocolViolation("pgoutput sent text that is not UTF-8") from error

    def _on_row(self, data: bytes, at: int, kind: int, plan: _Plan) -> None:
        """Any row change, from the byte that says which tuple follows."""
        if self._commit is None:
            raise ProtocolViolation("a row change outside of a transaction")
        which = data[at]
        has_old = which in (_OLD_KEY, _OLD_ROW)
        if (which == _NEW and kind != _DELETE) or (has_old and kind == _DELETE):
            self._collect(plan, _columns(data, at, plan.last)[0])
        elif has_old and kind == _UPDATE:
            old, at = _columns(data, at, plan.last, to_the_end=True)
            if data[at] != _NEW:
                raise ProtocolViolation("an update without its new tuple")
            new, _ = _columns(data, at, plan.last)
            self._collect(plan, old)
            # Unchanged TOAST is not repeated in the new tuple; the old one has it when it is part of the identity.
            known = zip(old, new, strict=True)
            self._collect(plan, [was if now is _SAME and was is not None else now for was, now in known])
        else:
            raise ProtocolViolation(f"a row change with an unexpected tuple {chr(which)!r}")

    def _collect(self, plan: _Plan, columns: Sequence[bytes | None]) -> None:
        commit = self._commit
        assert commit is not None  # _on_row saw to it
        for keys, positions in plan.watches:
            values = [columns[position] for position in positions]
            if any(value is _SAME for value in values):
                raise SourceUnusable(
                    "a key column holds an unchanged TOAST value, which Postgres does not repeat",
                    hint="Set REPLICA IDENTITY FULL on the table, or key the mapping by a shorter column.",
                )
            # Null refers to nothing. In an old tuple it also stands for every column outside of the identity.
            found = [value for value in values if value is not None]
            if len(found) < len(values):
                continue
            key = found[0] if len(found) == 1 else self._encode([value.decode() for value in found]).encode()
            keys[key] = commit

    def _on_begin(self, data: bytes, at: int) -> None:
        lsn, time_us, transaction = _begin(data, at)
        if self._commit is not None:
            raise ProtocolViolation("a transaction begins inside another")
        if not (self._truncated or any(self._keys.values())):
            self._transactions.clear()  # they touched nothing that is watched
            self._since = (lsn, time_us)
        self._transactions.add(transaction)
        self._commit = (lsn, time_us)
        self.time_us = time_us

    def _on_commit(self, data: bytes, at: int) -> Committed:
        _, lsn, end_lsn, time_us = _commit(data, at)
        if self._commit is None:
            raise ProtocolViolation("a commit without its begin")
        self._commit = None
        return Committed(Lsn(end_lsn), Lsn(lsn), time_us)

    def _on_relation(self, data: bytes, at: int) -> None:
        (oid,) = _uint32(data, at)
        schema, at = _string(data, at + 4)
        name, at = _string(data, at)
        _, count = _tuple_head(data, at)  # replica identity, columns
        at += 3
        columns = []
        for _ in range(count):
            column, at = _string(data, at + 1)
            _column_tail(data, at)  # type, modifier
            at += 8
            columns.append(column)
        relation = _Relation(schema or "pg_catalog", name, tuple(columns))
        self._relations[oid] = relation
        self._plans[oid] = self._plan(relation)

    def _plan(self, relation: _Relation) -> _Plan | None:
        watches = self._watches.get((relation.schema, relation.name))
        if not watches:
            return None
        placed = []
        for watch in watches:
            keys = self._keys.setdefault((watch.mapping_id, watch.relation), {})
            missing = [column for column in watch.columns if column not in relation.columns]
            if missing:
                table = f"{relation.schema}.{relation.name}"
                self.absent.update(((table, column), table) for column in missing)
                continue
            placed.append((keys, tuple(relation.columns.index(column) for column in watch.columns)))
        return _Plan(placed, {(watch.mapping_id, watch.related or bool(watch.relation)) for watch in watches})

    def _on_truncate(self, data: bytes, at: int) -> None:
        (count,) = _uint32(data, at)
        if self._commit is None:
            raise ProtocolViolation("a truncate outside of a transaction")
        for n in range(count):
            plan = self._plans[_uint32(data, at + 5 + 4 * n)[0]]
            if plan is not None:
                self._truncated.update(dict.fromkeys(plan.mappings, self._commit))

    def _on_message(self, data: bytes, at: int) -> LogicalMessage:
        flags, _ = _message_head(data, at)
        prefix, at = _string(data, at + 9)
        (length,) = _uint32(data, at)
        content = data[at + 4 : at + 4 + length]
        if len(content) != length:
            raise ProtocolViolation("a logical message is longer than what came")
        return LogicalMessage(prefix, content, transactional=bool(flags & 1))


#: The tuple that a plain change carries: updates that keep their identity, and inserts, have the new one alone.
_PLAIN = {_INSERT: _NEW, _UPDATE: _NEW, _DELETE: _OLD_KEY}

#: Stands for an unchanged TOAST value; compared by identity, so that no real value can be taken for it.
_SAME = bytes(bytearray(b"unchanged"))


def _ignore(data: bytes, at: int) -> None:
    """Origin, Type, Stream Abort: nothing in them concerns a key."""


def _string(data: bytes, at: int) -> tuple[str, int]:
    """A null-terminated string, and where the next field begins."""
    end = data.find(b"\0", at)
    if end < 0:
        raise ProtocolViolation("a name in a pgoutput message has no end")
    return data[at:end].decode(), end + 1


def _columns(data: bytes, at: int, last: int, *, to_the_end: bool = False) -> tuple[list[bytes | None], int]:
    """Values of the columns up to position `last`, and where reading ended; `to_the_end` skips over the others."""
    _, count = _tuple_head(data, at)
    if last >= count:
        raise ProtocolViolation("a tuple has fewer columns than its relation")
    at += 3
    values: list[bytes | None] = []
    for position in range(count if to_the_end else last + 1):
        kind = data[at]
        at += 1
        value: bytes | None = None
        if kind in (_TEXT, _BINARY):
            end = at + 4 + _uint32(data, at)[0]
            if end > len(data):
                raise ProtocolViolation("a column of a row change is longer than its message")
            value, at = data[at + 4 : end], end
        elif kind == _UNCHANGED:
            value = _SAME
        elif kind != _NULL:
            raise ProtocolViolation(f"unknown kind of column {chr(kind)!r}")
        if position <= last:
            if kind == _BINARY:
                raise ProtocolViolation("a key column came in binary form, which was not asked for")
            values.append(value)
    return values, at
