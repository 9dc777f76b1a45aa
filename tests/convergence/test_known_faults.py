"""Faults that other products' users met with two-way sync, over HTTP: what the org normalises, or sets by itself, is no
change of anybody's, and none of it makes a loop. See tests/inbound/test_known_faults.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.convergence.far_sandbox import SandboxFarSide
from tests.convergence.judgement import judge
from tests.convergence.mappings import NAMES, Variant
from tests.convergence.project import Project
from tests.convergence.rest import come_to_rest
from tests.convergence.story import Story


@pytest.fixture
def story(project: Project, sandbox_server: SandboxServer) -> Iterator[Story]:
    """One company and one person are on both sides."""
    far = SandboxFarSide(sandbox_server)
    project.begin(far, Variant("newest"))
    story = Story(project)
    story.insert("companies", 1)
    story.insert("people", 1)
    come_to_rest(story)
    story.begin()
    yield story
    far.close()


def test_what_the_org_normalises_never_echoes(story: Story) -> None:
    """Trimmed texts, emails in small letters, numbers cut to their scale."""
    project = story.project
    project.sql("update people set last_name = '  Hopper ', email = 'Grace@Example.ORG', score = 3.14159 where id = 1")
    come_to_rest(story)
    sent = project.far.calls.sent
    project.resync("people")
    come_to_rest(story)
    assert project.far.calls.sent == sent
    row = project.rows("people")["1"]
    assert (row["last_name"], row["email"], str(row["score"])) == ("  Hopper ", "Grace@Example.ORG", "3.14159")
    (record,) = project.far.records("Contact").values()
    assert (record["LastName"], record["Email"], record["Score__c"]) == ("Hopper", "grace@example.org", 3.14)


def test_what_the_org_sets_beside_our_own_write_is_taken(story: Story) -> None:
    """An automation runs as our user, and what it sets is no echo of ours."""
    project = story.project
    project.sql("update people set first_name = 'Grace' where id = 1")
    come_to_rest(story)
    assert project.rows("people")["1"]["grade"] == "auto Grace"
    project.sql("update people set first_name = 'Ada' where id = 1")
    come_to_rest(story)
    assert project.rows("people")["1"]["grade"] == "auto Ada"
    assert project.rows("people")["1"]["greeting"] == "Hi Ada"
    (record,) = project.far.records("Contact").values()
    assert (record["Grade__c"], record["Greeting__c"]) == ("auto Ada", "Hi Ada")


def test_an_edit_in_the_second_of_the_last_poll_is_read(story: Story) -> None:
    """The window's edge: times have whole seconds, and the record was read in that second already."""
    project = story.project
    story.edit_there("people", 1, ["LastName"], 0)
    story.poll("people")
    story.edit_there("people", 1, ["LastName"], 0)
    story.poll("people")
    (record,) = project.far.records("Contact").values()
    assert project.rows("people")["1"]["last_name"] == record["LastName"]


def test_when_nothing_changes_only_idle_polls_are_left(story: Story) -> None:
    story.edit_here("people", 1, ["FirstName"], 0)
    story.edit_there("people", 1, ["LastName", "Title"], 1)
    come_to_rest(story)
    assert judge(story) == []
    before = story.project.far.calls_made()
    for _ in range(5):
        for name in NAMES:
            story.poll(name)
            story.deliver(name, 0)
    assert story.project.far.calls_made() - before == 5 * len(NAMES)
