"""Receivers on this machine: a web server that takes webhooks, and a mail server. Both can be told to refuse."""

from __future__ import annotations

import asyncio
import email
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

#: Stands in every address and password of a receiver: it must show nowhere.
SECRET = "hunter2-s3cret"


@dataclass
class WebReceiver:
    """What was posted to it, in order; while `answer` is not 200 it is refused with that status."""

    port: int = 0
    answer: int = 200
    asked: int = 0
    posted: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{SECRET}"

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.posted]


@dataclass
class MailReceiver:
    """The mails it took, in order; recipients in `refused` are not taken."""

    port: int = 0
    mails: list[tuple[str, Message]] = field(default_factory=list)  # recipient, mail
    refused: set[str] = field(default_factory=set)
    passwords: list[str] = field(default_factory=list)

    def of(self, recipient: str) -> list[Message]:
        return [mail for to, mail in self.mails if to == recipient]

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return f"550 {address} with {SECRET} is not known"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = email.message_from_bytes(envelope.content)
        self.mails += [(recipient, mail) for recipient in envelope.rcpt_tos]
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.passwords.append(data.password.decode())
        return AuthResult(success=data.password.decode() == SECRET, handled=False)


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    """A web server that takes webhooks."""
    receiver = WebReceiver()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.asked += 1
            if receiver.answer == 200:
                receiver.posted.append(body)
            self.send_response(receiver.answer)
            self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="web receiver")
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    """A mail server that lets in who knows the password, or who does not log in at all."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # it repeats what it is told, passwords too
    receiver = MailReceiver()
    loop = asyncio.new_event_loop()

    def protocol() -> SMTP:
        return SMTP(
            receiver, hostname="localhost", loop=loop, authenticator=receiver.authenticate, auth_require_tls=False
        )

    server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0))
    receiver.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="mail receiver")
    thread.start()
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
