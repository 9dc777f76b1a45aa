"""A logical replication stream over psycopg's libpq: frames in, positions confirmed, alive on its own rhythm.

Follows the Postgres manual, "Streaming Replication Protocol". The reading thread may be busy for long (with the
outbox): a thread of its own sends the status that keeps the server from dropping us, and nothing else.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from syncbridge.errors import RetryLater, SourceUnusable
from syncbridge.model import Lsn
from syncbridge.source.refusals import by_remedy

#: First byte of a frame: a message of pgoutput follows at PAYLOAD, or a keepalive.
DATA, KEEPALIVE = b"wk"
PAYLOAD = 25

#: One call of `receive` gives at most so many frames, or somewhat more than so many bytes.
_MOST_FRAMES = 5_000
_MOST_BYTES = 4_000_000

#: Seconds in which the server may answer the end of a stream; it may have much to say before it reads ours.
_PARTING = 2.0

_keepalive = Struct(">xQqB").unpack_from
_data_head = Struct(">xQQq").unpack_from
_status = Struct(">cQQQqB").pack
_EPOCH = 946_684_800.0  # 2000-01-01 UTC, from where Postgres counts

_SESSION = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Times in seconds. The server drops a stream that is silent for `sender_timeout`, and frees its slot then."""

    sender_timeout: float = 30.0
    status_interval: float = 2.0
    yield_after: float = 3.0  # how long a server that shuts down may wait for us
    connect_timeout: float = 10.0


class Keepalive(NamedTuple):
    """How far the server has decoded; everything committed below has been sent on this connection."""

    lsn: Lsn
    reply: bool  # the server wants an answer now: a ping, or it shuts down and waits for us


class SystemIdentity(NamedTuple):
    """Which server this is, on which timeline, and up to where its log is on disk.

    `left` is where its log left the timeline that was asked about: up to there both are one. Lsn(0): its own does not
    come from that one. None: not asked, or not known.
    """

    system_id: str
    timeline: int
    lsn: Lsn
    left: Lsn | None = None


def parse_keepalive(frame: bytes) -> Keepalive:
    """A frame whose first byte is KEEPALIVE."""
    lsn, _, reply = _keepalive(frame)
    return Keepalive(Lsn(lsn), bool(reply))


def sent_at(frame: bytes) -> int:
    """When the server sent this frame, in microseconds since 2000-01-01 UTC by its clock."""
    return int(_data_head(frame)[2] if frame[0] == DATA else _keepalive(frame)[1])


def position_to_confirm(*, confirmed: Lsn, saved: Lsn, received: Lsn, idle: bool) -> Lsn:
    """The confirm law: up to where the server may forget. It never checks this promise, and it cannot be taken back.

    `saved` is the end LSN of the last commit that is durable in the outbox with all before it, `received` the highest
    end LSN of a commit, or LSN of a keepalive, that came on this connection. Nothing else ever counts as a position.
    `idle` says that no transaction is open and nothing is queued or unsaved: then all below `received` has been seen
    and is durable. Never backward, never above what was received, never "+ 1".
    """
    reached = received if idle else min(saved, received)
    return max(confirmed, reached)


def connect(conninfo: str, settings: StreamSettings | None = None, *, lock_timeout: float = 0.0) -> psycopg.Connection:
    """A replication connection to the database of `conninfo`, with its own time limits and a fixed text form.

    Raises RetryLater when the server cannot be reached, SourceUnusable when it refuses the login or is too old.
    """
    settings = settings or StreamSettings()
    given = conninfo_to_dict(conninfo)
    options = f"{_SESSION} -c wal_sender_timeout={_ms(settings.sender_timeout)} -c lock_timeout={_ms(lock_timeout)}"
    complete = make_conninfo(
        conninfo,
        replication="database",
        options=f"{given.get('options') or ''} {options}".strip(),
        application_name="syncbridge capture",
        client_encoding="UTF8",
        connect_timeout=max(2, int(settings.connect_timeout)),
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=_ms(settings.sender_timeout),
    )
    user = str(given.get("user") or "")
    try:
        connection = psycopg.connect(complete, autocommit=True)
    except psycopg.Error as error:
        raise by_remedy(error, user=user) from None  # the driver's error may repeat the conninfo
    if connection.info.server_version < 140000:
        connection.close()
        raise SourceUnusable("Postgres is older than version 14", hint="Upgrade the server; 15 or newer is best.")
    return connection


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def identify(connection: psycopg.Connection, *, since: int | None = None) -> SystemIdentity:
    """IDENTIFY_SYSTEM, on a replication connection that does not stream yet; with `left` of the timeline `since`."""
    try:
        row = connection.execute("IDENTIFY_SYSTEM").fetchone()
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error
    assert row is not None  # the command always answers with one row
    timeline = int(row[1])
    left = None if since is None or since == timeline else _left(connection, timeline, since)
    return SystemIdentity(str(row[0]), timeline, Lsn.parse(row[2]), left)


def _left(connection: psycopg.Connection, timeline: int, since: int) -> Lsn | None:
    """A history file has a line for each timeline before: its number, where it was left, and why, with tabs between."""
    if timeline < since:
        return Lsn(0)
    try:
        row = connection.execute(sql.SQL("TIMELINE_HISTORY {}").format(timeline)).fetchone()
    except psycopg.Error:  # the file may be gone
        return None
    assert row is not None  # the command always answers with one row
    content = row[1] if isinstance(row[1], str) else bytes(row[1]).decode(errors="replace")  # text, or bytea
    lines = [line.split("\t") for line in content.splitlines()]
    return next((Lsn.parse(line[1]) for line in lines if line[0] == str(since)), Lsn(0))


class ReplicationStream:
    """Protocol 1 of pgoutput, from a slot. `receive` and `confirm` belong to one thread; the status has its own.

    Takes the connection over. Raises RetryLater when the connection is lost (SlotInUse when another worker has the
    slot), SourceUnusable when Postgres refuses to stream, PositionLost when the slot or its WAL is gone.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        slot: str,
        publication: str,
        start: Lsn,
        settings: StreamSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.confirmed = start
        self._settings = settings or StreamSettings()
        self._clock = clock
        self._connection = connection
        self._pgconn = connection.pgconn
        self._lock = threading.Lock()  # libpq is not thread-safe
        self._closed = threading.Event()
        self._sent_at = clock()
        self._demand: tuple[Lsn, float] | None = None  # a position the server waits for, and since when
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        try:
            self._start(_start_command(slot, publication, start))
        except BaseException:
            connection.close()
            raise
        self._status_thread = threading.Thread(target=self._rhythm, name="capture status", daemon=True)
        self._status_thread.start()

    def _start(self, command: str) -> None:
        """Ask for the stream without ever blocking inside libpq, which would hold the interpreter's lock."""
        pgconn = self._pgconn
        try:
            pgconn.nonblocking = 1
            pgconn.send_query(command.encode())
            while pgconn.flush() or pgconn.is_busy():
                if not self._poll.poll(_ms(self._settings.sender_timeout)):
                    raise RetryLater("Postgres does not answer START_REPLICATION")
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None or result.status != pq.ExecStatus.COPY_BOTH:
                raise self._refused(result)
        except psycopg.Error as error:
            raise by_remedy(error, user=self._connection.info.user) from error

    def _refused(self, result: pq.abc.PGresult | None) -> Exception:
        if result is None or result.status != pq.ExecStatus.FATAL_ERROR:
            return RetryLater("Postgres ended the replication stream")
        return by_remedy(psycopg.errors.error_from_result(result), user=self._connection.info.user)

    def receive(self, timeout: float) -> list[bytes]:
        """Frames in the order they came: what is there, else what comes within `timeout` seconds, else nothing.

        Keepalives that ask for a reply are answered at once. Raises RetryLater when the server shuts down and waits
        in vain for us: it must not be kept from stopping.
        """
        frames = self._drain()
        if not frames and timeout > 0 and self._poll.poll(_ms(timeout)):
            frames = self._drain()
        self._yield_to_shutdown()
        return frames

    def _drain(self) -> list[bytes]:
        frames: list[bytes] = []
        append, get = frames.append, self._pgconn.get_copy_data
        size, fruitless = 0, 0
        try:
            with self._lock:
                while size < _MOST_BYTES and len(frames) < _MOST_FRAMES:
                    length, view = get(1)
                    if length > 0:
                        append(bytes(view))
                        size += length
                        fruitless = 0
                    elif length < 0:
                        raise self._refused(self._pgconn.get_result())
                    elif fruitless == 2:  # one read may leave half a TLS record inside OpenSSL, where poll() is blind
                        break
                    else:
                        fruitless += 1
                        self._pgconn.consume_input()
                self._heed_keepalives(frames)
        except psycopg.Error as error:
            raise by_remedy(error) from error
        return frames

    def _heed_keepalives(self, frames: list[bytes]) -> None:
        """Answer pings, and note what the server waits for: data shows that it is not waiting yet."""
        keepalives = [parse_keepalive(frame) for frame in frames if frame[0] == KEEPALIVE]
        if len(keepalives) < len(frames):
            self._demand = None
        demanded = [keepalive.lsn for keepalive in keepalives if keepalive.reply]
        if demanded:
            since = self._demand[1] if self._demand else self._clock()
            self._demand = (demanded[-1], since)
            self._send_status()

    def _yield_to_shutdown(self) -> None:
        """A server that stops ends our walsender only when we have confirmed exactly all it sent; else it waits."""
        if self._demand is None:
            return
        if self._demand[0] <= self.confirmed:
            self._demand = None
        elif self._clock() - self._demand[1] >= self._settings.yield_after:
            raise RetryLater("Postgres waits for a position that cannot be confirmed yet; it may be shutting down")

    def confirm(self, lsn: Lsn) -> None:
        """Promise that all below `lsn` is durable with us. Goes out with the next status, at once when asked for."""
        if lsn <= self.confirmed:
            return
        try:
            with self._lock:
                self.confirmed = lsn
                if self._demand or self._clock() - self._sent_at >= self._settings.status_interval:
                    self._send_status()
        except psycopg.Error as error:
            raise by_remedy(error) from error

    def _send_status(self) -> None:
        """Standby status update; the caller holds the lock. End LSNs go out as they are: "+ 1" is already in them."""
        now = round((time.time() - _EPOCH) * 1e6)
        position = self.confirmed
        self._pgconn.put_copy_data(_status(b"r", position, position, position, now, 0))
        self._pgconn.flush()
        self._sent_at = self._clock()

    def _rhythm(self) -> None:
        while not self._closed.wait(self._settings.status_interval):
            try:
                with self._lock:
                    if not self._closed.is_set():
                        self._send_status()
            except psycopg.Error:
                return  # the reading thread meets the same broken connection and says so

    def close(self) -> None:
        """End the stream with a last status; idempotent, never raises."""
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            with self._lock:
                self._send_status()
                self._part()
        except psycopg.Error:
            pass
        self._status_thread.join()
        self._connection.close()

    def _part(self) -> None:
        """End the copy and let go what still comes; the caller holds the lock.

        A socket closed over unread frames is reset, and a reset may take our last status with it.
        """
        pgconn, until = self._pgconn, self._clock() + _PARTING
        pgconn.put_copy_end()
        pgconn.flush()
        while (length := pgconn.get_copy_data(1)[0]) >= 0 and (left := until - self._clock()) > 0:
            if not length and self._poll.poll(_ms(left)):
                pgconn.consume_input()  # sends what is left to send, too


def _start_command(slot: str, publication: str, start: Lsn) -> str:
    names = sql.Identifier(publication).as_string(None)
    options = {"proto_version": "1", "publication_names": names, "messages": "true"}
    shown = ", ".join(f"{name} {sql.Literal(value).as_string(None)}" for name, value in options.items())
    return f"START_REPLICATION SLOT {sql.Identifier(slot).as_string(None)} LOGICAL {start} ({shown})"
