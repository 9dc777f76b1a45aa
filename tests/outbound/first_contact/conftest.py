"""People matched by a field with records that are there already, and short ways to look at what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.model import Fields
from syncbridge.store import conflicts, links
from tests.fix_delivery import SmallProject, Start

BY_EMAIL = ("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email")
BY_EMAIL_AND_NAME = (BY_EMAIL[0], "external_id: Person_Key__c\nmatch_on: [Email, LastName]")


@pytest.fixture
def project(start: Start) -> SmallProject:
    """People matched by their email; those of `add` are named after their number."""
    return start(BY_EMAIL)


def put(project: SmallProject, **fields: Any) -> str:
    """A record that somebody created at the destination."""
    return project.destination.put("Contact", fields)


def stored(project: SmallProject, remote_id: str) -> Fields:
    return project.destination.stored("Contact")[remote_id]


def held(project: SmallProject) -> dict[str, tuple[str, ...]]:
    """Key -> candidates."""
    return {each.key: each.candidates for each in conflicts.held(project.store)}


def linked(project: SmallProject, key: object) -> str | None:
    link = links.read(project.store, project.mapping_id, str(key))
    return None if link is None else link.remote_id


def calls(project: SmallProject) -> list[str]:
    return [operation for operation, _, _ in project.destination.calls]


def decide(project: SmallProject, key: object, remote_id: str | None) -> None:
    assert conflicts.decide(project.store, project.mapping_id, str(key), remote_id)
