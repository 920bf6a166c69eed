"""What tests on the machine itself share: one real dockerd a session, clean for each test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.dockerd import Dockerd, running_dockerd


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """A dockerd for all tests; the path is short because sockets' paths must be."""
    with running_dockerd(Path(tempfile.mkdtemp(prefix="mcsd-dockerd-"))) as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def _clean_dockerd(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bring the daemon back after a test that ended it, and remove the containers that a test left."""
    yield
    if "dockerd" in request.fixturenames:
        daemon: Dockerd = request.getfixturevalue("dockerd")
        if not daemon.is_running:
            daemon.start()
        daemon.remove_containers()
