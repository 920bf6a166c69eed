"""Following real processes: each end is known once, and a number alone proves nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from mcsd.adapters.proc.pidfds import PidFds
from mcsd.core.containers import ContainerId
from tests.fakes.running import run, until

CONTAINER = ContainerId("c" * 64)


def proc_with(root: Path, pid: int, cgroup: str) -> Path:
    (root / str(pid)).mkdir()
    (root / str(pid) / "cgroup").write_text(cgroup)
    return root


def test_the_end_of_a_process_is_told_once(tmp_path: Path) -> None:
    async def story() -> None:
        ended: list[int] = []
        with subprocess.Popen(["sleep", "60"]) as process:
            proc = proc_with(tmp_path, process.pid, f"0::/system.slice/docker-{CONTAINER}.scope\n")
            line = PidFds(proc).follow(process.pid, CONTAINER, lambda: ended.append(1))
            assert line is not None
            await asyncio.sleep(0.02)
            assert not ended
            process.kill()
            await until(lambda: ended)
            line.release()
        assert ended == [1]

    run(story())


def test_who_is_released_is_not_told_of(tmp_path: Path) -> None:
    async def story() -> None:
        ended: list[int] = []
        with subprocess.Popen(["sleep", "60"]) as process:
            proc = proc_with(tmp_path, process.pid, f"0::/{CONTAINER}\n")
            line = PidFds(proc).follow(process.pid, CONTAINER, lambda: ended.append(1))
            assert line is not None
            line.release()
            line.release()
            process.kill()
            process.wait()
            await asyncio.sleep(0.02)
        assert not ended

    run(story())


def test_a_number_that_is_another_process_s_by_now_is_nobody() -> None:
    async def story() -> None:
        assert PidFds().follow(os.getpid(), CONTAINER, lambda: None) is None

    run(story())


def test_a_process_that_has_ended_is_nobody() -> None:
    async def story() -> None:
        with subprocess.Popen(["true"]) as process:
            process.wait()
        assert PidFds().follow(process.pid, CONTAINER, lambda: None) is None

    run(story())
