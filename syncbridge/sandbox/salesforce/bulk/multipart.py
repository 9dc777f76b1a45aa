"""The two parts of a create that brings its data along. Line breaks of the parts' headers may be LF or CRLF."""

from __future__ import annotations

import re

from syncbridge.sandbox.salesforce.errors import Refusal

BOUNDARY = re.compile(r"""boundary=(?:"([^"]+)"|([^\s;]+))""", re.IGNORECASE)
PART_NAME = re.compile(rb"""name="?(\w+)""", re.IGNORECASE)
HEAD_END = re.compile(rb"\r?\n\r?\n")
LONGEST_DATA = 100_000


def split_parts(content_type: str, body: bytes) -> tuple[bytes, bytes]:
    """Return the job as JSON and its data, or refuse."""
    match = BOUNDARY.search(content_type)
    if match is None:
        raise Refusal("CLIENTINPUTERROR", "Multipart request has no boundary")
    boundary = (match[1] or match[2]).encode()
    parts: dict[bytes, bytes] = {}
    for part in re.split(rb"(?:^|\r?\n)--" + re.escape(boundary), body)[1:]:
        head = HEAD_END.search(part)
        name = PART_NAME.search(part[: head.start()]) if head else None
        if head and name:
            parts[name[1]] = part[head.end() :]
    if b"job" not in parts or b"content" not in parts:
        raise Refusal("CLIENTINPUTERROR", "Multipart request needs the parts 'job' and 'content'")
    if len(parts[b"content"]) > LONGEST_DATA:
        text = f"Data of a multipart request may have {LONGEST_DATA} characters; upload it in a request of its own"
        raise Refusal("CLIENTINPUTERROR", text)
    return parts[b"job"], parts[b"content"]
