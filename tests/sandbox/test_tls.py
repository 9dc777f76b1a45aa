"""The sandbox over https, for clients that know no http."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import requests
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from simple_salesforce import api

from syncbridge.cli.sandbox import sandbox as command
from syncbridge.sandbox.salesforce.server import SandboxServer


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "sandbox.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return file


def test_https_is_spoken_and_told(pem: Path) -> None:
    with SandboxServer(tls=pem) as server:
        assert server.url.startswith("https://127.0.0.1:")
        known = server.credentials
        form = {"client_id": known.client_id, "client_secret": known.client_secret, "grant_type": "client_credentials"}
        with httpx.Client(verify=ssl.create_default_context(cafile=str(pem))) as client:
            answer = client.post(f"{server.url}/services/oauth2/token", data=form).json()
            assert answer["instance_url"] == server.url
            assert answer["id"].startswith(f"{server.url}/id/")


def test_simple_salesforce_needs_no_adapter_then(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    with SandboxServer(tls=pem) as server, requests.Session() as session:
        client = api.Salesforce(instance_url=server.url, session_id=server.credentials.token, session=session)
        assert client.query("SELECT Id FROM Account")["totalSize"] == 0


@pytest.mark.parametrize(("content", "said"), [(None, "there is no such file"), ("no key", "both in PEM form")])
def test_a_file_without_certificate_and_key_is_told_before_the_start(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "x.pem"
    if content is not None:
        file.write_text(content)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        result = CliRunner().invoke(command, ["salesforce", "--tls", str(file), "--port", str(busy.getsockname()[1])])
    assert result.exit_code == 2
    assert said in result.output
