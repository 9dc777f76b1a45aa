"""Export files are read; what is wrong with one is said with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncbridge.errors import SettingsError
from syncbridge.importing.heroku_export import read_export
from tests.importing.fix_heroku import export, text

Change = Callable[[dict[str, Any]], Any]


def test_an_export_is_read() -> None:
    read = read_export(text(), "export.json")
    assert [each.object_name for each in read.mappings] == ["Account", "Contact", "Lead"]
    contact = read.mappings[1].config
    assert (contact.access, contact.upsert_field, contact.sf_polling_seconds) == ("read_write", "External_Key__c", 120)
    assert contact.indexes["External_Key__c"].unique
    assert read.connection.features["poll_db_no_merge"] is True
    assert read.unknown == contact.unknown == ()


def test_keys_that_are_not_known_are_kept_to_be_told() -> None:
    data = export()
    data["mappings"][0]["config"]["sf_new_thing"] = 1
    assert read_export(text(data), "x").mappings[0].config.unknown == ("sf_new_thing",)


def test_an_export_without_its_connection_or_version_is_read() -> None:
    data = export()
    del data["connection"], data["version"]
    assert read_export(text(data), "x").version is None


MISTAKES: list[tuple[Change, str]] = [
    (lambda d: d.update(mappings={}), "mappings: should be a list"),
    (lambda d: d.update(mappings=[]), "mappings: List should have at least 1 item after validation, not 0"),
    (lambda d: d["mappings"].append(7), "mappings[3]: should be an object"),
    (lambda d: d["mappings"][2].pop("object_name"), "mappings[2].object_name: is missing"),
    (lambda d: d["mappings"][2].pop("config"), "mappings[2].config: is missing"),
    (lambda d: d["mappings"][2]["config"].pop("fields"), "mappings[2].config.fields: is missing"),
    (lambda d: d["mappings"][2]["config"].update(fields=["Id"]), "mappings[2].config.fields: should be an object"),
    (lambda d: d["mappings"][1]["config"].pop("access"), "mappings[1].config.access: is missing"),
    (
        lambda d: d["mappings"][1]["config"].update(access="write_only"),
        "mappings[1].config.access: should be 'read_only' or 'read_write'",
    ),
    (
        lambda d: d["mappings"][1]["config"].update(sf_polling_seconds="often"),
        "mappings[1].config.sf_polling_seconds: should be a whole number",
    ),
    (
        lambda d: d["mappings"][1]["config"]["indexes"].update(Email={"unique": "yes"}),
        "mappings[1].config.indexes.Email.unique: should be true or false",
    ),
    (
        lambda d: d["mappings"][0].update(object_name="Account\nmapping: x"),
        "mappings[0].object_name: is not the API name of an object or field",
    ),
    (
        lambda d: d["mappings"][0]["config"]["fields"].update({"a b": {}}),
        "mappings[0].config.fields.a b: is not the API name of an object or field",
    ),
    (lambda d: d["mappings"][1].update(object_name="ACCOUNT"), "mappings[1].object_name: ACCOUNT stands here twice"),
    (
        lambda d: d["mappings"][1]["config"]["fields"].update(EMAIL={}),
        "mappings[1].config.fields: EMAIL stands here twice",
    ),
    (lambda d: d.update(connection=[]), "connection: should be an object"),
    (lambda d: d.update(version="one"), "version: should be a whole number"),
]


@pytest.mark.parametrize(("change", "told"), MISTAKES)
def test_a_mistake_is_told_with_its_place(change: Change, told: str) -> None:
    data = export()
    change(data)
    with pytest.raises(SettingsError) as caught:
        read_export(text(data), "export.json")
    assert f"export.json: {told}" in caught.value.message.split("\n")
    assert "heroku connect:export" in caught.value.hint


def test_all_mistakes_are_told_at_once_but_not_without_end() -> None:
    data = export()
    data["mappings"] += [{}] * 30
    with pytest.raises(SettingsError) as caught:
        read_export(text(data), "x")
    lines = caught.value.message.split("\n")
    assert (len(lines), lines[-1]) == (11, "x: and 50 more")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "x:1: not valid JSON: Expecting value"),
        ('{"mappings": [\n}', "x:2: not valid JSON: Expecting value"),
        ("[]", "x: is no Heroku Connect export: it has no `mappings`"),
        ('{"objects": []}', "x: is no Heroku Connect export: it has no `mappings`"),
        ("[" * 100_000, "x: is nested too deeply"),
    ],
)
def test_what_is_no_export_is_told(content: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_export(content, "x")
    assert caught.value.message == told
