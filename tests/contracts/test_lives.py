"""Lives on this host — real processes, and systemd's links in a directory of the test's — and their fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd.adapters.proc.lives import PidFdLives
from mcsd.adapters.systemd.units import SystemdUnits
from mcsd.core.lives import ProcessLife
from mcsd.errors import HostError
from tests.contracts.lives import LivesContract, LivesWorld
from tests.fakes.lives import FakeProcessLives, FakeUnitLives
from tests.fakes.running import run, until
from tests.fakes.settled import settled


class FakeProcessesWorld:
    """Processes in memory."""

    def __init__(self) -> None:
        self.lives = FakeProcessLives()
        self._pids = iter(range(100, 200))

    def begin(self) -> int:
        return self.lives.begin(next(self._pids)).pid

    def end(self, key: int) -> None:
        self.lives.end(key)

    def begin_again(self, key: int) -> None:
        self.lives.begin(key)


class RealProcessesWorld:
    """Processes of this host. A pid cannot be had again at will, so /proc is a copy where it is."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self.lives = PidFdLives(top)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        (top / "sys/kernel/random").mkdir(parents=True)
        shutil.copyfile("/proc/sys/kernel/random/boot_id", top / "sys/kernel/random/boot_id")

    def begin(self) -> int:
        process = subprocess.Popen(["sleep", "1000"])
        self._processes[process.pid] = process
        (self._top / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        return process.pid

    def end(self, key: int) -> None:
        process = self._processes.pop(key)
        process.kill()
        process.wait()

    def begin_again(self, key: int) -> None:
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # no pid is used again within a tick
        process = subprocess.Popen(["sleep", "1000"])
        self._processes[process.pid] = process
        (self._top / str(key)).unlink()
        (self._top / str(key)).symlink_to(f"/proc/{process.pid}")
        self._pid_is(key, process.pid)

    def _pid_is(self, key: int, pid: int) -> None:
        opened = os.pidfd_open
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(os, "pidfd_open", lambda wanted: opened(pid if wanted == key else wanted))

    def close(self) -> None:
        for key in tuple(self._processes):
            self.end(key)
        if hasattr(self, "_patch"):
            self._patch.undo()


class FakeUnitsWorld:
    """Units in memory."""

    def __init__(self) -> None:
        self.lives = FakeUnitLives()
        self._numbers = iter(range(100))

    def begin(self) -> str:
        return self.lives.begin(f"u{next(self._numbers)}.service").unit

    def end(self, key: str) -> None:
        self.lives.end(key)

    def begin_again(self, key: str) -> None:
        self.lives.begin(key)


class LinksWorld:
    """Links as systemd makes them: beside their place, and moved there."""

    def __init__(self, top: Path) -> None:
        self._top = top / "units"
        self._top.mkdir()
        self.lives = SystemdUnits(self._top)
        self._numbers = iter(range(100))

    def begin(self) -> str:
        name = f"u{next(self._numbers)}.service"
        self.begin_again(name)
        return name

    def end(self, key: str) -> None:
        (self._top / f"invocation:{key}").unlink()

    def begin_again(self, key: str) -> None:
        draft = self._top / ".#draft"
        draft.symlink_to(f"{next(self._numbers):032x}")
        draft.rename(self._top / f"invocation:{key}")


@pytest.fixture(params=["fake processes", "processes", "fake units", "units"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LivesWorld]:
    with settled():
        match request.param:
            case "fake processes":
                yield FakeProcessesWorld()
            case "fake units":
                yield FakeUnitsWorld()
            case "units":
                yield LinksWorld(tmp_path)
            case _:
                real = RealProcessesWorld(tmp_path)
                yield real
                real.close()


class TestLives(LivesContract):
    """Each of them."""


# --- what is particular to this host --------------------------------------------------------------------


def test_this_process_is_known_by_its_start_and_boot() -> None:
    life = PidFdLives().identify(os.getpid())
    assert life is not None and life.pid == os.getpid() and life.start > 0
    assert life.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.parametrize("wrong", [{"start": 1}, {"boot": "another"}])
def test_a_pid_alone_proves_nothing(wrong: dict[str, object]) -> None:
    """Promise 7: after a reboot, and where the pid was used again."""

    async def story() -> None:
        life = PidFdLives().identify(os.getpid())
        assert life is not None
        fields = {"pid": life.pid, "start": life.start, "boot": life.boot} | wrong
        assert PidFdLives().follow(ProcessLife(**fields), lambda: None) is None  # type: ignore[arg-type]

    run(story())


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    async def story() -> None:
        with subprocess.Popen(["sleep", "1000"]) as process:
            life = PidFdLives().identify(process.pid)
            assert life is not None
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie
            assert PidFdLives().identify(process.pid) is None
            assert PidFdLives().follow(life, lambda: None) is None

    run(story())


def test_a_program_may_have_any_name(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (2"
    shutil.copyfile(shutil.which("sleep") or "/bin/sleep", program)
    program.chmod(0o755)
    with subprocess.Popen([program, "1000"]) as process:
        lives = PidFdLives()
        expected = lives.identify(os.getpid())
        found = lives.identify(process.pid)
        assert expected is not None and found is not None and found.start >= expected.start
        process.kill()


def test_without_systemd_no_unit_is_active(tmp_path: Path) -> None:
    async def story() -> None:
        units = SystemdUnits(tmp_path / "none")
        assert units.identify("web.service") is None
        world = LinksWorld(tmp_path)
        life = world.lives.identify(world.begin())
        assert life is not None and units.follow(life, lambda: None) is None

    with settled():
        run(story())


def test_a_host_that_does_not_tell_ends_no_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails is told as a hint, and asking again says why."""

    async def story() -> None:
        world, told = LinksWorld(tmp_path), []
        key = world.begin()
        life = world.lives.identify(key)
        assert life is not None and world.lives.follow(life, lambda: told.append(1)) is not None

        def refuse(path: Path) -> Path:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "readlink", refuse)
            world.begin()
            await until(lambda: told)
            with pytest.raises(HostError, match="permission denied"):
                world.lives.follow(life, lambda: None)
        line = world.lives.follow(life, lambda: None)
        assert line is not None
        line.release()

    with settled():
        run(story())
