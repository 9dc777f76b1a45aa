"""A local Salesforce: one server per session, as new for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    """The server that all tests of a session share; use `sandbox`."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    """A Salesforce org with no records, no faults and all counts at zero."""
    sandbox_server.control.reset()
    return sandbox_server
