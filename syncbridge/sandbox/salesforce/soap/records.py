"""sObjects of the partner API to records and back: the type as an element, texts for all values, fieldsToNull."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from syncbridge.sandbox.salesforce.errors import Refusal, unsupported_type
from syncbridge.sandbox.salesforce.org.model import ObjectType, Org
from syncbridge.sandbox.salesforce.soap.xml import Xml, element, elements, is_nil, local
from syncbridge.sandbox.salesforce.store.changes import Outcome, Record

OBJECT = ' xsi:type="sf:sObject"'
RESULT = ' xsi:type="QueryResult"'
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
JSON_UTC, XML_UTC = "+0000", "Z"


def read_record(sobject: Element) -> Record:
    """Return the record of an sObject element: `fieldsToNull` as None, empty elements not at all."""
    record: Record = {}
    kind = (sobject.get(XSI_TYPE) or "").rpartition(":")[2]
    for each in sobject:
        name, text = local(each), each.text or ""
        if name == "type":
            kind = text.strip()
        elif name == "fieldsToNull":
            if text.strip():
                record[text.strip()] = None
        elif len(each):
            record[name] = read_record(each)
        elif text and not is_nil(each):
            record[name] = text
    if kind and kind != "sObject":
        record = {"attributes": {"type": kind}, **record}
    return record


def type_of(org: Org, record: Record) -> ObjectType | Refusal:
    """Return the object that a record says it is of, or the refusal that its row gets."""
    name = record.get("attributes", {}).get("type", "")
    return org.find(name) or unsupported_type(name)


def write_record(org: Org, name: str, record: Record) -> str:
    """Return a record of a query's answer as an element of this name. Its first Id is there, chosen or not."""
    kind = record["attributes"]["type"]
    target = org.find(kind)
    values = {key: value for key, value in record.items() if key not in ("attributes", "Id")}
    inside = [element("sf:type", kind), element("sf:Id", record.get("Id"))]
    if "Id" in record:
        inside.append(element("sf:Id", record["Id"]))
    inside += [_field(org, target, key, value) for key, value in values.items()]
    return element(name, Xml("".join(inside)), OBJECT)


def write_page(org: Org, page: dict[str, Any], locator: Callable[[str], str]) -> Xml:
    """Return the content of a QueryResult; `locator` turns a page's address into what queryMore takes."""
    following = page.get("nextRecordsUrl")
    return Xml(
        element("done", page["done"])
        + element("queryLocator", locator(following) if following else None)
        + "".join(write_record(org, "records", each) for each in page["records"])
        + element("size", page["totalSize"])
    )


def _field(org: Org, target: ObjectType | None, name: str, value: Any) -> str:
    if isinstance(value, dict):
        if "attributes" in value:
            return write_record(org, f"sf:{name}", value)
        if "records" in value:
            return element(f"sf:{name}", write_page(org, value, lambda url: url.rpartition("/")[2]), RESULT)
        return element(f"sf:{name}", elements((f"sf:{key}", each) for key, each in value.items()))
    known = target.find(name) if target else None
    if known is not None and known.type == "datetime" and isinstance(value, str):
        value = value.replace(JSON_UTC, XML_UTC)
    return element(f"sf:{name}", value)


def write_outcome(outcome: Outcome, *, with_created: bool = False) -> dict[str, Any]:
    """Return a SaveResult, UpsertResult or DeleteResult, in the order that the schema has."""
    result: dict[str, Any] = {"created": outcome.created and outcome.refusal is None} if with_created else {}
    if outcome.refusal is not None:
        result["errors"] = write_error(outcome.refusal)
    return result | {"id": outcome.id, "success": outcome.refusal is None}


def write_error(refusal: Refusal) -> dict[str, Any]:
    """Return an Error; its fields come as one element each."""
    row = refusal.as_row()
    return {"fields": row["fields"], "message": row["message"], "statusCode": row["statusCode"]}
