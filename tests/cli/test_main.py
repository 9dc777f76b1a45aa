"""The command line as a whole: exit codes, help, and no traceback for what a user can mistake."""

from __future__ import annotations

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import psycopg
import pytest

from syncbridge import __version__
from syncbridge.cli import COMMANDS, cli, main
from tests.fix_cli import CliProject

OPERATORS = ("status", "wait", "log", "dead")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def test_help_lists_every_command_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name, (_, _, purpose) in COMMANDS.items():
        assert name in out
        assert purpose.split()[0] in out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"syncbridge, version {__version__}\n", "")


def test_an_unknown_command_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "stauts")
    assert code == 2
    assert "no such command 'stauts'; did you mean 'status'?" in err


@pytest.mark.parametrize("name", [name for name, (module, _, _) in COMMANDS.items() if find_spec(module)])
def test_every_command_has_help_and_no_side_effect_of_asking_for_it(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    module, attribute, _ = COMMANDS[name]
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.help
    assert run(capsys, name, "--help")[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OPERATORS)
def test_a_state_that_was_never_set_up_is_told_with_the_command_to_run(
    name: str, cli_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, name)
    assert code == 2
    assert "the state schema `syncbridge` is missing" in err
    assert "Run: syncbridge setup" in err


@pytest.mark.parametrize("name", OPERATORS)
def test_a_server_that_cannot_be_reached_is_told_without_a_password(
    name: str, cli_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", "host=/nowhere dbname=app password=s3cret")
    code, out, err = run(capsys, name)
    assert code == 3
    assert "cannot connect to Postgres" in err
    assert "s3cret" not in out + err


def test_a_folder_without_settings_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCBRIDGE_POSTGRES_DSN", raising=False)
    code, _, err = run(capsys, "status")
    assert code == 2
    assert "where is Postgres?" in err


def test_a_settings_file_that_does_not_exist_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "--config", "/nowhere/syncbridge.toml", "status")
    assert code == 2
    assert "there is no such file" in err


def test_another_settings_file_can_be_named(
    cli_project: CliProject, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(cli_project.folder, elsewhere / "project")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(SystemExit) as ended:
        main(["--config", "project/syncbridge.toml", "dead"])
    assert not ended.value.code


def test_a_server_that_goes_away_under_way_is_told(
    cli_project: CliProject, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly\nThis probably means ...")

    monkeypatch.setattr("syncbridge.store.backlog.dead_letters", away)
    code, _, err = run(capsys, "dead")
    assert code == 3
    assert "error: Postgres failed: server closed the connection unexpectedly\n" in err


def test_a_missing_right_is_told(cli_project: CliProject, monkeypatch: pytest.MonkeyPatch) -> None:
    role = f"reader_{cli_project.store.info.dbname}"
    cli_project.source.execute(f'create role "{role}" login')
    try:
        dsn = psycopg.conninfo.make_conninfo(cli_project.project.settings.source.conninfo(), user=role)
        monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", dsn)
        ran = cli_project.run("dead")
        assert ran.code == 2
        assert "permission denied for" in ran.err
    finally:
        cli_project.source.execute(f'drop role "{role}"')


def test_interrupted_it_ends_with_130_and_no_traceback(
    cli_project: CliProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("syncbridge.store.backlog.dead_letters", interrupt)
    ran = cli_project.run("dead")
    assert (ran.code, ran.out) == (130, "")


def test_the_group_is_a_click_command_so_that_completion_works() -> None:
    assert isinstance(cli, click.Group)
    assert list(cli.list_commands(click.Context(cli))) == list(COMMANDS)
