"""Org files: what they add, and what is said about a mistake in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncbridge.sandbox.salesforce.org.org_file import OrgFileError, load_org

GOOD = """\
objects:
  Contact:
    fields:
      Person_Key__c: string(40) external_id unique
      Lifetime_Value__c: currency(16,2)
      Tags__c: {type: multipicklist, values: [a, b], restricted: true}
      Widget__c: {type: reference, to: Widget__c, children: Contacts, on_delete: cascade}
      Initials__c: {type: string(2), formula: "substr(LastName, 1, 1)"}
  Widget__c:
    label: Widget
    fields:
      Number__c: int required
      Serial__c: {type: string(30), auto_number: "W-{:04d}"}
  Gadget__c: {}
"""


def load(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "org.yaml"
    file.write_text(text)
    return file


def test_fields_and_objects_are_added_to_the_standard_org(tmp_path: Path) -> None:
    org = load_org(load(tmp_path, GOOD))
    contact, widget = org.objects["contact"], org.objects["widget__c"]
    key = contact.by_name["person_key__c"]
    assert (key.type, key.length, key.external_id, key.unique, key.label) == ("string", 40, True, True, "Person Key")
    value = contact.by_name["lifetime_value__c"]
    assert (value.precision, value.scale) == (16, 2)
    lookup = contact.by_name["widget__c"]
    assert (lookup.reference_to, lookup.relationship, lookup.on_delete) == (("Widget__c",), "Widget__r", "cascade")
    assert not contact.by_name["initials__c"].createable
    assert (widget.prefix, widget.plural, org.objects["gadget__c"].prefix) == ("a00", "Widgets", "a01")
    assert widget.by_name["number__c"].required
    assert {"id", "name", "ownerid", "systemmodstamp", "isdeleted"} <= set(widget.by_name)
    assert "email" in contact.by_name


def test_an_empty_file_is_the_standard_org(tmp_path: Path) -> None:
    assert set(load_org(load(tmp_path, "")).objects) == set(load_org().objects)


def test_the_standard_org_is_not_touched_by_a_file(tmp_path: Path) -> None:
    load_org(load(tmp_path, "objects: {Contact: {fields: {X__c: date}}}"))
    assert load_org().objects["contact"].find("X__c") is None


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("objects:\n  Contact: [", 2, "not valid YAML"),
        ("object:\n  Contact: {}", 1, "object: unknown key; did you mean 'objects'?"),
        ("objects:\n  Contact:\n    field: {}", 3, "objects.Contact.field: unknown key; did you mean 'fields'?"),
        (
            "objects:\n  Contact:\n    fields:\n      X__c: {type: string, lenght: 5}",
            4,
            "objects.Contact.fields.X__c.lenght: unknown key; did you mean 'length'?",
        ),
        (
            "objects:\n  Contact:\n    fields:\n      X__c:\n        type: strin",
            5,
            "objects.Contact.fields.X__c.type: 'strin' is not known; did you mean 'string'?",
        ),
        (
            "objects:\n  Contact:\n    fields:\n      X__c: string(5) uniq",
            4,
            "objects.Contact.fields.X__c: 'uniq' is not one of the words after a type",
        ),
        ("objects:\n  Contact:\n    fields:\n      X__c: string(", 4, "cannot read the type 'string('"),
        (
            "objects:\n  Contact:\n    fields:\n      X__c: {type: string, length: long}",
            4,
            "objects.Contact.fields.X__c.length: input should be a valid integer",
        ),
        ("objects:\n  Contact:\n    fields:\n      X__c: {type: string, unique: yes}", 4, "should be a valid boolean"),
        ("objects:\n  Contact:\n    fields:\n      X__c: {}", 4, "objects.Contact.fields.X__c.type: field required"),
        ("objects:\n  Contact:\n    fields:\n      X: date", 4, "a custom field's name ends in __c"),
        ("objects:\n  Contact:\n    fields:\n      X-y__c: date", 4, "letters, digits and underscores"),
        ("objects:\n  Contact:\n    fields:\n      X__c: date\n      X__c: date", 5, "given twice"),
        ("objects:\n  Contact:\n    fields:\n      X__c: date\n      x__C: date", 5, "same in any case"),
        ("objects:\n  Contacts: {}", 2, "a custom object's name ends in __c; did you mean 'Contact'?"),
        ("objects:\n  Contact:\n    label: Person", 3, "Contact is a standard object"),
        ("objects:\n  W__c:\n    prefix: '001'", 3, "'001' is another object's prefix"),
        ("objects:\n  W__c:\n    prefix: toolong", 3, "should match pattern"),
        (
            "objects:\n  Contact:\n    fields:\n      X__c: {type: reference, to: Acount}",
            4,
            "objects.Contact.fields.X__c.to: there is no object 'Acount'; did you mean 'Account'?",
        ),
        ("objects:\n  Contact:\n    fields:\n      X__c: reference", 4, "needs `to: Object`"),
        ("objects:\n  Contact:\n    fields:\n      X__c: {type: date, values: [a]}", 4, "only a picklist"),
        ("objects:\n  Contact:\n    fields:\n      X__c: {type: picklist, restricted: true}", 4, "needs `values`"),
        ("objects:\n  Contact:\n    fields:\n      X__c: date unique", 4, "can be `external_id` or `unique`"),
        (
            "objects:\n  Contact:\n    fields:\n      X__c:\n        type: string\n        formula: nope(1)",
            6,
            "objects.Contact.fields.X__c.formula: ",
        ),
        ("objects: 5", 1, "objects: input should be a valid dictionary"),
        ("- a", 1, "valid dictionary"),
    ],
)
def test_a_mistake_is_shown_with_file_line_and_the_nearest_right_name(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    file = load(tmp_path, text)
    with pytest.raises(OrgFileError) as caught:
        load_org(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(OrgFileError, match="cannot be read"):
        load_org(tmp_path / "none.yaml")
