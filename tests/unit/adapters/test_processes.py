"""The pass over `/proc`: on made-up process tables, and on this machine's own."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.adapters.proc import processes as adapter
from mcsd.adapters.proc.processes import ProcProcesses
from mcsd.core.labels import Context, Level
from mcsd.core.processes import ProcessLevel
from mcsd.errors import SelinuxError
from mcsd.ports import Processes
from tests.fakes.processes import FakeProcesses
from tests.fakes.settled import settled

ID = "f" * 64


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A procfs of a host with SELinux, and nobody running."""
    (tmp_path / "filesystems").write_text("nodev\tsysfs\nnodev\tselinuxfs\n\text4\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "123abc").mkdir()
    return tmp_path


def run(proc: Path, pid: int, context: str, cgroup: str = "0::/init.scope\n") -> Path:
    (proc / str(pid) / "attr").mkdir(parents=True)
    (proc / str(pid) / "attr" / "current").write_text(context)
    (proc / str(pid) / "cgroup").write_text(cgroup)
    return proc / str(pid)


def test_fake_says_the_same(proc: Path) -> None:
    fake = FakeProcesses()
    table = {
        10: ("u:r:container_t:s0:c3,c4\0", ID),
        9: ("u:r:container_t:s0:c1,c2\n", ""),
        1: ("u:r:init_t:s0\0", ""),
        2: ("u:r:sshd_t:s0-s0:c0.c1023\0", ""),
        3: ("u:r:admin_t:s0:c0.c1023\0", ""),
    }
    for pid, (context, container) in table.items():
        run(proc, pid, context, f"0::/docker/{container}\n")
        fake.run(pid, context.rstrip("\0\n"), container=container)
    found: list[Processes] = [ProcProcesses(proc), fake]
    for one in found:
        levels = tuple(replace(process, group="") for process in one.process_levels())
        assert levels == (
            ProcessLevel(3, Context.parse("u:r:admin_t:s0:c0.c1023"), Level.of(*range(1024))),
            ProcessLevel(9, Context.parse("u:r:container_t:s0:c1,c2"), Level.of(1, 2)),
            ProcessLevel(10, Context.parse("u:r:container_t:s0:c3,c4"), Level.of(3, 4), ID),
        )


def test_host_without_selinux_has_no_carriers(proc: Path) -> None:
    run(proc, 9, "u:r:container_t:s0:c1,c2")
    (proc / "filesystems").write_text("nodev\tsysfs\nnodev\tselinuxfs_not\n")
    assert ProcProcesses(proc).process_levels() == ()


@pytest.mark.parametrize("what", ["attr/current", "cgroup", ""])
def test_process_that_ends_while_it_is_looked_at_is_left_out(proc: Path, what: str) -> None:
    run(proc, 8, "u:r:container_t:s0:c1,c2")
    ended = run(proc, 9, "u:r:container_t:s0:c3,c4") / what
    if ended.is_dir():
        shutil.rmtree(ended)
    else:
        ended.unlink()
    assert [one.pid for one in ProcProcesses(proc).process_levels()] == [8]


def test_process_that_ends_while_it_is_read_is_left_out(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(proc, 9, "u:r:container_t:s0:c3,c4")
    monkeypatch.setattr(adapter, "_read", _failing(errno.ESRCH))
    assert ProcProcesses(proc).process_levels() == ()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EINVAL, errno.EIO])
def test_process_that_may_not_be_read_is_not_taken_for_nobody(
    proc: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Promise 2: a level is free only when it is known that nobody carries it."""
    run(proc, 9, "u:r:container_t:s0:c3,c4")
    monkeypatch.setattr(adapter, "_read", _failing(number))
    with pytest.raises(SelinuxError, match="process 9: its label cannot be read") as caught:
        ProcProcesses(proc).process_levels()
    assert "getattr" in caught.value.hint


def _failing(number: int) -> object:
    def read(directory: int, name: str) -> str:
        raise OSError(number, os.strerror(number))

    return read


def test_name_that_is_not_utf_8_harms_nobody(proc: Path) -> None:
    run(proc, 9, "u:r:container_t:s0:c3,c4")
    (proc / "9" / "cgroup").write_bytes(b"0::/docker/\xff\xfe\n")
    assert [one.container for one in ProcProcesses(proc).process_levels()] == [""]


def test_own_host_is_read_without_complaint() -> None:
    assert all(one.level.categories for one in ProcProcesses().process_levels())
