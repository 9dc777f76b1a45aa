"""SOAP login: the one SOAP call that REST clients still make, for a user, a password and a security token."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from syncbridge.sandbox.salesforce.auth import Sessions
from syncbridge.sandbox.salesforce.store.storage import ORGANIZATION_ID, USER_ID

OPEN = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
)
CLOSE = "</soapenv:Body></soapenv:Envelope>"
INVALID_LOGIN = "Invalid username, password, security token; or user locked out."


def soap_login(sessions: Sessions, body: bytes, url: str, path: str) -> tuple[int, str]:
    """Answer a SOAP call with HTTP status and XML."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        return 500, _fault("soapenv:Client", "UNKNOWN_EXCEPTION", str(error))
    texts = {each.tag.rpartition("}")[2]: each.text or "" for each in root.iter()}
    if "login" not in texts:
        return 500, _fault("soapenv:Client", "INVALID_OPERATION", "the sandbox knows only login over SOAP")
    if not sessions.is_user(texts.get("username"), texts.get("password")):
        return 500, _fault("INVALID_LOGIN", "INVALID_LOGIN", INVALID_LOGIN)
    server = escape(f"{url}{path}/{ORGANIZATION_ID[:15]}")
    return 200, (
        f"{OPEN}<loginResponse><result><metadataServerUrl>{server}</metadataServerUrl><passwordExpired>false"
        f"</passwordExpired><sandbox>true</sandbox><serverUrl>{server}</serverUrl><sessionId>{sessions.issue()}"
        f"</sessionId><userId>{USER_ID}</userId></result></loginResponse>{CLOSE}"
    )


def _fault(fault: str, code: str, message: str) -> str:
    return (
        f"{OPEN}<soapenv:Fault><faultcode>{fault}</faultcode><faultstring>{escape(f'{code}: {message}')}</faultstring>"
        f"<detail><sf:fault><sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{escape(message)}"
        f"</sf:exceptionMessage></sf:fault></detail></soapenv:Fault>{CLOSE}"
    )
