"""Connections to the state database, and its schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg import Connection
from psycopg.types.json import set_json_loads

from syncbridge import arrays
from syncbridge.errors import ProgramOutdated, RetryLater, SettingsError, SourceUnusable

#: Advisory lock of everything that changes the schema: "sync" as ASCII.
_SETUP_LOCK = 0x73796E63
#: Session-level lock of whoever puts files in force.
_APPLY_LOCK = 0x73796E64

#: No JIT: a mapping whose plan looks dear would be compiled again for each batch of some milliseconds. Keepalives of
#: the server: a machine that is gone without a word would else hold its locks, and its turn at bulk jobs, for hours.
_SESSION = (
    "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c lock_timeout=30s -c jit=off"
    " -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6"
)

_SETTINGS_HINT = "Check [source] in syncbridge.toml and SYNCBRIDGE_SOURCE__PASSWORD."

#: Refusals that no waiting mends.
_REFUSED = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba.conf entry|permission denied for database"
    r"|not permitted to log in|does not support SSL|certificate verify failed"
)


def connect(conninfo: str, *, purpose: str) -> Connection:
    """An autocommit connection named `syncbridge PURPOSE` in pg_stat_activity, with text output in one fixed form.

    Raises SettingsError when the login or database is refused, RetryLater when the server cannot be reached or is
    not ready; neither message holds a password.
    """
    given = _parsed(conninfo)
    try:
        connection = psycopg.connect(
            conninfo,
            autocommit=True,
            application_name=f"syncbridge {purpose}",
            options=f"{given.get('options') or ''} {_SESSION}".strip(),
            connect_timeout=10,
            keepalives_idle=30,
            client_encoding="UTF8",
        )
    except psycopg.OperationalError as error:
        raise _unreachable(given, error) from None
    except psycopg.Error as error:
        raise SettingsError(f"Postgres settings are wrong: {_unquoted(error)}", hint=_SETTINGS_HINT) from None
    arrays.register(connection)
    set_json_loads(orjson.loads, connection)  # bases: a fifth of the time
    return connection


def _parsed(conninfo: str) -> dict[str, Any]:
    """The parts of a conninfo. Messages about a wrong one quote it, so what stands in quotes is cut out."""
    try:
        given: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict(conninfo))
    except psycopg.Error as error:
        raise SettingsError(f"Postgres settings are wrong: {_unquoted(error)}", hint=_SETTINGS_HINT) from None
    misplaced = [name for name in ("host", "dbname") if "@" in str(given.get(name) or "")]
    if misplaced and "://" in conninfo:  # the rest of a password that was not encoded
        raise SettingsError(
            f"Postgres settings are wrong: the {misplaced[0]} holds an @",
            hint="In a URL write an @ of the password as %40, / as %2F, : as %3A.",
        )
    return given


def _unquoted(error: psycopg.Error) -> str:
    return re.sub(r'"[^\n]*"', '"..."', _first_line(error))


def _unreachable(given: dict[str, Any], error: psycopg.OperationalError) -> Exception:
    where = (
        f"{given.get('user', '')}@{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
    )
    message = f"cannot connect to Postgres {where}: {_first_line(error)}"
    if _REFUSED.search(str(error)):
        return SettingsError(message, hint=_SETTINGS_HINT)
    return RetryLater(message, hint="Is the server running and reachable from here?")


def _first_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    fatal = [line.split("FATAL:", 1)[1].strip() for line in lines if "FATAL:" in line]
    return (fatal or lines or [type(error).__name__])[0]


def prefer_indexes(connection: Connection) -> None:
    """Settings for a connection that claims and settles: everything is found by an index, in its order.

    To read and sort all rows looks cheap to the planner while its statistics know little of a mapping, and is then done
    for each claim.
    """
    for costly in ("sort", "bitmapscan", "seqscan", "hashjoin", "mergejoin"):
        connection.execute("select set_config(%s, 'off', false)", (f"enable_{costly}",))


def now(connection: Connection) -> datetime:
    """The time as the state database has it."""
    row = connection.execute("select now()").fetchone()
    assert row is not None  # it always gives a row
    moment: datetime = row[0]
    return moment


T = TypeVar("T")


def transact(connection: Connection, work: Callable[[], T]) -> T:
    """Do `work` in one transaction, up to five times when Postgres breaks it off for another one (a deadlock).

    `work` must do nothing that a rollback does not undo.
    """
    for _ in range(4):
        try:
            with connection.transaction():
                return work()
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            continue
    with connection.transaction():
        return work()


def setup(connection: Connection) -> list[str]:
    """Bring the schema `syncbridge` up to this version; the names of the files that were applied.

    Idempotent and safe to run at the same time from several places. Raises SourceUnusable when the login may not
    create the schema, with the GRANT to run.
    """
    try:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
            if not _schema_exists(connection):  # one that was made for us needs no right on the database
                connection.execute("create schema syncbridge")
            connection.execute(
                "create table if not exists syncbridge.migration"
                " (number integer primary key, name text not null, applied_at timestamptz not null default now())"
            )
            return _apply_missing(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceUnusable(
            f"the state schema cannot be set up: {_first_line(error)}", hint=_grant(connection)
        ) from None


def one_at_a_time(connection: Connection) -> None:
    """Hold off others that put files in force, until this connection is closed. Raises RetryLater after a while."""
    try:
        connection.execute("select pg_advisory_lock(%s)", (_APPLY_LOCK,))
    except psycopg.errors.LockNotAvailable:
        raise RetryLater("files are just being put in force elsewhere", hint="Try again in a minute.") from None


def _schema_exists(connection: Connection) -> bool:
    row = connection.execute("select exists (select from pg_namespace where nspname = 'syncbridge')").fetchone()
    return row is not None and bool(row[0])


def _grant(connection: Connection) -> str:
    """What the owner of the database, or of the schema, has to run."""
    database, user = connection.info.dbname, connection.info.user
    if _schema_exists(connection):
        return f'The schema belongs to another login. Run: ALTER SCHEMA syncbridge OWNER TO "{user}"; (and its tables)'
    return f'As an owner of the database run: GRANT CREATE ON DATABASE "{database}" TO "{user}";'


def _apply_missing(connection: Connection) -> list[str]:
    done = {number for (number,) in connection.execute("select number from syncbridge.migration")}
    applied = []
    for number, file in _schema_files():
        if number not in done:
            connection.execute(file.read_bytes())
            connection.execute("insert into syncbridge.migration (number, name) values (%s, %s)", (number, file.name))
            applied.append(file.name)
    return applied


def _schema_files() -> list[tuple[int, Traversable]]:
    found = [file for file in files("syncbridge.store").joinpath("schema").iterdir() if file.name.endswith(".sql")]
    return sorted(((int(file.name.split("_")[0]), file) for file in found), key=lambda each: each[0])


def exists(connection: Connection) -> bool:
    """Whether the state was ever set up, by whatever version. Raises SettingsError when it may not be read."""
    return bool(_applied(connection))


def missing(connection: Connection) -> list[str]:
    """Files of the state schema that `setup` would apply, in order."""
    applied = _applied(connection)
    return [file.name for number, file in _schema_files() if number not in applied]


def ensure_ready(connection: Connection) -> None:
    """Raise SettingsError when the state schema is missing or older than this program, ProgramOutdated when newer."""
    applied, wanted = _applied(connection), [number for number, _ in _schema_files()]
    if not applied.issuperset(wanted):
        what = f"is at version {max(applied)}, this program needs {wanted[-1]}" if applied else "is missing"
        raise SettingsError(f"the state schema `syncbridge` {what}", hint="Run: syncbridge setup")
    if max(applied) > wanted[-1]:
        what = f"is at version {max(applied)}, this program knows {wanted[-1]}"
        hint = "Install the newer version that set it up."
        raise ProgramOutdated(f"the state schema `syncbridge` {what}", hint=hint)


def _applied(connection: Connection) -> set[int]:
    """Numbers of the schema's files that are applied."""
    try:
        row = connection.execute("select to_regclass('syncbridge.migration') is not null").fetchone()
        if row is not None and row[0]:
            return {number for (number,) in connection.execute("select number from syncbridge.migration")}
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            f"the state schema cannot be read: {_first_line(error)}", hint="Use the login that ran: syncbridge setup"
        ) from None
    return set()
