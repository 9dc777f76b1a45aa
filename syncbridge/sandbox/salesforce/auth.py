"""Sessions: who may call the API. The OAuth flows, and the session ids they give out."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.auth_codes import AuthRefusal, Codes
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.storage import ORGANIZATION_ID, USER_ID

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS = frozenset({"password", "client_credentials", "refresh_token", "authorization_code"})
#: The connected app of the `sf` command, which every org knows; it has no secret.
CLI_CLIENT = "PlatformCLI"
SESSION_SECONDS = 7200
#: How long after its end an assertion is still taken: CumulusCI lets them end the second they are made.
CLOCK_SKEW = 180
SCOPE = "api id refresh_token"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a client needs to log in. `token` is a session id that is valid from the start."""

    user: str = "sandbox@syncbridge.test"
    password: str = "sandbox-password"
    security_token: str = "sandboxSecurityToken"
    client_id: str = "syncbridge-sandbox"
    client_secret: str = "sandbox-client-secret"
    refresh_token: str = "sandbox-refresh-token"
    token: str = f"{ORGANIZATION_ID[:15]}!sandbox-session"
    public_key: str | None = None


class Sessions:
    """The valid session ids of the org's one user."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        self.credentials = credentials
        self._clock = clock
        self._issued: dict[str, float] = {}
        self.codes = Codes()
        self.organization = ORGANIZATION_ID
        self.reset()

    def reset(self) -> None:
        """Forget all sessions but the one that is valid from the start."""
        self.codes.clear()
        self._issued = {self.credentials.token: self._clock.seconds()}

    def issue(self) -> str:
        """Open a session and return its id."""
        token = f"{self.organization[:15]}!{secrets.token_urlsafe(72)}"
        self._issued[token] = self._clock.seconds()
        return token

    def expire_all(self) -> None:
        """End all sessions, the one from the start included; logging in again works."""
        self._issued.clear()

    def expire(self, token: str) -> None:
        """End one session, unless it is the one from the start, which nobody could log in to again."""
        if token != self.credentials.token:
            self._issued.pop(token, None)

    def is_valid(self, token: str) -> bool:
        """Say whether a session id may be used."""
        return token in self._issued

    def introspect(self, token: str) -> dict[str, Any]:
        """Answer the introspection endpoint."""
        if token not in self._issued:
            return {"active": False}
        issued = int(self._issued[token])
        known = self.credentials
        return {
            "active": True, "scope": SCOPE, "client_id": known.client_id, "username": known.user, "sub": known.user,
            "token_type": "access_token", "exp": issued + SESSION_SECONDS, "iat": issued, "nbf": issued,
        }  # fmt: skip

    def check_header(self, header: str | None) -> str:
        """Return the session id of an Authorization header, or refuse."""
        if header is None:
            raise expired_session()
        scheme, _, token = header.partition(" ")
        if scheme.lower() not in ("bearer", "oauth") or not token.strip():
            raise Refusal("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", status=401)
        return self.check(token.strip())

    def check(self, token: str) -> str:
        """Return a session id that is valid, or refuse it."""
        if not self.is_valid(token):
            raise expired_session()
        return token

    def grant(self, form: dict[str, str], basic: str | None, url: str) -> dict[str, Any]:
        """Answer the token endpoint, or raise AuthRefusal."""
        kind = form.get("grant_type")
        if basic and basic.lower().startswith("basic "):
            form = form | _basic(basic[6:])
        if kind == JWT_GRANT:
            self._check_assertion(form.get("assertion", ""))
            return self._answer(url, with_signature=False)
        if kind not in GRANTS:
            raise AuthRefusal("unsupported_grant_type", "grant type not supported")
        self.check_client(form)
        if kind == "password" and not self.is_user(form.get("username"), form.get("password")):
            raise AuthRefusal("invalid_grant", "authentication failure")
        if kind == "refresh_token" and form.get("refresh_token") != self.credentials.refresh_token:
            raise AuthRefusal("invalid_grant", "expired access/refresh token")
        if kind == "authorization_code":
            self.codes.take(form)
            return self._answer(url) | {"refresh_token": self.credentials.refresh_token}
        answer = self._answer(url)
        return answer | {"api_instance_url": url} if kind == "client_credentials" else answer

    def is_user(self, user: str | None, password: str | None) -> bool:
        """Check user and password; the security token may be left out, as from a trusted network."""
        known = self.credentials
        return user == known.user and password in (known.password, known.password + known.security_token)

    def check_client(self, form: dict[str, str]) -> None:
        """Check the client and its secret, which public clients of a user's own flows may leave out."""
        if form.get("client_id") not in (self.credentials.client_id, CLI_CLIENT):
            raise AuthRefusal("invalid_client_id", "client identifier invalid")
        secret = form.get("client_secret")
        optional = form.get("grant_type") in ("refresh_token", "authorization_code")
        if not (optional and not secret) and secret != self.credentials.client_secret:
            raise AuthRefusal("invalid_client", "invalid client credentials")

    def _check_assertion(self, assertion: str) -> None:
        """Accept a JWT of the org's client for its user; the signature counts only if a public key is known."""
        claims = _claims(assertion)
        if self.credentials.public_key:
            _check_signature(assertion, self.credentials.public_key)
        if claims.get("iss") not in (self.credentials.client_id, CLI_CLIENT):
            raise AuthRefusal("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != self.credentials.user:
            raise AuthRefusal("invalid_grant", "user hasn't approved this consumer")
        if not claims.get("aud"):
            raise AuthRefusal("invalid_grant", "audience is invalid")
        try:
            expires = float(claims.get("exp", 0))
        except (TypeError, ValueError):
            expires = 0
        if expires + CLOCK_SKEW <= self._clock.seconds():
            raise AuthRefusal("invalid_grant", "expired authorization code")

    def _answer(self, url: str, *, with_signature: bool = True) -> dict[str, Any]:
        identity = f"{url}/id/{self.organization}/{USER_ID}"
        answer: dict[str, Any] = {"access_token": self.issue()}
        if with_signature:
            issued = str(int(self._clock.seconds() * 1000))
            signed = hmac.new(self.credentials.client_secret.encode(), (identity + issued).encode(), sha256).digest()
            answer |= {"signature": base64.b64encode(signed).decode(), "issued_at": issued}
        return answer | {"scope": SCOPE, "instance_url": url, "id": identity, "token_type": "Bearer"}


def expired_session() -> Refusal:
    """Return the refusal of a session id that is not valid."""
    return Refusal("INVALID_SESSION_ID", "Session expired or invalid", status=401)


def _basic(encoded: str) -> dict[str, str]:
    try:
        client_id, _, client_secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise AuthRefusal("invalid_client", "invalid client credentials") from None
    return {"client_id": client_id, "client_secret": client_secret}


def _claims(assertion: str) -> dict[str, Any]:
    parts = assertion.split(".")
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, binascii.Error, orjson.JSONDecodeError):
        raise AuthRefusal("invalid_grant", "invalid assertion") from None
    if len(parts) != 3 or not isinstance(claims, dict):
        raise AuthRefusal("invalid_grant", "invalid assertion")
    return claims


def _check_signature(assertion: str, public_key: str) -> None:
    import jwt  # comes with simple-salesforce; needed only where a public key is configured

    try:
        jwt.PyJWS().decode(assertion, public_key, algorithms=["RS256"])
    except jwt.PyJWTError as error:
        raise AuthRefusal("invalid_grant", "invalid assertion") from error
