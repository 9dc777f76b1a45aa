"""What the org offers: resources, limits, describes, counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.org.describe import describe_all, describe_object
from syncbridge.sandbox.salesforce.rest.preconditions import not_modified

RESOURCES = (
    "composite", "jobs", "limits", "parameterizedSearch", "query", "queryAll", "quickActions", "recent", "search",
    "sobjects", "tabs", "theme",
)  # fmt: skip
OTHER_LIMITS = {
    "DailyAsyncApexExecutions": 250000, "DailyBulkV2QueryFileStorageMB": 976562, "DailyDeliveredPlatformEvents": 10000,
    "DataStorageMB": 5, "FileStorageMB": 20,
    "HourlyPublishedPlatformEvents": 50000,
}  # fmt: skip


def resources(call: Call) -> Reply:
    """GET /services/data/vN"""
    return answer({each: f"{call.base}/{each}" for each in RESOURCES})


def limits(call: Call) -> Reply:
    """GET /limits"""
    usage = call.sandbox.usage
    values = {name: {"Max": most, "Remaining": most} for name, most in OTHER_LIMITS.items()}
    values |= call.sandbox.bulk.usage.limits()
    values["DailyApiRequests"] = {"Max": usage.max, "Remaining": max(usage.max - usage.used, 0)}
    return answer(dict(sorted(values.items())))


def record_count(call: Call) -> Reply:
    """GET /limits/recordCount?sObjects=A,B: objects without records are left out"""
    org, storage = call.sandbox.org, call.sandbox.storage
    asked = [each.strip() for each in call.query.get("sObjects", "").split(",") if each.strip()]
    targets = [org.find(each) for each in asked] if asked else sorted(org.objects.values(), key=lambda each: each.name)
    counts = [{"count": storage.count(each), "name": each.name} for each in targets if each is not None]
    return answer({"sObjects": [each for each in counts if each["count"]]})


def global_describe(call: Call) -> Reply:
    """GET /sobjects"""
    return _cached(call, "", lambda: describe_all(call.sandbox.org, call.base))


def describe(call: Call) -> Reply:
    """GET /sobjects/{object}/describe"""
    target = call.target()
    return _cached(call, target.name, lambda: describe_object(call.sandbox.org, target, call.base))


def _cached(call: Call, name: str, make: Any) -> Reply:
    """Describes are made once per state of the org, and each state has a moment of its own for If-Modified-Since."""
    org, cache = call.sandbox.org, call.sandbox.cache
    if cache.get("version") != org.version:
        now = call.sandbox.clock.now().replace(microsecond=0)
        earlier = cache.get("moment")
        cache.clear()
        cache["version"] = org.version
        cache["moment"] = now if earlier is None else max(now, earlier + timedelta(seconds=1))
    moment: datetime = cache["moment"]
    headers = {"Last-Modified": format_datetime(moment.astimezone(UTC), usegmt=True), "ETag": f'"{org.version:x}"'}
    unchanged = not_modified(call, headers)
    if unchanged is not None:
        return unchanged
    key = (call.base, name)
    if key not in cache:
        cache[key] = orjson.dumps(make())
    return Reply(200, cache[key], headers)
