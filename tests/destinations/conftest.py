"""Composes the topic fixtures of this folder."""

from tests.destinations.salesforce.fix_salesforce import destination, fake_time, server, shared_server

__all__ = ["destination", "fake_time", "server", "shared_server"]
