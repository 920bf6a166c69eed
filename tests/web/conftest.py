"""One browser for all tests of the page, and a Cockpit for each module."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.browser import Browser, running_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A short path, for sockets, that users without rights may walk through."""
    with tempfile.TemporaryDirectory(prefix="mcsd-web-") as place:
        path = Path(place)
        path.chmod(0o755)
        (path / "run").mkdir()
        yield path
