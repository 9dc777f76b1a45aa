"""Casts: what `check` prints for a pair that does not fit is SQL that Postgres takes, and then it fits."""

from __future__ import annotations

import re

import pytest
from psycopg import Connection
from ruamel.yaml import YAML

from syncbridge.mapping.checks.fields import check_type
from syncbridge.mapping.compile import compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.types.casts import cast
from syncbridge.mapping.types.fit import fit, fit_of_expression
from syncbridge.schemas import FieldKind, RemoteField
from syncbridge.source.catalog import describe_query, read_catalog
from tests.type_cases import COLUMNS, TYPES

#: Types without a rule of their own, by how SQL spells them.
OTHERS = ("interval", "bytea", "json", "jsonb", "timetz", "integer[]", "int4range", "inet", "xml", "point", "tsvector")
HEAD = (
    "mapping: m\ndestination: d\nobject: O\nentity: {table: everything, key: id}\nexternal_id: K\nfields:\n  Field__c: "
)


@pytest.fixture
def everything(connection: Connection) -> Connection:
    """A table with a column of every type: c0, c1 and so on."""
    connection.execute(TYPES)
    columns = ", ".join(f"c{at} {spelled}" for at, spelled in enumerate((*COLUMNS.values(), *OTHERS)))
    connection.execute(f'create table everything (id int primary key, {columns}, "user" interval, "Odd ""one" jsonb)')
    return connection


def test_every_cast_that_is_printed_is_taken_by_postgres_and_fits(everything: Connection) -> None:
    columns = read_catalog(everything, [("public", "everything")]).tables["public", "everything"].columns
    tried = 0
    for column in columns.values():
        for kind in FieldKind:
            found = fit(column.base_type, kind)
            if not found.cast:
                continue
            expression = found.cast.format(f'"{column.name.replace(chr(34), chr(34) * 2)}"')
            described = describe_query(everything, f"select {expression} from everything")
            assert isinstance(described, list), (column.type, kind, expression, described)
            then = fit_of_expression(described[0].base_type, kind)
            assert then.severity != "error", (column.type, kind, expression, described[0].base_type)
            tried += 1
    assert tried > 200


@pytest.mark.parametrize(
    ("base_type", "kind", "expected"),
    [
        ("interval", FieldKind.STRING, "{}::text"),
        ("interval", FieldKind.NUMBER, "extract(epoch from {})"),
        ("bytea", FieldKind.TEXT, "encode({}, 'base64')"),
        ("bytea", FieldKind.NUMBER, ""),
        ("jsonb", FieldKind.TEXT, "{}::text"),
        ("money", FieldKind.INTEGER, "{}::numeric::bigint"),
        ("int4[]", FieldKind.MULTIPICKLIST, "{}::text[]"),
        ("int8", FieldKind.BOOLEAN, "{} <> 0"),
        ("date", FieldKind.NUMBER, ""),
        ("text", FieldKind.REFERENCE, ""),
    ],
)
def test_the_cast_says_what_is_meant(base_type: str, kind: FieldKind, expected: str) -> None:
    assert cast(base_type, kind) == expected


@pytest.mark.parametrize("column", ["c4", "user", 'Odd "one'])
@pytest.mark.parametrize("kind", [FieldKind.STRING, FieldKind.NUMBER, FieldKind.TIME])
def test_what_check_prints_can_be_copied_into_the_file(everything: Connection, column: str, kind: FieldKind) -> None:
    table = read_catalog(everything, [("public", "everything")]).tables["public", "everything"]
    spec = parse_mapping(HEAD + "{column: " + YAML_QUOTED[column] + "}\n")
    findings = list(
        check_type(
            spec, "Field__c", spec.fields["Field__c"], table.columns[column], RemoteField("Field__c", kind), table
        )
    )
    for finding in findings:
        printed = re.fullmatch(r"Write `(.*)`\.", finding.remedy)
        if not finding.remedy:
            continue
        assert printed is not None, finding
        line = YAML(typ="safe").load(printed[1])
        mended = parse_mapping(HEAD + "\n    " + printed[1] + "\n")
        assert mended.fields["Field__c"].sql == line["sql"]
        described = describe_query(everything, compile_mapping(mended, table).describe_sql)
        assert isinstance(described, list), (printed[1], described)
        assert fit_of_expression(described[0].base_type, kind).severity != "error"
    assert findings or column == "c4"


YAML_QUOTED = {"c4": "c4", "user": "user", 'Odd "one': "'Odd \"one'"}


def test_money_is_read_as_a_number_whatever_the_servers_locale(everything: Connection) -> None:
    table = read_catalog(everything, [("public", "everything")]).tables["public", "everything"]
    (money,) = (column.name for column in table.columns.values() if column.base_type == "money")
    everything.execute(f"insert into everything (id, {money}) values (1, 1234.5::numeric::money)")
    mapping = compile_mapping(parse_mapping(HEAD + f"{money}\n"), table)
    assert "pg_catalog.numeric" in mapping.compose_sql
    rows = everything.execute(mapping.compose_sql, (["1"],)).fetchall()
    assert [(key, str(value)) for key, value in rows] == [("1", "1234.50")]
    expression = fit_of_expression("money", FieldKind.NUMBER)
    assert (expression.severity, expression.cast) == ("error", "{}::numeric")
