"""Each call of an adapter's to the kernel fails with each errno there is: what its port says comes of it.

`tests/unit/test_hostile_host.py` has the daemon over fakes that fail so; here are the real adapters, so that
the fakes may be believed. The ledger's disk fails in `test_ledger_power.py`, the label engine's in
`tests/host`.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.docker.engine import DockerEngine
from mcsd.adapters.host.files import HostFiles
from mcsd.adapters.host.strays import StrayFile
from mcsd.adapters.proc import processes as processes_module
from mcsd.adapters.proc.interfaces import KernelNetworks
from mcsd.adapters.proc.pidfds import PidFds
from mcsd.adapters.proc.processes import ProcProcesses
from mcsd.adapters.selinux import netlink as netlink_module
from mcsd.adapters.selinux.netlink import SelinuxNetlink
from mcsd.adapters.systemd.journal import SystemdJournal
from mcsd.core.containers import ContainerId
from mcsd.core.notices import Kind, Notice
from mcsd.core.strays import Catch
from mcsd.errors import EngineUnavailableError, HostError, SelinuxError
from tests.fakes.running import run

EVERY = sorted(errno.errorcode)
GONE = {errno.ENOENT, errno.ESRCH}
CONTAINER = ContainerId("c" * 64)


Test = Callable[[int, Path, pytest.MonkeyPatch], None]


def every_errno(test: Test) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """Run a test once for each, with a place and patches of its own; a failure names the one."""

    def run_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for code in EVERY:
            place = tmp_path / errno.errorcode[code]
            place.mkdir()
            with monkeypatch.context() as patched:
                try:
                    test(code, place, patched)
                except BaseException as exc:
                    exc.add_note(f"with {errno.errorcode[code]}")
                    raise

    run_all.__doc__ = test.__doc__
    return run_all


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@every_errno
def test_following_a_process(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", failing(code))
    if code == errno.ESRCH:
        assert PidFds().follow(1, CONTAINER, lambda: None) is None
        return
    with pytest.raises(HostError, match="process 1 cannot be followed"):
        PidFds().follow(1, CONTAINER, lambda: None)


@every_errno
def test_whose_process_is_followed(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        before = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(Path, "read_text", failing(code))
        if code in GONE:
            assert PidFds().follow(os.getpid(), CONTAINER, lambda: None) is None
        else:
            with pytest.raises(HostError, match="cannot be followed"):
                PidFds().follow(os.getpid(), CONTAINER, lambda: None)
        assert len(os.listdir("/proc/self/fd")) == before, "the descriptor is closed"

    run(story())


@every_errno
def test_what_scans_have_found_is_read(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StrayFile(tmp_path / "strays.json")
    store.save(Catch(complete=1.0), {})
    monkeypatch.setattr(Path, "read_bytes", failing(code))
    catch, _ = store.load()
    assert catch.complete is None
    assert bool(catch.lost) == (code != errno.ENOENT)


@every_errno
def test_what_scans_have_found_is_written(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StrayFile(tmp_path / "strays.json")
    store.save(Catch(complete=1.0), {})
    for call in ("open", "fsync"):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing(code))
            with pytest.raises(OSError, match=os.strerror(code)):
                store.save(Catch(complete=2.0), {})
        assert store.load() == (Catch(complete=1.0), {})


@every_errno
def test_the_level_on_a_file(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getxattr", failing(code))
    if code in {errno.ENOENT, errno.ENODATA, errno.ENOTDIR, errno.EOPNOTSUPP}:
        assert HostFiles().level_at("/etc") is None
        return
    with pytest.raises(OSError, match=os.strerror(code)):
        HostFiles().level_at("/etc")


@every_errno
def test_a_directory_that_cannot_be_read_is_counted(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a scan; what is gone by then is none that could not be looked at."""
    told: list[int] = []
    monkeypatch.setattr(os, "scandir", failing(code))
    assert HostFiles().scan(
        str(tmp_path),
        after="",
        share=1.0,
        told=lambda path, seen, unseen: told.append(unseen),
        met=lambda path, label, level: None,
        stopped=threading.Event(),
    )
    assert told[-1] == (code not in {errno.ENOENT, errno.ENOTDIR})


@every_errno
def test_a_process_s_label(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "filesystems").write_text("nodev\tselinuxfs\n")
    (tmp_path / "7").mkdir()
    monkeypatch.setattr(processes_module, "_read", failing(code))
    if code in GONE:
        assert ProcProcesses(tmp_path).process_levels() == ()
        return
    with pytest.raises(SelinuxError, match="process 7: its label cannot be read"):
        ProcProcesses(tmp_path).process_levels()


@every_errno
def test_a_container_s_interfaces(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", failing(code))
    network = KernelNetworks().network_of(1, "bridge")
    assert network.interfaces == ()
    assert os.strerror(code) in network.error


@every_errno
def test_docker_s_socket(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        docker = DockerEngine(f"unix://{tmp_path}/docker.sock")
        try:
            with pytest.raises(EngineUnavailableError, match="docker"):
                await docker.containers()
        finally:
            await docker.close()

    monkeypatch.setattr(socket.socket, "connect", failing(code))
    run(story())


@every_errno
def test_the_kernel_s_news(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        news = SelinuxNetlink()
        with pytest.raises(SelinuxError, match="cannot be opened"):
            await news.open()
        news.close()

    monkeypatch.setattr(netlink_module, "_subscribe", failing(code))
    run(story())


@every_errno
def test_the_journal_goes_elsewhere(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    journal = SystemdJournal(sinks=(failing(code), taken.append))
    journal.emit(Notice(Kind.STOPPING))
    journal.close()
    assert len(taken) == 1
    assert journal.lost == 0
