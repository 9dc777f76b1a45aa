"""Salesforce, through simple-salesforce: REST with sObject collections, an external id for every write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncbridge.destinations.salesforce.destination import SalesforceDestination
from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.destinations.salesforce.settings import SalesforceSettings, read_settings

__all__ = ["SalesforceDestination", "SalesforceSettings", "normaliser", "open"]


def open(name: str, values: Mapping[str, Any], from_file: frozenset[str] = frozenset()) -> SalesforceDestination:
    """Check the settings and open the destination; no call is made yet. Raises SettingsError."""
    return SalesforceDestination(name, read_settings(name, values, from_file))
