"""A database for stories, and an org of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.convergence.project import Project
from tests.fix_sandbox import sandbox_server

__all__ = ["sandbox_server"]


@pytest.fixture
def project(state: None, dsn: str) -> Iterator[Project]:
    """Tables, the state, and the connections of a worker; each story begins with them empty."""
    with ExitStack() as opened:
        yield Project(dsn, opened)
