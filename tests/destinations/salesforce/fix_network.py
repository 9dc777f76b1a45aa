"""Between the destination and a sandbox: TLS with certificates of an authority of our own, and a CONNECT proxy."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trustme

ORG = "acme.my.salesforce.com"


@dataclass(frozen=True)
class Authority:
    """A certificate authority that nobody trusts, and the file that says to trust it."""

    ca: trustme.CA
    file: Path

    def server_context(self, *names: str, client_certificates: bool = False) -> ssl.SSLContext:
        """What a server needs that has a certificate for `names`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        if client_certificates:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def new_authority(folder: Path) -> Authority:
    ca, file = trustme.CA(), folder / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, file)


@dataclass
class Proxy:
    """What a CONNECT proxy was asked, and how it answers."""

    address: str = ""  # host:port
    targets: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refusal: str = ""  # the status line's end, such as `407 Proxy Authentication Required`


@contextmanager
def tls_in_front_of(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """A port of this machine that speaks TLS and passes everything on to `port` in the clear."""

    def serve(client: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
            _join(secure, socket.create_connection(("127.0.0.1", port)))

    with _listening(serve) as own:
        yield own


@contextmanager
def connect_proxy(port: int) -> Iterator[Proxy]:
    """A proxy that connects to `port` of this machine, whatever host it is asked for."""
    proxy = Proxy()

    def serve(client: socket.socket) -> None:
        with client.makefile("rb") as lines:
            target = lines.readline().decode().split()[1]
            headers = [line.decode().strip() for line in iter(lines.readline, b"\r\n")]
        proxy.targets.append(target)
        proxy.logins += [line.split(" ", 2)[2] for line in headers if line.lower().startswith("proxy-authorization:")]
        if proxy.refusal:
            client.sendall(f"HTTP/1.1 {proxy.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _join(client, socket.create_connection(("127.0.0.1", port)))

    with _listening(serve) as own:
        proxy.address = f"127.0.0.1:{own}"
        yield proxy


@contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                serve(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass on what either says until both are done."""
    back = threading.Thread(target=_copy, args=(other, one), daemon=True)
    with closing(other):
        back.start()
        _copy(one, other)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
