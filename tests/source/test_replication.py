"""The stream on a real server, and the confirm law by itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Self

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import conninfo

from syncbridge.errors import PositionLost, RetryLater, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.source.refusals import SlotInUse
from syncbridge.source.replication import (
    DATA,
    KEEPALIVE,
    ReplicationStream,
    StreamSettings,
    connect,
    identify,
    parse_keepalive,
    position_to_confirm,
)
from tests.fix_source import NEVER, CapturedDatabase, receive_until

# --- the confirm law ---

lsns = st.integers(0, 2**20).map(Lsn)


@given(confirmed=lsns, saved=lsns, received=lsns, idle=st.booleans())
def test_the_position_never_goes_back_and_is_never_of_our_own_making(
    confirmed: Lsn, saved: Lsn, received: Lsn, idle: bool
) -> None:
    position = position_to_confirm(confirmed=confirmed, saved=saved, received=received, idle=idle)
    assert position >= confirmed
    assert position in (confirmed, saved, received)
    assert position <= max(confirmed, received)
    if not idle:
        assert position <= max(confirmed, saved)


START = Lsn(10)


@dataclass
class Model:
    """A server that forgets what is confirmed; a client that saves, crashes and starts again from its checkpoint."""

    commits: list[Lsn] = field(default_factory=list)  # end LSNs, in order
    end: Lsn = START
    slot: Lsn = START  # confirmed by the server's account
    checkpoint: Lsn = START  # durable
    saved: set[Lsn] = field(default_factory=set)  # durable
    unsaved: list[Lsn] = field(default_factory=list)
    received: Lsn = START
    sent: Lsn = START  # up to where this connection has got everything
    open: Lsn | None = None
    confirmed: Lsn = START

    def commit(self) -> None:
        self.end = Lsn(self.end + 7)
        self.commits.append(self.end)

    def other_traffic(self) -> None:
        self.end = Lsn(self.end + 3)

    def receive_begin(self) -> None:
        if self.open is None:
            self.open = next((end for end in self.commits if end > self.sent), None)

    def receive_commit(self) -> None:
        if self.open is not None:
            self.unsaved.append(self.open)
            self.received = max(self.received, self.open)
            self.sent, self.open = self.open, None

    def receive_keepalive(self) -> None:
        """Its LSN is what was decoded: at least the last commit sent, below the next one."""
        coming = [end for end in self.commits if end > self.sent]
        self.received = max(self.received, Lsn(coming[0] - 5) if coming else self.end)

    def save(self) -> None:
        self.saved.update(self.unsaved)
        self.checkpoint = max([self.checkpoint, *self.unsaved])
        self.unsaved.clear()

    def confirm(self) -> None:
        position = position_to_confirm(
            confirmed=self.confirmed,
            saved=self.checkpoint,
            received=max(self.received, self.checkpoint),
            idle=self.open is None and not self.unsaved,
        )
        self.checkpoint = max(self.checkpoint, position)  # the checkpoint goes first
        self.slot = self.confirmed = position

    def crash(self) -> Self:
        self.unsaved.clear()
        self.open = None
        start = max(self.checkpoint, self.slot)  # a server starts at the later of both
        self.received = self.sent = self.confirmed = start
        return self


ACTIONS = [name for name, value in vars(Model).items() if callable(value) and not name.startswith("_")]


@given(st.lists(st.sampled_from(ACTIONS), max_size=60))
def test_whatever_happens_everything_confirmed_is_saved_and_nothing_is_lost(actions: list[str]) -> None:
    model = Model()
    for action in actions:
        before = (model.slot, model.checkpoint)
        getattr(model, action)()
        assert (model.slot, model.checkpoint) >= before
        assert model.slot <= model.checkpoint <= model.end
        assert {end for end in model.commits if end <= model.slot} <= model.saved
    model.crash()
    for _ in model.commits:
        model.receive_begin()
        model.receive_commit()
    model.save()
    assert model.saved == set(model.commits)


# --- a real server ---


def test_a_replication_connection_has_its_own_time_limits_and_a_fixed_text_form(dsn: str) -> None:
    with connect(dsn, StreamSettings(sender_timeout=12.5)) as connection:
        shown = {
            name: connection.execute(f"show {name}".encode()).fetchall()[0][0]
            for name in ("wal_sender_timeout", "datestyle", "intervalstyle", "timezone", "client_encoding")
        }
        assert connection.info.parameter_status("application_name") == "syncbridge capture"
    assert shown == {
        "wal_sender_timeout": "12500ms",
        "datestyle": "ISO, MDY",
        "intervalstyle": "postgres",
        "timezone": "UTC",
        "client_encoding": "UTF8",
    }


def test_options_of_the_conninfo_are_kept(dsn: str) -> None:
    with connect(conninfo.make_conninfo(dsn, options="-c work_mem=7MB")) as connection:
        assert connection.execute("show work_mem").fetchone() == ("7MB",)


def test_the_server_says_who_it_is(dsn: str, connection: psycopg.Connection) -> None:
    with connect(dsn) as replication:
        found = identify(replication)
    shown = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
    assert shown == (found.system_id,)
    assert found.timeline == 1


def test_confirming_moves_the_slot_and_never_back(people: CapturedDatabase) -> None:
    stream = people.stream()
    people.admin.execute("insert into people values (1)")
    end = people.end_of_log()
    receive_until(stream, lambda frames: any(frame[0] == DATA for frame in frames))
    start = stream.confirmed
    stream.confirm(end)
    stream.confirm(start)
    assert stream.confirmed == end
    stream.close()
    people.released()
    assert people.confirmed() == end


def test_the_last_status_arrives_though_frames_lie_unread(people: CapturedDatabase) -> None:
    for _ in range(20):  # a reset loses the status now and then only
        stream = people.stream()
        with people.admin.transaction():
            people.admin.execute("insert into people select i from generate_series(1, 500) i on conflict do nothing")
            people.admin.execute("delete from people")
        end = people.end_of_log()
        receive_until(stream, lambda frames: any(frame[0] == DATA for frame in frames))
        stream.confirm(end)
        stream.close()
        people.released()
        assert people.confirmed() == end


def test_a_closed_stream_can_be_closed_again(people: CapturedDatabase) -> None:
    stream = people.stream()
    stream.close()
    stream.close()


def test_keepalives_follow_traffic_that_is_not_published(people: CapturedDatabase) -> None:
    stream = people.stream()
    people.admin.execute("create table unwatched as select generate_series(1, 1000)")
    end = people.end_of_log()
    frames = receive_until(
        stream,
        lambda frames: any(frame[0] == KEEPALIVE and parse_keepalive(frame).lsn >= end for frame in frames),
    )
    assert all(frame[0] == KEEPALIVE for frame in frames) or people.admin.info.server_version < 150000


def test_a_second_stream_is_told_that_the_slot_is_in_use(people: CapturedDatabase) -> None:
    first = people.stream()
    with pytest.raises(SlotInUse):
        people.stream()
    first.close()
    people.released()
    people.stream()


def test_a_cut_connection_is_a_matter_of_trying_again(people: CapturedDatabase) -> None:
    stream = people.stream()
    people.admin.execute("select pg_terminate_backend(active_pid) from pg_replication_slots")
    with pytest.raises(RetryLater):
        receive_until(stream, lambda frames: False)


def test_a_slot_that_does_not_exist_is_a_lost_position(people: CapturedDatabase) -> None:
    with pytest.raises(PositionLost) as caught:
        ReplicationStream(connect(people.dsn), slot="nobody", publication="syncbridge", start=Lsn(0))
    assert "setup --recreate-slot" in caught.value.hint


def test_a_slot_of_another_database_is_not_ours(people: CapturedDatabase) -> None:
    elsewhere = conninfo.make_conninfo(people.dsn, dbname="postgres")
    with pytest.raises(SourceUnusable):
        ReplicationStream(connect(elsewhere), slot=people.slot, publication="syncbridge", start=Lsn(0))


def test_a_login_without_the_right_is_told_the_sql(dsn: str, connection: psycopg.Connection) -> None:
    role = f"plain_{connection.info.dbname}"
    connection.execute(f"create role {role} login".encode())
    try:
        with pytest.raises(SourceUnusable) as caught:
            connect(conninfo.make_conninfo(dsn, user=role))
    finally:
        connection.execute(f"drop role {role}".encode())
    assert f'ALTER ROLE "{role}" REPLICATION;' in caught.value.hint


@pytest.mark.parametrize(
    ("change", "remedy"),
    [({"dbname": "nowhere"}, SourceUnusable), ({"user": "nobody_known"}, SourceUnusable), ({"port": "1"}, RetryLater)],
)
def test_connecting_fails_by_remedy_and_without_the_password(
    dsn: str, change: dict[str, str], remedy: type[Exception]
) -> None:
    with pytest.raises(remedy) as caught:
        connect(conninfo.make_conninfo(dsn, **{"password": "hush", **change}), StreamSettings(connect_timeout=2.0))
    assert "hush" not in str(caught.value)


def test_the_status_thread_ends_with_the_stream(people: CapturedDatabase) -> None:
    stream = people.stream(status_interval=NEVER)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "capture status"]
