"""`syncbridge init`: a starter that holds together, and overwrites nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from syncbridge.cli.init import FILES, init
from syncbridge.config import load
from syncbridge.config.layers import variable
from syncbridge.errors import SettingsError
from syncbridge.mapping.files import find_mappings, parse_mapping


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(init, list(arguments))


def test_the_starter_is_read_without_a_complaint(folder: Path) -> None:
    assert run().exit_code == 0
    settings = load(None, {variable("source", "password"): "pw"})
    assert settings.destinations["salesforce"].type == "salesforce"
    assert parse_mapping((folder / "example-mapping.yaml").read_text()).mapping == "people"
    assert settings.mappings == folder / "mappings"


def test_the_example_stands_in_the_way_of_no_mapping(folder: Path) -> None:
    """It is no mapping of the project, so neither `check` nor `suggest --write` meets it."""
    run()
    assert (folder / "mappings").is_dir()
    assert find_mappings(folder / "mappings").specs == ()
    assert "syncbridge suggest TABLE" in find_mappings(folder / "mappings").findings[0].remedy


def test_the_commented_settings_are_right_too(folder: Path) -> None:
    run()
    toml = folder / "syncbridge.toml"
    toml.write_text(re.sub(r"^# (?=\[|\w+ = )", "", toml.read_text(), flags=re.MULTILINE))
    assert load(None, {}).store.dsn is not None


def test_the_secrets_file_names_known_variables_and_stays_out_of_version_control(folder: Path) -> None:
    run()
    (folder / ".env").write_text((folder / ".env.example").read_text().replace("=\n", "=secret\n"))
    assert load(None, {}).source.password is not None
    assert ".env" in (folder / ".gitignore").read_text().splitlines()


def test_nothing_that_exists_is_overwritten(folder: Path) -> None:
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    result = run()
    assert result.exit_code == 0
    assert result.output.count("it was there already") == len(FILES)
    assert {(folder / name).read_text() for name in FILES} == {"mine"}
    assert "Add `.env` to .gitignore" in result.output


def test_a_folder_is_made_and_the_next_steps_are_said(folder: Path) -> None:
    result = run("new/project")
    assert (folder / "new/project/mappings").is_dir()
    assert "cd new/project" in result.output
    steps = [result.output.index(f"syncbridge {command}") for command in ("suggest", "check", "setup", "run")]
    assert steps == sorted(steps)


def test_a_place_that_cannot_be_written_is_told(folder: Path) -> None:
    (folder / "mappings").write_text("a file")
    result = run()
    assert result.exit_code == 1
    assert "mappings: cannot be made" in result.output
    assert "Traceback" not in result.output


def test_the_starter_names_what_is_missing_when_its_secrets_are(folder: Path) -> None:
    run()
    (folder / "syncbridge.toml").write_text("")
    with pytest.raises(SettingsError, match="where is Postgres"):
        load(None, {})
