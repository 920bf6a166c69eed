"""Which way a guest runs: what was asked for, else the first that was tried and works, else translation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import acceleration, uml
from tests.vm.cache import HarnessError


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MCSD_VM_ACCEL", raising=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    acceleration.natively.cache_clear()
    yield
    acceleration.natively.cache_clear()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(uml, "kernel", lambda: tmp_path)
    monkeypatch.setattr(acceleration, "host_busybox", lambda: tmp_path / "busybox")
    return tmp_path


def gone() -> Path:
    raise HarnessError("apt-get failed with status 100: Unable to locate package user-mode-linux")


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("works", "way"), [(True, "uml"), (False, "tcg")])
def test_a_native_kernel_is_used_where_a_trial_has_heard_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, works: bool, way: str
) -> None:
    trials = iter([works])
    monkeypatch.setattr(uml, "works", lambda *_: next(trials))
    for _ in range(2):
        assert acceleration.best(tmp_path, own_kernel=False) == way
        acceleration.natively.cache_clear()
    assert not list(trials)


@pytest.mark.usefixtures("kernel")
def test_a_tree_s_own_kernel_is_never_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(uml, "works", lambda *_: True)
    assert acceleration.best(tmp_path, own_kernel=True) == "tcg"
    monkeypatch.setenv("MCSD_VM_ACCEL", "uml")
    assert acceleration.best(tmp_path, own_kernel=True) == "tcg"


def test_a_package_that_is_gone_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uml, "kernel", gone)
    assert acceleration.best(tmp_path, own_kernel=False) == "tcg"
    (line,) = capsys.readouterr().err.splitlines()
    assert "Unable to locate package user-mode-linux" in line and "translated" in line


def test_and_is_an_error_for_who_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml, "kernel", gone)
    monkeypatch.setenv("MCSD_VM_ACCEL", "uml")
    with pytest.raises(HarnessError, match="user-mode-linux"):
        acceleration.natively()


def test_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCSD_VM_ACCEL", "xen")
    with pytest.raises(HarnessError, match=r"'xen'; known: kvm, uml, tcg"):
        acceleration.natively()
