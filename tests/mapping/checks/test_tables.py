"""Check: each thing that can be wrong with a table, its keys, the server or the login, with the words that tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge.mapping.checks.check import Subject, check_mappings, check_server
from syncbridge.mapping.files import parse_mapping
from tests.mapping.checks.fix_people import (
    CATALOG,
    CONTACT,
    HEAD,
    PEOPLE,
    column,
    findings,
    only,
)


@pytest.mark.parametrize(
    ("changes", "message", "sql"),
    [
        ({"kind": "v"}, "public.people is a view; it has no changes to read", ""),
        ({"kind": "m"}, "public.people is a materialised view", ""),
        ({"kind": "f"}, "public.people is a foreign table", ""),
        ({"persistence": "u"}, "is unlogged", 'ALTER TABLE "public"."people" SET LOGGED;'),
        ({"persistence": "t"}, "is temporary; its changes are not in the log", ""),
        (
            {"readable": False},
            "the login sync may not read public.people",
            'GRANT USAGE ON SCHEMA "public" TO "sync";\nGRANT SELECT ON "public"."people" TO "sync";',
        ),
        (
            {"row_security": True},
            "hides rows from the login sync; they would count as gone",
            'ALTER ROLE "sync" BYPASSRLS;',
        ),
        (
            {"primary_key": (), "unique_keys": ()},
            "id is neither the primary key of public.people nor a unique key of it",
            'ALTER TABLE "public"."people" ADD PRIMARY KEY ("id");',
        ),
        (
            {"primary_key": ("code",), "unique_keys": (("code",),)},
            "id is neither the primary key",
            'CREATE UNIQUE INDEX CONCURRENTLY ON "public"."people" ("id");',
        ),
        (
            {"columns": {**PEOPLE.columns, "id": column("id", "int8")}},
            "id may be null, and a null is no key",
            'ALTER TABLE "public"."people" ALTER COLUMN "id" SET NOT NULL;',
        ),
        (
            {"replica_identity": "n", "identity_columns": ()},
            "deletes and key changes in public.people do not tell the old id",
            'ALTER TABLE "public"."people" REPLICA IDENTITY DEFAULT;',
        ),
        (
            {"primary_key": ("code",), "identity_columns": ("code",)},
            "its replica identity does not hold the key",
            'ALTER TABLE "public"."people" REPLICA IDENTITY USING INDEX people_pkey;',
        ),
        (
            {"identity_columns": ()},  # a deferrable primary key
            "its replica identity does not hold the key",
            'ALTER TABLE "public"."people" REPLICA IDENTITY FULL;',
        ),
    ],
)
def test_a_table_that_cannot_be_captured_is_an_error_with_the_sql_that_mends_it(
    changes: dict[str, object], message: str, sql: str
) -> None:
    found = only(findings(table=replace(PEOPLE, **changes)))  # type: ignore[arg-type]
    assert found.severity == "error"
    assert message in found.message
    assert found.sql == sql
    assert found.where == "m.yaml:4"


def test_a_missing_table_is_told_with_similar_names() -> None:
    catalog = replace(CATALOG, near={("public", "people"): ("crm.people", "public.peoples")})
    found = only(findings(table=None, catalog=catalog))
    assert found.message == "there is no table public.people; did you mean crm.people or public.peoples?"


def test_a_table_of_another_owner_may_be_published_already() -> None:
    theirs = replace(PEOPLE, owned=False)
    published = replace(CATALOG, publications={"syncbridge": frozenset({("public", "people")})})
    assert findings(table=theirs, catalog=published) == []
    without = replace(CATALOG, publications={"syncbridge": frozenset()})
    found = only(findings(table=theirs, catalog=without))
    assert found.where == "database app"
    assert found.message == "the login sync does not own public.people, so it cannot publish it"
    assert "`syncbridge plan` shows" in found.remedy


def test_tables_of_another_owner_are_one_finding_however_often_they_are_mapped() -> None:
    theirs = replace(PEOPLE, owned=False)
    catalog = replace(CATALOG, tables={("public", "people"): theirs})
    spec = parse_mapping(HEAD + "  FirstName: first_name\n", "m.yaml")
    other = parse_mapping(HEAD.replace("mapping: ", "mapping: x") + "  FirstName: first_name\n", "x.yaml")
    found = check_mappings([Subject(spec), Subject(other)], catalog, publication="p")
    assert [each.where for each in found if "cannot publish" in each.message] == ["database app"]


def test_a_column_that_may_not_be_read_is_an_error_with_its_grant() -> None:
    found = only(findings(HEAD + "  FirstName: secret\n"))
    assert found.message == "the login sync may not read secret of public.people"
    assert found.sql == 'GRANT SELECT ("secret") ON "public"."people" TO "sync";'


def test_partitions_that_tell_other_old_keys_than_their_table_are_an_error() -> None:
    whole = replace(PEOPLE, kind="p", replica_identity="f", identity_columns=("id", "code"))
    assert findings(table=whole) == []
    found = only(findings(table=replace(whole, unlike_partitions=(("people_2025", "n"), ("people_2026", "n")))))
    assert found.message == (
        "2 partitions have another replica identity than public.people, such as people_2025:"
        " old keys are not told there"
    )
    assert 'pg_partition_tree(\'"public"."people"\')' in found.sql
    assert "REPLICA IDENTITY FULL" in found.sql
    by_primary_key = replace(whole, unlike_partitions=(("people_2025", "d"),))  # which holds the key
    assert findings(table=by_primary_key) == []


def test_keys_are_columns_with_a_text_of_their_own() -> None:
    missing = only(findings(HEAD.replace("key: id", "key: idd")))
    assert missing.message == "public.people has no column 'idd'; did you mean 'id'?"
    columns = {**PEOPLE.columns, "id": column("id", "timestamptz", not_null=True)}
    loose = [f.message for f in findings(table=replace(PEOPLE, columns=columns))]
    assert "id is timestamptz, which cannot be a key: its text depends on settings" in loose
    columns["id"] = column("id", "numeric", not_null=True)
    doubtful = findings(table=replace(PEOPLE, columns=columns))
    assert "1.0 and 1.00 are two keys of what may be one entity" in doubtful[0].message


def test_a_generated_key_needs_a_server_that_publishes_it() -> None:
    columns = {**PEOPLE.columns, "id": replace(PEOPLE.columns["id"], generated=True)}
    table = replace(PEOPLE, columns=columns)
    assert findings(table=table) == []
    found = only(findings(table=table, catalog=replace(CATALOG, server_version=170000)))
    assert found.message == "id is a generated column, which Postgres does not publish before version 18"


@pytest.mark.parametrize(
    ("changes", "message", "sql"),
    [
        ({"wal_level": "replica"}, "wal_level is replica, so changes", "ALTER SYSTEM SET wal_level = 'logical';"),
        (
            {"free_replication_slots": 0, "max_replication_slots": 10},
            "no replication slot is free (max_replication_slots is 10)",
            "ALTER SYSTEM SET max_replication_slots = 12;",
        ),
        ({"free_wal_senders": 0, "max_wal_senders": 2}, "no WAL sender", "ALTER SYSTEM SET max_wal_senders = 4;"),
        ({"can_replicate": False}, "the login sync may not replicate", 'ALTER ROLE "sync" REPLICATION;'),
        ({"can_create": False}, "may not create the schema", 'GRANT CREATE ON DATABASE "app" TO "sync";'),
        ({"server_version": 130012}, "Postgres 13 is too old", ""),
    ],
)
def test_a_server_that_is_not_ready_is_an_error_with_the_sql_that_mends_it(
    changes: dict[str, object], message: str, sql: str
) -> None:
    found = only(list(check_server(replace(CATALOG, **changes), slot="syncbridge", state_here=True)))  # type: ignore[arg-type]
    assert (found.severity, found.where, found.sql) == ("error", "database app", sql)
    assert message in found.message


def test_what_is_there_already_need_not_be_free() -> None:
    busy = replace(CATALOG, free_replication_slots=0, free_wal_senders=0, slots=frozenset({"syncbridge"}))
    assert list(check_server(busy, slot="syncbridge", state_here=True)) == []
    elsewhere = replace(CATALOG, can_create=False)
    assert list(check_server(elsewhere, slot="syncbridge", state_here=False)) == []


@pytest.mark.parametrize(
    ("changes", "deletes", "message"),
    [
        ({"createable": False}, "ignore", "Contact records cannot be created by this login"),
        ({"updateable": False}, "ignore", "Contact records cannot be updated by this login"),
        ({"deletable": False}, "delete", "Contact records cannot be deleted by this login"),
    ],
)
def test_what_the_login_may_not_do_is_an_error(changes: dict[str, object], deletes: str, message: str) -> None:
    text = HEAD + f"deletes: {{to_destination: {deletes}}}\n"
    found = only(findings(text, remote=replace(CONTACT, **changes)))  # type: ignore[arg-type]
    assert (found.severity, found.message) == ("error", message)
