"""The state schema and connections to it: what is wrong is said in words, with what to do, and without a secret."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from threading import Barrier

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from syncbridge.errors import ProgramOutdated, RetryLater, SettingsError, SourceUnusable, SyncbridgeError
from syncbridge.store import claims, database
from tests.fix_store import Open

SECRET = "s3cr3t-pa55"
FILES = sorted(entry.name for entry in files("syncbridge.store").joinpath("schema").iterdir())


@pytest.fixture
def login(connection: Connection, dsn: str) -> Iterator[str]:
    """Conninfo of a login without any right."""
    name = f"login_{connection.info.dbname}"
    connection.execute(f"create role {name} login password '{SECRET}'")
    yield make_conninfo(dsn, user=name, password=SECRET)
    connection.execute(f"drop owned by {name} cascade")
    connection.execute(f"drop role {name}")


def _refused(conninfo: str) -> SyncbridgeError:
    with pytest.raises(SyncbridgeError) as refused:
        database.connect(conninfo, purpose="test")
    assert SECRET not in f"{refused.value!r} {refused.value} {refused.value.hint} {refused.value.__cause__!r}"
    return refused.value


def test_setup_makes_the_schema_and_does_nothing_the_second_time(open_store: Open) -> None:
    store = open_store()
    assert database.setup(store) == FILES
    assert database.setup(store) == []
    database.ensure_ready(store)


def test_setups_at_the_same_time_do_not_disturb_each_other(open_store: Open) -> None:
    connections = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(database.setup, connections))
    assert sorted(applied) == [[], [], [], FILES]


def test_a_login_without_the_right_is_told_the_grant_that_then_suffices(connection: Connection, login: str) -> None:
    with database.connect(login, purpose="test") as store:
        with pytest.raises(SourceUnusable) as refused:
            database.setup(store)
        _, _, grant = refused.value.hint.partition("run: ")
        assert grant.startswith("GRANT CREATE ON DATABASE")
        connection.execute(grant)
        assert database.setup(store) == FILES


def test_a_schema_made_for_the_login_needs_no_right_on_the_database(connection: Connection, login: str) -> None:
    user = psycopg.conninfo.conninfo_to_dict(login)["user"]
    connection.execute(f"create schema syncbridge authorization {user}")
    with database.connect(login, purpose="test") as store:
        assert database.setup(store) == FILES


def test_a_schema_of_another_login_is_told_as_such(store: Connection, login: str) -> None:
    with database.connect(login, purpose="test") as other:
        with pytest.raises(SourceUnusable, match="permission denied") as refused:
            database.setup(other)
        assert "another login" in refused.value.hint
        with pytest.raises(SettingsError, match="cannot be read"):
            database.ensure_ready(other)


def test_a_missing_schema_and_an_older_one_say_to_run_setup(open_store: Open) -> None:
    store = open_store()
    with pytest.raises(SettingsError, match="is missing") as missing:
        database.ensure_ready(store)
    assert missing.value.hint == "Run: syncbridge setup"
    database.setup(store)
    store.execute("delete from syncbridge.migration where number > 1")
    with pytest.raises(SettingsError, match="is at version 1, this program needs"):
        database.ensure_ready(store)


@pytest.mark.parametrize("version", range(1, len(FILES)))
def test_a_state_of_each_older_version_comes_up_to_date_with_what_waits_in_it(open_store: Open, version: int) -> None:
    store = open_store()
    store.execute("create schema syncbridge")
    store.execute("create table syncbridge.migration (number integer primary key, name text, applied_at timestamptz)")
    for name in FILES[:version]:
        store.execute(files("syncbridge.store").joinpath("schema", name).read_bytes())
        store.execute("insert into syncbridge.migration values (%s, %s, now())", (int(name.split("_")[0]), name))
    added = store.execute(
        "insert into syncbridge.mapping (name, destination, object, definition, digest, status)"
        " values ('people', 'crm', 'Contact', '{}', '1', 'active') returning id"
    ).fetchone()
    assert added
    mapping_id = added[0]
    store.execute(
        "insert into syncbridge.outbox (mapping_id, key, lsn, commit_time, since_lsn, since, reason, priority)"
        " select %s, n::text, '0/1', now(), '0/1', now(), 'change', 0 from generate_series(1, 3) as n",
        (mapping_id,),
    )
    assert database.setup(store) == FILES[version:]
    database.ensure_ready(store)
    _, claimed = claims.claim(store, mapping_id, limit=10, lease=60.0)
    assert {row.key for row in claimed} == {"1", "2", "3"}


def test_a_program_that_is_older_than_the_state_says_so_and_does_not_work_on_it(store: Connection) -> None:
    store.execute("insert into syncbridge.migration (number, name) values (99, '099_later.sql')")
    with pytest.raises(ProgramOutdated, match=f"is at version 99, this program knows {int(FILES[-1][:3])}") as refused:
        database.ensure_ready(store)
    assert "newer version" in refused.value.hint


def test_the_server_notices_when_a_client_is_gone_without_a_word(open_store: Open) -> None:
    for name, seconds in (("tcp_keepalives_idle", 30), ("tcp_keepalives_interval", 10), ("tcp_keepalives_count", 6)):
        row = open_store().execute("select reset_val::int, source from pg_settings where name = %s", (name,)).fetchone()
        assert row == (seconds, "client")


def test_a_login_that_is_refused_is_a_matter_of_settings(login: str) -> None:
    for change in ({"dbname": "no_such_database"}, {"user": "no_such_login"}):
        error = _refused(make_conninfo(login, **change))
        assert isinstance(error, SettingsError)
        assert "does not exist" in error.message
        assert "[source]" in error.hint


def test_a_refused_password_is_a_matter_of_settings() -> None:
    driver = psycopg.OperationalError(
        'connection failed: connection to server at "::1", port 5432 failed:'
        ' FATAL:  password authentication failed for user "sync"'
    )
    error = database._unreachable({"user": "sync", "host": "db", "password": SECRET, "dbname": "app"}, driver)
    assert isinstance(error, SettingsError)
    assert error.message == (
        'cannot connect to Postgres sync@db:5432/app: password authentication failed for user "sync"'
    )


def test_a_server_that_is_not_there_is_a_matter_of_time(dsn: str) -> None:
    for change in ({"port": "1"}, {"host": "no-such-host.invalid", "hostaddr": ""}):
        error = _refused(make_conninfo(dsn, password=SECRET, **change))
        assert isinstance(error, RetryLater)
        assert error.hint


@pytest.mark.parametrize(
    "conninfo",
    [
        f"host=localhost password=two {SECRET}",
        f"postgresql://user:two/{SECRET}@localhost/db",
        f"postgresql://user:two@{SECRET}@localhost/db",
        f"postgresql://user:{SECRET}%zz@localhost/db",
    ],
)
def test_settings_that_cannot_be_read_do_not_leak_the_password(conninfo: str) -> None:
    assert isinstance(_refused(conninfo), SettingsError)


def test_options_of_the_settings_are_kept_beside_ours(dsn: str) -> None:
    with database.connect(make_conninfo(dsn, options="-c search_path=elsewhere"), purpose="test") as store:
        row = store.execute(
            "select current_setting('search_path'), current_setting('datestyle'), current_setting('timezone'),"
            " current_setting('application_name')"
        ).fetchone()
    assert row == ("elsewhere", "ISO, MDY", "UTC", "syncbridge test")


def test_who_is_broken_off_for_a_deadlock_does_its_work_again(open_store: Open) -> None:
    first, second = open_store(), open_store()
    first.execute("create table two (id int primary key, touched int not null)")
    first.execute("insert into two values (1, 0), (2, 0)")
    both_hold_one = Barrier(2)
    tried: list[int] = []

    def touch(connection: Connection, ids: tuple[int, int]) -> None:
        connection.execute("set deadlock_timeout = '20ms'")

        def work() -> None:
            connection.execute("update two set touched = touched + 1 where id = %s", (ids[0],))
            tried.append(ids[0])
            if tried.count(ids[0]) == 1:
                both_hold_one.wait(10)
            connection.execute("update two set touched = touched + 1 where id = %s", (ids[1],))

        database.transact(connection, work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(touch, (first, second), ((1, 2), (2, 1))))
    assert first.execute("select touched from two order by id").fetchall() == [(2,), (2,)]
    assert len(tried) > 2  # one of them was broken off
