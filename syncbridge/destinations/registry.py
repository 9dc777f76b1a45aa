"""Destination types by name. Adding one is one line here, beside its module, contract test and example mapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from syncbridge.destinations.base import Destination
from syncbridge.errors import SettingsError
from syncbridge.model import Normaliser
from syncbridge.schemas import RemoteField

#: type in the settings -> module with `open(name, values, from_file) -> Destination` and `normaliser(field)`; imported
#: when first used.
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
    destination: Destination = _module(name, type).open(name, values, from_file)
    return destination


def normaliser_of(name: str, type: str) -> Callable[[RemoteField], Normaliser]:
    """From a described field to its normal form, as destinations of this type have it; nothing is opened.

    `name` is for the message. Raises SettingsError for an unknown type.
    """
    found: Callable[[RemoteField], Normaliser] = _module(name, type).normaliser
    return found


def _module(name: str, type: str) -> ModuleType:
    module = TYPES.get(type)
    if module is None:
        raise SettingsError(
            f"destinations.{name}: unknown type {type!r}", hint=f"Known types: {', '.join(sorted(TYPES))}."
        )
    return import_module(module)
