"""The first half of OAuth's web server flow: the code that a browser brings back, given without asking anybody."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlencode

MOST_CODES = 100


class AuthRefusal(Exception):
    """A login is refused: OAuth errors have their own shape."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.body = {"error": error, "error_description": description}


@dataclass(frozen=True, slots=True)
class _Asked:
    client_id: str
    redirect_uri: str
    challenge: str | None


class Codes:
    """Authorization codes that wait to be exchanged for a session; each is good once."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Asked] = {}

    def clear(self) -> None:
        """Forget all codes."""
        self._waiting.clear()

    def give(self, query: dict[str, str]) -> str:
        """Return the address to send the browser to: `redirect_uri` with a code and the client's own `state`.

        AuthRefusal when the request asks for no code or says no address. PKCE (RFC 7636) is heeded if it is used.
        """
        if query.get("response_type") != "code":
            raise AuthRefusal("unsupported_response_type", "response type must be code")
        target = query.get("redirect_uri")
        if not target:
            raise AuthRefusal("redirect_uri_missing", "redirect_uri is required")
        while len(self._waiting) >= MOST_CODES:
            del self._waiting[next(iter(self._waiting))]
        code = f"aPrx{secrets.token_urlsafe(48)}"
        self._waiting[code] = _Asked(query.get("client_id", ""), target, query.get("code_challenge"))
        answer = {"code": code} | ({"state": query["state"]} if "state" in query else {})
        return f"{target}{'&' if '?' in target else '?'}{urlencode(answer)}"

    def take(self, form: dict[str, str]) -> None:
        """Use up the code of a token request, or raise AuthRefusal if it was not given for this very request."""
        asked = self._waiting.pop(form.get("code", ""), None)
        if asked is None:
            raise AuthRefusal("invalid_grant", "expired authorization code")
        if asked.client_id != form.get("client_id"):
            raise AuthRefusal("invalid_grant", "authorization code is not for this client")
        if asked.redirect_uri != form.get("redirect_uri"):
            raise AuthRefusal("redirect_uri_mismatch", "redirect_uri must match configuration")
        if asked.challenge is not None and not _proves(form.get("code_verifier", ""), asked.challenge):
            raise AuthRefusal("invalid_grant", "invalid code verifier")


def _proves(verifier: str, challenge: str) -> bool:
    made = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    return hmac.compare_digest(made, challenge.rstrip("="))
