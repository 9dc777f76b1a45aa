"""The decoder against bytes that nobody should ever send. No server here."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.errors import SourceUnusable
from syncbridge.model import Lsn
from syncbridge.schemas import Watch
from syncbridge.source.pgoutput import Committed, Decoder, ProtocolViolation
from tests.fix_source import texts


def relation(*columns: str, oid: int = 7) -> bytes:
    body = b"".join(b"\0" + name.encode() + b"\0" + pack(">Ii", 25, -1) for name in columns)
    return b"R" + pack(">I", oid) + b"public\0t\0d" + pack(">H", len(columns)) + body


def tuple_of(*values: str | None) -> bytes:
    shown = [b"n" if value is None else b"t" + pack(">I", len(value)) + value.encode() for value in values]
    return pack(">H", len(values)) + b"".join(shown)


BEGIN = b"B" + pack(">QqI", 100, 5_000, 1)
COMMIT = b"C" + pack(">BQQq", 0, 100, 140, 5_000)
INSERT = b"I" + pack(">I", 7) + b"N" + tuple_of("1", "x")


def decoder_of(*messages: bytes) -> Decoder:
    decoder = Decoder([Watch(1, "public", "t", ("id",)), Watch(2, "public", "t", ("other",))])
    for message in messages:
        decoder.decode(message)
    return decoder


def test_a_commit_closes_what_a_begin_opened() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN, INSERT)
    assert decoder.open
    assert decoder.decode(COMMIT) == Committed(Lsn(140), Lsn(100), 5_000)
    assert not decoder.open


def test_taking_leaves_nothing_behind_and_collecting_goes_on() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN, INSERT)
    assert decoder.take().keys == {1: {b"1": (100, 5_000)}, 2: {b"x": (100, 5_000)}}
    assert not decoder.take()
    decoder.decode(INSERT)
    assert len(decoder) == 2


def test_watches_can_change_between_messages() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN, INSERT)
    decoder.watch([Watch(3, "public", "t", ("id",))])
    decoder.decode(INSERT)
    assert set(decoder.take().keys) == {1, 2, 3}
    decoder.decode(INSERT)
    assert set(decoder.take().keys) == {3}


def test_a_stray_stream_abort_is_ignored_in_and_out_of_a_transaction() -> None:
    decoder = decoder_of(relation("id", "other"))
    short, long = b"A" + pack(">II", 9, 10), b"A" + pack(">IIQq", 9, 10, 1, 2)
    for message in (short, long, BEGIN, short, INSERT, long, COMMIT, short):
        decoder.decode(message)
    assert texts(decoder.take()) == {"1"}


def test_an_unreadable_key_stops_instead_of_being_passed_over() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN)
    with pytest.raises(SourceUnusable, match="TOAST") as caught:
        decoder.decode(b"U" + pack(">I", 7) + b"N" + pack(">H", 2) + b"u" + b"n")
    assert "REPLICA IDENTITY FULL" in caught.value.hint


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"?",
        b"I",
        b"C" + pack(">BQQq", 0, 100, 140, 5_000)[:-1],
        b"I" + pack(">I", 8) + b"N" + tuple_of("1", "x"),  # never announced
        b"I" + pack(">I", 7) + b"K" + tuple_of("1", "x"),
        b"D" + pack(">I", 7) + b"N" + tuple_of("1", "x"),
        b"I" + pack(">I", 7) + b"N" + tuple_of("1"),
        b"I" + pack(">I", 7) + b"N" + pack(">H", 2) + b"t" + pack(">I", 2**32 - 1) + b"1",
        b"I" + pack(">I", 7) + b"N" + pack(">H", 2) + b"b" + pack(">I", 1) + b"1n",
        b"I" + pack(">I", 7) + b"N" + pack(">H", 2) + b"z",
        b"U" + pack(">I", 7) + b"K" + tuple_of("1", None) + b"K" + tuple_of("1", None),
        b"T" + pack(">IB", 2, 0) + pack(">I", 7),
        b"R" + pack(">I", 7) + b"no end",
        b"R" + pack(">I", 7) + b"\xff\0t\0d\0\0",
        b"M" + pack(">BQ", 1, 5) + b"prefix\0" + pack(">I", 10) + b"short",
        BEGIN,
    ],
)
def test_malformed_messages_are_a_typed_error(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decoder_of(relation("id", "other"), BEGIN, message)


@pytest.mark.parametrize("message", [INSERT, COMMIT, b"T" + pack(">IBI", 1, 0, 7)])
def test_rows_and_commits_need_a_transaction(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decoder_of(relation("id", "other"), message)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_arbitrary_bytes_give_a_typed_error_or_an_answer(messages: list[bytes]) -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN)
    for message in messages:
        try:
            decoder.decode(message)
        except SourceUnusable:
            return


UPDATE = b"U" + pack(">I", 7) + b"O" + tuple_of("1", "x") + b"N" + tuple_of("2", "y")
WHOLE = [relation("id", "other"), BEGIN, INSERT, UPDATE, b"T" + pack(">IBI", 1, 0, 7), COMMIT]


@given(st.data())
def test_damaged_messages_give_a_typed_error_or_an_answer(data: st.DataObject) -> None:
    decoder = decoder_of(relation("id", "other"))
    for message in [*WHOLE, *WHOLE]:
        damaged = bytearray(message)
        for at in data.draw(st.lists(st.integers(0, len(message) - 1), max_size=2)):
            damaged[at] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(message)) | st.none())
        try:
            decoder.decode(bytes(damaged[:cut]))
        except SourceUnusable:
            return


def test_a_message_may_begin_anywhere_in_its_frame() -> None:
    decoder = decoder_of(relation("id", "other"), BEGIN)
    decoder.decode(b"w" + bytes(24) + INSERT, 25)
    assert texts(decoder.take()) == {"1"}
