"""The throw-away Postgres: logical replication from the start, nothing left behind, nobody's rights changed."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import psycopg
import pytest

from syncbridge.errors import SettingsError
from syncbridge.sandbox.postgres import LocalPostgres, all_binaries, find_binaries


def test_it_starts_with_logical_replication_and_answers_on_tcp_and_socket() -> None:
    with LocalPostgres() as server:
        for dsn in (server.dsn, server.socket_dsn):
            with psycopg.connect(dsn) as connection:
                assert connection.execute("show wal_level").fetchone() == ("logical",)


def test_it_removes_all_that_it_made() -> None:
    with LocalPostgres() as server:
        made = server.sockets
        assert made.is_dir()
    assert not made.exists()


def test_a_restart_keeps_the_data() -> None:
    with LocalPostgres() as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create table kept as select 1 as one")
        server.restart()
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("select one from kept").fetchone() == (1,)


def test_binaries_in_a_closed_folder_are_copied_and_the_folder_stays_closed(tmp_path: Path) -> None:
    """A checkout in a home folder of mode 700: as root, the server's user cannot reach it."""
    found = find_binaries()
    assert found is not None
    closed, package = tmp_path / "home", found.parent.parent
    shutil.copytree(found.parent, closed / package.name / "pginstall", ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    binaries = closed / package.name / "pginstall" / "bin"
    with LocalPostgres(binaries=binaries) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        if os.geteuid() == 0:
            assert server.binaries.is_relative_to(server.sockets)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_setting_that_the_server_refuses_is_told_with_its_own_words() -> None:
    with (
        pytest.raises(SettingsError, match=r"did not start.*shared_buffers"),
        LocalPostgres(settings={"shared_buffers": "no size"}),
    ):
        pass


def test_every_server_of_this_machine_is_found_by_its_major_version() -> None:
    assert all(14 <= version <= 30 and (folder / "postgres").exists() for version, folder in all_binaries().items())
