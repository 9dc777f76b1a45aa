"""Composes the topic fixtures of this folder."""

from tests.destinations.fix_clock import clock
from tests.destinations.salesforce.fix_salesforce import destination, fake_time, server, shared_server

__all__ = ["clock", "destination", "fake_time", "server", "shared_server"]
