"""Signing in: one session for all threads, renewed once by whoever finds it expired first."""

from __future__ import annotations

import math
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from jwt.exceptions import PyJWTError
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin

from syncbridge.destinations.salesforce.organization import organization
from syncbridge.destinations.salesforce.refresh_token import RefreshTokens
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.destinations.salesforce.transport import unsent
from syncbridge.errors import LoginRefused, RetryLater, SyncbridgeError

#: Seconds before its end at which a session is replaced.
RENEW_BEFORE = 60.0
#: What Salesforce answers -> what to do about it; the first text found in code and description counts.
#: From version 65.0 on orgs refuse login over SOAP (SOAP API guide, login); its session serves newer versions of REST.
NEWEST_SOAP_LOGIN = 64.0
HINTS: tuple[tuple[str, str], ...] = (
    ("user is locked", "The user is locked after failed logins: wait, or unlock it in Setup > Users."),
    ("PASSWORD_LOCKOUT", "The user is locked after failed logins: wait, or unlock it in Setup > Users."),
    ("hasn't approved this consumer", "Let an admin pre-authorise the user for the connected app (Permitted Users)."),
    ("audience is invalid", "Set `domain` to `login` for production or `test` for a sandbox."),
    ("expired access/refresh token", "The token has ended or was revoked: authorise the app again for a new one."),
    ("token request limit", "Too many tokens are in use for this user and app: revoke some, or wait."),
    ("no client credentials user enabled", "Choose a Run As user for the connected app's client credentials flow."),
    ("request not supported on this domain", "Set `instance_url` to the org's My Domain."),
    ("invalid_client_id", "`client_id` is not the consumer key of a connected app in this org."),
    ("invalid_client", "`client_id` or `client_secret` is wrong, or the connected app is too new (wait ten minutes)."),
    ("unsupported_grant_type", "Enable this OAuth flow for the connected app."),
    ("LOGIN_MUST_USE_SECURITY_TOKEN", "Set `security_token`, or add this machine to the org's trusted networks."),
    ("INVALID_LOGIN", "`username`, `password` or `security_token` is wrong, or `domain` should be `test`."),
    (
        "SOAP API login() is disabled",
        "Use `client_credentials` or `jwt`, or enable SOAP API login() in Setup > User Interface.",
    ),
    ("API_CURRENTLY_DISABLED", "Give the user the permission `API Enabled`."),
    ("API_DISABLED_FOR_ORG", "This edition of Salesforce has no API."),
    ("inactive", "The user or the org is not active."),
    ("invalid_grant", "User name, password, key or audience is wrong; the user's login history tells which."),
)


@dataclass(frozen=True, slots=True)
class Session:
    """An access token and the host (and port) it is for."""

    token: str = field(repr=False)
    instance: str
    ends_at: float = math.inf  # by the clock, where Salesforce told it
    organization: str | None = None


class SignIn:
    """Holds the session; signs in when there is none or when it was found expired. Thread-safe."""

    def __init__(
        self,
        settings: SalesforceSettings,
        new_http: Callable[[], requests.Session],
        *,
        login_domain: str,
        clock: Callable[[], float],
        admit: Callable[[str], None] = lambda organization: None,
    ) -> None:
        self._admit = admit  # raises for an org that is not the one it should be
        self._settings = settings
        self._new_http = new_http
        self._login_domain = login_domain
        self._clock = clock
        self._refresh_tokens = RefreshTokens(settings)
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._attempts = 0
        self._failure: SyncbridgeError | None = None

    def current(self) -> Session:
        """The session, after signing in if there is none yet, or one that is about to end."""
        session = self._session
        if session is None:
            return self.renewed(None)
        if self._clock() < session.ends_at - RENEW_BEFORE:
            return session
        try:
            return self.renewed(session)
        except RetryLater:
            if self._clock() >= session.ends_at:
                raise
            self._session = self._session or session  # it holds for a little longer
            return session

    def renewed(self, stale: Session | None) -> Session:
        """A session that is not `stale`: another thread's new one, or the result of signing in.

        Threads that wait while one signs in share its outcome, also its failure: a wrong password is tried once.
        """
        attempts = self._attempts
        with self._lock:
            if self._session is not None and self._session is not stale:
                return self._session
            if self._attempts != attempts and self._failure is not None:
                raise self._failure.with_traceback(None)
            self._session = None
            try:
                session = self._sign_in(stale)
                if session.organization is not None:
                    self._admit(session.organization)
                self._session, self._failure = session, None
            except SyncbridgeError as error:
                self._failure = error
                raise
            finally:
                self._attempts += 1
            return self._session

    def tokens(self) -> list[str]:
        """Access tokens in use, so that they can be taken out of messages."""
        session = self._session
        return [session.token] if session is not None else []

    def forget(self) -> None:
        """Sign in again at the next call."""
        with self._lock:
            self._session = None

    def _sign_in(self, stale: Session | None) -> Session:
        settings = self._settings
        if settings.login == "session":
            if stale is not None or settings.session_id is None:
                raise LoginRefused(
                    "The access token is not accepted (any more).",
                    code="INVALID_SESSION_ID",
                    hint="Set a new `session_id`, or a login that renews itself, such as client_credentials.",
                )
            token = settings.session_id.get_secret_value()
            return Session(token, settings.login_host, organization=organization(token, {}))
        answers: list[requests.Response] = []
        http = self._new_http()
        http.hooks["response"].append(lambda response, **_: answers.append(response))
        began = self._clock()
        try:
            token, instance = self._granted(http)
        except SalesforceAuthenticationFailed as error:
            raise self._refusal(error.code, error.auth_message, answers) from None
        except UserWarning as warning:  # simple-salesforce warns of a missing approval before it raises
            raise self._refusal("invalid_grant", f"user hasn't approved this consumer: {warning}", answers) from None
        except requests.RequestException as error:
            raise self._unreachable(error) from None
        except (ValueError, TypeError, AttributeError, OSError, PyJWTError) as error:
            raise self._failure_of(error, answers) from None
        finally:
            http.close()
        if not token or not instance:
            raise LoginRefused(f"The login at {settings.login_host} was answered without an access token.")
        answer, token = _object(answers), str(token)
        ends_at, org = began + lifetime(token, answer), organization(token, answer)
        return Session(token, str(instance).rstrip("/"), ends_at, org)

    def _granted(self, http: requests.Session) -> tuple[Any, Any]:
        """Access token and host of the instance. Raises as simple-salesforce does."""
        if self._settings.login != "refresh_token":
            token, instance = SalesforceLogin(session=http, **self._credentials())
            return token, instance
        with self._refresh_tokens.in_use() as (tokens, keep):
            for turn, refresh_token in enumerate(tokens, 1):
                answer = self._refresh(http, refresh_token)
                if answer.get("access_token"):
                    break
                if turn == len(tokens) or answer.get("error") != "invalid_grant":
                    raise SalesforceAuthenticationFailed(answer.get("error"), answer.get("error_description"))
            rotated = answer.get("refresh_token")
            if isinstance(rotated, str) and rotated and rotated != refresh_token:
                keep(rotated)
        return answer["access_token"], urlsplit(str(answer.get("instance_url"))).netloc

    def _refresh(self, http: requests.Session, refresh_token: str) -> Mapping[str, Any]:
        settings = self._settings
        form = {"grant_type": "refresh_token", "client_id": settings.client_id, "refresh_token": refresh_token}
        if settings.client_secret is not None:
            form["client_secret"] = settings.client_secret.get_secret_value()
        url = f"https://{settings.login_host}/services/oauth2/token"
        answer = http.post(url, data=form, headers={"Accept": "application/json"}, allow_redirects=False).json()
        if not isinstance(answer, dict):
            raise ValueError("not an object")
        return answer

    def _unreachable(self, error: requests.RequestException) -> RetryLater:
        known = unsent(error, self._settings)
        if known is not None:
            return known.error
        return RetryLater(f"No answer to the login at {self._settings.login_host}: {type(error).__name__}")

    def _credentials(self) -> Mapping[str, Any]:
        """The arguments of simple-salesforce's login for the chosen way to sign in."""
        settings, domain = self._settings, self._login_domain
        secret = {name: value.get_secret_value() for name in _SECRETS if (value := getattr(settings, name)) is not None}
        token = secret.get("security_token", "")
        if settings.login == "client_credentials":
            return {
                "consumer_key": settings.client_id,
                "consumer_secret": secret["client_secret"],
                "domain": domain,
            }
        if settings.login == "jwt":
            key = {"privatekey": secret["private_key"]} if "private_key" in secret else {}
            file = {} if key else {"privatekey_file": str(settings.private_key_file)}
            audience = "test" if settings.domain == "test" or ".sandbox." in settings.login_host else "login"
            names = {"consumer_key": settings.client_id, "username": settings.username}
            return {**names, **key, **file, "instance_url": domain, "domain": audience}
        if settings.client_id and "client_secret" in secret:
            return {
                "username": settings.username,
                "password": secret["password"] + token,
                "consumer_key": settings.client_id,
                "consumer_secret": secret["client_secret"],
                "domain": domain,
            }
        return {
            "username": settings.username,
            "password": secret["password"],
            "security_token": token,
            "client_id": "syncbridge",
            "sf_version": str(min(float(settings.api_version), NEWEST_SOAP_LOGIN)),
            "domain": domain,
        }

    def _refusal(self, code: str | int | None, text: str, answers: list[requests.Response]) -> SyncbridgeError:
        host = self._settings.login_host
        status = answers[-1].status_code if answers else 0
        # A SOAP fault is a 500 too, but then it has a code of its own.
        if code in _NOT_NOW or (not isinstance(code, str) and (status >= 500 or status in (420, 429))):
            return RetryLater(f"The login at {host} is not available: {code or status}", code=str(code))
        shown = " ".join(text.split())[:200]
        for secret in sorted(self._settings.secrets(), key=len, reverse=True):
            shown = shown.replace(secret, "…")
        searched = f"{code} {shown}".lower()
        hint = next((hint for known, hint in HINTS if known.lower() in searched), "Check the credentials.")
        return LoginRefused(f"Salesforce refused the login at {host}: {code}: {shown}", code=str(code), hint=hint)

    def _failure_of(self, error: Exception, answers: list[requests.Response]) -> SyncbridgeError:
        """Of a login that was answered in a shape of its own, or could not even be asked for."""
        errors = _error_list(answers[-1].content) if answers else []
        if errors:
            return self._refusal(str(errors[0].get("errorCode")), str(errors[0].get("message")), answers)
        if answers and answers[-1].status_code >= 400:
            return self._refusal(answers[-1].status_code, "", answers)
        return LoginRefused(
            f"The login at {self._settings.login_host} could not be made: {type(error).__name__}",
            hint="Check private_key (PEM, RS256) and that instance_url is a Salesforce org.",
        )


def lifetime(token: str, answer: Mapping[str, Any]) -> float:
    """Seconds for which an access token holds, by the answer that brought it or by the token itself (a JWT).

    Other tokens say nothing: the life of their session begins anew with each call, and its end is seen by a 401.
    """
    seconds = answer.get("expires_in")
    if not isinstance(seconds, int | float | str) or not str(seconds).isdigit():
        claims = _claims(token)
        seconds = claims.get("exp", math.inf) - claims.get("iat", 0.0) if "iat" in claims else math.inf
    return max(float(seconds), 2 * RENEW_BEFORE)


def _claims(token: str) -> Mapping[str, float]:
    """The numbers that a JWT says of itself; none of a token that is no JWT."""
    try:
        claims = orjson.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    except (IndexError, ValueError):
        return {}
    numbers = claims.items() if isinstance(claims, dict) else ()
    return {name: float(value) for name, value in numbers if isinstance(value, int | float)}


def _object(answers: Sequence[requests.Response]) -> Mapping[str, Any]:
    """The last answer, where it is a JSON object."""
    try:
        parsed = orjson.loads(answers[-1].content) if answers else {}
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _error_list(content: bytes) -> list[dict[str, Any]]:
    """The errors of an answer in the shape of the data API, which overload and quotas use for logins too."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return []
    return [each for each in parsed if isinstance(each, dict)] if isinstance(parsed, list) else []


_NOT_NOW = frozenset(("REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION"))
_SECRETS = ("client_secret", "password", "security_token", "private_key")
