"""The server: uvicorn around the application, in the foreground for the command line or in a thread for tests."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from syncbridge.sandbox.salesforce.app import DROP
from syncbridge.sandbox.salesforce.auth import Credentials
from syncbridge.sandbox.salesforce.control import Control
from syncbridge.sandbox.salesforce.faults import Faults
from syncbridge.sandbox.salesforce.routes import application
from syncbridge.sandbox.salesforce.sandbox import Sandbox

LOOPBACK = "127.0.0.1"
BACKLOG = 512
START_SECONDS = 30
KEEP_ALIVE_SECONDS = 60
SHUTDOWN_SECONDS = 1


class _Protocol(HttpToolsProtocol):
    """Lets the application close a connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DROP: {}}
        self.scope["extensions"][DROP] = self.transport.abort  # type: ignore[assignment]


def listen(host: str = LOOPBACK, port: int = 0) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. OSError when the address cannot be had.

    The protocol is named because asyncio turns off Nagle's algorithm only where it is, and with it every second packet
    would wait 40 ms.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """Ends cleanly on SIGINT and SIGTERM; uvicorn's own would raise the signal again when it is done."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def make_server(sandbox: Sandbox, tls: Path | None = None) -> uvicorn.Server:
    """Return a server of the sandbox, not yet started; it says nothing but errors. `tls` as in `run`."""
    config = uvicorn.Config(
        application(sandbox),
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_level="error",
        access_log=False,
        date_header=False,
        server_header=False,
        ssl_certfile=tls,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return _Server(config)


def check_tls(tls: Path) -> None:
    """Raise OSError, of which ssl.SSLError is a kind, unless the file has a certificate and its private key."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls)


def run(sandbox: Sandbox, listener: socket.socket, tls: Path | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then close everything. `tls`: PEM file with certificate and key, for https."""
    try:
        make_server(sandbox, tls).run(sockets=[listener])
    finally:
        listener.close()
        sandbox.close()


class SandboxServer:
    """A sandbox on a free loopback port for as long as the `with` block lasts.

    with SandboxServer() as server:
        server.url, server.credentials      where to log in and as whom
        server.control, server.faults       direct access, no HTTP
    """

    def __init__(
        self,
        *,
        org: Path | None = None,
        data: Path | None = None,
        credentials: Credentials | None = None,
        latency: float = 0.0,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        tls: Path | None = None,
    ) -> None:
        self.sandbox = Sandbox(org=org, data=data, credentials=credentials, latency=latency, clock=clock)
        self.control = Control(self.sandbox)
        self._port = port
        self._tls = tls
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    @property
    def faults(self) -> Faults:
        """The fault rules in force."""
        return self.sandbox.faults

    @property
    def credentials(self) -> Credentials:
        """User, password, security token, client id, client secret and session id."""
        return self.sandbox.sessions.credentials

    def start(self) -> None:
        """Start to serve; returns when requests are accepted."""
        try:
            self._listener = listen(LOOPBACK, self._port)
        except OSError:
            self.sandbox.close()
            raise
        self.url = f"{'https' if self._tls else 'http'}://{LOOPBACK}:{self._listener.getsockname()[1]}"
        self._server = make_server(self.sandbox, self._tls)
        self._thread = threading.Thread(target=self._serve, name="salesforce-sandbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close everything; stopping twice is allowed."""
        if self._server is not None and self._thread is not None and self._listener is not None:
            self._server.should_exit = True
            self._thread.join(START_SECONDS)
            self._listener.close()
            self._server = self._thread = self._listener = None
        self.sandbox.close()

    def _serve(self) -> None:
        assert self._server is not None
        asyncio.run(self._server.serve([self._listener] if self._listener else None))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
