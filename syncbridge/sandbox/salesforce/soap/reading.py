"""Calls that read: queries, records by id, describes and the feeds of changes. REST answers and SOAP rewords."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply
from syncbridge.sandbox.salesforce.errors import Refusal, unsupported_type
from syncbridge.sandbox.salesforce.rest import changed, collections, metadata, query
from syncbridge.sandbox.salesforce.soap.records import RESULT, write_page, write_record
from syncbridge.sandbox.salesforce.soap.xml import Envelope, Xml, element

#: A describe's keys that SOAP writes as attributes of nothing: they are left out, as REST alone has them.
REST_ONLY = frozenset({"urls", "attributes"})
MOST_DESCRIBED = 100


def run_query(call: Call, request: Envelope) -> Xml:
    """query(queryString)"""
    return _page(call, request, query.query, {"q": request.text("queryString")})


def run_query_all(call: Call, request: Envelope) -> Xml:
    """queryAll(queryString)"""
    return _page(call, request, query.query_all, {"q": request.text("queryString")})


def query_more(call: Call, request: Envelope) -> Xml:
    """queryMore(queryLocator)"""
    return _page(call, request, query.query_more, {}, {"locator": request.text("queryLocator")})


def retrieve(call: Call, request: Envelope) -> Xml:
    """retrieve(fieldList, sObjectType, ids): records in the order of the ids, nil for those that are not there"""
    asked = {"ids": ",".join(request.texts("ids")), "fields": request.text("fieldList")}
    org = call.sandbox.org
    records = _ask(call, collections.retrieve, asked, {"object": request.text("sObjectType")})
    return Xml("".join(write_record(org, "result", each) if each else element("result", None) for each in records))


def describe_global(call: Call, request: Envelope) -> Any:
    """describeGlobal()"""
    return _described(_ask(call, metadata.global_describe, {}))


def describe_object(call: Call, request: Envelope) -> Any:
    """describeSObject(sObjectType)"""
    return _describe(call, request.text("sObjectType"))


def describe_objects(call: Call, request: Envelope) -> Any:
    """describeSObjects(sObjectType...): up to 100"""
    names = request.texts("sObjectType")
    if len(names) > MOST_DESCRIBED:
        raise Refusal("EXCEEDED_ID_LIMIT", f"cannot describe more than {MOST_DESCRIBED} objects in one call")
    return [_describe(call, each) for each in names]


def get_updated(call: Call, request: Envelope) -> Any:
    """getUpdated(sObjectType, startDate, endDate)"""
    return _utc(_ask(call, changed.updated, _window(request), {"object": _object(call, request.text("sObjectType"))}))


def get_deleted(call: Call, request: Envelope) -> Any:
    """getDeleted(sObjectType, startDate, endDate)"""
    return _utc(_ask(call, changed.deleted, _window(request), {"object": _object(call, request.text("sObjectType"))}))


def _ask(call: Call, run: Callable[[Call], Reply], values: dict[str, str], params: dict[str, str] | None = None) -> Any:
    """Return REST's answer to the same question, parsed."""
    inner = replace(call, method="GET", query=values, params={**call.params, **(params or {})}, body=b"")
    return orjson.loads(run(inner).body)


def _page(
    call: Call,
    request: Envelope,
    run: Callable[[Call], Reply],
    values: dict[str, str],
    params: dict[str, str] | None = None,
) -> Xml:
    size = request.headers.get("batchsize", "")
    asking = replace(call, headers={"sforce-query-options": f"batchSize={size}"})
    page = write_page(call.sandbox.org, _ask(asking, run, values, params), lambda url: url.rpartition("/")[2])
    return Xml(element("result", page, RESULT))


def _object(call: Call, name: str) -> str:
    if call.sandbox.org.find(name) is None:
        raise unsupported_type(name)
    return name


def _describe(call: Call, name: str) -> dict[str, Any]:
    asked = replace(call, headers={})
    described: dict[str, Any] = _described(_ask(asked, metadata.describe, {}, {"object": _object(call, name)}))
    page = f"{call.own_url}/{{ID}}"
    return described | {
        "urlDetail": page,
        "urlEdit": f"{page}/e",
        "urlNew": f"{call.own_url}/{described['keyPrefix']}/e",
    }


def _described(value: Any) -> Any:
    """Return a describe as SOAP says it: without what is empty and without REST's own keys."""
    if isinstance(value, list):
        return [_described(each) for each in value]
    if isinstance(value, dict):
        return {key: _described(each) for key, each in value.items() if key not in REST_ONLY and each is not None}
    return value


def _window(request: Envelope) -> dict[str, str]:
    return {"start": request.text("startDate"), "end": request.text("endDate")}


def _utc(value: Any) -> Any:
    """Return the feed's answer with moments as XML has them."""
    if isinstance(value, list):
        return [_utc(each) for each in value]
    if isinstance(value, dict):
        return {key: _utc(each) for key, each in value.items()}
    return value.replace("+0000", "Z") if isinstance(value, str) else value
