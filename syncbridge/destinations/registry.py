"""Destination types by name. Adding one is one line here, beside its module, contract test and example mapping."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from syncbridge.destinations.base import Destination
from syncbridge.errors import SettingsError

#: type in the settings -> module with `open(name, values, from_file) -> Destination`; imported when first used.
TYPES = {
    "memory": "syncbridge.destinations.memory",
    "salesforce": "syncbridge.destinations.salesforce",
}


def open_destination(
    name: str, type: str, values: Mapping[str, Any], from_file: frozenset[str] = frozenset()
) -> Destination:
    """Open a configured destination; no call is made yet.

    `values` are its settings without `type`; `from_file` names those that stood in syncbridge.toml, so that a secret
    among them can be refused. Raises SettingsError for an unknown type or wrong settings.
    """
    module = TYPES.get(type)
    if module is None:
        raise SettingsError(
            f"destinations.{name}: unknown type {type!r}", hint=f"Known types: {', '.join(sorted(TYPES))}."
        )
    destination: Destination = import_module(module).open(name, values, from_file)
    return destination
