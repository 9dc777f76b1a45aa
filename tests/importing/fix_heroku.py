"""A small export in Heroku Connect's form, and ways to change it."""

from __future__ import annotations

import copy
import json
from typing import Any

EXPORT: dict[str, Any] = {
    "mappings": [
        {
            "object_name": "Account",
            "config": {
                "access": "read_only",
                "sf_notify_enabled": False,
                "sf_polling_seconds": 600,
                "sf_max_daily_api_calls": 30000,
                "fields": {"Id": {}, "Name": {}, "CreatedDate": {}, "SystemModstamp": {}, "IsDeleted": {}},
                "indexes": {"Id": {"unique": True}, "SystemModstamp": {"unique": False}},
                "applied_at": "2024-01-05T10:00:00.000000Z",
            },
        },
        {
            "object_name": "Contact",
            "config": {
                "access": "read_write",
                "sf_notify_enabled": True,
                "sf_polling_seconds": 120,
                "sf_max_daily_api_calls": 30000,
                "fields": {
                    "Id": {},
                    "FirstName": {},
                    "LastName": {},
                    "Name": {},
                    "Email": {},
                    "AccountId": {},
                    "External_Key__c": {},
                    "CreatedDate": {},
                    "SystemModstamp": {},
                    "IsDeleted": {},
                },
                "indexes": {
                    "Id": {"unique": True},
                    "External_Key__c": {"unique": True},
                    "Email": {"unique": False},
                },
                "upsert_field": "External_Key__c",
                "revision": 3,
            },
        },
        {
            "object_name": "Lead",
            "config": {
                "access": "read_write",
                "sf_polling_seconds": 1800,
                "fields": {"Id": {}, "LastName": {}, "Company": {}, "SystemModstamp": {}, "IsDeleted": {}},
                "indexes": {},
            },
        },
    ],
    "connection": {
        "organization_id": "00D000000000001",
        "app_name": "example",
        "name": "example:DATABASE_URL:salesforce",
        "exported_at": "2024-02-01T00:00:00+00:00",
        "api_version": "58.0",
        "features": {"poll_db_no_merge": True, "disable_bulk_writes": False, "brand_new": True},
        "logplex_log_enabled": True,
    },
    "version": 1,
}


def export() -> dict[str, Any]:
    """A copy to change."""
    return copy.deepcopy(EXPORT)


def text(data: Any = None) -> str:
    """As a file."""
    return json.dumps(EXPORT if data is None else data)
