"""The end of a story: troubles end, and both directions work until nothing moves."""

from __future__ import annotations

from typing import Any

from tests.convergence.amending import carry_runs
from tests.convergence.mappings import NAMES
from tests.convergence.story import Story


def come_to_rest(story: Story) -> None:
    """Troubles end, everything is captured, polled and delivered until nothing moves."""
    project = story.project
    story.tell("-- everything comes to rest --")
    project.far.calls.amid.clear()
    project.far.calls.troubles.clear()
    project.far.be_late(0)
    for name in NAMES:
        story.pause(name, resume=True, ways="both")
    story.amend()
    before: Any = None
    for _ in range(15):
        story.pass_time(1000)
        story.capture()
        for name in NAMES:
            carry_runs(project)
            for _ in range(40):
                if not project.load(name):
                    break
                story.pass_time(3)
            story.poll(name)
        story.capture()
        for name in NAMES:
            project.deliver_all(name)
        story.observe()
        now = _moved(story)
        if now == before:
            return
        before = now
    raise AssertionError("it does not come to rest")


def _moved(story: Story) -> tuple[object, ...]:
    sql = story.project.sql
    outbox = sql("select key, status, version from syncbridge.outbox order by mapping_id, key")
    waiting = sql("select remote_id from syncbridge.recheck order by 1")
    return story.project.far.calls.sent, sql("select max(number) from written"), outbox, waiting
