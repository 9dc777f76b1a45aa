"""What excuses that two sides differ when all is quiet: what is held for a person, and what one side refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.convergence.story import Story


def orphans(story: Story) -> set[str]:
    """People who wait for a company whose record was deleted there, which is ignored here."""
    if story.project.variant.to_postgres == "delete":
        return set()
    linked = story.project.remote_ids("companies")
    rows = story.project.rows("people").items()
    return {key for key, row in rows if row["company_id"] is not None and str(row["company_id"]) not in linked}


def held_records(story: Story, name: str) -> set[str]:
    """Remote ids of new records that are no row."""
    found = story.project.sql(
        "select remote_id from syncbridge.held_record where mapping_id = %s", story.project.mappings[name][0]
    )
    return {remote_id for (remote_id,) in found}


def holds_refused(row: Mapping[str, Any]) -> bool:
    """Whether the destination refuses what the row holds."""
    return "?" in str(row.get("last_name")) or "?" in str(row.get("city"))


def is_stuck(story: Story, key: str) -> bool:
    """Whether one of this key is refused there, or waits for a company that is."""
    people, companies = story.project.rows("people"), story.project.rows("companies")
    person = people.get(key, {})
    parent = companies.get(str(person.get("company_id")), {})
    return any(holds_refused(row) for row in (person, parent, companies.get(key, {})))


def logged(story: Story, name: str, key: str, columns: str, where: str) -> list[tuple[Any, ...]]:
    return story.project.sql(
        f"select {columns} from syncbridge.sync_log where mapping_id = %s and key = %s and {where}",
        story.project.mappings[name][0], key,
    )  # fmt: skip


def held_changes(story: Story) -> dict[tuple[str, str], dict[str, Any]]:
    found = story.project.sql(
        "select m.name, h.key, h.kind, h.fields from syncbridge.held_change h join syncbridge.mapping m"
        " on m.id = h.mapping_id"
    )
    return {(name, key): {"kind": kind, "fields": fields} for name, key, kind, fields in found}
