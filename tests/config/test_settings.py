"""Settings: where they come from, what is refused, and that secrets show nowhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from syncbridge.config import ROOT_KEYS, SECTIONS, Settings, load, readable
from syncbridge.config.layers import variable
from syncbridge.config.sections import duration
from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.errors import SettingsError

SOURCE = '[source]\nhost = "db"\ndbname = "app"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(toml: str = SOURCE, environ: dict[str, str] | None = None, dotenv: str = "") -> Settings:
    Path("syncbridge.toml").write_text(toml, encoding="utf-8")
    if dotenv:
        Path(".env").write_text(dotenv, encoding="utf-8")
    return load(None, environ or {})


def refusal(toml: str = SOURCE, environ: dict[str, str] | None = None, dotenv: str = "") -> str:
    with pytest.raises(SettingsError) as caught:
        read(toml, environ, dotenv)
    return caught.value.message


def test_the_defaults_are_enough_with_a_source(folder: Path) -> None:
    settings = read()
    assert settings.mappings == folder / "mappings"
    assert (settings.source.slot, settings.source.publication) == ("syncbridge", "syncbridge")
    assert settings.worker.batch == 1000
    assert settings.worker.lanes == 2
    assert settings.worker.linger == timedelta(milliseconds=200)
    assert settings.store.log_retention_days == 31
    assert settings.store.schema_name == "syncbridge"
    assert settings.destinations == {}


def test_later_layers_win() -> None:
    toml = SOURCE + "[worker]\nbatch = 1\nlanes = 1\nmax_attempts = 1\ncapture_batch = 1\n"
    dotenv = "SYNCBRIDGE_WORKER__LANES=3\nSYNCBRIDGE_WORKER__MAX_ATTEMPTS=3\n"
    settings = read(toml, {"SYNCBRIDGE_WORKER__MAX_ATTEMPTS": "4", "syncbridge_worker__linger": "0s"}, dotenv)
    worker = settings.worker
    assert (worker.batch, worker.lanes, worker.max_attempts) == (1, 3, 4)
    assert worker.linger == timedelta(0)


def test_a_destination_may_linger_otherwise_than_the_rest(folder: Path) -> None:
    toml = (
        SOURCE
        + """
        [worker]
        linger = "100ms"
        [destinations.crm]
        type = "memory"
        linger = "2s"
        [destinations.other]
        type = "memory"
    """
    )
    settings = read(toml)
    assert (settings.linger("crm"), settings.linger("other")) == (2.0, 0.1)
    assert settings.masked()["destinations"] == {"crm": {"type": "memory", "linger": "2s"}, "other": {"type": "memory"}}
    assert dict(settings.destinations["crm"].values) == {}
    assert read(toml, {"SYNCBRIDGE_DESTINATIONS__OTHER__LINGER": "0s"}).linger("other") == 0.0


def test_a_destination_that_lingers_for_hours_is_a_mistake(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"destinations\.crm\.linger: .*less than or equal to"):
        read('[destinations.crm]\ntype = "memory"\nlinger = "3h"\n')


def test_secrets_come_from_a_folder_with_one_file_each(folder: Path) -> None:
    secrets = folder / "secrets"
    (secrets / "..data").mkdir(parents=True)  # as Kubernetes mounts them
    (secrets / "source__password").write_text("from the folder\n")
    (secrets / "SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET").write_text("s3cret")
    (secrets / "somebody_elses").write_text("x")
    toml = 'secrets_dir = "secrets"\n' + SOURCE + '[destinations.crm]\ntype = "salesforce"\n'
    settings = read(toml)
    assert conninfo_to_dict(settings.source.conninfo())["password"] == "from the folder"
    assert settings.destinations["crm"].values["client_secret"] == "s3cret"
    assert settings.destinations["crm"].from_file == frozenset()
    assert read(toml, {"SYNCBRIDGE_SECRETS_DIR": str(secrets)}).source.password is not None


def test_the_environment_wins_over_the_secrets_folder(folder: Path) -> None:
    (folder / "source__password").write_text("folder")
    environ = {"SYNCBRIDGE_SECRETS_DIR": ".", "SYNCBRIDGE_SOURCE__PASSWORD": "environment"}
    password = read(SOURCE, environ).source.password
    assert password is not None
    assert password.get_secret_value() == "environment"


def test_the_environment_alone_is_enough() -> None:
    settings = load(None, {"SYNCBRIDGE_POSTGRES_DSN": "postgresql://me:pw@db/app"})
    parts = conninfo_to_dict(settings.source.conninfo())
    assert (parts["host"], parts["user"], parts["password"]) == ("db", "me", "pw")
    assert parts["application_name"] == "syncbridge"
    assert settings.path is None


def test_an_explicit_source_dsn_wins_over_its_short_name() -> None:
    environ = {"SYNCBRIDGE_SOURCE__DSN": "host=first", "SYNCBRIDGE_POSTGRES_DSN": "host=second"}
    assert conninfo_to_dict(load(None, environ).source.conninfo())["host"] == "first"
    backwards = dict(reversed(environ.items()))
    assert conninfo_to_dict(load(None, backwards).source.conninfo())["host"] == "first"


def test_an_address_from_the_environment_replaces_the_whole_address_of_the_file() -> None:
    by_dsn = read(SOURCE, {"SYNCBRIDGE_SOURCE__DSN": "host=other"})
    assert "dbname" not in conninfo_to_dict(by_dsn.source.conninfo())
    by_parts = read('[source]\ndsn = "host=db dbname=app"\n', {"SYNCBRIDGE_SOURCE__HOST": "other"})
    assert "dbname" not in conninfo_to_dict(by_parts.source.conninfo())


def test_a_password_from_the_environment_joins_a_dsn_from_the_file() -> None:
    settings = read('[source]\ndsn = "postgresql://me@db/app"\n', {"SYNCBRIDGE_SOURCE__PASSWORD": "p w'"})
    assert conninfo_to_dict(settings.source.conninfo())["password"] == "p w'"


def test_the_state_lives_in_the_source_database_unless_a_dsn_says_otherwise() -> None:
    assert read().store_conninfo() == read().source.conninfo()
    environ = {"SYNCBRIDGE_STORE__PASSWORD": "pw"}
    elsewhere = read(SOURCE + '[store]\ndsn = "host=state dbname=s"\n', environ).store_conninfo()
    assert conninfo_to_dict(elsewhere)["host"] == "state"
    assert conninfo_to_dict(elsewhere)["password"] == "pw"


def test_the_file_is_found_by_argument_then_variable_then_folder(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "own.toml").write_text(f'mappings = "{name}"\n' + SOURCE)
    environ = {"SYNCBRIDGE_CONFIG": "two/own.toml"}
    assert load(Path("one/own.toml"), environ).mappings == folder / "one" / "one"
    assert load(None, environ).mappings == folder / "two" / "two"


@pytest.mark.parametrize("environ", [{"SYNCBRIDGE_CONFIG": "none.toml"}, {}])
def test_a_file_that_was_asked_for_must_be_there(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: there is no such file"):
        load(None if environ else Path("none.toml"), environ)


def test_destination_sections_stay_open_and_know_what_came_from_the_file() -> None:
    toml = SOURCE + '[destinations.crm]\ntype = "salesforce"\nclient_id = "abc"\nnested = {a = 1}\n'
    environ = {"SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET": "0123", "SYNCBRIDGE_DESTINATIONS__CRM__NESTED__B": "2"}
    section = read(toml, environ).destinations["crm"]
    assert (section.name, section.type) == ("crm", "salesforce")
    assert dict(section.values) == {"client_id": "abc", "nested": {"a": 1, "b": "2"}, "client_secret": "0123"}
    assert section.from_file == {"client_id", "nested"}


def test_keys_of_a_destination_may_have_any_name() -> None:
    names = ("name", "values", "from_file", "masked", "model_config", "_name", "self", "__class__")
    toml = SOURCE + '[destinations.crm]\ntype = "x"\n' + "".join(f'{name} = "mine"\n' for name in names)
    section = read(toml).destinations["crm"]
    assert (section.name, section.type) == ("crm", "x")
    assert dict(section.values) == dict.fromkeys(names, "mine")
    assert section.from_file == set(names)


def test_only_the_environment_that_is_passed_in_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_WORKER__BATCH", "7")
    monkeypatch.setenv("SYNCBRIDGE_SOURC__HOST", "x")
    monkeypatch.setenv("HALF", "expanded")
    settings = read(SOURCE, dotenv="SYNCBRIDGE_SOURCE__PASSWORD=a${HALF}b\n")
    assert settings.worker.batch == 1000
    assert settings.source.password is not None
    assert settings.source.password.get_secret_value() == "a${HALF}b"


def test_the_debug_log_of_the_settings_library_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    caplog.set_level("DEBUG", "pydantic_settings")
    read(SOURCE, {"SYNCBRIDGE_SOURCE__PASSWORD": "hunter2"}, "SYNCBRIDGE_STORE__PASSWORD=hunter2\n")
    assert "hunter2" not in caplog.text


def test_no_secret_shows_anywhere() -> None:
    toml = SOURCE + '[destinations.crm]\ntype = "x"\nclient_id = "abc"\napi_key = "hunter2"\nd = {token = "hunter2"}\n'
    environ = {
        "SYNCBRIDGE_SOURCE__DSN": "postgresql://me:hunter2@db/app",
        "SYNCBRIDGE_SOURCE__PASSWORD": "hunter2",
        "SYNCBRIDGE_STORE__DSN": "postgresql://me:hunter2@db/app",
        "SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET": "hunter2",
    }
    settings = read(toml, environ)
    assert "hunter2" in settings.source.conninfo()
    shown = f"{settings} {settings!r} {settings.masked()} {settings.destinations['crm'].values}"
    assert "hunter2" not in shown
    assert settings.masked()["destinations"]["crm"]["client_id"] == "abc"
    assert settings.masked()["source"]["dsn"] == "user=me password=******** dbname=app host=db"


def test_settings_are_frozen() -> None:
    settings = read()
    with pytest.raises(ValidationError, match="frozen"):
        settings.path = None  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.store = settings.store
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.batch = 2


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[source\n", "syncbridge.toml:1: not valid TOML"),
        ("mapings = 1\n" + SOURCE, "syncbridge.toml:1: mapings: unknown setting; did you mean mappings?"),
        (SOURCE + 'slto = "x"\n', "syncbridge.toml:4: source.slto: unknown setting; did you mean slot?"),
        (SOURCE + "[wroker]\nbatch = 1\n", "syncbridge.toml:5: wroker: unknown setting; did you mean worker?"),
        (SOURCE + "worker.batch = 1\n", "syncbridge.toml:4: source.worker: unknown setting"),
        (SOURCE + "[worker]\nbatch = 0\n", "syncbridge.toml:5: worker.batch: should be greater than or equal to 1"),
        (SOURCE + "[worker]\nbatch = true\n", "syncbridge.toml:5: worker.batch: should be a whole number"),
        (SOURCE + "[worker]\nlease = 300\n", "syncbridge.toml:5: worker.lease: write a length of time with its unit"),
        (SOURCE + '[worker]\nlease = "5 min"\n', "syncbridge.toml:5: worker.lease: write a length of time"),
        (SOURCE + '[worker]\nlease = "1s"\n', "syncbridge.toml:5: worker.lease: should be greater than or equal to"),
        (SOURCE + 'slot = "My Slot"\n', "syncbridge.toml:4: source.slot: String should match pattern"),
        (SOURCE + "port = 70000\n", "syncbridge.toml:4: source.port: should be less than or equal to 65535"),
        (SOURCE + 'dsn = "host=x"\n', "syncbridge.toml:2: source.host: source.dsn is given too; use one or the other"),
        ('[source]\ndsn = "host"\n', "syncbridge.toml:2: source.dsn: is not a connection string that libpq accepts"),
        ("[source]\ndsn = 5\n", "syncbridge.toml:2: source.dsn: is not a connection string that libpq accepts"),
        ("source = 5\n", "syncbridge.toml:1: source: is a section; write [source] with keys below it"),
        ("", "source: where is Postgres? Set SYNCBRIDGE_SOURCE__DSN, or host and dbname under [source]"),
        (
            "destinations = 5\n" + SOURCE,
            "syncbridge.toml:1: destinations: is a section; write [destinations] with keys",
        ),
        ("path = 5\n" + SOURCE, "syncbridge.toml:1: path: unknown setting"),
        ("layers = 5\n" + SOURCE, "syncbridge.toml:1: layers: unknown setting"),
        ("secrets_dir = 5\n" + SOURCE, "syncbridge.toml:1: secrets_dir: should be the name of a folder"),
        (
            SOURCE + "[destinations.crm]\ntype = 5\n",
            "syncbridge.toml:5: destinations.crm.type: should be a valid string",
        ),
        (SOURCE + "[destinations]\ncrm = 1\n", "syncbridge.toml:5: destinations.crm: is a section"),
        (SOURCE + "[destinations.crm]\nx = 1\n", "syncbridge.toml:5: destinations.crm: type is missing"),
        (SOURCE + "[destinations.crm]\n", "syncbridge.toml:4: destinations.crm: type is missing"),
        (
            SOURCE + '[destinations.My-CRM]\ntype = "x"\n',
            "syncbridge.toml:5: destinations.My-CRM: a destination",
        ),
        ("mappings = 1\n" + SOURCE, "syncbridge.toml:1: mappings: should be the name of a folder"),
        ('secrets_dir = "none"\n' + SOURCE, "syncbridge.toml:1: secrets_dir: there is no folder 'none'"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(toml: str, message: str) -> None:
    assert message in refusal(toml)


@pytest.mark.parametrize(
    ("toml", "name"),
    [
        (SOURCE + 'password = "hunter2"\n', "SYNCBRIDGE_SOURCE__PASSWORD"),
        ('[source]\ndsn = "postgresql://me:hunter2@db/app"\n', "SYNCBRIDGE_SOURCE__PASSWORD"),
        (SOURCE + '[store]\npassword = "hunter2"\n', "SYNCBRIDGE_STORE__PASSWORD"),
        (SOURCE + '[store]\ndsn = "host=db password=hunter2"\n', "SYNCBRIDGE_STORE__PASSWORD"),
    ],
)
def test_a_password_in_the_file_is_refused_with_the_variable_to_use(toml: str, name: str) -> None:
    message = refusal(toml)
    assert "a password does not belong in a file" in message
    assert name in message
    assert "hunter2" not in message


def test_a_password_in_the_file_is_refused_even_where_another_layer_wins() -> None:
    toml = '[source]\ndsn = "host=db dbname=app password=hunter2"\n[store]\npassword = "hunter2"\n'
    environ = {"SYNCBRIDGE_SOURCE__DSN": "host=other", "SYNCBRIDGE_STORE__PASSWORD": "other"}
    assert [line.partition(" a ")[0] for line in refusal(toml, environ).splitlines()] == [
        "syncbridge.toml:2: source.dsn:",
        "syncbridge.toml:4: store.password:",
    ]


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SYNCBRIDGE_SOURCE__PASWORD": "hunter2"}, "SYNCBRIDGE_SOURCE__PASWORD: source.pasword: unknown setting; did"),
        ({"SYNCBRIDGE_SOURC__PASSWORD": "hunter2"}, "SYNCBRIDGE_SOURC__PASSWORD: sourc: unknown setting; did you mean"),
        ({"SYNCBRIDGE_SOURCE_PASSWORD": "hunter2"}, "did you mean SYNCBRIDGE_SOURCE__PASSWORD (two underscores)?"),
        ({"SYNCBRIDGE_DESTINATIONS_CRM_KEY": "hunter2"}, "did you mean SYNCBRIDGE_DESTINATIONS__NAME__KEY"),
        ({"SYNCBRIDGE_WORKER__BATCH": "hunter2"}, "SYNCBRIDGE_WORKER__BATCH: worker.batch: should be a valid integer"),
        (
            {"SYNCBRIDGE_DESTINATIONS__CRM__SECRET": "hunter2"},
            "SYNCBRIDGE_DESTINATIONS__CRM__SECRET: destinations.crm: type",
        ),
        ({"SYNCBRIDGE_DESTINATIONS__CRM": "hunter2"}, "SYNCBRIDGE_DESTINATIONS__CRM: destinations.crm: is a section"),
        ({"SYNCBRIDGE_SECRETS_DIR": "none"}, "SYNCBRIDGE_SECRETS_DIR: secrets_dir: there is no folder 'none'"),
        ({"SYNCBRIDGE_SOURCE__DSN": "password=hunter2 nonsense"}, "is not a connection string that libpq accepts"),
    ],
)
def test_a_wrong_variable_is_refused_by_name_and_without_its_value(environ: dict[str, str], message: str) -> None:
    told = refusal(SOURCE, environ)
    assert message in told
    assert "hunter2" not in told


def test_a_section_without_its_type_is_told_where_the_file_opens_it() -> None:
    message = refusal(SOURCE + "[destinations.crm]\na = 1\n", {"SYNCBRIDGE_DESTINATIONS__CRM__SECRET": "hunter2"})
    assert message.startswith("syncbridge.toml:5: destinations.crm: type is missing")


def test_a_mistake_in_dotenv_says_so() -> None:
    assert refusal(dotenv="SYNCBRIDGE_WORKER__BATCH=x\n").startswith("SYNCBRIDGE_WORKER__BATCH in .env: worker.batch:")


def test_variables_of_others_and_empty_ones_are_left_alone() -> None:
    others = {
        "SYNCBRIDGE_PORT_5432_TCP": "tcp://10.0.0.1",
        "SYNCBRIDGE_SERVICE_HOST": "x",
        "SYNCBRIDGE_WORKER__BATCH": "",
    }
    assert read(SOURCE, others).worker.batch == 1000


def test_all_mistakes_are_told_at_once() -> None:
    message = refusal(
        '[source]\npasword = "x"\n[worker]\nbatch = 0\n[destinations.x]\na = 1\n', {"SYNCBRIDGE_A__B": "1"}
    )
    assert len(message.splitlines()) == 5


@pytest.mark.parametrize(
    ("name", "content"), [("syncbridge.toml", b"\xff"), (".env", b"A=\xff"), ("s/source__dsn", b"\xff")]
)
def test_files_that_are_no_text_are_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / "s").mkdir()
    (folder / "syncbridge.toml").write_text('secrets_dir = "s"\n' + SOURCE)
    (folder / name).write_bytes(b"A=\xff")
    with pytest.raises(SettingsError, match="UTF-8"):
        load(None, {})


@pytest.mark.parametrize("text", ["200ms", "30s", "5m", "12h", "31d"])
def test_lengths_of_time_read_as_they_are_written(text: str) -> None:
    linger = duration(text)
    assert isinstance(linger, timedelta)
    assert readable(linger) == text


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    names = [f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields] + list(ROOT_KEYS)
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_setting_of_salesforce_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in SalesforceSettings.model_fields if f"| `{name}` |" not in text] == []


def test_every_setting_says_what_it_is_for() -> None:
    fields = [field for model in SECTIONS.values() for field in model.model_fields.values()]
    fields += [Settings.model_fields[name] for name in ROOT_KEYS]
    assert Settings.model_fields.keys() == {*ROOT_KEYS, *SECTIONS, "destinations"}
    assert all(field.description for field in fields)
    assert variable("source", "password") == "SYNCBRIDGE_SOURCE__PASSWORD"
