"""Fixtures of the relabel engine's tests: everything is run with the C loop and with the plain one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd.relabel.native import is_usable
from tests.fakes.settled import settled
from tests.host.relabel_child import Child, built_shim, child_under
from tests.host.relabel_trees import Stage, odd, put_label


@pytest.fixture(params=["native", "python"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """An engine over an empty place, that leaves no thread, descriptor or child behind."""
    if os.geteuid() != 0:
        pytest.skip("only root writes labels")
    if request.param == "native" and not is_usable():
        pytest.skip("the C extension is not built")
    probe = tmp_path / "probe"
    probe.touch()
    put_label(probe, odd("odd"))
    with settled():
        yield Stage(tmp_path, request.param == "native")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that ends a walk where a test says."""
    return built_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def child(shim: Path) -> Iterator[Child]:
    """A process that walks and can be killed."""
    with child_under(shim) as process:
        yield process
