"""Settings say what is missing and keep secrets to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncbridge.destinations.registry import open_destination
from syncbridge.destinations.salesforce.hosts import is_loopback
from syncbridge.destinations.salesforce.settings import SalesforceSettings, read_settings
from syncbridge.errors import SettingsError

APP = {"login": "client_credentials", "client_id": "3MVG9", "client_secret": "s3cr3t"}
ACME = {**APP, "instance_url": "https://acme.my.salesforce.com"}


def read(**values: object) -> SalesforceSettings:
    return read_settings("salesforce", values, frozenset())


def test_an_open_destination_shows_no_secret_and_makes_no_call() -> None:
    destination = open_destination("salesforce", "salesforce", ACME)
    shown = f"{destination!r} {vars(destination)} {destination.limits()}"
    assert "s3cr3t" not in shown
    assert destination.limits().calls == 0
    destination.close()


def test_a_secret_in_the_file_is_refused_with_the_variable_to_use() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings("crm", ACME, frozenset({"client_secret", "client_id"}))
    assert "SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET" in refused.value.message
    assert "s3cr3t" not in refused.value.message


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({**ACME, "clientid": "x"}, "did you mean client_id?"),
        ({**ACME, "zzz": "x"}, "known: login"),
        ({"login": "oauth"}, "client_credentials"),
        ({}, "destinations.salesforce.login"),
        ({"login": "client_credentials"}, "needs client_id and client_secret"),
        (APP, "needs the My Domain"),
        ({"login": "jwt", "client_id": "x", "username": "ada"}, "private_key"),
        ({"login": "session", "session_id": "00D!x"}, "instance_url"),
        ({**ACME, "instance_url": "http://acme.my.salesforce.com"}, "must use https"),
        ({**ACME, "instance_url": "acme"}, "should look like https://"),
        ({**ACME, "instance_url": "https://user@acme.my.salesforce.com"}, "should look like https://"),
        ({**ACME, "private_key_file": "/no/such/key.pem"}, "there is no file"),
        ({**ACME, "instance_url": "https://acme.my.salesforce.com/home/home.jsp"}, "leave out what follows the host"),
        ({**ACME, "instance_url": "https://acme.lightning.force.com/lightning/page/home"}, "acme.my.salesforce.com"),
        ({**APP, "domain": "acme--dev.sandbox.lightning.force.com"}, "https://acme--dev.sandbox.my.salesforce.com"),
        ({**ACME, "instance_url": "https://acme.my.salesforce-setup.com"}, "https://acme.my.salesforce.com"),
        ({**ACME, "instance_url": "https://acme--c.vf.force.com"}, "https://acme.my.salesforce.com"),
        ({**ACME, "instance_url": "https://acme.my.site.com"}, "a site of the org"),
        ({**APP, "domain": "http://acme.my.salesforce.com"}, "must use https"),
        ({**APP, "domain": "acme.example.com"}, "domain should be `login`, `test`"),
        ({**APP, "domain": "acme corp"}, "domain should be `login`, `test`"),
        ({"login": "refresh_token", "client_id": "x"}, "needs refresh_token"),
        ({**ACME, "proxy": "proxy.example.com:3128"}, "proxy should look like http://"),
        ({**ACME, "proxy": "socks5://proxy.example.com:1080"}, "proxy should look like http://"),
        ({**ACME, "proxy": "http://proxy.example.com:port"}, "proxy should look like http://"),
        ({**ACME, "ca_file": "/no/such/ca.pem"}, "ca_file: there is no file"),
        ({**ACME, "certificate_key_file": __file__}, "needs certificate_file"),
        ({**ACME, "daily_share": 1.5}, "daily_share"),
        ({**ACME, "calls_in_flight": 0}, "calls_in_flight"),
        ({**ACME, "api_version": "v66"}, "api_version"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_values(values: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings("salesforce", values, frozenset())
    assert told in refused.value.message
    assert refused.value.message.startswith("destinations.salesforce")
    assert "s3cr3t" not in refused.value.message


def test_texts_from_the_environment_are_read_as_what_they_mean() -> None:
    settings = read(**ACME, calls_in_flight="8", read_timeout="90s", connect_timeout="2500ms", assignment_rules="true")
    assert (settings.calls_in_flight, settings.read_timeout, settings.connect_timeout) == (8, 90.0, 2.5)
    assert settings.assignment_rules


@pytest.mark.parametrize(
    ("values", "host"),
    [
        ({"instance_url": "https://acme.my.salesforce.com/"}, "acme.my.salesforce.com"),
        ({"instance_url": "http://127.0.0.1:8080"}, "127.0.0.1:8080"),
        ({"domain": "acme.my"}, "acme.my.salesforce.com"),
        ({"domain": "acme"}, "acme.my.salesforce.com"),
        ({"domain": "acme--dev"}, "acme--dev.sandbox.my.salesforce.com"),
        ({"domain": "https://acme.my.salesforce.com/"}, "acme.my.salesforce.com"),
        ({"domain": "agency.my.salesforce.mil"}, "agency.my.salesforce.mil"),
        ({"domain": "acme--dev.sandbox.my.salesforce.com"}, "acme--dev.sandbox.my.salesforce.com"),
    ],
)
def test_the_login_host_follows_from_instance_url_or_domain(values: dict[str, str], host: str) -> None:
    assert read(**APP, **values).login_host == host


@pytest.mark.parametrize(("domain", "host"), [("login", "login.salesforce.com"), ("test", "test.salesforce.com")])
def test_production_and_sandboxes_have_a_login_host_of_their_own(domain: str, host: str) -> None:
    assert read(login="password", username="ada", password="s3cr3t", domain=domain).login_host == host


def test_a_proxy_with_a_password_comes_from_the_environment_and_is_shown_nowhere() -> None:
    values = {**ACME, "proxy": "http://ada:s3cr3t%21@proxy.example.com:3128"}
    with pytest.raises(SettingsError) as refused:
        read_settings("crm", values, frozenset({"proxy"}))
    assert "SYNCBRIDGE_DESTINATIONS__CRM__PROXY" in refused.value.message
    settings = read_settings("crm", values, frozenset())
    assert "s3cr3t" not in f"{settings!r} {settings} {settings.model_dump_json()} {refused.value}"
    assert {"s3cr3t%21", "s3cr3t!"} <= set(settings.secrets())
    assert read_settings("crm", {**ACME, "proxy": "http://proxy.example.com:3128"}, frozenset({"proxy"})).proxy


def test_password_login_is_at_login_salesforce_com_unless_told_otherwise() -> None:
    assert read(login="password", username="ada", password="s3cr3t").login_host == "login.salesforce.com"


def test_a_private_key_may_come_from_a_file(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----")
    settings = read(login="jwt", client_id="x", username="ada", private_key_file=str(key))
    assert settings.private_key_file == key


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("localhost.evil.com", False)],
)
def test_only_this_machine_is_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own
