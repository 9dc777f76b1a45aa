"""What the org offers: versions, resources, limits, describes, counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Action, Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import not_found
from syncbridge.sandbox.salesforce.org.describe import describe_all, describe_object
from syncbridge.sandbox.salesforce.rest.preconditions import not_modified

OLDEST_VERSION, NEWEST_VERSION = 31, 66
VERSION = re.compile(r"\d\d\.0")
SEASONS = ("Winter", "Spring", "Summer")
RESOURCES = (
    "composite", "jobs", "limits", "parameterizedSearch", "query", "queryAll", "quickActions", "recent", "search",
    "sobjects", "tabs", "theme",
)  # fmt: skip
OTHER_LIMITS = {
    "DailyAsyncApexExecutions": 250000, "DailyBulkV2QueryFileStorageMB": 976562, "DailyDeliveredPlatformEvents": 10000,
    "DataStorageMB": 5, "FileStorageMB": 20,
    "HourlyPublishedPlatformEvents": 50000,
}  # fmt: skip


def check_version(call: Call, action: Action) -> None:
    """Refuse a path of an API version that the org does not have, or that does not have the action yet."""
    version = call.params.get("version")
    if version is None:
        return
    if not VERSION.fullmatch(version) or not max(OLDEST_VERSION, action.since) <= float(version) <= NEWEST_VERSION:
        raise not_found()


def versions(call: Call) -> Reply:
    """GET /services/data"""
    return answer(
        [
            {"label": _label(each), "url": f"/services/data/v{each}.0", "version": f"{each}.0"}
            for each in range(OLDEST_VERSION, NEWEST_VERSION + 1)
        ]
    )


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


def _label(version: int) -> str:
    """Three releases a year, named for the season: 65 is Winter '26, 66 Spring '26."""
    year, season = divmod(version - 65, len(SEASONS))
    return f"{SEASONS[season]} '{(26 + year) % 100:02d}"
