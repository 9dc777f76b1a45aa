"""References between subrequests: `@{referenceId.field}` and `@{referenceId.records[0].Id}` become values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from syncbridge.sandbox.salesforce.errors import Refusal

REFERENCE = re.compile(r"@\{([^{}]+)\}")
ENCODED_REFERENCE = re.compile(r"@(?:\{|%7B)((?:(?!%7D)[^{}])+)(?:\}|%7D)|%40%7B((?:(?!%7D).)+)%7D", re.IGNORECASE)
STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
NAME = re.compile(r"\w+")
#: From this version on a null in a record that was read is a value; before, it was as good as missing.
NULLS_SINCE = 52

Bodies = Mapping[str, Any]


def names_in(value: Any) -> set[str]:
    """Return the reference ids that a url or a body speaks of."""
    if isinstance(value, str):
        paths = [plain or encoded for plain, encoded in ENCODED_REFERENCE.findall(value)]
        return {match.group() for match in map(NAME.match, paths) if match}
    if isinstance(value, dict):
        return {name for each in value.values() for name in names_in(each)}
    if isinstance(value, list):
        return {name for each in value for name in names_in(each)}
    return set()


def resolve(value: Any, bodies: Bodies, version: float) -> Any:
    """Return a body with its references replaced. One that is the whole text keeps its type, such as a number's.

    PROCESSING_HALTED when an answer has no such value, as when the subrequest was refused.
    """
    if isinstance(value, str):
        whole = REFERENCE.fullmatch(value)
        if whole:
            return _value_of(whole.group(1), bodies, version)
        return REFERENCE.sub(lambda match: _as_text(_value_of(match.group(1), bodies, version)), value)
    if isinstance(value, dict):
        return {key: resolve(each, bodies, version) for key, each in value.items()}
    if isinstance(value, list):
        return [resolve(each, bodies, version) for each in value]
    return value


def resolve_url(url: str, bodies: Bodies, version: float) -> str:
    """Return a URL with its references replaced by values in URL encoding."""

    def replaced(match: re.Match[str]) -> str:
        return quote(_as_text(_value_of(match.group(1) or match.group(2), bodies, version)), safe="")

    return ENCODED_REFERENCE.sub(replaced, url)


def _value_of(path: str, bodies: Bodies, version: float) -> Any:
    named = NAME.match(path)
    name = named.group() if named else path
    current = bodies.get(name)
    is_record = isinstance(current, dict) and "attributes" in current
    at = len(name)
    while at < len(path):
        step = STEP.match(path, at)
        if step is None:
            raise _no_value(path, name)
        current = _child(current, step.group(1), step.group(2), path, name)
        at = step.end()
    if isinstance(current, dict | list) or (current is None and not (is_record and version >= NULLS_SINCE)):
        raise _no_value(path, name)
    return current


def _child(parent: Any, key: str | None, index: str | None, path: str, name: str) -> Any:
    if isinstance(parent, dict) and key in parent:
        return parent[key]
    if isinstance(parent, list) and index is not None and int(index) < len(parent):
        return parent[int(index)]
    raise _no_value(path, name)


def _no_value(path: str, name: str) -> Refusal:
    return Refusal(
        "PROCESSING_HALTED",
        f"Invalid reference specified. No value for {path} found in {name}. Provided referenceId ('{path}') must start "
        "with a letter or a number, and it can contain only letters, numbers and underscores ('_').",
    )


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
