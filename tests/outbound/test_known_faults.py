"""Faults that users of other products met with one-way delivery, each as a test that this one does not have it.

Sources: the code of Multiwoven (batch loader, fingerprints of failed rows, quotes), hotglue (an insert after a refused
update), drt and Segment (a batch that counts as delivered); issues of action-destinations (3969) and ingestr (1203).
Elsewhere: errors that name one record of a batch, in tests/destinations/salesforce/test_smaller.py; 12,000 records of
one second, in test_feed_large.py there; lost answers, in tests/acceptance and tests/inbound/test_unanswered.py.
"""

from __future__ import annotations

import psycopg
import pytest

from syncbridge.model import Reason
from syncbridge.store import backlog
from tests.fix_delivery import TABLE, SmallProject, Start

#: A table whose keys are texts.
TEXT_KEYS = TABLE.replace("id bigint primary key", "id text primary key")


def sent_keys(project: SmallProject) -> list[str]:
    """Keys of what was sent since the last call."""
    keys = [str(record["Person_Key__c"]) for record in project.destination.sent]
    project.destination.sent.clear()
    return keys


def test_of_a_mixed_batch_the_failed_row_alone_is_failed_and_it_alone_is_sent_again(project: SmallProject) -> None:
    project.destination.faults.reject("2", "STRING_TOO_LONG")
    project.add(1, 2, 3)
    project.deliver()
    assert [dead.key for dead in backlog.dead_letters(project.store)] == ["2"]
    assert [project.base(key) is None for key in (1, 2, 3)] == [False, True, False]
    sent_keys(project)
    project.destination.faults.rejections.clear()
    project.touch(1, 2, 3, reason=Reason.RESYNC)  # no row changed
    project.deliver()
    assert sent_keys(project) == ["2"]
    assert set(project.remote()) == {"1", "2", "3"}


def test_a_refused_change_is_no_new_fingerprint_and_never_becomes_an_insert(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.faults.reject("1", "STRING_TOO_LONG")
    project.change("update people set first_name = 'Refused', last_name = 'Too' where id = 1", 1)
    project.deliver()
    stored = project.destination.stored("Contact")
    assert [(each["FirstName"], each["LastName"]) for each in stored.values()] == [("First 1", "Last 1")]
    assert (project.base(1) or {})["FirstName"] == "First 1"
    project.destination.faults.rejections.clear()
    project.touch(1, reason=Reason.RESYNC)
    project.deliver()
    assert project.destination.stored("Contact").keys() == stored.keys()
    assert project.remote()["1"]["FirstName"] == "Refused"


@pytest.mark.parametrize(
    "text", ["O'Brien", "O''Brien", 'say "hi"', "back\\slash", "%s {0} $1", "東京 é 🙂", "0", "null"]
)
def test_texts_arrive_as_they_are_through_each_kind_of_field(start: Start, text: str) -> None:
    constant = text.replace("\\", "\\\\").replace('"', '\\"')
    project = start(
        ("  Score__c: score", f'  Score__c: score\n  Email: {{constant: "{constant}"}}'), ("  Email: email\n", "")
    )
    project.writer.execute("insert into people (id, first_name, last_name) values (1, %s, %s)", (text, text))
    project.touch(1)
    project.deliver()
    record = project.remote()["1"]
    assert (record["FirstName"], record["LastName"], record["Email"]) == (text, text, text)


def test_two_keys_that_are_one_record_there_do_not_take_turns(start: Start, dsn: str) -> None:
    """`AB` and `ab` are one external id, unless its field is case-sensitive."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TEXT_KEYS.encode())
    project = start()
    project.writer.execute("insert into people (id, last_name) values ('ab', 'Small'), ('AB', 'Large')")
    project.touch("ab", "AB")
    project.deliver()
    assert sorted(sent_keys(project)) == ["AB", "ab"]
    for reason in (Reason.CHANGE, Reason.RESYNC, Reason.CHANGE):
        project.touch("ab", reason=reason)
        project.deliver()
        project.touch("AB", reason=reason)
        project.deliver()
    assert sent_keys(project) == []  # `reconcile` tells of them, as two entities of one record


def test_a_key_that_the_destination_spells_in_another_way_is_not_taken_for_one_that_is_gone(
    start: Start, dsn: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TEXT_KEYS.encode())
    project = start()
    project.writer.execute("insert into people (id, last_name) values ('+49 30 1234', 'A'), ('Ada@Example.ORG', 'B')")
    for reason in (Reason.CHANGE, Reason.RESYNC, Reason.RESYNC):
        project.touch("+49 30 1234", "Ada@Example.ORG", reason=reason, resend=reason is Reason.RESYNC)
        project.deliver()
    assert sorted(str(record["LastName"]) for record in project.destination.stored("Contact").values()) == ["A", "B"]
    assert not [call for call in project.destination.calls if call[0] == "delete"]
