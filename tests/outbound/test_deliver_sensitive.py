"""Sensitive values are compared, and stand nowhere but in the base: not in a message, not in a log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from psycopg.sql import SQL, Identifier

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy, RetryLater
from tests.fix_family import Crm, Family, StartFamily

SECRET = "Zora Quill-Umber@hidden.example"

PEOPLE = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
fields:
  Name: name
  Email: {column: email, sensitive: true}
guard: {deletes: off}
"""


class Echoing(Crm):
    """Repeats what it was sent in every refusal."""

    remedy = Remedy.RECORD
    raises: type[Exception] | None = None

    def upsert(self, object: str, external_id: str, records: Any, *, lane: str = "") -> Any:
        if self.raises is not None:
            raise self.raises(f"cannot take {records[0]['Email']}")
        said = "Email: invalid address {0} (of {1})"
        return [Rejected("NO", said.format(r["Email"], str(r["Email"]).split(" ")[1]), self.remedy) for r in records]


@pytest.fixture
def echoing(start_family: StartFamily) -> Family:
    family = start_family(PEOPLE)
    family.crm = Echoing()
    family.lanes = {"people": family.lane("people")}
    family.sql("insert into people (id, name, email) values (1, 'Plain', %s)", SECRET)
    family.touch("people", 1)
    return family


def _assert_nowhere(family: Family, caplog: pytest.LogCaptureFixture, *, but: str = "") -> None:
    """No table of the state holds a part of the secret, nor does a log line."""
    tables = family.store.execute(
        "select table_name from information_schema.tables where table_schema = 'syncbridge'"
    ).fetchall()
    assert len(tables) > 8
    for (table,) in tables:
        text = SQL("select coalesce(string_agg(t::text, ' '), '') from syncbridge.{} t").format(Identifier(table))
        row = family.store.execute(text).fetchone()
        assert row is not None
        if table != but:
            assert not [part for part in ("zora", "quill", "umber", "hidden") if part in row[0].lower()], table
    assert "Quill" not in caplog.text
    assert "hidden" not in caplog.text


def test_a_refusal_that_repeats_the_value_is_stored_without_it(
    echoing: Family, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echoing.deliver()
    row = echoing.waiting("people", 1)
    assert row is not None
    assert (row.status, row.message) == ("dead", "Email: invalid address *** (of ***-***@***.***)")
    _assert_nowhere(echoing, caplog)


@pytest.mark.parametrize("remedy", [Remedy.WAIT, Remedy.SCHEMA, Remedy.RETRY])
def test_whatever_a_refusal_leads_to_its_message_is_masked(
    echoing: Family, caplog: pytest.LogCaptureFixture, remedy: Remedy
) -> None:
    caplog.set_level(logging.DEBUG)
    assert isinstance(echoing.crm, Echoing)
    echoing.crm.remedy = remedy
    for _ in range(3):
        echoing.step("people")
    _assert_nowhere(echoing, caplog)


@pytest.mark.parametrize("error", [RetryLater, ValueError])
def test_an_error_of_a_whole_batch_is_masked_even_where_nobody_foresaw_it(
    echoing: Family, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    caplog.set_level(logging.DEBUG)
    assert isinstance(echoing.crm, Echoing)
    echoing.crm.raises = error
    echoing.step("people")
    assert error is RetryLater or "Traceback" in caplog.text
    _assert_nowhere(echoing, caplog)


def test_a_delivered_value_stands_in_the_base_alone_and_is_compared_by_it(
    start_family: StartFamily, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    family = start_family(PEOPLE)
    family.sql("insert into people (id, name, email) values (1, 'Plain', %s)", SECRET)
    family.touch("people", 1)
    family.deliver()
    assert family.remote("Contact")["1"]["Email"] == SECRET
    _assert_nowhere(family, caplog, but="link")
    family.touch("people", 1)
    family.deliver()
    assert family.crm.times("Contact", 1) == 1
    family.sql("update people set email = 'other@hidden.example'")
    family.touch("people", 1)
    family.deliver()
    assert family.remote("Contact")["1"]["Email"] == "other@hidden.example"
