"""`mcsctl run` with the daemon as a process and real labels: whoever is killed, everything is put back.

Without SELinux in the kernel the command is not confined, and is told so; what is held and put back is the
same.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.dockerd import Dockerd
from tests.host.mcsd_process import ROOT, McsdProcess, labels_below, wait_for

pytestmark = pytest.mark.host


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mcsd-host-", dir="/var/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def mcsd(place: Path, dockerd: Dockerd) -> Iterator[McsdProcess]:
    process = McsdProcess(place, dockerd.url)
    process.start()
    wait_for(lambda: process.ask("status")["synced"], "the look at Docker")
    try:
        yield process
    finally:
        process.end()


def command(mcsd: McsdProcess, *arguments: str) -> list[str]:
    """The command line of mcsctl run."""
    return [sys.executable, "-m", "mcsd.cli.main", "--socket", str(mcsd.socket), "run", *arguments]


def begin(mcsd: McsdProcess, *arguments: str, relayed: bool = False) -> subprocess.Popen[bytes]:
    """Start mcsctl run; with pipes it stays beside its command, without it becomes the command."""
    stream = subprocess.PIPE if relayed else subprocess.DEVNULL
    return subprocess.Popen(
        command(mcsd, *arguments),
        cwd=ROOT,
        stdin=stream,
        stdout=stream,
        stderr=subprocess.DEVNULL,
        preexec_fn=_hears_signals,
    )


def _hears_signals() -> None:
    """Undo what a shell or nohup has ignored for what is in the background: a shell could not trap it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and close its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def is_running(mcsd: McsdProcess, name: str) -> bool:
    shown = mcsd.ctl("--json", "show", name)
    return shown.returncode == 0 and '"running": true' in shown.stdout


def nobody_holds(mcsd: McsdProcess) -> bool:
    return bool(mcsd.ask("pairs")["items"] == [])


def test_a_run_labels_its_volume_and_puts_it_back(mcsd: McsdProcess) -> None:
    tree = mcsd.tree("one")
    os.setxattr(tree / "f1", "security.selinux", b"system_u:object_r:etc_runtime_t:s0\0")
    before = labels_below(tree)
    process = begin(mcsd, "--name", "one", "--volume", str(tree), "--", "sleep", "1000")
    wait_for(lambda: is_running(mcsd, "one"), "the start")
    shown = mcsd.ask("show", "one")
    assert shown["pid"] == process.pid, "mcsctl has become the command"
    assert set(labels_below(tree).values()) == {f"system_u:object_r:svirt_sandbox_file_t:{shown['level']}"}
    assert shown["isolated"] is False, "promise 8: no kernel enforces here"
    assert shown["reasons"][0]["code"] == "backend-xattr"
    reap(process)
    wait_for(lambda: nobody_holds(mcsd), "the pair's return")
    assert labels_below(tree) == before, "promise 6"


def test_what_goes_in_and_out_and_how_it_ends_is_the_command_s(mcsd: McsdProcess) -> None:
    script = 'read word; echo "$word at $MCSD_LEVEL"; echo oops >&2; exit 7'
    done = subprocess.run(
        command(mcsd, "--", "sh", "-c", script),
        cwd=ROOT,
        input="hello\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 7
    assert done.stdout.startswith("hello at s0:c")
    assert "not isolated: labels are written with no SELinux in the kernel" in done.stderr, "never pretended"
    assert done.stderr.endswith("oops\n")
    killed = subprocess.run(
        command(mcsd, "--", "sh", "-c", "kill -9 $$"), cwd=ROOT, capture_output=True, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    missing = mcsd.ctl("run", "--", "no-such-program")
    assert missing.returncode == 127 and "there is no program 'no-such-program'" in missing.stderr
    wait_for(lambda: nobody_holds(mcsd), "the pairs' return")


def test_much_goes_through_whole(mcsd: McsdProcess) -> None:
    data = random.Random(1).randbytes(3_000_000)
    done = subprocess.run(command(mcsd, "--", "cat"), cwd=ROOT, input=data, capture_output=True, timeout=60)
    assert done.stdout == data


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_is_sent_reaches_the_command(mcsd: McsdProcess, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo heard; exit 3' {name}; echo ready; while :; do sleep 0.05; done"
    process = begin(mcsd, "--", "sh", "-c", script, relayed=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == b"heard\n"
    assert process.wait(30) == 3
    reap(process)


def test_a_volume_that_somebody_has_is_refused_by_name(mcsd: McsdProcess) -> None:
    tree = mcsd.tree("one")
    process = begin(mcsd, "--name", "one", "--volume", str(tree), "--", "sleep", "1000")
    wait_for(lambda: is_running(mcsd, "one"), "the start")
    refused = mcsd.ctl("run", "--name", "two", "--volume", str(tree), "--", "true")
    assert refused.returncode == 5
    assert f"volume '{tree}' cannot be had: one holds {tree} as private" in refused.stderr
    assert f"--volume {tree}:shared to mcsctl run of two" in refused.stderr
    taken = mcsd.ctl("run", "--name", "one", "--", "true")
    assert taken.returncode == 5 and "the name 'one' is taken" in taken.stderr
    protected = mcsd.ctl("run", "--volume", "/etc", "--", "true")
    assert (
        protected.returncode == 0
        and "left alone: /etc: it belongs to the operating system" in protected.stderr
    )
    missing = mcsd.ctl("run", "--volume", str(tree / "none"), "--", "true")
    assert missing.returncode == 1 and "cannot be had" in missing.stderr
    reap(process)


@pytest.mark.parametrize("relayed", [False, True])
@pytest.mark.parametrize("round_number", range(6))
def test_killed_at_any_moment_everything_is_put_back(
    mcsd: McsdProcess, round_number: int, relayed: bool
) -> None:
    """Promises 3 and 6: mcsctl with SIGKILL, at a moment that the round chooses; with pipes its child as
    well.
    """
    tree = mcsd.tree("big", files=3000)
    before = labels_below(tree)
    process = begin(mcsd, "--volume", str(tree), "--", "sleep", "1000", relayed=relayed)
    if round_number:
        moments = (lambda: mcsd.ask("pairs")["items"], lambda: labels_below(tree) != before)
        wait_for(moments[round_number % 2], "the beginning")
    time.sleep(0.04 * (round_number // 2))
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    reap(process)
    wait_for(lambda: nobody_holds(mcsd), "the pair's return")
    assert labels_below(tree) == before
    assert mcsd.ask("containers")["items"] == []


def children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("moment", ["asked", "walked", "run"])
@pytest.mark.parametrize("survives", [True, False])
def test_mcsd_killed_at_any_moment_goes_on_or_puts_back(
    mcsd: McsdProcess, moment: str, survives: bool
) -> None:
    """Promise 7."""
    tree = mcsd.tree("big", files=3000)
    before = labels_below(tree)
    process = begin(mcsd, "--name", "big", "--volume", str(tree), "--", "sleep", "1000")
    match moment:
        case "asked":
            wait_for(lambda: mcsd.ask("pairs")["items"], "the level")
        case "walked":
            wait_for(lambda: labels_below(tree) != before, "the walk")
        case _:
            wait_for(lambda: is_running(mcsd, "big"), "the start")
    mcsd.end(signal.SIGKILL)
    if not survives:
        reap(process)
    mcsd.start()
    if survives and process.poll() is None and moment == "run":
        wait_for(lambda: is_running(mcsd, "big"), "the look")
        level = mcsd.ask("show", "big")["level"]
        assert set(labels_below(tree).values()) == {f"system_u:object_r:svirt_sandbox_file_t:{level}"}
    reap(process)
    wait_for(lambda: nobody_holds(mcsd), "the pair's return")
    assert labels_below(tree) == before


def test_a_reservation_ends_with_a_process_that_is_killed(mcsd: McsdProcess) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        assert mcsd.ctl("reserve", "x", "--pid", str(process.pid)).returncode == 0
        (pair,) = mcsd.ask("pairs")["items"]
        assert pair["life"]["text"] == f"while process {process.pid} runs"
        mcsd.end(signal.SIGKILL)
        mcsd.start()
        assert mcsd.ask("pairs")["items"][0]["reservation"] == "x"
        process.kill()
    wait_for(lambda: nobody_holds(mcsd), "the pair's return")
    assert mcsd.ctl("reserve", "y", "--until", "200ms").returncode == 0
    wait_for(lambda: nobody_holds(mcsd), "the end of the time")
    none = mcsd.ctl("reserve", "z", "--unit", "none.service")
    assert none.returncode == 4 and "is not active" in none.stderr
