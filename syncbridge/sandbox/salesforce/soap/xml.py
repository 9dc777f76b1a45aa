"""XML of the SOAP API: envelopes read into requests, and plain values written as elements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from syncbridge.sandbox.salesforce.errors import Refusal

NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
NAMESPACES = (
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="{sf}" xmlns="{own}"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
)
PARTNER, ENTERPRISE = "urn:partner.soap.sforce.com", "urn:enterprise.soap.sforce.com"
OBJECTS = {PARTNER: "urn:sobject.partner.soap.sforce.com", ENTERPRISE: "urn:sobject.enterprise.soap.sforce.com"}
FAULTS = {PARTNER: "urn:fault.partner.soap.sforce.com", ENTERPRISE: "urn:fault.enterprise.soap.sforce.com"}
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


class Xml(str):
    """Text that is XML already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A SOAP request: what is called, with which arguments, and the texts of its headers by lower-case name."""

    operation: str
    body: Element
    headers: dict[str, str]

    def texts(self, name: str) -> list[str]:
        """Return the texts of all arguments of this name."""
        return [(each.text or "").strip() for each in self.all(name)]

    def text(self, name: str) -> str:
        """Return the text of one argument, or refuse a request that lacks it."""
        found = self.texts(name)
        if not found or not found[0]:
            raise Refusal("MISSING_ARGUMENT", f"{self.operation} needs {name}")
        return found[0]

    def all(self, name: str) -> list[Element]:
        """Return all arguments of this name."""
        return [each for each in self.body if local(each) == name]


def local(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def is_nil(element: Element) -> bool:
    """True for xsi:nil."""
    return element.get(NIL) in ("true", "1")


@lru_cache(maxsize=4)
def read_envelope(body: bytes) -> Envelope:
    """Return the request of an envelope, or refuse what is none. A DOCTYPE is refused, as entities are a danger."""
    if b"<!DOCTYPE" in body:
        raise Refusal("UNKNOWN_EXCEPTION", "DOCTYPE is not allowed", status=500)
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise Refusal("UNKNOWN_EXCEPTION", str(error), status=500) from None
    parts = {local(each): each for each in root}
    called = next(iter(parts.get("Body", ())), None)
    if called is None:
        raise Refusal("UNKNOWN_EXCEPTION", "No operation available for the request", status=500)
    headers = {local(text).lower(): (text.text or "").strip() for each in parts.get("Header", ()) for text in each}
    return Envelope(local(called), called, headers)


def element(name: str, value: Any, attributes: str = "") -> str:
    """Return a value as an element: a dict as elements inside it, a list as several of it, None as xsi:nil."""
    if isinstance(value, list):
        return "".join(element(name, each, attributes) for each in value)
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    return f"<{name}{attributes}>{_content(value)}</{name}>"


def elements(values: Iterable[tuple[str, Any]]) -> Xml:
    """Return named values, one element after the other."""
    return Xml("".join(element(name, value) for name, value in values))


def envelope(own: str, content: str, header: str = "") -> bytes:
    """Return a response's envelope; `own` is the namespace that the client calls by."""
    names = NAMESPACES.format(own=own, sf=OBJECTS[own])
    head = f"<soapenv:Header>{header}</soapenv:Header>" if header else ""
    return (f"{HEAD}<soapenv:Envelope {names}>{head}<soapenv:Body>{content}</soapenv:Body></soapenv:Envelope>").encode()


def fault(own: str, refusal: Refusal) -> bytes:
    """Return the envelope of a refusal, with the detail element that its code has."""
    kind = DETAILS.get(refusal.code, "UnexpectedErrorFault")
    code, message = refusal.code, escape(refusal.message)
    names = NAMESPACES.format(own=own, sf=FAULTS[own])
    return (
        f"{HEAD}<soapenv:Envelope {names}><soapenv:Body><soapenv:Fault><faultcode>sf:{code}</faultcode>"
        f'<faultstring>{code}: {message}</faultstring><detail><sf:{kind} xsi:type="sf:{kind}"><sf:exceptionCode>{code}'
        f"</sf:exceptionCode><sf:exceptionMessage>{message}</sf:exceptionMessage></sf:{kind}></detail></soapenv:Fault>"
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


DETAILS = {
    "INVALID_LOGIN": "LoginFault", "MALFORMED_QUERY": "MalformedQueryFault", "INVALID_FIELD": "InvalidFieldFault",
    "INVALID_TYPE": "InvalidSObjectFault", "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
    "MALFORMED_ID": "InvalidIdFault",
}  # fmt: skip


def _content(value: Any) -> str:
    if isinstance(value, Xml):
        return value
    if isinstance(value, dict):
        return elements(value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))
