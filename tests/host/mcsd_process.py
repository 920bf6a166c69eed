"""The daemon as a process on this machine: real Docker, real attributes, no SELinux in the kernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds that something may take before a test gives it up."""


def wait_for(question: Callable[[], Any], what: str) -> Any:
    """Ask until the answer is true; fail, naming `what`, after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
    return answer


class McsdProcess:
    """mcsd below `root`, on the engine at `url`; labels are allowed below `volumes`."""

    def __init__(self, root: Path, url: str, *, extra: str = "") -> None:
        self.root = root
        self.volumes = root / "volumes"
        self.volumes.mkdir()
        self.config = root / "mcsd.toml"
        self.config.write_text(
            f'[docker]\nurl = "{url}"\n[selinux]\nbackend = "xattr"\n[volumes]\nlinger = "200ms"\n'
            f'[[volumes.rule]]\npath = "{self.volumes}"\nmode = "private"\n{extra}'
        )
        self.socket = root / "s"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """The daemon's command line."""
        place = [
            "--config",
            str(self.config),
            "--state",
            str(self.root / "state"),
            "--socket",
            str(self.socket),
        ]
        return [sys.executable, "-m", "mcsd", *place, *arguments]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=log)
        wait_for(lambda: self.ctl("status").returncode == 0, "an answer of mcsd's")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it until it ends by itself."""
        return subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=30)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and give its exit status; idempotent."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run mcsctl."""
        command = [sys.executable, "-m", "mcsd.cli.main", "--socket", str(self.socket), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    def ask(self, *arguments: str) -> Any:
        """Run mcsctl and give what it says as JSON."""
        done = self.ctl("--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def log(self) -> str:
        """What it has written to standard error."""
        return (self.root / "log").read_text()

    def tree(self, name: str, files: int = 3) -> Path:
        """Make a volume with some files."""
        path = self.volumes / name
        path.mkdir()
        for number in range(files):
            (path / f"f{number}").write_text("text")
        return path


def label_of(path: Path) -> str | None:
    """What an inode carries, None where it carries nothing."""
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode()
    except OSError:
        return None


def labels_below(path: Path) -> dict[str, str | None]:
    """What every inode of a tree carries."""
    return {str(one.relative_to(path)): label_of(one) for one in [path, *path.rglob("*")]}
