"""`[alerts]`: what is read, what is refused, and that no address of a webhook shows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from syncbridge.config import Settings, load
from syncbridge.config.alerts import EmailSettings
from syncbridge.errors import SettingsError

SOURCE = '[source]\nhost = "db"\ndbname = "app"\n'
EMAIL = '[alerts.email]\nhost = "mail"\nsender = "s@x.org"\nto = ["a@x.org", "b@x.org"]\n'
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(toml: str, environ: dict[str, str] | None = None) -> Settings:
    Path("syncbridge.toml").write_text(SOURCE + toml, encoding="utf-8")
    given = {f"SYNCBRIDGE_ALERTS__{name}": value for name, value in (environ or {}).items()}
    return load(None, given)


def refusal(toml: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(toml, environ)
    assert SECRET not in caught.value.message + caught.value.hint
    return caught.value.message


def test_no_alerts_are_wanted_until_a_target_is_given() -> None:
    assert not read('[alerts]\nlag = "1m"\n').alerts.wanted
    assert read(EMAIL).alerts.wanted
    assert read("", {"WEBHOOK": "https://host/x"}).alerts.wanted
    assert read("", {"URLS": "json://host"}).alerts.wanted


def test_thresholds_have_units_and_can_be_switched_off() -> None:
    given = read('[alerts]\ndead_letters = 5\nlag = "90s"\nslot_retained = "1.5TB"\nquota = 0.5\n').alerts
    assert (given.dead_letters, given.lag, given.slot_retained, given.quota) == (
        5,
        timedelta(seconds=90),
        1_500_000_000_000,
        0.5,
    )
    names = ("dead_letters", "lag", "slot_retained", "quota")
    off = read("", {name.upper(): "off" for name in names}).alerts
    assert [getattr(off, name) for name in names] == [None] * 4


def test_a_mail_server_can_come_from_the_environment_alone() -> None:
    environ = {"EMAIL__HOST": "mail", "EMAIL__SENDER": "s@x.org", "EMAIL__TO": "a@x.org, b@x.org", "EMAIL__PORT": "25"}
    email = read("", environ).alerts.email
    assert email is not None
    assert (email.to, email.port, email.security) == (("a@x.org", "b@x.org"), 25, "starttls")


def test_no_secret_shows() -> None:
    environ = {
        "WEBHOOK": f"https://h/{SECRET}",
        "URLS": f"json://h/{SECRET} slack://{SECRET}",
        "EMAIL__PASSWORD": SECRET,
    }
    settings = read(EMAIL, environ)
    shown = f"{settings} {settings!r} {settings.masked()}"
    assert SECRET not in shown
    assert settings.masked()["alerts"]["email"]["to"] == ["a@x.org", "b@x.org"]
    assert len(settings.alerts.urls) == 2


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            f'[alerts]\nwebhook = "https://host/{SECRET}"\n',
            "syncbridge.toml:5: alerts.webhook: the address of a webhook does not belong in a file; set"
            " SYNCBRIDGE_ALERTS__WEBHOOK",
        ),
        (f'[alerts]\nurls = ["json://{SECRET}"]\n', "does not belong in a file; set SYNCBRIDGE_ALERTS__URLS"),
        (
            EMAIL + f'password = "{SECRET}"\n',
            "syncbridge.toml:8: alerts.email.password: a password does not belong in a file; set"
            " SYNCBRIDGE_ALERTS__EMAIL__PASSWORD",
        ),
        (EMAIL + 'hst = "x"\n', "syncbridge.toml:8: alerts.email.hst: unknown setting; did you mean host?"),
        ('[alerts]\nlagg = "1m"\n', "syncbridge.toml:5: alerts.lagg: unknown setting; did you mean lag?"),
        ("[alerts]\nlag = 5\n", "syncbridge.toml:5: alerts.lag: write a length of time with its unit"),
        ("[alerts]\nslot_retained = 5\n", 'alerts.slot_retained: write a size with its unit: "500MB", "10GB" or "1TB"'),
        ("[alerts]\nquota = 75\n", "alerts.quota: should be less than or equal to 1"),
        ("[alerts]\ndead_letters = true\n", "alerts.dead_letters: should be a whole number"),
        ("[alerts]\nemail = 5\n", "alerts.email: is a section; write [alerts.email] with keys below it"),
        ('[alerts.email]\nhost = "x"\n', 'alerts.email: sender is missing; write sender = "..." under [alerts.email]'),
        (EMAIL.replace('"a@x.org", "b@x.org"', ""), "alerts.email.to: should name at least one address"),
        (EMAIL.replace("b@x.org", "ops"), "should be a mail address: name@example.com"),
        (EMAIL + 'security = "ssl"\n', "alerts.email.security: should be 'starttls', 'tls' or 'none'"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(toml: str, message: str) -> None:
    assert message in refusal(toml)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"WEBHOOK": f"ftp://host/{SECRET}"}, "SYNCBRIDGE_ALERTS__WEBHOOK: alerts.webhook: should be the address of a"),
        ({"WEBHOOK": SECRET}, "alerts.webhook: should be the address of a webhook"),
        ({"WEBHOOK": f"https://me:{SECRET}@host/"}, "alerts.webhook: should be the address of a webhook"),
        ({"WEBHOOK": f"https://host:{SECRET}/"}, "alerts.webhook: should be the address of a webhook"),
        ({"WEBHOOK": f"http://host/{SECRET}"}, "plain http only to this machine"),
        (
            {"EMAIL__SECURITY": "none", "EMAIL__PASSWORD": SECRET},
            "SYNCBRIDGE_ALERTS__EMAIL__PASSWORD: alerts.email.password: a password does not go over an open line",
        ),
    ],
)
def test_a_mistake_in_a_variable_is_told_without_its_value(environ: dict[str, str], message: str) -> None:
    assert message in refusal(EMAIL, environ)


def test_every_setting_of_mails_is_documented_and_says_what_it_is_for() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in EmailSettings.model_fields if f"| `alerts.email.{name}` |" not in text] == []
    assert all(field.description for field in EmailSettings.model_fields.values())
