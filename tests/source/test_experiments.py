"""What Postgres really does where its manual is silent or it sets a trap, and that we are not caught in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from syncbridge.errors import PositionLost, RetryLater, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.source.pgoutput import Decoder
from syncbridge.source.refusals import by_remedy
from syncbridge.source.replication import DATA, PAYLOAD, ReplicationStream, connect, identify
from syncbridge.source.startup import Position, Standing, examine, judge
from tests.fix_source import NEVER, PUBLICATION, CapturedDatabase, receive_until, step_until


def holds_data(frames: list[bytes]) -> bool:
    return any(frame[0] == DATA for frame in frames)


def holds_commit(frames: list[bytes]) -> bool:
    return any(frame[0] == DATA and frame[PAYLOAD] == ord("C") for frame in frames)


# --- EXP-4: a server that shuts down waits for its walsenders ---


@pytest.fixture
def stoppable(own_server: LocalPostgres) -> Iterator[CapturedDatabase]:
    """People to capture from, on a server that the test may stop."""
    with ExitStack() as opened:
        admin = psycopg.connect(own_server.dsn, autocommit=True)
        opened.callback(admin.close)
        database = CapturedDatabase(own_server.dsn, admin, opened)
        admin.execute("create table people (id bigint primary key)")
        database.watch("people", "id")
        database.provide()
        yield database


def read_until_it_ends(stream: ReplicationStream) -> tuple[threading.Thread, list[Exception]]:
    """Keep receiving, without ever confirming, in a thread of its own; what ended it."""
    ended: list[Exception] = []

    def read() -> None:
        try:
            while True:
                stream.receive(0.05)
        except RetryLater as error:
            ended.append(error)
            stream.close()

    thread = threading.Thread(target=read)
    thread.start()
    return thread, ended


def test_exp_4_a_server_stops_while_we_follow_it(own_server: LocalPostgres, stoppable: CapturedDatabase) -> None:
    stoppable.admin.execute("insert into people values (1)")
    capture = stoppable.capture()
    stoppable.catch_up(capture)
    stop = threading.Event()
    thread = threading.Thread(target=capture.run, args=(stop,))
    thread.start()
    assert own_server.stop(mode="fast", timeout=20.0)
    stop.set()
    thread.join()


def test_exp_4_we_let_go_when_our_position_cannot_follow(
    own_server: LocalPostgres, stoppable: CapturedDatabase
) -> None:
    stream = stoppable.stream(yield_after=0.2)
    stoppable.admin.execute("insert into people values (1)")
    receive_until(stream, holds_commit)
    thread, ended = read_until_it_ends(stream)
    assert own_server.stop(mode="fast", timeout=20.0)
    thread.join()
    assert "shutting down" in str(ended)


def test_exp_4_a_client_that_holds_on_keeps_the_server_from_stopping(
    own_server: LocalPostgres, stoppable: CapturedDatabase
) -> None:
    stream = stoppable.stream(yield_after=NEVER)
    stoppable.admin.execute("insert into people values (1)")
    receive_until(stream, holds_commit)
    thread, _ = read_until_it_ends(stream)
    assert not own_server.stop(mode="fast", timeout=1.0)
    thread.join()


# --- EXP-5: nobody checks what is confirmed ---


def test_exp_5_a_position_beyond_the_log_is_taken_and_the_next_rows_are_gone(people: CapturedDatabase) -> None:
    stream = people.stream()
    stream.confirm(Lsn(people.end_of_log() + 5_000_000))
    stream.close()
    people.released()
    people.admin.execute("insert into people values (1)")
    assert people.touched() == set()  # the trap: this row will never come


def test_exp_5_capture_never_confirms_more_than_the_checkpoint_says(people: CapturedDatabase) -> None:
    capture = people.capture()
    for number in range(30):
        people.admin.execute("insert into people values (%s)", (number,))
        capture.step(0.02)
        figures = capture.figures()
        assert figures.confirmed <= figures.checkpoint <= people.checkpoint()
        assert people.confirmed() <= figures.confirmed <= people.end_of_log()
    people.catch_up(capture)
    assert people.outbox() == {str(number) for number in range(30)}


# --- EXP-6: a start below the confirmed position is moved forward without a word ---


def test_exp_6_a_start_below_the_confirmed_position_skips_in_silence(people: CapturedDatabase) -> None:
    start = people.confirmed()
    people.admin.execute("insert into people values (1)")
    assert people.touched() == {"1"}  # read, and with it confirmed, by somebody else
    stream = people.stream(start)
    people.admin.execute("insert into people values (2)")
    decoder = Decoder(people.watches)
    for frame in receive_until(stream, holds_commit):
        if frame[0] == DATA:
            decoder.decode(frame, PAYLOAD)
    assert list(decoder.take().keys[1]) == [b"2"]


def test_exp_6_a_checkpoint_behind_the_slot_is_a_gap_and_stops(people: CapturedDatabase) -> None:
    before = people.checkpoint()
    people.admin.execute("insert into people values (1)")
    people.messages()
    with pytest.raises(PositionLost, match=f"{people.confirmed() - before} bytes past") as caught:
        people.capture().step(0.0)
    assert caught.value.code == "gap"
    assert "setup --recreate-slot" in caught.value.hint
    assert people.checkpoint() == before


# --- EXP-7: Postgres 18 sends Stream Abort for transactions that it never streamed ---


def test_exp_7_a_stray_stream_abort_is_ignored(people: CapturedDatabase) -> None:
    people.admin.execute("set logical_decoding_work_mem = '64kB'")
    with people.admin.transaction(force_rollback=True):
        with people.admin.transaction():
            people.admin.execute("insert into people values (1)")
        people.admin.execute("insert into people select i, repeat('x', 100) from generate_series(2, 5000) i")
    people.admin.execute("insert into people values (6000)")
    messages = people.messages()
    aborts = [message for message in messages if message[:1] == b"A"]
    assert bool(aborts) == (people.admin.info.server_version >= 180000)
    decoder = Decoder(people.watches)
    for message in messages:
        decoder.decode(message)
    assert list(decoder.take().keys[1]) == [b"6000"]


# --- EXP-8: options, and a publication that is not there ---


def test_exp_8_a_missing_publication_is_silence_since_18_and_an_error_before(people: CapturedDatabase) -> None:
    people.admin.execute("drop publication syncbridge")
    people.admin.execute("insert into people values (1)")
    if people.admin.info.server_version >= 180000:
        assert people.touched() == set()  # the trap
    else:
        with pytest.raises(psycopg.errors.UndefinedObject):
            people.messages()


def test_exp_8_a_missing_publication_stops_capture_on_every_version(people: CapturedDatabase) -> None:
    people.admin.execute("drop publication syncbridge")
    with pytest.raises(PositionLost, match="publication does not exist"):
        people.capture().step(0.0)


def test_exp_8_a_publication_dropped_while_we_stream_stops_capture(people: CapturedDatabase) -> None:
    capture = people.capture(people.settings(heartbeat=0.0))
    capture.step(0.0)
    people.admin.execute("drop publication syncbridge")
    with pytest.raises(SourceUnusable, match="publication"):
        step_until(capture, lambda: False, steps=3)


@pytest.mark.parametrize(
    "options",
    [
        "proto_version '99', publication_names 'syncbridge'",
        "proto_version '1'",
        "proto_version '1', publication_names 'syncbridge', unheard_of 'x'",
        "proto_version '1', proto_version '1', publication_names 'syncbridge'",
        "proto_version '1', publication_names 'syncbridge', streaming 'on'",
        "proto_version '1', publication_names 'syncbridge', binary 'perhaps'",
    ],
)
def test_exp_8_refused_options_are_a_source_that_cannot_be_used(people: CapturedDatabase, options: str) -> None:
    with connect(people.dsn) as connection:
        command = f'START_REPLICATION SLOT "{people.slot}" LOGICAL 0/0 ({options})'
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(command.encode())
    assert isinstance(by_remedy(caught.value), SourceUnusable)


# --- EXP-10: a silent client is dropped; a busy one must not be silent ---


def wait_for(admin: psycopg.Connection, query: str, done: Callable[[object], bool]) -> object:
    """Ask the server until it says so."""
    for _ in range(600):
        row = admin.execute(query.encode()).fetchone()
        if done(row and row[0]):
            return row and row[0]
        admin.execute("select pg_sleep(0.02)")
    pytest.fail(f"never true: {query}")


_ACTIVE = "select active_pid from pg_replication_slots where database = current_database()"


def test_exp_10_a_silent_client_loses_its_stream(people: CapturedDatabase) -> None:
    stream = people.stream(sender_timeout=0.3, status_interval=NEVER)
    wait_for(people.admin, _ACTIVE, lambda pid: pid is None)
    with pytest.raises(RetryLater):
        receive_until(stream, lambda frames: False)


def test_exp_10b_the_status_thread_keeps_the_stream_while_reading_is_busy(people: CapturedDatabase) -> None:
    """More is waiting than the sockets hold, nobody reads, and four time limits pass by the server's own clock."""
    stream = people.stream(sender_timeout=0.4, status_interval=0.05)
    pid = wait_for(people.admin, _ACTIVE, lambda pid: pid is not None)
    people.admin.execute("insert into people select i, repeat('x', 90) from generate_series(1, 60000) i")
    passed = f"select reply_time - backend_start > interval '1.6 s' from pg_stat_replication where pid = {pid}"
    assert wait_for(people.admin, passed, lambda answer: answer in (True, None)) is True
    frames = receive_until(stream, holds_commit)
    assert sum(frame[0] == DATA and frame[PAYLOAD] == ord("I") for frame in frames) == 60_000


# --- rule 7 and 8: what else must not be passed over at a start ---


def test_a_healthy_slot_is_ok_and_one_behind_the_checkpoint_a_replay(people: CapturedDatabase) -> None:
    with connect(people.dsn) as replication:
        facts = examine(people.admin, slot=people.slot, publication=PUBLICATION, watches=people.watches)
        system = identify(replication)
    here = people.checkpoint()
    verdict = judge(facts, system, Position(here, system.system_id, system.timeline))
    assert (verdict.standing, verdict.bytes) == (Standing.OK, 0)
    verdict.require()
    people.admin.execute("insert into people values (1)")
    ahead = judge(facts, system._replace(lsn=people.end_of_log()), Position(people.end_of_log(), *system[:2]))
    assert (ahead.standing, ahead.bytes) == (Standing.REPLAY, people.end_of_log() - here)
