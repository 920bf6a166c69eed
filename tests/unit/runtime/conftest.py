"""The gate's program in all its forms, which every test of it is run against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installed_gate import build_front, has_compiler, install


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The front, built from the tree as it is."""
    if not has_compiler():
        pytest.skip("there is no compiler")
    return build_front(tmp_path_factory.mktemp("front") / "mcsd-gate")


@pytest.fixture(scope="session", params=["front", "python", "documented"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Docker calls, installed: with the front before the Python, the Python alone, and that with the
    documented modules of the standard library alone."""
    front = request.getfixturevalue("front") if request.param == "front" else None
    root = tmp_path_factory.mktemp("libexec")
    return install(root, front, documented_only=request.param == "documented")
