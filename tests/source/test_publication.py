"""The publication becomes exactly what the mappings watch, and breaks nobody's updates on the way."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import conninfo

from syncbridge.errors import SourceUnusable
from syncbridge.schemas import Column, Table, Watch
from syncbridge.source import publication
from syncbridge.source.publication import Publication, PublishedTable, plan, uncovered, wanted_tables
from tests.fix_source import PUBLICATION, CapturedDatabase, execute_all


def table(*columns: str, key: tuple[str, ...] = ("id",), identity: str = "d", kind: str = "r") -> Table:
    return Table(
        "public",
        "t",
        {name: Column(name, "integer") for name in columns},
        primary_key=key,
        replica_identity=identity,
        identity_columns=key if identity == "d" else (),
        kind=kind,
    )


def wanted(described: Table, *columns: str, version: int = 180000) -> PublishedTable:
    tables = {("public", "t"): described}
    (published,) = wanted_tables([Watch(1, "public", "t", columns)], tables, server_version=version)
    return published


def test_a_column_list_holds_the_keys_and_the_identity_in_the_tables_order() -> None:
    assert wanted(table("a", "id", "b", "parent"), "parent").columns == ("id", "parent")


def test_full_identity_and_old_servers_publish_whole_rows() -> None:
    assert wanted(table("id", "parent", identity="f"), "parent").columns is None
    assert wanted(table("id", "parent"), "parent", version=140005).columns is None


@pytest.mark.parametrize("described", [table("id", key=()), table("id", identity="n")])
def test_a_table_whose_updates_would_fail_is_refused_with_the_sql(described: Table) -> None:
    with pytest.raises(SourceUnusable) as caught:
        wanted(described, "id")
    assert 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL;' in caught.value.hint


def test_views_and_missing_tables_are_refused() -> None:
    with pytest.raises(SourceUnusable, match="permanent tables"):
        wanted(table("id", kind="v"), "id")
    with pytest.raises(SourceUnusable, match=r"no table public\.gone"):
        wanted_tables([Watch(1, "public", "gone", ("id",))], {}, server_version=180000)


T, U = PublishedTable("public", "t", ("id",)), PublishedTable("public", "u", ("id", "p"))


def test_plans_say_only_what_differs() -> None:
    assert plan("p", [T], Publication("p", (T,))) == []
    assert plan("p", [T, U], Publication("p", (T,))) == [
        'ALTER PUBLICATION "p" SET TABLE "public"."t" ("id"), "public"."u" ("id", "p");'
    ]
    assert plan("p", [T], Publication("p", (PublishedTable("public", "t", ("id",), filtered=True),))) == [
        'ALTER PUBLICATION "p" SET TABLE "public"."t" ("id");'
    ]
    assert plan("p", [], Publication("p", (T,))) == ['ALTER PUBLICATION "p" DROP TABLE "public"."t";']
    assert plan("p", [T], Publication("p", all_tables=True)) == []
    assert plan("p", [T], Publication("p", (T,), complete=False)) == [
        "ALTER PUBLICATION \"p\" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);"
    ]
    assert plan('o"dd', [], None)[0].startswith('CREATE PUBLICATION "o""dd" WITH (publish = ')


def test_a_publication_follows_the_watches_and_settles(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table a (id int primary key, p int)",
            "create table b (id int primary key)",
            "create table root (id int primary key) partition by range (id)",
        ],
    )
    captured.watch("a", "id")
    for columns in (("a", "p"), ("b", "id"), ("root", "id")):
        assert len(captured.publish()) == 1
        assert captured.publish() == []
        captured.watch(columns[0], columns[1], mapping_id=2)
    captured.publish()
    found = publication.inspect(captured.admin, PUBLICATION)
    assert found is not None
    assert [one.name for one in found.tables] == ["a", "b", "root"]
    assert uncovered(found, captured.watches) == []
    captured.watches.clear()
    assert len(captured.publish()) == 3
    assert captured.publish() == []


def test_what_a_person_changed_is_put_right(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table a (id int primary key, p int)")
    captured.watch("a", "p")
    captured.publish()
    captured.admin.execute("alter publication syncbridge set (publish = 'insert', publish_via_partition_root = false)")
    captured.admin.execute("alter publication syncbridge drop table a")
    assert len(captured.publish()) == 2
    assert captured.publish() == []


def test_what_is_watched_but_not_published_is_named(captured: CapturedDatabase) -> None:
    if captured.admin.info.server_version < 150000:
        pytest.skip("column lists and row filters came with Postgres 15")
    execute_all(
        captured.admin,
        [
            "create table a (id int primary key, p int)",
            "create table b (id int primary key)",
            "create table c (id int primary key)",
            "create publication syncbridge for table a (id), b where (id > 5) with (publish = 'insert, update')",
        ],
    )
    watches = [Watch(1, "public", "a", ("id", "p")), Watch(2, "public", "b", ("id",)), Watch(3, "public", "c", ("id",))]
    found = publication.inspect(captured.admin, PUBLICATION)
    assert found is not None
    assert uncovered(found, watches) == ["some kinds of change", "public.a.p", "some rows of public.b", "public.c"]


def test_a_partition_that_is_published_as_its_root_is_not_covered_by_itself(captured: CapturedDatabase) -> None:
    execute_all(
        captured.admin,
        [
            "create table root (id int primary key) partition by range (id)",
            "create table leaf partition of root for values from (0) to (9)",
        ],
    )
    captured.watch("root", "id")
    captured.publish()
    found = publication.inspect(captured.admin, PUBLICATION)
    assert found is not None
    assert uncovered(found, [Watch(1, "public", "leaf", ("id",))]) == ["public.leaf"]


def test_everything_of_a_database_or_schema_covers_every_watch(captured: CapturedDatabase) -> None:
    execute_all(captured.admin, ["create table a (id int primary key)", "create publication syncbridge for all tables"])
    captured.watch("a", "id")
    found = publication.inspect(captured.admin, PUBLICATION)
    assert found is not None
    assert uncovered(found, captured.watches) == ["some kinds of change"]  # partitions as their root
    captured.publish()
    assert captured.publish() == []


def test_a_login_that_may_not_is_given_the_statements_for_someone_who_may(captured: CapturedDatabase, dsn: str) -> None:
    role = f"plain_{captured.slot}"
    execute_all(captured.admin, ["create table a (id int primary key)", f"create role {role} login"])
    try:
        with psycopg.connect(conninfo.make_conninfo(dsn, user=role), autocommit=True) as plain:
            with pytest.raises(SourceUnusable) as caught:
                publication.apply(plain, ['CREATE PUBLICATION "p" FOR TABLE "public"."a" ("id");'])
    finally:
        captured.admin.execute(f"drop role {role}".encode())
    assert 'CREATE PUBLICATION "p" FOR TABLE' in caught.value.hint
