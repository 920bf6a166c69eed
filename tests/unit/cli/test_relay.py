"""The relay, with a child that is a Python function: what goes through it, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcsd.cli.relay import streams_to_relay

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, signal, sys
from mcsd.cli.relay import Relay, streams_to_relay
relay = Relay(streams_to_relay())
def become():
    relay.take_over()
    {body}
sys.exit(relay.run(become))
"""


def relayed(body: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program whose child does as the body says."""
    program = PROGRAM.format(body=body)
    return subprocess.run(
        [sys.executable, "-c", program], input=given, capture_output=True, cwd=ROOT, timeout=60
    )


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="FIFOs in /run are root's")


def test_what_comes_in_goes_on_and_what_goes_out_comes_back() -> None:
    done = relayed("os.execvp('sh', ['sh', '-c', 'cat; echo done >&2; exit 5'])", b"x" * 300_000)
    assert (done.returncode, done.stdout, done.stderr) == (5, b"x" * 300_000, b"done\n")


def test_a_command_that_does_not_read_is_not_waited_for() -> None:
    assert relayed("os.execvp('true', ['true'])", b"x" * 300_000).returncode == 0


def test_a_command_whose_reader_is_gone_learns_it() -> None:
    """By SIGPIPE, as without a relay."""
    body = "signal.signal(signal.SIGPIPE, signal.SIG_DFL); os.execvp('yes', ['yes'])"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(60) == -signal.SIGPIPE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR2])
def test_it_ends_by_the_signal_that_ended_the_command(number: signal.Signals) -> None:
    assert relayed(f"os.kill(os.getpid(), {int(number)})").returncode == -number


def test_a_child_that_fails_shows_why_and_never_becomes_the_parent() -> None:
    done = relayed("raise RuntimeError('no luck')")
    assert done.returncode == 1 and done.stderr.count(b"no luck") >= 1
    assert relayed("return 6").returncode == 6
    assert relayed("raise KeyboardInterrupt").returncode == 130


def test_a_stream_that_is_closed_stays_closed() -> None:
    program = PROGRAM.format(body="os.execvp('sh', ['sh', '-c', 'exit 0'])")
    done = subprocess.run(
        ["sh", "-c", f'exec {sys.executable} -c "$1" <&- 2>&1', "sh", program],
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_only_pipes_and_files_are_relayed(tmp_path: Path) -> None:
    program = (
        "import sys; from mcsd.cli.relay import streams_to_relay; print(streams_to_relay(), file=sys.stderr)"
    )
    with (tmp_path / "out").open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            timeout=60,
        )
    assert done.stderr == b"(1, 2)\n"
    assert set(streams_to_relay()) <= {0, 1, 2}


def test_nothing_of_it_is_left_in_run() -> None:
    before = {one.name for one in Path("/run").iterdir()}
    relayed("os.execvp('true', ['true'])")
    assert {one.name for one in Path("/run").iterdir() if one.name.startswith("mcsctl-")} <= before
