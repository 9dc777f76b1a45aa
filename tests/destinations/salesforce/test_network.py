"""Proxies, certificates, and what is said when Salesforce is not reached through them."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.errors import RetryLater, SettingsError
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_network import (
    ORG,
    Authority,
    Proxy,
    connect_proxy,
    new_authority,
    tls_in_front_of,
)
from tests.destinations.salesforce.fix_salesforce import FakeTime, deliver, open_for

URL = f"https://{ORG}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure_port(server: SandboxServer, authority: Authority) -> Iterator[int]:
    """The sandbox as the org, by TLS; sessions are for the address that it knows itself by."""
    with tls_in_front_of(_port(server), authority.server_context(ORG, "127.0.0.1")) as port:
        yield port


@pytest.fixture
def proxy(secure_port: int) -> Iterator[Proxy]:
    with connect_proxy(secure_port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def _port(server: SandboxServer) -> int:
    return urlsplit(server.url).port or 0


@contextmanager
def opened(server: SandboxServer, **changes: object) -> Iterator[SalesforceDestination]:
    destination = open_for(server, FakeTime(), **{"instance_url": URL, **changes})
    try:
        yield destination
    finally:
        destination.close()


def refusal(destination: SalesforceDestination) -> str:
    """What is said: code, message and hint."""
    with pytest.raises(RetryLater) as refused:
        deliver(destination)
    assert not refused.value.uncertain
    return f"{refused.value.code}: {refused.value.message} / {refused.value.hint}"


# -- proxies ----------------------------------------------------------------------------------------------------------


def test_everything_goes_through_the_proxy_of_the_settings(
    server: SandboxServer, proxy: Proxy, authority: Authority
) -> None:
    with opened(server, proxy=f"http://{proxy.address}", ca_file=authority.file) as destination:
        assert deliver(destination)
    assert set(proxy.targets) == {f"{ORG}:443", urlsplit(server.url).netloc}
    assert proxy.logins == []


def test_user_and_password_are_shown_to_the_proxy_alone(
    server: SandboxServer, proxy: Proxy, authority: Authority
) -> None:
    address = f"http://ada:p%40ss@{proxy.address}"
    with opened(server, proxy=address, ca_file=authority.file) as destination:
        assert deliver(destination)
    assert {base64.b64decode(login) for login in proxy.logins} == {b"ada:p@ss"}


def test_the_proxy_of_the_environment_is_used(
    server: SandboxServer, proxy: Proxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    known = {"login": "session", "session_id": server.credentials.token}
    with opened(server, ca_file=authority.file, **known) as destination:
        assert deliver(destination)
    assert set(proxy.targets) == {f"{ORG}:443"}


@pytest.mark.parametrize(("changes", "no_proxy"), [({"proxy": "none"}, ""), ({}, "127.0.0.1,.salesforce.com")])
def test_hosts_that_need_no_proxy_are_reached_without(
    server: SandboxServer,
    proxy: Proxy,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    no_proxy: str,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)
    with opened(server, ca_file=authority.file, **changes) as destination:
        assert "DNS" in refusal(destination)
    assert proxy.targets == []


def test_a_sandbox_on_this_machine_is_reached_without_the_proxy_of_the_environment(
    server: SandboxServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
    with opened(server, instance_url=server.url) as destination:
        assert deliver(destination)
    assert proxy.targets == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("407 Proxy Authentication Required", "PROXY_LOGIN: The proxy {proxy} wants a login (407)."),
        ("403 Forbidden", "PROXY: The proxy {proxy} did not connect to acme.my.salesforce.com."),
        ("502 Bad Gateway", "its answer was 502 Bad Gateway."),
    ],
)
def test_a_proxy_that_refuses_is_told_with_its_answer(
    server: SandboxServer, proxy: Proxy, authority: Authority, answer: str, said: str
) -> None:
    proxy.refusal = answer
    address = f"http://ada:s3cr3t@{proxy.address}"
    with opened(server, proxy=address, ca_file=authority.file) as destination:
        told = refusal(destination)
    assert said.format(proxy=proxy.address) in told
    assert "s3cr3t" not in told


def test_a_proxy_that_is_not_there_is_named(server: SandboxServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with opened(server, proxy=f"http://ada:s3cr3t@{address}") as destination:
        assert f"The proxy {address} cannot be reached. / Check `proxy`" in refusal(destination)


def test_a_kind_of_proxy_that_is_not_supported_is_told(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://ada:s3cr3t@127.0.0.1:1080")
    with opened(server) as destination:
        told = refusal(destination)
    assert "Write HTTPS_PROXY or `proxy` as http://host:port" in told
    assert "s3cr3t" not in told


def test_plain_http_to_a_proxy_that_wants_tls_and_the_other_way_round_are_told(
    server: SandboxServer, proxy: Proxy, authority: Authority
) -> None:
    with opened(server, proxy=f"https://{proxy.address}", ca_file=authority.file) as destination:
        assert "PROXY: The proxy" in refusal(destination)


# -- certificates -----------------------------------------------------------------------------------------------------


def test_a_certificate_of_an_unknown_authority_is_refused_with_what_to_do(server: SandboxServer, proxy: Proxy) -> None:
    with opened(server, proxy=f"http://{proxy.address}") as destination:
        told = refusal(destination)
    assert f"CERTIFICATE: The certificate of {ORG} is not trusted:" in told
    assert "`ca_file`" in told
    assert len(proxy.targets) == 1  # it is not tried again at once


def test_the_authority_may_come_from_the_environment(
    server: SandboxServer, proxy: Proxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with opened(server, proxy=f"http://{proxy.address}") as destination:
        assert deliver(destination)


def test_a_certificate_for_another_host_is_refused(server: SandboxServer, authority: Authority) -> None:
    context = authority.server_context("other.example.com")
    with tls_in_front_of(_port(server), context) as port, connect_proxy(port) as proxy:
        with opened(server, proxy=f"http://{proxy.address}", ca_file=authority.file) as destination:
            assert "Somebody else answers for this host" in refusal(destination)


def test_a_server_that_speaks_no_tls_is_told(server: SandboxServer) -> None:
    with connect_proxy(_port(server)) as proxy, opened(server, proxy=f"http://{proxy.address}") as destination:
        assert f"TLS: {ORG} does not speak TLS." in refusal(destination)


def test_a_client_certificate_is_shown_where_it_is_asked_for(
    server: SandboxServer, authority: Authority, tmp_path: Path
) -> None:
    own = authority.ca.issue_cert("syncbridge.example.com")
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    context = authority.server_context(ORG, "127.0.0.1", client_certificates=True)
    with tls_in_front_of(_port(server), context) as port, connect_proxy(port) as proxy:
        through = {"proxy": f"http://{proxy.address}", "ca_file": authority.file}
        with opened(server, **through, certificate_file=tmp_path / "own.pem") as destination:
            assert deliver(destination)


def test_an_org_that_cannot_be_found_is_told_with_what_to_check(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)
    with opened(server) as destination:
        told = refusal(destination)
        (finding,) = destination.verify()
    assert f"DNS: The name {ORG} cannot be found in DNS. / Check `instance_url` or `domain`" in told
    assert (finding.severity, finding.message) == ("error", f"The name {ORG} cannot be found in DNS.")


@pytest.mark.parametrize(
    ("name", "told"), [("ca_file", "no certificate in PEM format"), ("certificate_file", "do not fit together")]
)
def test_a_file_that_is_no_certificate_is_told_when_the_settings_are_read(
    server: SandboxServer, tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "some.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=told):
        open_for(server, FakeTime(), **{name: tmp_path / "some.pem"})


def _no_such_name(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
