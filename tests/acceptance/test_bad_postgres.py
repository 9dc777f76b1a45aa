"""A Postgres that cannot be used as it is: each command says what is wrong and what to do, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, make_project, until
from tests.project_files import TABLES


@pytest.fixture(scope="module")
def strict_server() -> Iterator[LocalPostgres]:
    """A server with wal_level=replica that asks the login `clerk` for a password."""
    with LocalPostgres(settings={"wal_level": "replica"}) as server:
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all clerk 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute("create role clerk login superuser password 'right'")
            admin.execute("select pg_reload_conf()")
            admin.execute(TABLES)
        yield server


@pytest.fixture
def strict(strict_server: LocalPostgres, salesforce: SandboxServer, tmp_path: Path) -> Iterator[WholeProject]:
    """A project on that server."""
    with ExitStack() as opened, psycopg.connect(strict_server.dsn, autocommit=True) as postgres:
        yield make_project(tmp_path / "project", strict_server.dsn, postgres, salesforce, opened)


def changed(whole: WholeProject, **parts: object) -> dict[str, str]:
    """The environment with another address of Postgres."""
    return {"SYNCBRIDGE_SOURCE__DSN": make_conninfo(whole.dsn, **parts)}  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["setup", "status", "wait"])
def test_postgres_that_is_not_there_is_code_3_and_says_where_it_looked(whole: WholeProject, command: str) -> None:
    ended = whole.run(command, **changed(whole, port=1))
    assert ended.code == 3, ended
    assert "127.0.0.1:1" in ended.err
    assert "Is the server running" in ended.err


def test_a_worker_does_not_start_without_postgres(whole: WholeProject) -> None:
    worker = whole.start(**changed(whole, port=1))
    assert worker.ended() == 3
    assert "127.0.0.1:1" in worker.log
    assert "Traceback" not in worker.log


def test_a_wrong_database_is_code_2(whole: WholeProject) -> None:
    ended = whole.run("setup", **changed(whole, dbname="nowhere"))
    assert ended.code == 2
    assert 'database "nowhere" does not exist' in ended.err
    assert "Check [source]" in ended.err


def test_a_wrong_password_is_code_2_and_is_not_shown(strict: WholeProject) -> None:
    ended = strict.run("setup", **changed(strict, user="clerk", password="wrong-one"))
    assert ended.code == 2
    assert "password authentication failed" in ended.err
    assert "wrong-one" not in ended.err
    assert "SYNCBRIDGE_SOURCE__PASSWORD" in ended.err


def test_a_server_without_logical_decoding_is_told_and_nothing_is_left_behind(strict: WholeProject) -> None:
    checked = strict.run("check")
    assert checked.code == 1
    assert "wal_level" in checked.out
    assert "alter system set wal_level" in checked.out.lower()
    ended = strict.run("setup")
    assert ended.code == 4, ended
    assert "ALTER SYSTEM SET wal_level = logical" in ended.err
    assert strict.sql("select slot_name from pg_replication_slots") == []


def test_postgres_that_goes_away_while_a_worker_runs_is_found_again(
    own_server: LocalPostgres, salesforce: SandboxServer, tmp_path: Path
) -> None:
    with ExitStack() as opened:
        with psycopg.connect(own_server.dsn, autocommit=True) as postgres:
            postgres.execute(TABLES)
            whole = make_project(tmp_path / "project", own_server.dsn, postgres, salesforce, opened)
            whole.done("setup")
            worker = whole.start()
            whole.wait()
        own_server.restart()
        with psycopg.connect(own_server.dsn, autocommit=True) as postgres:
            whole.postgres = postgres
            whole.sql("update people set first_name = 'After the restart'")
            whole.wait()
            whole.assert_equal()
        assert worker.process.poll() is None
        assert worker.stop() == 0


# -- rights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clerk(whole: WholeProject) -> Iterator[str]:
    """A login without any right but to connect; roles are known to the whole server."""
    name = f"clerk_{whole.slot}"
    whole.sql(f"create role {name} login")
    yield name
    whole.sql(f"drop owned by {name}")
    whole.sql(f"drop role {name}")


def test_missing_rights_are_told_with_the_sql_that_grants_them(whole: WholeProject, clerk: str) -> None:
    login = changed(whole, user=clerk)
    ended = whole.run("setup", **login)
    assert ended.code == 2, ended
    for table in ("people", "parts"):
        grant = f'GRANT SELECT ON "public"."{table}" TO "{clerk}"'
        assert grant in ended.err
        whole.sql(grant)

    ended = whole.run("setup", **login)
    assert ended.code == 4, ended
    assert f'GRANT CREATE ON DATABASE "{whole.slot}" TO "{clerk}"' in ended.err
    whole.sql(f'grant create on database "{whole.slot}" to {clerk}')

    ended = whole.run("setup", **login)
    assert ended.code == 4, ended
    assert "owner" in ended.err
    whole.sql(f"alter table people owner to {clerk}")
    whole.sql(f"alter table parts owner to {clerk}")

    ended = whole.run("setup", **login)
    assert ended.code == 4, ended
    assert f'ALTER ROLE "{clerk}" REPLICATION' in ended.err
    whole.sql(f"alter role {clerk} replication")

    whole.environment |= login
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.assert_equal()


def test_a_right_that_is_taken_away_halts_its_mapping_alone(whole: WholeProject, clerk: str) -> None:
    whole.sql(f'grant create on database "{whole.slot}" to {clerk}')
    whole.sql(f"alter role {clerk} replication")
    whole.sql(f"alter table people owner to {clerk}")
    whole.sql(f"alter table parts owner to {clerk}")
    whole.environment |= changed(whole, user=clerk)
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.sql("alter table people owner to postgres")
    whole.sql("update people set first_name = 'Not to be read'")
    whole.sql("update parts set stock = 9")
    whole.wait("parts")
    until(lambda: whole.mapping().status.value == "halted", what="the mapping halts")
    assert "permission denied" in whole.mapping().reason
    whole.sql(f"grant select on people to {clerk}")
    whole.done("resume", "people")
    whole.wait()
    whole.assert_equal()


# -- tables and the slot --------------------------------------------------------------------------------------------


def test_a_table_without_a_primary_key_is_refused_with_what_to_do(whole: WholeProject) -> None:
    whole.sql("alter table people drop constraint people_pkey")
    checked = whole.run("check", "people")
    assert checked.code == 1
    assert "key" in checked.out
    ended = whole.run("setup")
    assert ended.code in (2, 4), ended
    assert "people" in ended.err
    whole.sql("alter table people add primary key (id)")
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.assert_equal()


def test_a_slot_of_somebody_else_is_not_touched(whole: WholeProject) -> None:
    whole.sql("select pg_create_logical_replication_slot(%s, 'pgoutput')", whole.slot)
    ended = whole.run("setup")
    assert ended.code == 2
    assert "knows nothing of" in ended.err
    assert "Choose another name" in ended.err
    assert whole.confirmed() > 0
    whole.done("setup", "--recreate-slot")
    whole.start()
    whole.wait()
    whole.assert_equal()


def test_a_slot_that_another_program_moved_on_stops_capture_because_changes_may_be_missing(
    whole: WholeProject,
) -> None:
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    worker.stop()
    whole.sql("update people set first_name = 'Eaten by another program'")
    whole.sql("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", whole.slot)
    worker = whole.start()
    until(lambda: "changes may be missing" in worker.log, what="capture says that it stopped")
    waited = whole.run("wait", "--timeout", "60s")
    assert waited.code == 4
    worker.stop()
    whole.done("setup", "--recreate-slot")
    whole.start()
    whole.wait()
    whole.assert_equal()
