"""How requests leave this machine: time limits, proxies and certificates, and what it means when they do not arrive."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from syncbridge.destinations.salesforce.hosts import is_loopback
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.errors import RetryLater

CLIENT_NAME = "syncbridge"
#: Stands for a login host outside salesforce.com, because simple-salesforce appends that to every domain.
_STAND_IN = "syncbridge-login"
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})[ ]?([\w ]*)")
#: OpenSSL's names of alerts that end a handshake, so before anything was sent or taken.
_HANDSHAKE = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED|BAD_CERTIFICATE")


@dataclass(frozen=True, slots=True)
class Unsent:
    """A request that certainly did not arrive; `lasting` when it will not until a person mends something."""

    error: RetryLater
    lasting: bool


class Adapter(HTTPAdapter):
    """Gives every request time limits, its proxy and certificates, and sends it to where the settings say."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._tls = None if settings.plain_http else _tls(settings)
        self._limits = (settings.connect_timeout, settings.read_timeout)
        self._login = f"https://{_STAND_IN}.salesforce.com"
        self._login_at = f"https://{settings.login_host}"
        self._plain = settings.plain_http
        self._proxies = Proxies(settings)
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._tls, proxy_ssl_context=self._tls, **options)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = request.url or ""
        if url.startswith(self._login):
            url = self._login_at + url.removeprefix(self._login)
        if self._plain and is_loopback(urlsplit(url).hostname or ""):
            url = "http" + url.removeprefix("https")
        request.url = url
        return super().send(request, stream, timeout or self._limits, verify, cert, self._proxies.of(url))


class Proxies:
    """The proxy of each host: that of the settings, else HTTPS_PROXY and NO_PROXY of the environment."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._set = settings.proxy.get_secret_value() if settings.proxy is not None else None
        self._known: dict[str, Mapping[str, str]] = {}

    def of(self, url: str) -> Mapping[str, str]:
        """As requests wants it; empty where none is to be used."""
        if self._set is not None:
            return {} if self._set == "none" else {"https": self._set, "http": self._set}
        host = urlsplit(url).netloc
        if host not in self._known:
            local = is_loopback(urlsplit(url).hostname or "")
            self._known[host] = {} if local else get_environ_proxies(url)
        return self._known[host]


def new_http(settings: SalesforceSettings) -> requests.Session:
    """A session with time limits on every request, that sends to where the settings say."""
    http = requests.Session()
    # With trust_env, a .netrc entry would replace our Authorization header.
    http.trust_env = False
    http.headers.update({"User-Agent": CLIENT_NAME, "Accept-Encoding": "gzip"})
    http.mount("https://", Adapter(settings))
    return http


def login_domain(settings: SalesforceSettings) -> str:
    """The login host as simple-salesforce wants it: without salesforce.com, or a stand-in for hosts elsewhere."""
    host = settings.login_host
    return host.removesuffix(".salesforce.com") if host.endswith(".salesforce.com") else _STAND_IN


def _tls(settings: SalesforceSettings) -> ssl.SSLContext:
    """Public certificate authorities (requests adds them), ours beside them, and a certificate of our own."""
    context = ssl.create_default_context()
    if settings.ca_file is not None:
        context.load_verify_locations(settings.ca_file)
    if settings.certificate_file is not None:
        context.load_cert_chain(settings.certificate_file, settings.certificate_key_file, password="")
    return context


# -- what did not arrive -----------------------------------------------------------------------------------------------


def unsent(error: requests.RequestException, settings: SalesforceSettings) -> Unsent | None:
    """Why a request did not arrive, in words that say what to do; None when it may have arrived.

    No text of the error itself is used: it could hold an address with a password.
    """
    causes = list(_causes(error))
    host = urlsplit(error.request.url or "").netloc if error.request is not None else settings.login_host
    if isinstance(error, requests.exceptions.InvalidSchema | requests.exceptions.InvalidProxyURL):
        hint = "Write HTTPS_PROXY or `proxy` as http://host:port; other kinds of proxy are not supported."
        return _unsent("The proxy's address cannot be used.", hint, code="PROXY")
    if isinstance(error, requests.exceptions.ProxyError):
        return _of_proxy(error, causes, host, settings)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause, host)
        if isinstance(cause, ssl.SSLError) and _HANDSHAKE.search(cause.reason or ""):
            return _of_handshake(cause.reason or "", host)
    if _has(causes, NameResolutionError) or _has(causes, socket.gaierror):
        hint = "Check `instance_url` or `domain`, and this machine's DNS. Behind a proxy, set `proxy`."
        return _unsent(f"The name {host} cannot be found in DNS.", hint, code="DNS", lasting=False)
    if isinstance(error, requests.ConnectTimeout):
        hint = "Check firewall and route. Behind a proxy, set `proxy`."
        return _unsent(f"{host} cannot be reached: no connection in time.", hint, code="ConnectTimeout", lasting=False)
    if _has(causes, NewConnectionError):
        hint = "Check `instance_url` or `domain`, firewall and route."
        return _unsent(f"{host} cannot be reached: no connection.", hint, code="ConnectionError", lasting=False)
    return None


def _of_proxy(
    error: requests.RequestException, causes: list[BaseException], host: str, settings: SalesforceSettings
) -> Unsent:
    chosen = Proxies(settings).of(error.request.url or "" if error.request is not None else "")
    address = urlsplit(chosen.get("https") or "")
    proxy = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
    for cause in causes:
        if tunnel := _TUNNEL.search(str(cause)):
            status = int(tunnel[1])
            if status == 407:
                hint = "Write user and password into the proxy's address: http://user:password@host:port."
                return _unsent(f"The proxy {proxy} wants a login (407).", hint, code="PROXY_LOGIN")
            hint = f"Let the proxy connect to {host}: its answer was {status} {tunnel[2]}".rstrip() + "."
            lasting = status < 500
            return _unsent(f"The proxy {proxy} did not connect to {host}.", hint, code="PROXY", lasting=lasting)
    if _has(causes, NameResolutionError):
        return _unsent(f"The name of the proxy {proxy} cannot be found in DNS.", _WHICH_PROXY, code="PROXY")
    return _unsent(f"The proxy {proxy} cannot be reached.", _WHICH_PROXY, code="PROXY", lasting=False)


_WHICH_PROXY = "Check `proxy`, or HTTPS_PROXY and NO_PROXY of the environment."
_EXPIRED, _WRONG_HOST = 10, 62  # OpenSSL's numbers


def _of_certificate(cause: ssl.SSLCertVerificationError, host: str) -> Unsent:
    hint = "If a proxy or firewall inspects TLS, name the certificate of its authority by `ca_file`."
    if cause.verify_code == _EXPIRED:
        hint = "Check this machine's clock."
    elif cause.verify_code == _WRONG_HOST:
        hint = "Somebody else answers for this host: check `instance_url` or `domain`, and the proxy."
    said = cause.verify_message.split(" for ", 1)[0].rstrip(".,")
    return _unsent(f"The certificate of {host} is not trusted: {said}.", hint, code="CERTIFICATE")


def _of_handshake(reason: str, host: str) -> Unsent:
    if "VERSION" in reason or "HTTP_REQUEST" in reason:
        hint = "Something else answers there. A proxy that is spoken to in plain http is written http://host:port."
        return _unsent(f"{host} does not speak TLS.", hint, code="TLS")
    hint = "Where the org asks for a client certificate, set `certificate_file` and `certificate_key_file`."
    return _unsent(f"{host} broke off the TLS handshake: {reason.lower().replace('_', ' ')}.", hint, code="TLS")


def _unsent(message: str, hint: str, *, code: str, lasting: bool = True) -> Unsent:
    return Unsent(RetryLater(message, hint=hint, code=code), lasting)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was made from, outermost first."""
    while isinstance(error, BaseException):
        yield error
        inner = error.args[0] if isinstance(error, requests.RequestException) and error.args else None
        if isinstance(error, MaxRetryError):
            inner = error.reason
        if not isinstance(inner, BaseException):
            inner = getattr(error, "original_error", None) or error.__cause__
        if not isinstance(inner, BaseException) and error.args and isinstance(error.args[0], BaseException):
            inner = error.args[0]
        error = inner if isinstance(inner, BaseException) else None


def _has(causes: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)
