"""Composing: what claimed entities are right now, with every fault on its own row."""

from __future__ import annotations

import pytest

from syncbridge.errors import ConfigurationError, RetryLater, SchemaDrift
from syncbridge.outbound.compose import Composer
from syncbridge.source import rows
from tests.fix_delivery import SmallProject, Start


def _composer(project: SmallProject) -> Composer:
    return Composer(project.mapping, project.destination, project.deliverer.source)


def test_entities_are_found_gone_or_filtered(project: SmallProject) -> None:
    project.writer.execute("insert into people (id, first_name, is_test) values (1, 'Ada', false), (2, 'Test', true)")
    entities = _composer(project).compose(["1", "2", "3"])
    assert set(entities.records) == {"1"}
    assert entities.records["1"]["FirstName"] == "Ada"
    assert entities.refused == {}


def test_each_fault_is_found_however_many_there_are(start: Start) -> None:
    project = start(("  Email: email", "  Email: email\n  Share__c: {sql: 1 / parts}"))
    project.writer.execute("insert into people (id, parts) select n, n % 3 from generate_series(1, 60) n")
    entities = _composer(project).compose([str(n) for n in range(1, 61)])
    assert set(entities.refused) == {str(n) for n in range(3, 61, 3)}
    assert len(entities.records) == 40


def test_a_batch_in_which_every_row_is_at_fault_still_tells_who(start: Start) -> None:
    project = start(("  Email: email", "  Email: email\n  Share__c: {sql: 1 / parts}"))
    project.writer.execute("insert into people (id, parts) values (1, 0), (2, 0)")
    composer = _composer(project)
    assert set(composer.compose(["1", "2"]).refused) == {"1", "2"}
    project.writer.execute("update people set parts = 1, score = 2.5")
    assert composer.compose(["1"]).records["1"]["Score__c"] == 2.5


@pytest.mark.parametrize(
    "expression",
    [
        "first_name::integer",
        "(select n from generate_series(1, parts) n)",
        "parts::small_number",
        "strict_number(parts)",
    ],
)
def test_whatever_one_row_s_values_cause_is_its_own_fault(start: Start, expression: str) -> None:
    project = start(("  Email: email", f'  Email: email\n  Share__c: {{sql: "{expression}"}}'))
    project.writer.execute("create domain small_number as integer check (value < 2)")
    project.writer.execute(
        "create function strict_number(n integer) returns integer language plpgsql as"
        " $$begin if n > 1 then raise exception 'what a number: %', n; end if; return n; end$$"
    )
    project.writer.execute("insert into people (id, first_name, parts) values (1, '1', 1), (2, 'secret', 2)")
    entities = _composer(project).compose(["1", "2"])
    assert set(entities.records) == {"1"}
    assert set(entities.refused) == {"2"}
    assert "secret" not in entities.refused["2"].message
    assert "number: 2" not in entities.refused["2"].message


def test_a_key_that_is_no_key_of_the_table_is_refused_alone(project: SmallProject) -> None:
    project.add(1)
    entities = _composer(project).compose(["1", "not a number"])
    assert set(entities.records) == {"1"}
    assert set(entities.refused) == {"not a number"}


def test_a_missing_right_is_schema_drift_with_the_grant(project: SmallProject) -> None:
    project.writer.execute("create role reader nologin")
    try:
        project.deliverer.source.execute("set role reader")
        with pytest.raises(SchemaDrift, match="refuses to read") as refused:
            _composer(project).compose(["1"])
        assert "SELECT" in refused.value.hint
    finally:
        project.deliverer.source.close()
        project.writer.execute("drop role reader")


def test_a_source_that_is_away_is_a_matter_of_time(project: SmallProject) -> None:
    composer = _composer(project)
    pid = project.deliverer.source.info.backend_pid
    project.writer.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(RetryLater):
        composer.compose(["1"])


def test_types_have_the_names_that_value_readers_know(project: SmallProject) -> None:
    project.writer.execute("create type mood as enum ('glad', 'sad'); create domain nick as varchar(5)")
    cursor = project.deliverer.source.execute(
        "select 'glad'::mood, array['sad']::mood[], 'x'::nick, array['x']::text[], 1::int8, 'a'::name, '{1}'::int4[]"
    )
    oids = [column.type_code for column in cursor.description or ()]
    names = rows.type_names(project.deliverer.source, oids)
    assert names == ["enum", "enum[]", "varchar", "text[]", "int8", "name", "int4[]"]


def test_the_connection_can_only_read(project: SmallProject) -> None:
    with pytest.raises(Exception, match="read-only"):
        project.deliverer.source.execute("delete from people")


def test_existing_leaves_out_what_cannot_be_told(start: Start) -> None:
    project = start(("where: not is_test", "where: 10 / parts > 0"))
    project.writer.execute("insert into people (id, parts) values (1, 1), (2, 0), (3, 100)")
    source = project.deliverer.source
    assert rows.existing(source, project.mapping.compose_sql, ["1", "2", "3", "4"]) == {"1"}


def test_a_page_of_keys_whose_filter_fails_on_a_row_is_a_mistake_in_the_filter(project: SmallProject) -> None:
    project.writer.execute("insert into people (id, parts) values (1, 0)")
    sql, parameters = project.mapping.keys_page(None, 10, where="1 / parts > 0")
    with pytest.raises(ConfigurationError, match="division by zero"):
        rows.keys_page(project.deliverer.source, sql, parameters)
